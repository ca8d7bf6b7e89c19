"""CPU per call of this tree beside that of another commit, alternating in one run.

    python -m bench.versus COMMIT [--rounds 5] [--rate 1500] [--bar 1.05]

The other commit is checked out and built below build/versus/, once.  Both run the same
configuration under the same load; the answer is the median of the ratios of the
rounds.  Exit status 1 when it is above the bar, or a run comes with a remark.
"""

import argparse
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from statistics import median

from bench import targets
from bench.load import add_plan_arguments, describe_machine, now, plan_of, run_once, shown, write_report
from bench.processes import Process, RunFailed
from bench.targets import ROOT, Site, start_fastsip

TREES = ROOT / "build" / "versus"
BUILD_LIMIT_S = 900


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
    add_plan_arguments(parser)
    parser.add_argument("commit", help="what this tree is compared with")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--bar", type=float, default=1.05, help="this tree costs at most so many times the other")
    args = parser.parse_args()
    plan = plan_of(args)
    rounds: list[dict] = []
    try:
        tree = built(args.commit)
        targets.TARGETS["before"] = start_before(tree)
        if plan.pin:
            os.sched_setaffinity(0, {1})  # the runner must not sit on the target's core
        for number in range(args.rounds):
            # Who goes first changes: what a round warms up or wears out is shared.
            order = ("before", "fastsip") if number % 2 else ("fastsip", "before")
            rounds.append({name: run_once(name, plan) for name in order})
    except RunFailed as problem:
        print(f"bench.versus: {problem}", file=sys.stderr)
        return 2
    ratios = [each["fastsip"]["cpu_us_per_call"] / each["before"]["cpu_us_per_call"] for each in rounds]
    print(f"{'round':>6}{'this us/call':>14}{f'{tree.name} us/call':>24}{'ratio':>8}")
    for number, (each, ratio) in enumerate(zip(rounds, ratios, strict=True), 1):
        now_us, before_us = (shown(each[name]["cpu_us_per_call"], ".1f") for name in ("fastsip", "before"))
        print(f"{number:>6}{now_us:>14}{before_us:>24}{ratio:>8.3f}")
        for name, run in each.items():
            for problem in run["problems"]:
                print(f"! round {number}, {name}: {problem}")
    print(f"median {median(ratios):.3f}, bar {args.bar}")
    report = {
        "when": now(),
        "commit": targets.commit(),
        "before": tree.name,
        "command": " ".join(sys.orig_argv),
        "machine": describe_machine(),
        "plan": vars(plan),
        "rounds": rounds,
        "ratios": ratios,
        "bar": args.bar,
    }
    print(f"written to {write_report(report, 'versus', args.json)}")
    return int(median(ratios) > args.bar or any(run["problems"] for each in rounds for run in each.values()))


if __name__ == "__main__":
    sys.exit(main())
