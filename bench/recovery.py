"""The router is killed with 100,000 transactions in the store: when is the first packet answered?

    python -m bench.recovery [--transactions 100000] [--rounds 3] [--shards 2]

A third is completed, a third rings, and the timers of a third have run out: the router is
stopped (SIGSTOP) while they do, and then killed.  An OPTIONS follows each millisecond.
What was overdue must fail over to the other destination, all of it, and be let out over a
while.  Memory is what the new router has of its own, beside the store that it maps.
"""

import argparse
import os
import re
import signal
import socket
import statistics
import sys
import threading
import time
from contextlib import ExitStack, suppress
from pathlib import Path

from bench.load import write_report
from bench.phone import widen
from bench.processes import Process, RunFailed, answers_options, scratch, take_ports, wait_until
from bench.targets import ROOT
from fastsip.observe import counters

BAR_MS = 300
SILENT_S = 25           # until an unanswered INVITE fails over
PER_TURN, TURN_S = 40, 0.01
PATIENCE_S = 60         # until all that was overdue has failed over
CONFIG = """\
[router]
run_dir = "{home}/run"
state_dir = "{home}/state"
shards = {shards}
hang = "60s"

[timers]
t1 = "4s"

[limits]
max_transactions = {most}

[[listen]]
uri = "udp:127.0.0.1:{port}"

[set.silent]
probe = false
destinations = ["sip:127.0.0.1:{hole}"]

[set.answering]
probe = false
destinations = ["sip:127.0.0.1:{callee}"]

[failure.over]
on = ["timeout"]
timeout = "{silent_s}s"
mark = "none"
then = "answering"

[[route]]
when = {{ user = ["silent"] }}
to = "silent"
failure = "over"

[[route]]
to = "answering"
"""
# Of a request, for the responses to it.
KEPT = re.compile(rb"^(?:Via|From|To|Call-ID|CSeq|Record-Route):[^\r]*\r\n", re.M | re.I)


def request(method: str, user: str, number: int, edge: int, own: int) -> bytes:
    body = "v=0\r\n" * 40 if method == "INVITE" else ""
    return (
        f"{method} sip:{user}@127.0.0.1:{edge} SIP/2.0\r\n"
        f"Via: SIP/2.0/UDP 127.0.0.1:{own};branch=z9hG4bK{user}{number};rport\r\n"
        "Max-Forwards: 70\r\n"
        f"From: <sip:bench@127.0.0.1:{own}>;tag=t{number}\r\n"
        f"To: <sip:{user}@127.0.0.1:{edge}>\r\n"
        f"Call-ID: {user}-{number}@127.0.0.1\r\n"
        f"CSeq: 1 {method}\r\n"
        f"Contact: <sip:bench@127.0.0.1:{own}>\r\n"
        f"Content-Length: {len(body)}\r\n\r\n{body}"
    ).encode()


class Peer(threading.Thread):
    """A socket that counts what comes; a callee rings at INVITEs and answers all else with 200."""

    def __init__(self, port: int, answers: bool):
        super().__init__(daemon=True)
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        widen(self.sock)
        self.sock.bind(("127.0.0.1", port))
        self.port, self.answers = self.sock.getsockname()[1], answers
        self.finals = 0
        self.seen: set[bytes] = set()
        self.last = 0.0  # when the newest call came, by the monotonic clock
        self.start()

    def run(self) -> None:
        while True:
            datagram, source = self.sock.recvfrom(65535)
            if datagram.startswith(b"SIP/2.0 2"):
                self.finals += 1
            elif self.answers and not datagram.startswith((b"SIP/2.0", b"ACK")):
                self.take(datagram, source)

    def take(self, datagram: bytes, source: tuple[str, int]) -> None:
        kept = b"".join(KEPT.findall(datagram))
        call = kept[kept.lower().index(b"call-id:") :].split(b"\r\n", 1)[0]
        if call not in self.seen:
            self.seen.add(call)
            self.last = time.monotonic()
        line = b"SIP/2.0 180 Ringing\r\n" if datagram.startswith(b"INVITE") else b"SIP/2.0 200 OK\r\n"
        self.sock.sendto(line + kept + b"Content-Length: 0\r\n\r\n", source)

    def count(self, user: str) -> int:
        return sum(f": {user}-".encode() in call for call in list(self.seen))


def fill(caller: Peer, edge: int, method: str, user: str, count: int) -> tuple[float, float]:
    """Sends `count` requests at an even pace; when the first and the last went out."""
    began = due = time.monotonic()
    for number in range(count):
        if number % PER_TURN == 0:
            due += TURN_S
            time.sleep(max(0.0, due - time.monotonic()))
        caller.sock.sendto(request(method, user, number, edge, caller.port), ("127.0.0.1", edge))
    return began, time.monotonic()


def first_answer(edge: int) -> float:
    """An OPTIONS each millisecond; when the first is answered, by the monotonic clock."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(0.001)
        own = sock.getsockname()[1]
        for number in range(20_000):
            ping = request("OPTIONS", "ping", number, edge, own).replace(b"sip:ping@", b"sip:")
            sock.sendto(ping, ("127.0.0.1", edge))
            try:
                sock.recv(65535)
            except TimeoutError:
                continue
            return time.monotonic()
    raise RunFailed("nothing was answered within 20 s")


def own_bytes(pid: int) -> int:
    """Anonymous memory of a process: what it does not share with the store's files."""
    found = re.search(r"^RssAnon:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.M)
    return int(found[1]) * 1024 if found else 0


class Run:
    """One router, filled, stopped, killed and replaced."""

    def __init__(self, args: argparse.Namespace, home: Path, stack: ExitStack):
        self.third, self.home = args.transactions // 3, home
        self.edge, callee = take_ports(2)
        self.caller, self.callee = Peer(0, False), Peer(callee, True)
        self.hole = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        self.hole.bind(("127.0.0.1", 0))
        for name in ("run", "state"):
            (home / name).mkdir()
        config = home / "fastsip.toml"
        config.write_text(CONFIG.format(
            home=home, shards=args.shards, most=2 * args.transactions, port=self.edge, callee=callee,
            hole=self.hole.getsockname()[1], silent_s=SILENT_S,
        ))  # fmt: skip
        argv = [sys.executable, "-m", "fastsip", "run", str(config)]
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        self.process = Process(argv, home / "fastsip.log", None, 400, cwd=home, env=env)
        stack.callback(self.process.stop)
        wait_until(lambda: answers_options(self.edge), 20, "fastsip", self.process)

    def router_pid(self) -> int:
        return counters.read_rows(self.home / "run")[0]["pid"]

    def kept(self) -> dict[str, int]:
        return counters.read(self.home / "run")

    def prepare(self) -> tuple[float, float]:
        """Fills the store; when the first and the last of the silent third are due."""
        fill(self.caller, self.edge, "MESSAGE", "done", self.third)
        fill(self.caller, self.edge, "INVITE", "ringing", self.third)
        wait_until(lambda: self.caller.finals == self.third, 20, "all MESSAGEs answered")
        wait_until(lambda: self.callee.count("ringing") == self.third, 20, "all calls ringing")
        began, ended = fill(self.caller, self.edge, "INVITE", "silent", self.third)
        wait_until(lambda: self.kept()["transactions"] >= 3 * self.third, 5, "all transactions open")
        return began + SILENT_S, ended + SILENT_S

    def measure(self) -> dict:
        first_due, last_due = self.prepare()
        time.sleep(max(0.0, first_due - 1 - time.monotonic()))
        pid = self.router_pid()
        if self.callee.count("silent"):
            raise RunFailed("calls failed over before the router was stopped: the machine is too slow for this")
        held = self.kept()
        os.kill(pid, signal.SIGSTOP)
        time.sleep(max(0.0, last_due + 0.5 - time.monotonic()))
        killed = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        answered = first_answer(self.edge)
        again = self.router_pid()
        own = own_bytes(again)
        with suppress(RunFailed):
            wait_until(lambda: self.callee.count("silent") == self.third, PATIENCE_S, "all that was overdue")
        return {
            "transactions": held["transactions"] - held["transactions_ended"],
            "slots": held["slots"],
            "store_bytes_used": held["slot_bytes"] + held["block_bytes"],
            "first_answer_ms": (answered - killed) * 1000,
            "overdue": self.callee.count("silent"),
            "missing": self.third - self.callee.count("silent"),
            "stats": self.kept(),
            "last_overdue_ms": (self.callee.last - killed) * 1000,
            "own_bytes": own,
            "own_bytes_later": own_bytes(again),
        }


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.recovery", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--transactions", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--shards", type=int, default=2)
    parser.add_argument("--json", type=Path, help="result file; default: a new one in bench/results/")
    args = parser.parse_args()
    rounds = []
    print(f"{'transactions':>12}{'slots':>9}{'first answer ms':>17}{'overdue':>9}{'the last ms':>13}{'own MB':>8}"
          f"{'later':>7}{'store MB':>10}")
    try:
        for _ in range(args.rounds):
            with scratch() as home, ExitStack() as stack:
                one = Run(args, home, stack).measure()
            rounds.append(one)
            print(f"{one['transactions']:>12}{one['slots']:>9}{one['first_answer_ms']:>17.1f}{one['overdue']:>9}"
                  f"{one['last_overdue_ms']:>13.0f}{one['own_bytes'] / 1e6:>8.1f}{one['own_bytes_later'] / 1e6:>7.1f}"
                  f"{one['store_bytes_used'] / 1e6:>10.1f}", flush=True)
    except RunFailed as problem:
        print(f"bench.recovery: {problem}", file=sys.stderr)
        return 2
    median_ms = statistics.median(one["first_answer_ms"] for one in rounds)
    missing = sum(one["missing"] for one in rounds)
    if missing:
        print(f"! {missing} of what was overdue did not fail over within {PATIENCE_S} s")
    slow = median_ms >= BAR_MS
    print(f"{'!' if slow else ' '} first answer after {median_ms:.1f} ms (median); the bar is {BAR_MS} ms")
    report = {
        "rounds": rounds,
    }
    print(f"written to {write_report(report, 'recovery', args.json)}")
    return int(slow or missing > 0)


if __name__ == "__main__":
    sys.exit(main())
