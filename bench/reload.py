"""What a reload of a large configuration costs: the operator's time, and whoever waits for a packet meanwhile.

    python -m bench.reload [--sets 10000] [--reloads 8] [--rest 2] [--most 14000]

As many sets of one destination as rules that lead to them.  A reload counts from the command to its answer.
`same` reloads what the router knows; `new` gives every set another name each time.  An OPTIONS goes out every
2 ms all the while, also in the rest after each reload, in which the next spare prepares itself; `none` is as
long and reloads nothing.  `beat` is by how much the router's loop was late at worst.  At the end as many sets
and rules as --most says, with the time that a router has by default: nobody may be killed.
"""

import argparse
import os
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median, quantiles

from bench import targets
from bench.load import write_report
from bench.processes import RunFailed, scratch, take_ports
from bench.restart import Pings
from bench.targets import ROOT
from fastsip.observe import counters
from fastsip.process.marks import Marks
from fastsip.router.control_plane import GAUGES_EVERY_S

RELOAD_BAR_S, BEAT_BAR_MS, P99_BAR_MS = 1.5, 200, 1.0
LOOK_S, RELOAD_LIMIT_S, START_S = 0.002, 120, 60


def tables(count: int, name: str, members: int = 1) -> str:
    """So many sets and rules; none of the rules fits an OPTIONS to the router."""
    found = []
    for number in range(count):
        places = range(number * members, (number + 1) * members)
        uris = ", ".join(f'"sip:10.{1 + (at >> 16)}.{at >> 8 & 255}.{at & 255}:5060"' for at in places)
        found.append(f"[set.{name}-{number}]\nprobe = false\ndestinations = [{uris}]\n")
    for number in range(count):
        found.append(f"[[route]]\nwhen = {{ user_prefix = \"{number}\" }}\nto = \"{name}-{number}\"\n"
                     "failure = \"next-media\"\n")
    return "\n".join(found)


class Router:
    """A started fastsip with so many sets and rules."""

    def __init__(self, count: int, stack: ExitStack):
        port, *destinations = take_ports(3)
        files = stack.enter_context(scratch())
        self.count = count
        self.site = targets.Site(port, (destinations[0], destinations[1]), files, None, rules=tables(count, "set"),
                                 start_s=START_S)
        self.process = targets.start_target("fastsip", self.site)
        stack.callback(self.process.stop)
        self.marks = Marks(str(self.site.run_dir))

    @property
    def pid(self) -> int:
        return counters.read_rows(self.site.run_dir)[0]["pid"]

    def rename(self, name: str) -> None:
        self.site.rules = tables(self.count, name)
        targets.write_fastsip_config(self.site)

    def start_reload(self) -> subprocess.Popen:
        argv = [sys.executable, "-m", "fastsip", "reload", str(self.site.scratch / "fastsip.toml")]
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env)


class Beats:
    """Looks at the heartbeats of a router's loop; `late_ms` is the worst so far."""

    def __init__(self, router: Router):
        self.marks, self.pid = router.marks, router.pid
        self.count, self.seen, self.late_ms = self.marks.beats(0)[0], 0.0, 0.0

    def watch(self, seconds: float, over: subprocess.Popen | None = None) -> None:
        """So long, or until a command is over."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and (over is None or over.poll() is None):
            count, now = self.marks.beats(0)[0], time.monotonic()
            if count != self.count:
                if self.seen:
                    self.note(now)
                self.count, self.seen = count, now
            time.sleep(LOOK_S)

    def note(self, now: float) -> None:
        self.late_ms = max(self.late_ms, (now - self.seen - GAUGES_EVERY_S) * 1000)


def reload_once(router: Router, beats: Beats) -> float:
    """Seconds from the command to its answer."""
    began = time.monotonic()
    command = router.start_reload()
    beats.watch(RELOAD_LIMIT_S, command)
    took_s = time.monotonic() - began
    if command.poll() is None:
        command.kill()
    said = command.communicate(timeout=60)[0]
    if command.returncode:
        raise RunFailed(f"fastsip reload: {said or 'no answer'}")
    return took_s


def measure(how: str, router: Router, args: argparse.Namespace, whole_s: float = 0.0) -> dict:
    """whole_s: how long to look when nothing is reloaded."""
    pid, beats, took_s = router.pid, Beats(router), []
    began, pings = time.monotonic(), Pings(router.site.port, float("inf"))
    if how == "none":
        beats.watch(whole_s)
    for number in range(args.reloads if how != "none" else 0):
        if how == "new":
            router.rename(f"new{number}")
        took_s.append(reload_once(router, beats))
        beats.watch(args.rest)
    seconds = time.monotonic() - began
    pings.end()
    return {
        "how": how, "seconds": seconds, "reload_s": took_s, "late_ms": beats.late_ms,
        "p99_ms": quantiles(pings.waited_ms, n=100)[-1], "longest_ms": pings.longest_ms,
        "unanswered": pings.unanswered, "killed": router.pid != pid,
    }  # fmt: skip


def measure_most(args: argparse.Namespace) -> dict:
    with ExitStack() as stack:
        router = Router(args.most, stack)
        one = argparse.Namespace(**{**vars(args), "reloads": 1})
        return measure("most", router, one)


def problems_of(found: dict, p99_ms: float) -> list[str]:
    """`p99_ms`: without a reload."""
    said = []
    if found["killed"]:
        said.append("another router runs than before")
    if found["unanswered"]:
        said.append(f"{found['unanswered']} OPTIONS were never answered")
    if found["how"] in ("same", "new"):
        if (seconds := median(found["reload_s"])) >= RELOAD_BAR_S:
            said.append(f"a reload took {seconds:.2f} s, the bar is {RELOAD_BAR_S}")
        if found["late_ms"] > BEAT_BAR_MS:
            said.append(f"a heartbeat was {found['late_ms']:.0f} ms late, the bar is {BEAT_BAR_MS}")
        if found["p99_ms"] > p99_ms + P99_BAR_MS:
            said.append(f"99 of 100 OPTIONS waited {found['p99_ms']:.2f} ms, without a reload {p99_ms:.2f} ms, "
                        f"the bar is {P99_BAR_MS} more")
    return said


def print_row(found: dict) -> None:
    took_s = found["reload_s"]
    times = f"{median(took_s):>8.2f}{max(took_s):>8.2f}" if took_s else f"{'-':>8}{'-':>8}"
    print(f"{found['how']:<6}{len(took_s):>8}{times}{found['late_ms']:>9.0f}{found['p99_ms']:>9.2f}"
          f"{found['longest_ms']:>12.1f}{found['unanswered']:>12}", flush=True)
    for problem in found["problems"]:
        print(f"! {found['how']}: {problem}")


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.reload", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--sets", type=int, default=10_000, help="and as many rules")
    parser.add_argument("--reloads", type=int, default=8, help="of each kind")
    parser.add_argument("--rest", type=float, default=2.0, help="seconds after each")
    parser.add_argument("--most", type=int, default=14_000, help="sets and rules of the last reload; 0: none")
    parser.add_argument("--json", type=Path, help="result file; default: a new one in bench/results/")
    args = parser.parse_args()
    found: list[dict] = []
    print(f"{'how':<6}{'reloads':>8}{'s':>8}{'worst':>8}{'late ms':>9}{'p99 ms':>9}{'longest ms':>12}"
          f"{'unanswered':>12}")
    try:
        with ExitStack() as stack:
            router = Router(args.sets, stack)
            Beats(router).watch(args.rest)  # its spare prepares itself
            for how in ("same", "new"):
                found.append(measure(how, router, args))
            found.insert(0, measure("none", router, args, found[0]["seconds"]))
        if args.most:
            found.append(measure_most(args))
    except RunFailed as problem:
        print(f"bench.reload: {problem}", file=sys.stderr)
        return 2
    for one in found:
        one["problems"] = problems_of(one, found[0]["p99_ms"])
        print_row(one)
    report = {"sets": args.sets, "most": args.most, "runs": found}
    print(f"written to {write_report(report, 'reload', args.json)}")
    return int(any(one["problems"] for one in found))


if __name__ == "__main__":
    sys.exit(main())
