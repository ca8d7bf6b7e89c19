"""Does a call cost more when many others are held?  CPU per call with 10 and with 100,000 held.

    python -m bench.growth [--targets fastsip] [--held 10,100000] [--rate 1000]

Held calls ring: that is when a router has state of them.  Both measurements are
made in fresh processes, alternating, and the ratio of the medians is the answer.
"""

import argparse
import os
import sys
import time
from pathlib import Path
from statistics import median

from bench.load import TAIL_S, read_targets, write_report
from bench.processes import RunFailed, wait_until
from bench.procfs import Reading
from bench.stage import stage

WARM_S = 2


def measure(name: str, held: int, args: argparse.Namespace) -> dict:
    """CPU per call of a load beside `held` ringing calls."""
    ramp_s = held / args.ramp
    with stage(name, pin=not args.no_pin, limit_s=4 * ramp_s + args.seconds + 200) as there:
        # what rings must outlast ramp and window; the routers end a ringing call after 180 s
        ring_ms = int(min(175, ramp_s + args.seconds + 120) * 1000)
        holder = there.generate(
            args.ramp, ramp_s + 5, "holder", user="ring", calls=held, ring_limit_ms=ring_ms
        )
        try:
            wait_until(
                lambda: holder.counters["ringing"] >= held,
                ramp_s + 40,
                f"{held} calls ringing",
                holder.process,
            )
            load = there.generate(args.rate, WARM_S + args.seconds + TAIL_S, "load", clump_ms=10)
            try:
                load.wait_started()
                time.sleep(WARM_S)
                before, calls = Reading.take(there.target.pid), load.counters["completed"]
                time.sleep(args.seconds)
                grown = Reading.take(there.target.pid).since(before)
                calls, still = load.counters["completed"] - calls, holder.counters["ringing"]
                outcome = load.outcome(there.answerer)
            finally:
                load.stop()
            holder.end_calls()
            ended = holder.outcome()
        finally:
            holder.stop()
    problems = [*outcome.problems(), *(f"held calls: {each}" for each in ended.problems())]
    if grown["drops"]:
        problems.append(f"the kernel dropped {grown['drops']} datagrams before the target")
    if still < held:
        problems.append(f"only {still} of {held} calls were still held at the end")
    if not calls:
        problems.append("no call completed in the window")
    return {
        "held": held,
        "calls": calls,
        "cpu_us_per_call": grown["cpu_ns"] / calls / 1000 if calls else None,
        "drops": grown["drops"],
        "problems": problems,
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.growth", description=__doc__.partition("\n")[0])
    parser.add_argument("--targets", type=read_targets, default=["fastsip"])
    parser.add_argument(
        "--held", type=lambda text: [int(each) for each in text.split(",")], default=[10, 100000]
    )
    parser.add_argument("--rate", type=float, default=1000)
    parser.add_argument("--ramp", type=float, default=3000, help="held calls started per second")
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--no-pin", action="store_true")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    if not args.no_pin:
        os.sched_setaffinity(0, {1})
    runs: dict[str, list[dict]] = {name: [] for name in args.targets}
    try:
        for _ in range(args.rounds):
            for name in args.targets:
                runs[name] += [measure(name, held, args) for held in args.held]
    except RunFailed as failure:
        print(f"bench.growth: {failure}", file=sys.stderr)
        return 2
    failed = False
    for name, each in runs.items():
        middle = {}
        for held in args.held:
            costs = [run["cpu_us_per_call"] for run in each if run["held"] == held and run["cpu_us_per_call"]]
            middle[held] = median(costs) if costs else None
            print(
                f"{name:>10} {held:>7} held: {middle[held]:.1f} us per call"
                if costs
                else f"{name:>10} {held:>7} held: no call completed"
            )
        first, last = middle[args.held[0]], middle[args.held[-1]]
        if first and last:
            print(f"{name:>10} growth: {last / first:.2f} times")
        for run in each:
            failed = failed or bool(run["problems"])
            for problem in run["problems"]:
                print(f"! {name}, {run['held']} held: {problem}")
    report = {
        "growth": runs,
    }
    print(f"written to {write_report(report, 'growth', args.json)}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
