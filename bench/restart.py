"""What calls notice of an upgrade, a reload of the shards, a kill, and a stop with a new start.

    python -m bench.restart [--hows none,upgrade,reshape,kill,service,restart] [--rate 1000] [--seconds 20] [--times 3]

The same load each time; `none` disturbs nothing and shows what the machine itself does.  Around
each disturbance an OPTIONS goes out every 2 ms: the longest that one waited is the gap.  Datagrams
wait in the sockets meanwhile. `service` is TERM and a new start as systemd does it, which keeps the
sockets; `restart` is the same by hand: they are closed, and there only calls count.
"""

import argparse
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from bench import targets
from bench.load import write_report
from bench.phone import widen
from bench.processes import Process, RunFailed, scratch
from bench.procfs import count_drops, descendants
from bench.recovery import request
from bench.stage import Stage, stage
from bench.systemd import Systemd
from bench.targets import ROOT
from fastsip.observe import counters

GAP_BAR_MS = 100
UNPLANNED = ("kill", "restart")  # what a killed router had in hand is lost, what a closed socket held, too
PING_S, WATCH_S, WAIT_S = 0.002, 2.0, 2.0


class Pings(threading.Thread):
    """OPTIONS for so long, or until they are ended; then `waited_ms` and `unanswered` say how they fared."""

    def __init__(self, port: int, seconds: float = WATCH_S):
        super().__init__(daemon=True)
        self.port, self.seconds = port, seconds
        self.waited_ms: list[float] = []
        self.unanswered = 0
        self.began = time.monotonic()
        self.start()

    @property
    def longest_ms(self) -> float:
        return max(self.waited_ms, default=0.0)

    def end(self) -> None:
        """Waits for the last answers."""
        self.seconds = time.monotonic() - self.began
        self.join()

    def run(self) -> None:
        out: dict[bytes, float] = {}
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind(("127.0.0.1", 0))
            widen(sock)  # after a gap all answers come at once
            own, began = sock.getsockname()[1], self.began
            due, number = began, 0
            while (t := time.monotonic()) < began + self.seconds or (out and t < began + self.seconds + WAIT_S):
                if due <= t < began + self.seconds:
                    ping = request("OPTIONS", "ping", number, self.port, own).replace(b"sip:ping@", b"sip:")
                    out[b"ping-%d@" % number] = t
                    sock.sendto(ping, ("127.0.0.1", self.port))
                    number, due = number + 1, due + PING_S
                self.take(sock, out)
        self.unanswered = len(out)

    def take(self, sock: socket.socket, out: dict[bytes, float]) -> None:
        sock.settimeout(PING_S / 2)
        try:
            answer = sock.recv(65535)
        except (TimeoutError, ConnectionRefusedError):
            return
        at = answer.index(b"Call-ID: ") + 9
        sent = out.pop(answer[at : answer.index(b"@", at) + 1], None)
        if sent is not None:
            self.waited_ms.append((time.monotonic() - sent) * 1000)


class Site:
    """One target under load, and what is done to it."""

    def __init__(self, there: Stage, systemd: Systemd, stack: ExitStack):
        self.there, self.systemd, self.stack, self.shards = there, systemd, stack, there.site.shards
        self.target: Process = there.target

    def command(self, *words: str) -> None:
        argv = [sys.executable, "-m", "fastsip", *words, str(self.there.files / "fastsip.toml")]
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60, env=env, cwd=self.there.files)
        if done.returncode:
            raise RunFailed(f"fastsip {words[0]}: {done.stderr}")

    def nothing(self) -> None:
        time.sleep(0.1)

    def upgrade(self) -> None:
        self.command("upgrade")

    def reshape(self) -> None:
        file = self.there.files / "fastsip.toml"
        fresh = 3 - self.shards
        file.write_text(file.read_text().replace(f"shards = {self.shards}\n", f"shards = {fresh}\n"))
        self.shards = fresh
        self.command("reload")

    def kill(self) -> None:
        os.kill(counters.read_rows(self.there.site.run_dir)[0]["pid"], signal.SIGKILL)

    def service(self) -> None:
        self.start_again(tuple(self.systemd.kept.values()))

    def restart(self) -> None:
        self.start_again(None)

    def start_again(self, kept: tuple[int, ...] | None) -> None:
        self.target.stop()
        self.target = targets.start_fastsip(replace(self.there.site, kept=kept))
        self.stack.callback(self.target.stop)


HOWS: dict[str, Callable[[Site], None]] = {
    "none": Site.nothing,
    "upgrade": Site.upgrade,
    "reshape": Site.reshape,
    "kill": Site.kill,
    "service": Site.service,
    "restart": Site.restart,
}


def measure(how: str, args: argparse.Namespace) -> dict:
    with ExitStack() as stack:
        systemd = Systemd(stack.enter_context(scratch()))
        stack.callback(systemd.close)
        env = {"NOTIFY_SOCKET": systemd.address} if how == "service" else None
        there = stack.enter_context(stage("fastsip", pin=False, shards=2, limit_s=args.seconds + 120, env=env))
        site = Site(there, systemd, stack)
        generator = there.generate(args.rate, args.seconds, how, ports=8, clump_ms=10)
        stack.callback(generator.stop)
        pings = []
        for _ in range(args.times):
            time.sleep(max(0.0, args.seconds / (args.times + 1) - WATCH_S / 2))
            watch = Pings(there.site.port)
            time.sleep(WATCH_S / 4)
            HOWS[how](site)
            watch.join(60)
            pings.append(watch)
        outcome = generator.outcome(there.answerer)
        drops = count_drops(descendants(site.target.pid))
    problems = [] if how in UNPLANNED else outcome.problems()
    gap_ms = max(each.longest_ms for each in pings)
    unanswered = sum(each.unanswered for each in pings)
    if outcome.failed or outcome.unfinished:
        problems.append(f"{outcome.failed + outcome.unfinished} calls were lost")
    if drops:
        problems.append(f"the kernel dropped {drops} datagrams before full sockets")
    if how not in UNPLANNED and unanswered:
        problems.append(f"{unanswered} OPTIONS were never answered")
    if how in ("upgrade", "reshape") and gap_ms >= GAP_BAR_MS:
        problems.append(f"the gap was {gap_ms:.0f} ms, the bar is {GAP_BAR_MS}")
    seen = {"gap_ms": gap_ms, "unanswered": unanswered, "drops": drops}
    return {"how": how, **seen, **vars(outcome), "problems": problems}


def read_hows(text: str) -> list[str]:
    names = text.split(",")
    if unknown := set(names) - HOWS.keys():
        raise argparse.ArgumentTypeError(f"no such way: {', '.join(unknown)}; there are {', '.join(HOWS)}")
    return names


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.restart", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--hows", type=read_hows, default=list(HOWS))
    parser.add_argument("--rate", type=float, default=1000, help="calls per second")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--times", type=int, default=3, help="disturbances in each run")
    parser.add_argument("--json", type=Path, help="result file; default: a new one in bench/results/")
    args = parser.parse_args()
    found = []
    print(f"{'how':<10}{'calls':>8}{'lost':>6}{'repeated by caller':>20}{'by callee':>11}{'gap ms':>9}")
    try:
        for how in args.hows:
            one = measure(how, args)
            found.append(one)
            print(f"{how:<10}{one['started']:>8}{one['failed'] + one['unfinished']:>6}{one['retransmissions']:>20}"
                  f"{one['callee_retransmissions']:>11}{one['gap_ms']:>9.1f}", flush=True)
            for problem in one["problems"]:
                print(f"! {how}: {problem}")
    except RunFailed as problem:
        print(f"bench.restart: {problem}", file=sys.stderr)
        return 2
    report = {
        "runs": found,
    }
    print(f"written to {write_report(report, 'restart', args.json)}")
    return int(any(one["problems"] for one in found))


if __name__ == "__main__":
    sys.exit(main())
