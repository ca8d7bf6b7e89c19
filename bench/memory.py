"""What a ringing call, a finished one and a busy router cost in memory.

    python -m bench.memory [--targets fastsip] [--ringing 10000] [--rate 1500] [--seconds 60]

For fastsip bytes are read from its own account of slots and blocks in use, since
the store is allocated whole at the start; for others it is the growth of PSS.
"""

import argparse
import os
import sys
import time
from pathlib import Path

from bench.load import read_targets, write_report
from bench.processes import RunFailed, wait_until
from bench.procfs import descendants, read_memory
from bench.stage import Stage, stage
from bench.targets import BLOCK_BYTES, ENDED, SLOT_BYTES, SLOTS_USED, STARTED

RAMP = 1000  # calls started per second until they ring
BUDGET_RINGING, BUDGET_LINGERING = 4096, 1024
GAUGES_OLD_S = 1.5  # fastsip writes its gauges once a second


def memory_of(there: Stage, own_account: bool) -> dict[str, int]:
    """rss and pss; for fastsip slots, blocks and the bytes of those in use, too."""
    found = read_memory(descendants(there.target.pid))
    if own_account:
        time.sleep(GAUGES_OLD_S)
        stats = there.stats()
        missing = {SLOTS_USED, SLOT_BYTES, BLOCK_BYTES, STARTED, ENDED} - stats.keys()
        if missing:
            raise RunFailed(f"fastsip's counters lack {', '.join(sorted(missing))}")
        found |= stats
        found["store_bytes"] = stats[SLOT_BYTES] + stats[BLOCK_BYTES]
        found["transactions_held"] = stats[STARTED] - stats[ENDED]
    return found


def per_call(before: dict[str, int], after: dict[str, int], calls: int) -> float:
    key = "store_bytes" if "store_bytes" in after else "pss"
    return (after[key] - before[key]) / calls


def measure_ringing(there: Stage, calls: int, own_account: bool) -> dict:
    """All calls ring at once, then all are cancelled."""
    before = memory_of(there, own_account)
    generator = there.generate(
        RAMP, calls / RAMP + 5, "ringing", user="ring", calls=calls, ring_limit_ms=170000
    )
    try:
        wait_until(
            lambda: generator.counters["ringing"] >= calls,
            calls / RAMP + 40,
            "all calls ringing",
            generator.process,
        )
        during = memory_of(there, own_account)
        generator.end_calls()
        outcome = generator.outcome(there.answerer)
    finally:
        generator.stop()
    return {
        "calls": calls,
        "bytes_per_call": per_call(before, during, calls),
        "before": before,
        "during": during,
        "problems": outcome.problems(),
    }


def measure_busy(there: Stage, rate: float, seconds: float, own_account: bool) -> dict:
    """Memory at the end of a load, while its last calls linger."""
    generator = there.generate(rate, seconds, "busy", clump_ms=10)
    try:
        outcome = generator.outcome(there.answerer)
    finally:
        generator.stop()
    after = memory_of(there, own_account)
    result = {"rate": rate, "seconds": seconds, **after, "problems": outcome.problems()}
    if after.get("transactions_held"):
        result["bytes_per_lingering"] = after["store_bytes"] / after["transactions_held"]
    return result


def measure(name: str, args: argparse.Namespace) -> dict:
    own_account = name == "fastsip"
    with stage(name, pin=not args.no_pin, limit_s=args.seconds + args.ringing / RAMP + 400) as there:
        ringing = measure_ringing(there, args.ringing, own_account)
    # a second process, so that what the ringing calls left behind is not in its figures
    with stage(name, pin=not args.no_pin, limit_s=args.seconds + 300) as there:
        busy = measure_busy(there, args.rate, args.seconds, own_account)
    return {"ringing": ringing, "busy": busy}


def print_result(name: str, result: dict) -> None:
    ringing, busy = result["ringing"], result["busy"]
    print(f"{name:>10} ringing {ringing['bytes_per_call']:.0f} bytes per call ({ringing['calls']} calls)")
    print(
        f"{'':>10} after {busy['seconds']:.0f} s of {busy['rate']:.0f} calls/s: "
        f"RSS {busy['rss'] / 1e6:.1f} MB, PSS {busy['pss'] / 1e6:.1f} MB"
    )
    if "bytes_per_lingering" in busy:
        lingering, held = busy["bytes_per_lingering"], busy["transactions_held"]
        print(f"{'':>10} lingering {lingering:.0f} bytes each ({held})")
    for problem in ringing["problems"] + busy["problems"]:
        print(f"! {name}: {problem}")


def over_budget(result: dict) -> list[str]:
    """fastsip's promises (docs/core.md#sizes) that the figures break."""
    found = []
    if result["ringing"]["bytes_per_call"] > BUDGET_RINGING:
        found.append(f"a ringing call takes more than {BUDGET_RINGING} bytes")
    if result["busy"].get("bytes_per_lingering", 0) > BUDGET_LINGERING:
        found.append(f"a lingering transaction takes more than {BUDGET_LINGERING} bytes")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.memory", description=__doc__.partition("\n")[0])
    parser.add_argument("--targets", type=read_targets, default=["fastsip"])
    parser.add_argument("--ringing", type=int, default=10000)
    parser.add_argument("--rate", type=float, default=1500)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--no-pin", action="store_true")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    if not args.no_pin:
        os.sched_setaffinity(0, {1})
    try:
        results = {name: measure(name, args) for name in args.targets}
    except (RunFailed, ImportError) as problem:
        print(f"bench.memory: {problem}", file=sys.stderr)
        return 2
    for name, result in results.items():
        print_result(name, result)
    broken = over_budget(results["fastsip"]) if "fastsip" in results else []
    for each in broken:
        print(f"! fastsip: {each}")
    report = {
        "memory": results,
        "broken": broken,
    }
    print(f"written to {write_report(report, 'memory', args.json)}")
    return int(bool(broken) or any(part["problems"] for each in results.values() for part in each.values()))


if __name__ == "__main__":
    sys.exit(main())
