"""CPU per call of this tree beside that of another commit, both alive, loaded by turns.

    python -m bench.versus COMMIT [--pairs 30] [--seconds 3] [--rate 1500] [--bar 1.05]

The other commit is checked out and built below build/versus/, once.  Both run the same
configuration on the same core.  The answer is the CPU of all pairs over all their calls, one through
the other; the ratios of the single pairs show how noisy it was.  Exit status 1 when it
is above the bar, or a turn comes with a remark.
"""

import argparse
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from bench import targets
from bench.pairs import add_pair_arguments, compare
from bench.processes import Process, RunFailed
from bench.targets import ROOT, Site, start_fastsip

TREES = ROOT / "build" / "versus"
BUILD_LIMIT_S = 900
THIS, BEFORE = "fastsip", "before"


def built(commit: str) -> Path:
    """The tree of that commit with its kernels built."""

    def run(*argv: str, cwd: Path) -> str:
        done = subprocess.run(argv, cwd=cwd, capture_output=True, text=True, timeout=BUILD_LIMIT_S)
        if done.returncode:
            raise RunFailed(f"{' '.join(argv)}: {done.stderr.strip()[-1000:]}")
        return done.stdout.strip()

    name = run("git", "rev-parse", "--short=12", f"{commit}^{{commit}}", cwd=ROOT)
    tree = TREES / name
    if not tree.exists():
        TREES.mkdir(parents=True, exist_ok=True)
        run("git", "clone", "--quiet", "--shared", "--no-checkout", str(ROOT), str(tree), cwd=ROOT)
        run("git", "checkout", "--quiet", name, cwd=tree)
    run(sys.executable, "-W", "ignore", "setup.py", "--quiet", "build_ext", "--inplace", cwd=tree)
    return tree


def start_before(tree: Path):
    def start(site: Site) -> Process:
        return start_fastsip(replace(site, root=tree))

    return start


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.versus", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("commit", help="what this tree is compared with")
    add_pair_arguments(parser, bar=1.05)
    args = parser.parse_args()
    try:
        tree = built(args.commit)
        targets.TARGETS[BEFORE] = start_before(tree)
    except RunFailed as problem:
        print(f"bench.versus: {problem}", file=sys.stderr)
        return 2
    return compare("versus", THIS, BEFORE, args, before=tree.name)


if __name__ == "__main__":
    sys.exit(main())
