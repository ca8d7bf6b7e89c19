"""A stranger floods one listener with the worst datagrams that there are; calls go on at the other one.

    python -m bench.stranger [--mbit 100] [--rate 500] [--shards 1] [--cases routes,vias,...]

Two listeners, one shard unless more are asked for.  What the stranger sends is made by
bench.hostile, short and of 64 KB by turns, as fast as the line that is given to him; the router
refuses all of it.  The bars: no router dies or is taken for one that hangs, at most 1 % of the
calls fail, and 99 of 100 are set up within 50 ms.  What does not fit into the flooded socket's
buffer is dropped there, which is where it should be.  Exit status 1 when a bar is missed.
"""

import argparse
import contextlib
import random
import socket
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path

from bench import hostile
from bench.load import write_report
from bench.processes import RunFailed, scratch, take_ports
from bench.targets import Site, read_fastsip_stats, start_target
from bench.traffic import Answerer, Generator

HOST, STRANGER = "127.0.0.1", "127.0.0.66"
FAILED_BAR, SETUP_BAR_MS = 0.01, 50
BEAT_S, SEED, VARIANTS, BEGIN_S = 0.005, 1, 20, 1.0
RULES = """
[[listen]]
uri = "udp:127.0.0.1:{port}"
tag = "outside"

[[route]]
when = {{ listen = "outside" }}
reply = "403 Not from there"
"""


def datagrams(names: list[str], port: int) -> list[bytes]:
    """Of each case and size some, mixed; they name the flooded listener as ours."""
    made = [
        case.make(n, size).replace(hostile.OURS, b"%s:%d" % (HOST.encode(), port))
        for case in hostile.CASES
        if case.name in names
        for size in (hostile.SHORT, hostile.LONG)
        for n in range(VARIANTS * (hostile.LONG // size))
    ]
    random.Random(SEED).shuffle(made)
    return [each for each in made if len(each) <= hostile.LONG + 1000]


def flood(some: list[bytes], port: int, mbit: float, stop: threading.Event, sent: list[int]) -> None:
    """As many bytes per second as the line has, in bits of five milliseconds."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
        line.bind((STRANGER, 0))
        begun, total, at = time.monotonic(), 0, 0
        while not stop.wait(BEAT_S):
            due = (time.monotonic() - begun) * mbit * 1e6 / 8
            while total < due:
                with contextlib.suppress(OSError):
                    line.sendto(some[at % len(some)], (HOST, port))
                total += len(some[at % len(some)])
                at += 1
        sent += [at, total]


def measure(args: argparse.Namespace) -> dict:
    limit_s = args.seconds + 120
    with scratch() as files, ExitStack() as stack:
        port, outside, first, second = take_ports(4)
        callees = Answerer([first, second], files, None, limit_s)
        stack.callback(callees.stop)
        site = Site(port, (first, second), files, None, args.shards, limit_s, rules=RULES.format(port=outside))
        target = start_target("fastsip", site)
        stack.callback(target.stop)
        some, stop, sent = datagrams(args.cases, outside), threading.Event(), []
        flooding = threading.Thread(target=flood, args=(some, outside, args.mbit, stop, sent), daemon=True)
        flooding.start()
        time.sleep(BEGIN_S)
        caller = Generator(port, args.rate, args.seconds, files, None, hold_ms=0)
        stack.callback(caller.stop)
        outcome = caller.outcome(callees)
        stop.set()
        flooding.join(60)
        stats = read_fastsip_stats(site.run_dir)
        said = target.output()
    seconds = args.seconds + BEGIN_S
    return {
        "sent": sent[0], "mbit": sent[1] * 8 / 1e6 / seconds, "outcome": vars(outcome),
        "setup_p99_ms": outcome.details["answer_us"].get("p99", 0) / 1000,
        "hangs": said.count("the router hangs"), "deaths": said.count('"the router died"'),
        "received": stats["received"], "kernel_drops": stats["kernel_drops"],
    }  # fmt: skip


def problems_of(found: dict) -> list[str]:
    outcome = found["outcome"]
    lost = outcome["failed"] + outcome["unfinished"]
    said = []
    if found["hangs"] or found["deaths"]:
        said.append(f"{found['deaths']} routers died, {found['hangs']} were taken for one that hangs")
    if not outcome["completed"] or lost > FAILED_BAR * outcome["started"]:
        said.append(f"{lost} of {outcome['started']} calls failed")
    if found["setup_p99_ms"] > SETUP_BAR_MS:
        said.append(f"99 of 100 calls were set up within {found['setup_p99_ms']:.0f} ms")
    return said


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.stranger", description=(__doc__ or "").partition("\n")[0])
    known = [case.name for case in hostile.CASES if case.rig == "plain" and case.before is None]
    parser.add_argument("--cases", type=lambda text: text.split(","), default=known, help="of bench.hostile")
    parser.add_argument("--mbit", type=float, default=100, help="the stranger's line, Mbit/s")
    parser.add_argument("--rate", type=float, default=500, help="calls per second")
    parser.add_argument("--shards", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--json", type=Path, help="result file; default: a new one in bench/results/")
    args = parser.parse_args()
    if unknown := set(args.cases) - {case.name for case in hostile.CASES}:
        parser.error(f"no case {', '.join(sorted(unknown))}")
    try:
        found = measure(args)
    except RunFailed as problem:
        print(f"bench.stranger: {problem}", file=sys.stderr)
        return 2
    outcome = found["outcome"]
    print(f"stranger: {found['sent']} datagrams, {found['mbit']:.0f} Mbit/s; "
          f"dropped by the kernel: {found['kernel_drops']}")
    print(f"calls: {outcome['started']}, failed {outcome['failed']}, repeated {outcome['retransmissions']}; "
          f"99 of 100 set up within {found['setup_p99_ms']:.1f} ms; {found['deaths']} deaths, {found['hangs']} hangs")
    problems = problems_of(found)
    for problem in problems:
        print(f"! {problem}")
    report = {"plan": {key: value for key, value in vars(args).items() if key != "json"}, **found, "problems": problems}
    print(f"written to {write_report(report, 'stranger', args.json)}")
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
