"""CPU per call of this tree beside that of another commit, both alive, loaded by turns.

    python -m bench.versus COMMIT [--pairs 30] [--seconds 3] [--rate 1500] [--bar 1.05]

The other commit is checked out and built below build/versus/, once.  Both run the same
configuration on the same core. A machine shared with others becomes faster and
slower within seconds, so turns are short: a pair is a turn of each, and what one spends
while the other is loaded (timers, looking around) is counted in the pair, too.  The answer is the
CPU of all pairs over all their calls, one through the other; the ratios of the single pairs show how noisy it
was.  Exit status 1 when it is above the bar, or a turn comes with a remark.
"""

import argparse
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from statistics import median

from bench import targets
from bench.load import describe_machine, now, write_report
from bench.processes import Process, RunFailed
from bench.procfs import Reading
from bench.stage import Stage, stage
from bench.targets import ROOT, Site, start_fastsip

TREES = ROOT / "build" / "versus"
BUILD_LIMIT_S = 900
THIS, BEFORE = "fastsip", "before"
CLUMP_MS = 10  # calls come in heaps, as they do from a busy peer


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


def turn(there: Stage, plan: argparse.Namespace, number: int) -> tuple[int, list[str]]:
    """One load on one of the two: its calls, and remarks."""
    repeated = there.answerer.retransmissions()
    generator = there.generate(plan.rate, plan.seconds, f"turn-{number}", clump_ms=CLUMP_MS)
    try:
        outcome = generator.outcome(there.answerer)
    finally:
        generator.stop()
    outcome.callee_retransmissions -= repeated
    return outcome.completed, outcome.problems()


def measure(stages: dict[str, Stage], plan: argparse.Namespace) -> list[dict]:
    """Of each pair, after one that warms up: calls and CPU by name, and remarks."""
    pairs = []
    for number in range(1 + plan.pairs):
        before = {name: Reading.take(there.target.pid) for name, there in stages.items()}
        calls, problems = {}, []
        # Who goes first changes: what a pair warms up or wears out is shared.
        for name in sorted(stages, reverse=bool(number % 2)):
            calls[name], remarks = turn(stages[name], plan, number)
            problems += [f"pair {number}, {name}: {remark}" for remark in remarks]
        grown = {name: Reading.take(there.target.pid).since(before[name]) for name, there in stages.items()}
        for name, growth in grown.items():
            if growth["drops"] or growth["vanished"]:
                problems.append(f"pair {number}, {name}: {growth['drops']} drops, {growth['vanished']} threads ended")
        pairs.append({"calls": calls, "cpu_ns": {name: growth["cpu_ns"] for name, growth in grown.items()},
                      "problems": problems})
    return pairs[1:]


def us_per_call(pairs: list[dict], name: str) -> float:
    return sum(pair["cpu_ns"][name] for pair in pairs) / sum(pair["calls"][name] for pair in pairs) / 1e3


def ratio_of(pairs: list[dict]) -> float:
    return us_per_call(pairs, THIS) / us_per_call(pairs, BEFORE)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.versus", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("commit", help="what this tree is compared with")
    parser.add_argument("--pairs", type=int, default=30)
    parser.add_argument("--seconds", type=float, default=3, help="of each turn")
    parser.add_argument("--rate", type=float, default=1500, help="calls per second")
    parser.add_argument("--bar", type=float, default=1.05, help="this tree costs at most so many times the other")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    limit_s = 4 * args.pairs * (args.seconds + 1) + 120
    try:
        tree = built(args.commit)
        targets.TARGETS[BEFORE] = start_before(tree)
        os.sched_setaffinity(0, {1})  # the runner must not sit on the targets' core
        with stage(BEFORE, limit_s=limit_s) as before, stage(THIS, limit_s=limit_s) as this:
            pairs = measure({BEFORE: before, THIS: this}, args)
    except RunFailed as problem:
        print(f"bench.versus: {problem}", file=sys.stderr)
        return 2
    singles = sorted(ratio_of([pair]) for pair in pairs)
    ratio = ratio_of(pairs)
    problems = [problem for pair in pairs for problem in pair["problems"]]
    print(f"this tree {us_per_call(pairs, THIS):.1f} us/call, {tree.name} {us_per_call(pairs, BEFORE):.1f} us/call: "
          f"ratio {ratio:.3f}, bar {args.bar}")
    print(f"of {len(pairs)} pairs: median {median(singles):.3f}, from {singles[0]:.3f} to {singles[-1]:.3f}")
    for problem in problems:
        print(f"! {problem}")
    report = {
        "when": now(),
        "commit": targets.commit(),
        "before": tree.name,
        "command": " ".join(sys.orig_argv),
        "machine": describe_machine(),
        "pairs": pairs,
        "ratio": ratio,
        "bar": args.bar,
    }
    print(f"written to {write_report(report, 'versus', args.json)}")
    return int(ratio > args.bar or bool(problems))


if __name__ == "__main__":
    sys.exit(main())
