"""One of two destinations refuses (a closed port): does every call reach the other one, at once?

    python -m bench.refused [--calls 10000] [--rate 1500] [--shards 2]

Half of the calls are hashed to the port that nobody listens on, and go there each time:
the policy marks nobody, so that the failover itself is measured and not the health that
would spare it.  The bar: every call is answered, the slowest 180 comes within
100 ms, nothing is repeated by anybody (a message that waits for T1 would be), nothing
times out, and the other destination is never marked.
"""

import argparse
import json
import sys
from contextlib import ExitStack
from pathlib import Path

from bench import targets
from bench.load import write_report
from bench.processes import RunFailed, scratch, take_ports
from bench.traffic import Answerer, Generator

FAILOVER_BAR_MS = 100
FAILURE = 'on = [500, "timeout", "transport"]\ntimeout = "2s"\nmark = "none"'
NEVER = ("timeouts", "retransmissions_sent", "retransmitted_requests", "sent_lost", "kernel_drops", "abandoned")


def marked(log: Path) -> list[str]:
    """What the router's log says of the health of destinations."""
    lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    return [str(line) for line in lines if str(line.get("message", "")).startswith("destination ")]


def measure(args: argparse.Namespace) -> dict:
    with scratch() as files, ExitStack() as stack:
        port, closed, open_port = take_ports(3)
        limit_s = args.calls / args.rate + 90
        answerer = Answerer([open_port], files, None, limit_s)
        stack.callback(answerer.stop)
        site = targets.Site(port, (closed, open_port), files, None, args.shards, limit_s, failure=FAILURE)
        target = targets.start_target("fastsip", site)
        stack.callback(target.stop)
        generator = Generator(
            port, args.rate, args.calls / args.rate + 5, files, None, calls=args.calls, ports=8, clump_ms=10
        )
        stack.callback(generator.stop)
        outcome = generator.outcome(answerer)
        stats = targets.read_fastsip_stats(site.run_dir)
        marks = marked(files / "fastsip.log")
    problems = outcome.problems()
    slowest_ms = outcome.details["ringing_us"]["max"] / 1000
    if slowest_ms >= FAILOVER_BAR_MS:
        problems.append(f"the slowest 180 came after {slowest_ms:.1f} ms")
    if not 0.4 * args.calls < stats["failovers"] < 0.6 * args.calls:
        problems.append(f"{stats['failovers']} of {args.calls} calls met the closed port: not half of them")
    problems += [f"{name}: {stats[name]}" for name in NEVER if stats[name]]
    problems += [f"a destination was marked: {mark}" for mark in marks]
    return {**vars(outcome), "stats": stats, "slowest_ms": slowest_ms, "problems": problems}


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.refused", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--calls", type=int, default=10_000)
    parser.add_argument("--rate", type=float, default=1500, help="calls per second")
    parser.add_argument("--shards", type=int, default=2)
    parser.add_argument("--json", type=Path, help="result file; default: a new one in bench/results/")
    args = parser.parse_args()
    try:
        found = measure(args)
    except RunFailed as problem:
        print(f"bench.refused: {problem}", file=sys.stderr)
        return 2
    ring = found["details"]["ringing_us"]
    print(f"{'calls':>8}{'answered':>10}{'failovers':>11}{'180 p50 ms':>12}{'p99.9 ms':>10}{'slowest ms':>12}")
    print(
        f"{found['started']:>8}{found['completed']:>10}{found['stats']['failovers']:>11}"
        f"{ring['p50'] / 1000:>12.2f}{ring['p999'] / 1000:>10.2f}{found['slowest_ms']:>12.2f}"
    )
    for problem in found["problems"]:
        print(f"! {problem}")
    report = {
        **found,
    }
    print(f"written to {write_report(report, 'refused', args.json)}")
    return int(bool(found["problems"]))


if __name__ == "__main__":
    sys.exit(main())
