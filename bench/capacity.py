"""The highest rate that one pinned shard serves without a failure, a retransmission or a drop.

    python -m bench.capacity [--targets fastsip] [--low 1000] [--high 40000] [--steps 8]

Bisects with the own generator, a bounded number of runs.  When the generator or
its core is what gave up, the answer is a lower bound and says so.
"""

import argparse
import os
import sys
from dataclasses import replace

from bench.load import (
    DISTURBED,
    GENERATOR_LIMIT,
    Plan,
    add_plan_arguments,
    plan_of,
    read_targets,
    run_once,
    write_report,
)
from bench.processes import RunFailed
from bench.targets import version

# Remarks on the machine, not on the target: they do not make a rate too high.
HARMLESS = ("the target waited", "fastsip gave no counters", "a call started")


def served(figures: dict) -> bool:
    return not [each for each in figures["problems"] if not each.startswith(HARMLESS)]


def try_rate(name: str, plan: Plan, rate: float) -> dict:
    """One run; once more when it failed while somebody else had the target's core."""
    figures = run_once(name, replace(plan, rate=rate))
    if not served(figures) and figures["waited_share"] > DISTURBED:
        figures = {**run_once(name, replace(plan, rate=rate)), "repeated": True}
    good = served(figures)
    remarks = "; ".join(figures["problems"]) or "-"
    print(f"{name:>10} {rate:>8.0f}/s {'served' if good else 'not served'}: {remarks}", flush=True)
    return {
        "rate": rate,
        "served": good,
        "generator_limited": figures["load_core_share"] > GENERATOR_LIMIT,
        "disturbed": figures["waited_share"] > DISTURBED,
        **figures,
    }


def search(name: str, plan: Plan, low: float, high: float, steps: int) -> dict:
    """Bisects between a rate that is served and one that is not; every run is kept in the result."""
    runs: list[dict] = []
    best, bound = 0.0, False
    for step in range(steps + 1):
        # the first run proves the lower end; without it there is nothing to bisect
        rate = low if step == 0 else round((low + high) / 2)
        run = try_rate(name, plan, rate)
        runs.append(run)
        if run["served"]:
            best = low = rate
        elif step == 0:
            break
        else:
            # what failed for another reason than the target's leaves only a lower bound
            bound = bound or run["generator_limited"] or run["disturbed"]
            high = rate
        if high - low < 0.02 * high:
            break
    # with no rate that failed, the true one may lie anywhere above
    bound = bound or all(run["served"] for run in runs)
    return {"calls_per_s": best, "lower_bound": bound, "runs": runs}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.capacity", description=__doc__.partition("\n")[0])
    add_plan_arguments(parser)
    parser.set_defaults(seconds=4, warm=1)
    parser.add_argument("--targets", type=read_targets, default=["fastsip"])
    parser.add_argument("--low", type=float, default=1000)
    parser.add_argument("--high", type=float, default=40000)
    parser.add_argument("--steps", type=int, default=8)
    args = parser.parse_args()
    plan = plan_of(args)
    if plan.pin:
        os.sched_setaffinity(0, {1})
    try:
        found = {name: search(name, plan, args.low, args.high, args.steps) for name in args.targets}
    except RunFailed as problem:
        print(f"bench.capacity: {problem}", file=sys.stderr)
        return 2
    for name, each in found.items():
        text = f"{'at least ' if each['lower_bound'] else ''}{each['calls_per_s']:.0f} calls/s"
        print(f"{name:>10} {text if each['calls_per_s'] else f'fails already at {args.low:.0f} calls/s'}")
    report = {
        "targets": {name: version(name) for name in found},
        "plan": vars(plan),
        "capacity": found,
    }
    print(f"written to {write_report(report, 'capacity', args.json)}")
    return int(any(not each["calls_per_s"] for each in found.values()))


if __name__ == "__main__":
    sys.exit(main())
