"""What operators' work costs the calls: reloads of a list, and a table of a database in which one row changes.

    python -m bench.operators [--seconds 60] [--reloads 200] [--members 1000] [--rows 10000] [--turns 3]

`quiet` and `reloads` alternate: the same load at 1,000 calls/s through a set of so many members out of a list, two of
which take calls; in `reloads` the list is written anew and reloaded again and again: a member more, one less, another
weight, nothing.  CPU per call is that of the shards' threads; all processes together are shown, too, most of which
is the next spare that prepares itself.  `table` is a SQLite table of so many rows in which one changes: from the
order to its answer.
"""

import argparse
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from statistics import median

from bench import targets
from bench.load import write_report
from bench.processes import RunFailed, scratch, take_ports
from bench.procfs import descendants, read_cpu
from bench.restart import Pings
from bench.traffic import Answerer, Generator
from fastsip.api.socket import ask
from fastsip.observe import counters
from fastsip.observe.destinations import Seen, read_seen

RATE, SETTLE_S = 1000, 2.0
COST_BAR, TABLE_BAR_MS = 1.05, 300
RULES = """
[[source]]
kind = "list"
path = "{list}"
[set.big]
setid = 7
algorithm = "call-id"
[[route]]
when = {{ method = "INVITE" }}
to = "big"
failure = "next-media"
"""
TABLE_RULES = """
[[source]]
kind = "sql"
url = "sqlite:///{file}"
interval = "0s"
[set.big]
setid = 7
[[route]]
when = {{ method = "INVITE" }}
to = "big"
failure = "next-media"
"""
DISABLED = 4


def place(number: int) -> str:
    return f"sip:10.{1 + (number >> 16)}.{number >> 8 & 255}.{number & 255}:5060"


def rows(members: int, ports: tuple[int, ...], weight: int = 1) -> list[str]:
    """Those that take calls first; the others are disabled, for nobody answers there."""
    found = [f"7 sip:127.0.0.1:{port} 0 0 duid=live{port}" for port in ports]
    found += [f"7 {place(number)} {DISABLED} 0 duid=d{number};weight={weight if number == 9 else 1}"
              for number in range(members - len(ports))]
    return found


def versions(members: int, ports: tuple[int, ...]) -> Iterator[list[str]]:
    """One more, a weight, the same, one less, and so on."""
    weight = 1
    while True:
        for count in (members + 1, members + 1, members + 1, members):
            weight += count == members + 1
            yield rows(count, ports, weight)


def thread_cpu(pid: int) -> float:
    """Seconds of the threads of a router that are shards, of the kernel's accounting."""
    found = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        if (task / "comm").read_text().startswith("shard-"):
            found += int((task / "schedstat").read_text().split()[0])
    return found / 1e9


def learned(run_dir: Path, ports: tuple[int, ...]) -> dict[str, tuple[str, float | None]]:
    """What must not change: health and since when, of those that take calls."""
    seen: dict[str, Seen] = read_seen(run_dir)
    return {name: (one.health, one.since and round(one.since, 1)) for name, one in seen.items() if "live" in name}


class Site:
    """A router with a big list, and its callee."""

    def __init__(self, args: argparse.Namespace, stack: ExitStack):
        self.files = stack.enter_context(scratch())
        port, first, second = take_ports(3)
        self.ports = (first, second)
        self.answerer = Answerer([first, second], self.files, 1, args.seconds * 4 * args.turns + 300)
        stack.callback(self.answerer.stop)
        self.list = self.files / "dispatcher.list"
        self.write(rows(args.members, self.ports))
        self.site = targets.Site(port, self.ports, self.files, 0, rules=RULES.format(list=self.list),
                                 limit_s=args.seconds * 4 * args.turns + 300)
        self.target = targets.start_target("fastsip", self.site)
        stack.callback(self.target.stop)

    def write(self, lines: list[str]) -> None:
        fresh = self.list.with_suffix(".new")
        fresh.write_text("\n".join(lines) + "\n")
        fresh.rename(self.list)

    def reload(self) -> float:
        """Milliseconds to the answer."""
        began = time.monotonic()
        list(ask(str(self.site.run_dir), "reload"))
        return (time.monotonic() - began) * 1000


def turn(how: str, site: Site, args: argparse.Namespace) -> dict:
    time.sleep(SETTLE_S)
    router = counters.read_rows(site.site.run_dir)[0]["pid"]
    generator = Generator(site.site.port, RATE, args.seconds, site.files, 1, how, ports=8, clump_ms=10)
    try:
        generator.wait_started()
        time.sleep(1)
        before, cpu, whole = learned(site.site.run_dir, site.ports), thread_cpu(router), all_cpu(site)
        took = list(reloads(site, args)) if how == "reloads" else rest(args.seconds - 2)
        cpu, whole = thread_cpu(router) - cpu, all_cpu(site) - whole
        after = learned(site.site.run_dir, site.ports)
        outcome = generator.outcome(site.answerer)
    finally:
        generator.stop()
    calls = RATE * (args.seconds - 2)
    problems = outcome.problems()
    if before != after:
        problems.append(f"what was learned changed: {before} -> {after}")
    if counters.read_rows(site.site.run_dir)[0]["pid"] != router:
        problems.append("another router runs than before")
    return {"how": how, "reload_ms": took, "us_per_call": cpu / calls * 1e6, "us_all": whole / calls * 1e6,
            "problems": problems, **vars(outcome)}  # fmt: skip


def all_cpu(site: Site) -> float:
    return sum(read_cpu([site.target.pid, *descendants(site.target.pid)])[0].values()) / 1e9


def rest(seconds: float) -> list[float]:
    time.sleep(seconds)
    return []


def reloads(site: Site, args: argparse.Namespace) -> Iterator[float]:
    """So many, evenly over the time."""
    began, texts = time.monotonic(), versions(args.members, site.ports)
    for number in range(args.reloads):
        site.write(next(texts))
        yield site.reload()
        time.sleep(max(0.0, began + (number + 1) * (args.seconds - 2) / args.reloads - time.monotonic()))


def table(args: argparse.Namespace) -> dict:
    """One row of many changes, again and again; OPTIONS go on meanwhile."""
    with ExitStack() as stack:
        files = stack.enter_context(scratch())
        port, first, second = take_ports(3)
        file = files / "kamailio.db"
        with closing(sqlite3.connect(file)) as made:
            made.execute("CREATE TABLE dispatcher (id INTEGER PRIMARY KEY, setid INTEGER, destination TEXT, "
                         "flags INTEGER, priority INTEGER, attrs TEXT)")
            made.executemany("INSERT INTO dispatcher VALUES (?, 7, ?, 0, 0, ?)",
                             [(number, place(number), f"duid=d{number};weight=1") for number in range(args.rows)])
            made.commit()
        site = targets.Site(port, (first, second), files, None, rules=TABLE_RULES.format(file=file), start_s=60)
        stack.callback(targets.start_target("fastsip", site).stop)
        time.sleep(SETTLE_S)
        pings, took = Pings(port, float("inf")), []
        for number in range(args.changes):
            with closing(sqlite3.connect(file)) as changed:
                changed.execute("UPDATE dispatcher SET attrs = ? WHERE id = 5", (f"duid=d5;weight={number + 2}",))
                changed.commit()
            began = time.monotonic()
            *_, answer = ask(str(site.run_dir), "reload")
            took.append((time.monotonic() - began) * 1000)
            if answer["changed"]["ids"] != ["big/d5"] or answer["added"]["count"] or answer["removed"]["count"]:
                raise RunFailed(f"another change than that of one row: {answer}")
            time.sleep(SETTLE_S)
        pings.end()
    problems = [f"{median(took):.0f} ms, the bar is {TABLE_BAR_MS}"] if median(took) > TABLE_BAR_MS else []
    problems += [f"{pings.unanswered} OPTIONS were never answered"] if pings.unanswered else []
    return {"how": "table", "reload_ms": took, "longest_ms": pings.longest_ms, "problems": problems}


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.operators", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--seconds", type=float, default=60, help="of each turn")
    parser.add_argument("--reloads", type=int, default=200)
    parser.add_argument("--members", type=int, default=1_000)
    parser.add_argument("--turns", type=int, default=3, help="of each kind; 0: none")
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--changes", type=int, default=7, help="of one row; 0: none")
    parser.add_argument("--json", type=Path, help="result file; default: a new one in bench/results/")
    args = parser.parse_args()
    found: list[dict] = []
    try:
        with ExitStack() as stack:
            site = Site(args, stack) if args.turns else None
            for _ in range(args.turns if site else 0):
                found += [turn(how, site, args) for how in ("quiet", "reloads")]
        found += [table(args)] if args.changes else []
    except (RunFailed, subprocess.SubprocessError) as problem:
        print(f"bench.operators: {problem}", file=sys.stderr)
        return 2
    ratio = show(found)
    print(f"written to {write_report({'runs': found, 'ratio': ratio}, 'operators', args.json)}")
    return int(any(one["problems"] for one in found) or (ratio or 0) > COST_BAR)


def show(found: list[dict]) -> float | None:
    """Prints the runs; median CPU of the shards with reloads beside that without."""
    print(f"{'how':<9}{'calls':>8}{'lost':>6}{'repeated':>10}{'us/call':>9}{'all':>8}{'reloads':>9}{'ms':>7}{'worst':>7}")
    for one in found:
        took = one["reload_ms"]
        times = f"{len(took):>9}{median(took):>7.0f}{max(took):>7.0f}" if took else f"{'-':>9}{'-':>7}{'-':>7}"
        calls = (f"{one['started']:>8}{one['failed'] + one['unfinished']:>6}{one['retransmissions']:>10}"
                 f"{one['us_per_call']:>9.1f}{one['us_all']:>8.1f}") if "started" in one else " " * 41
        print(f"{one['how']:<9}{calls}{times}")
        for problem in one["problems"]:
            print(f"! {one['how']}: {problem}")
    costs = {how: [one["us_per_call"] for one in found if one["how"] == how] for how in ("quiet", "reloads")}
    if not costs["quiet"]:
        return None
    ratio = median(costs["reloads"]) / median(costs["quiet"])
    print(f"{'!' if ratio > COST_BAR else ' '} shards with reloads: {ratio:.3f} x without, the bar is {COST_BAR}")
    return ratio


if __name__ == "__main__":
    sys.exit(main())
