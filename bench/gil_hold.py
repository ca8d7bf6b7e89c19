"""Does a call notice that Python stands still?  A thread holds the GIL for two seconds under load.

    python -m bench.gil_hold [--rate 1500] [--seconds 5] [--shards 1]

R1 (the packet path runs without Python, docs/design.md#shape) holds when no call fails, nothing is
repeated or dropped, and the calls of those two seconds end like the others.
"""

import argparse
import os
import re
import signal
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from bench import targets
from bench.build import HERE
from bench.load import write_report
from bench.processes import Process, RunFailed, answers_options, scratch, take_ports, wait_until
from bench.procfs import Reading
from bench.traffic import Answerer, Generator
from fastsip.observe import counters

GIL_ROUTER = HERE.parent / "tests" / "system" / "gil_router.py"
WARM_S = 1.0
HELD = re.compile(r"^gil: held ([\d.]+)$", re.M)
HOLD_S = 2.0


def start_router(site: targets.Site) -> Process:
    """The router with the thread that holds the GIL on SIGUSR1, ready for calls."""
    argv = [sys.executable, str(GIL_ROUTER), str(targets.write_fastsip_config(site))]
    router = Process(argv, site.scratch / "fastsip.log", site.core, site.limit_s, cwd=site.scratch)
    wait_until(lambda: answers_options(site.port), site.start_s, "fastsip", router)
    router.remember()
    return router


def hold(router: Process, run_dir: Path) -> float:
    """Holds the GIL once; for how long another Python thread saw nothing, in seconds."""
    os.kill(counters.read_rows(run_dir)[0]["pid"], signal.SIGUSR1)
    wait_until(lambda: bool(HELD.search(router.output())), HOLD_S + 10, "the end of the hold", router)
    found = HELD.search(router.output())
    return float(found[1]) if found else 0.0


def measure(args: argparse.Namespace) -> dict:
    """One load with the hold in its middle; calls are counted before, during and after."""
    pin = args.shards == 1 and (os.cpu_count() or 1) > 1
    target_core, load_core = (0, 1) if pin else (None, None)
    with scratch() as files, ExitStack() as stack:
        port, first, second = take_ports(3)
        limit_s = args.seconds + 60
        answerer = Answerer([first, second], files, load_core, limit_s)
        stack.callback(answerer.stop)
        router = start_router(targets.Site(port, (first, second), files, target_core, args.shards, limit_s))
        stack.callback(router.stop)
        generator = Generator(port, args.rate, WARM_S + args.seconds, files, load_core, clump_ms=10)
        stack.callback(generator.stop)
        generator.wait_started()
        marks = [(time.monotonic(), generator.counters["completed"])]
        time.sleep(WARM_S)
        before = Reading.take(router.pid)
        marks.append((time.monotonic(), generator.counters["completed"]))
        paused_s = hold(router, files / "run")
        marks.append((time.monotonic(), generator.counters["completed"]))
        outcome = generator.outcome(answerer)
        grown = Reading.take(router.pid).since(before)
        counted = targets.read_fastsip_stats(files / "run")
    phases = [
        {"phase": name, "seconds": end[0] - start[0], "completed": end[1] - start[1]}
        for name, start, end in zip(("before", "held"), marks, marks[1:], strict=False)
    ]
    problems = outcome.problems()
    if paused_s < 0.9 * HOLD_S:
        problems.append(f"the GIL was held for {paused_s:.2f} s only")
    rate = phases[1]["completed"] / phases[1]["seconds"]
    if rate < 0.95 * args.rate:
        problems.append(f"{rate:.0f} calls/s while it was held instead of {args.rate:.0f}")
    if grown["drops"]:
        problems.append(f"the kernel dropped {grown['drops']} datagrams before the router")
    return {
        "paused_s": paused_s,
        "phases": phases,
        "drops": grown["drops"],
        **vars(outcome),
        "stats": counted,
        "problems": problems,
    }


def print_table(found: dict) -> None:
    print(f"{'phase':>8}{'seconds':>9}{'calls':>8}{'calls/s':>9}")
    for each in found["phases"]:
        rate = each["completed"] / each["seconds"]
        print(f"{each['phase']:>8}{each['seconds']:>9.2f}{each['completed']:>8}{rate:>9.0f}")
    names = ("started", "completed", "failed", "unfinished", "drops")
    repeated = found["retransmissions"] + found["callee_retransmissions"]
    print("  ".join(f"{name} {found[name]}" for name in names), f" retransmissions {repeated}")
    print(f"another Python thread stood still for {found['paused_s']:.2f} s")
    for problem in found["problems"]:
        print(f"! {problem}")


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.gil_hold", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--rate", type=float, default=1500, help="calls per second")
    parser.add_argument("--seconds", type=float, default=5, help="of load, after one second to warm up")
    parser.add_argument("--shards", type=int, default=1, help="more than 1: unpinned")
    parser.add_argument("--json", type=Path, help="result file; default: a new one in bench/results/")
    args = parser.parse_args(argv)
    if args.seconds < HOLD_S + 1:
        parser.error(f"--seconds: at least {HOLD_S + 1:.0f}, so that the hold lies inside the load")
    return args


def main() -> int:
    args = parse()
    if args.shards == 1 and (os.cpu_count() or 1) > 1:
        os.sched_setaffinity(0, {1})  # the runner must not sit on the router's core
    try:
        found = measure(args)
    except RunFailed as problem:
        print(f"bench.gil_hold: {problem}", file=sys.stderr)
        return 2
    print_table(found)
    report = {
        "rate": args.rate,
        "shards": args.shards,
        **found,
    }
    print(f"written to {write_report(report, 'gil_hold', args.json)}")
    return int(bool(found["problems"]))


if __name__ == "__main__":
    sys.exit(main())
