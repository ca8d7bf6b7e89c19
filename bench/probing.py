"""What it costs to probe very many destinations, and how evenly the probes leave.

    python -m bench.probing [--destinations 10000] [--interval 10] [--seconds 60]

All destinations are addresses of the loopback, answered by one process here, which counts what arrives in each 100 ms.
CPU is that of the shard's thread, from the third interval on; before that, rounds still find their places.  The largest
bucket is said of that time, and of the first round, too.
"""

import argparse
import re
import socket
import struct
import sys
import threading
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

from bench import targets
from bench.load import write_report
from bench.operators import thread_cpu
from bench.processes import RunFailed, scratch, take_ports
from fastsip.observe import counters

CORE_BAR, BUCKET_BAR = 0.05, 3.0
BUCKET_S = 0.1
IP_PKTINFO = 8      # Python has no name for it
PKTINFO = struct.Struct("I4s4s")    # index, local address, destination: ip(7)
HEADERS = re.compile(rb"^(?:Via|From|To|Call-ID|CSeq): .*\r\n", re.M)


class Answerer(threading.Thread):
    """Answers every request from the address that it was sent to; `buckets` counts them by the time of arrival."""

    def __init__(self, port: int):
        super().__init__(daemon=True)
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        self.sock.settimeout(0.2)
        self.sock.bind(("0.0.0.0", port))
        self.buckets: Counter[int] = Counter()
        self.over = threading.Event()
        self.start()

    def run(self) -> None:
        while not self.over.is_set():
            try:
                raw, told, _, source = self.sock.recvmsg(4096, 64)
            except TimeoutError:
                continue
            self.buckets[int(time.monotonic() / BUCKET_S)] += 1
            asked = next(PKTINFO.unpack(content[:12]) for _, kind, content in told if kind == IP_PKTINFO)
            answer = b"SIP/2.0 200 OK\r\n" + b"".join(HEADERS.findall(raw)) + b"Content-Length: 0\r\n\r\n"
            # From there, and not from what the kernel would choose.
            way = (socket.IPPROTO_IP, IP_PKTINFO, PKTINFO.pack(0, asked[2], asked[2]))
            self.sock.sendmsg([answer], [way], 0, source)

    def end(self) -> None:
        self.over.set()
        self.join(5)
        self.sock.close()


def rules(count: int, port: int, interval_s: float) -> str:
    places = ", ".join(f'"sip:127.{1 + (number >> 16)}.{number >> 8 & 255}.{number & 255}:{port}"'
                       for number in range(1, count + 1))
    probe = f'{{ interval = "{round(interval_s * 1000)}ms", timeout = "1s" }}'
    return f'[set.many]\nprobe = {probe}\ndestinations = [{places}]\n[[route]]\nwhen = {{ user = "x" }}\nto = "many"\n'


def measure(args: argparse.Namespace) -> dict:
    with ExitStack() as stack:
        files = stack.enter_context(scratch())
        port, first, second, place = take_ports(4)
        answerer = Answerer(place)
        stack.callback(answerer.end)
        site = targets.Site(port, (first, second), files, 0, limit_s=args.seconds + 120, start_s=60,
                            rules=rules(args.destinations, place, args.interval))
        stack.callback(targets.start_target("fastsip", site).stop)
        began, router = time.monotonic(), counters.read_rows(site.run_dir)[0]["pid"]
        time.sleep(2 * args.interval)
        cpu, looked = thread_cpu(router), time.monotonic()
        time.sleep(args.seconds)
        cpu, ended = thread_cpu(router) - cpu, time.monotonic()
        stats = counters.read(site.run_dir)
    mean = args.destinations / args.interval * BUCKET_S
    steady = [answerer.buckets[at] for at in range(int(looked / BUCKET_S) + 1, int(ended / BUCKET_S))]
    first_round = [count for at, count in answerer.buckets.items() if at < (began + args.interval) / BUCKET_S]
    return {
        "destinations": args.destinations, "interval_s": args.interval, "core": cpu / (ended - looked), "mean": mean,
        "largest": max(steady) / mean, "largest_first": max(first_round) / mean, "probes": stats["probes"],
        "failures": stats["probe_failures"], "us_per_probe": cpu / sum(steady) * 1e6,
    }  # fmt: skip


def problems_of(found: dict) -> list[str]:
    said = []
    if found["core"] > CORE_BAR:
        said.append(f"{found['core']:.1%} of a core, the bar is {CORE_BAR:.0%}")
    for word in ("largest", "largest_first"):
        if found[word] > BUCKET_BAR:
            said.append(f"{word}: {found[word]:.1f} x the mean of 100 ms, the bar is {BUCKET_BAR:.0f}")
    if found["failures"]:
        said.append(f"{found['failures']} of {found['probes']} probes were not answered in time")
    return said


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.probing", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--destinations", type=int, default=10_000)
    parser.add_argument("--interval", type=float, default=10.0, help="seconds")
    parser.add_argument("--seconds", type=float, default=60.0, help="of the measurement")
    parser.add_argument("--json", type=Path, help="result file; default: a new one in bench/results/")
    args = parser.parse_args()
    try:
        found = measure(args)
    except RunFailed as problem:
        print(f"bench.probing: {problem}", file=sys.stderr)
        return 2
    print(f"{'destinations':>12}{'of a core':>11}{'us/probe':>10}{'largest bucket':>16}{'in the first round':>20}"
          f"{'failed':>8}")
    print(f"{found['destinations']:>12}{found['core']:>11.2%}{found['us_per_probe']:>10.1f}"
          f"{found['largest']:>14.2f} x{found['largest_first']:>18.2f} x{found['failures']:>8}")
    found["problems"] = problems_of(found)
    for problem in found["problems"]:
        print(f"! {problem}")
    print(f"written to {write_report(found, 'probing', args.json)}")
    return int(bool(found["problems"]))


if __name__ == "__main__":
    sys.exit(main())
