"""What two shards cost against one: CPU per call when everything, or nothing, is handed over.

    python -m bench.shards [--rate 1500] [--seconds 20] [--rounds 3]

The kernel spreads datagrams over a listener's sockets by the sender's address and
port, the router gives each call to the shard of its Call-ID.  Source ports are chosen
so that every datagram arrives at shard 0, Call-IDs so that either shard 1 owns all
calls (everything is handed over, the worst that can happen) or shard 0 does (nothing
is).  One shard, all and none alternate in one run, unpinned; the ratios are the answer.
"""

import argparse
import contextlib
import os
import select
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from statistics import median

from bench import targets
from bench.load import (
    TAIL_S,
    Plan,
    figures_of,
    medians_of,
    run_own,
    shown,
    write_report,
)
from bench.processes import RunFailed, scratch, take_ports
from bench.traffic import Answerer

SHARDS = 2
ARRIVING = 0  # every datagram arrives at this shard
# Name of a run: how many shards, and which of them owns the calls.
MODES = {"one": (1, 0), "all": (SHARDS, 1), "none": (SHARDS, 0)}
BARS = {"all": 1.7, "none": 1.15}
SHARE = {"one": 0.0, "all": 1.0, "none": 0.0}  # handed over, as it should be
PATIENCE_S = 1.0
STRANGE = 0.01  # of the datagrams may fall elsewhere: the runner's own OPTIONS do


@contextlib.contextmanager
def reuseport_group(port: int) -> Iterator[list[socket.socket]]:
    """The router's sockets before the router is there: the kernel chooses among them by order and port."""
    from fastsip._core.transport.listen import open_listener

    group = [socket.socket(fileno=fd) for fd in open_listener("127.0.0.1", port, SHARDS).fds]
    try:
        yield group
    finally:
        for each in group:
            each.close()


def shard_of(sender: socket.socket, port: int, group: list[socket.socket]) -> int:
    """Which socket of the group a datagram of this sender reaches."""
    sender.sendto(b"\r\n\r\n", ("127.0.0.1", port))
    ready, _, _ = select.select(group, [], [], PATIENCE_S)
    if not ready:
        raise RunFailed("a datagram to the loopback got lost")
    ready[0].recv(16)
    return group.index(ready[0])


def ports_to(shard: int, port: int, wanted: int) -> list[int]:
    """Free source ports whose datagrams to `port` reach this shard's socket."""
    found: list[int] = []
    with reuseport_group(port) as group, ExitStack() as held:
        for _ in range(64 * wanted):
            sender = held.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            sender.bind(("127.0.0.1", 0))
            if shard_of(sender, port, group) == shard:
                found.append(sender.getsockname()[1])
            if len(found) == wanted:
                return found
    raise RunFailed(f"{len(found)} of {wanted} source ports lead to shard {shard}")


def write_call_ids(path: Path, run_dir: Path, shard: int, count: int) -> None:
    """Call-IDs that one of two shards owns, for `generator --call-ids`; the store must be there."""
    from fastsip._core.base.hashing import partition_of_call
    from fastsip._core.store.partitions import read_header

    key = read_header(run_dir / "transactions" / "00.slots")["key"]
    lines = []
    for number in range(count):
        for attempt in range(256):
            call_id = f"{number:08x}-{attempt:02x}@127.0.0.1"
            if partition_of_call(key, call_id.encode()) % SHARDS == shard:
                break
        else:
            raise RunFailed(f"no Call-ID {number} belongs to shard {shard}")
        lines.append(call_id)
    path.write_text("\n".join(lines) + "\n")


def run_mode(mode: str, plan: Plan) -> dict:
    """One run; its figures, with the datagrams that each shard received."""
    from fastsip.observe.counters import read_shards

    shards, owner = MODES[mode]
    with scratch() as files, ExitStack() as stack:
        port = take_ports(1)[0]
        sources = ports_to(ARRIVING, port, 2 + plan.ports)
        answerer = Answerer(sources[:2], files, None, plan.limit_s)
        stack.callback(answerer.stop)
        site = targets.Site(port, (sources[0], sources[1]), files, None, shards, plan.limit_s)
        target = targets.start_target("fastsip", site)
        stack.callback(target.stop)
        call_ids = files / "call-ids"
        calls = int(plan.rate * (plan.warm_s + plan.seconds + TAIL_S + 1))
        write_call_ids(call_ids, site.run_dir, owner, calls)
        options = {"call_ids": str(call_ids), "source_ports": ",".join(map(str, sources[2:]))}
        plan = replace(plan, shards=shards, options=options)
        window = run_own(plan, target.pid, port, answerer, files, site.run_dir)
        if not target.alive():
            raise RunFailed(f"fastsip ended during the run: {target.output()[-2000:]}")
        received = [shard["received"] for shard in read_shards(site.run_dir)]
    figures = figures_of(window, plan)
    figures["received"] = received
    figures["handed_over_share"] = share_of(window.stats)
    figures["wakes_per_call"] = window.stats.get("wakes", 0) / window.calls if window.calls else None
    figures["problems"] += astray(mode, figures, window.stats)
    return figures


def share_of(stats: dict[str, int]) -> float:
    """Of the datagrams received, those that were handed over."""
    received = stats.get(targets.DATAGRAMS_IN)
    return stats[targets.HANDED_OVER] / received if received else 0.0


def astray(mode: str, figures: dict, stats: dict[str, int]) -> list[str]:
    """What makes the run another one than its name says."""
    found = []
    elsewhere = sum(count for shard, count in enumerate(figures["received"]) if shard != ARRIVING)
    if elsewhere > STRANGE * sum(figures["received"]):
        found.append(f"{elsewhere} datagrams arrived at another shard than {ARRIVING}")
    if abs(figures["handed_over_share"] - SHARE[mode]) > STRANGE:
        found.append(f"{figures['handed_over_share']:.1%} were handed over, not {SHARE[mode]:.0%}")
    if stats.get("handed_over_full"):
        found.append(f"{stats['handed_over_full']} datagrams found the other shard's ring full")
    return found


def ratios_of(rounds: list[dict]) -> dict[str, float | None]:
    """The median over the rounds of CPU per call to that of one shard in the same round."""
    ratios: dict[str, float | None] = {}
    for mode in BARS:
        pairs = [(each[mode]["cpu_us_per_call"], each["one"]["cpu_us_per_call"]) for each in rounds]
        values = [own / one for own, one in pairs if own and one]
        ratios[mode] = median(values) if values else None
    return ratios


def print_result(rounds: list[dict], ratios: dict[str, float | None]) -> None:
    print(
        f"{'handed over':>12}{'shards':>8}{'us/call':>9}{'x one':>7}{'bar':>6}{'share':>8}"
        f"{'wakes/call':>12}{'switches/call':>15}{'failed':>8}{'rexmit':>8}"
    )
    for mode, values in medians_of(rounds).items():
        runs = [each[mode] for each in rounds]
        print(
            f"{mode if mode in BARS else '-':>12}{MODES[mode][0]:>8}"
            f"{shown(values.get('cpu_us_per_call'), '.1f'):>9}{shown(ratios.get(mode), '.2f'):>7}"
            f"{shown(BARS.get(mode), '.2f'):>6}{values['handed_over_share']:>8.1%}"
            f"{shown(values.get('wakes_per_call'), '.2f'):>12}"
            f"{shown(values.get('wakeups_per_call'), '.2f'):>15}"
            f"{sum(run['failed'] + run['unfinished'] for run in runs):>8}"
            f"{sum(run['retransmissions'] + run['callee_retransmissions'] for run in runs):>8}"
        )
    for number, each in enumerate(rounds, 1):
        for mode, run in each.items():
            for problem in run["problems"]:
                print(f"! round {number}, {mode}: {problem}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.shards", description=__doc__.partition("\n")[0])
    parser.add_argument("--rate", type=float, default=1500, help="calls per second")
    parser.add_argument("--seconds", type=float, default=20, help="length of each measured window")
    parser.add_argument("--warm", type=float, default=3, help="seconds of load before it")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ports", type=int, default=8, help="source ports of the generator")
    parser.add_argument("--clump-ms", type=int, default=Plan.clump_ms, help="see bench.load")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    plan = Plan(args.rate, args.seconds, args.warm, ports=args.ports, clump_ms=args.clump_ms, pin=False)
    rounds: list[dict] = []
    try:
        for _ in range(args.rounds):
            rounds.append({mode: run_mode(mode, plan) for mode in MODES})
    except (RunFailed, ImportError) as problem:
        print(f"bench.shards: {problem}", file=sys.stderr)
        return 2
    ratios = ratios_of(rounds)
    print_result(rounds, ratios)
    above = [mode for mode, bar in BARS.items() if (ratios[mode] or bar) > bar]
    for mode in above:
        print(f"! {mode} handed over: {ratios[mode]:.2f} times one shard, the bar is {BARS[mode]}")
    report = {
        "plan": vars(plan),
        "rounds": rounds,
        "ratios": ratios,
        "bars": BARS,
        "cores": len(os.sched_getaffinity(0)),
    }
    print(f"written to {write_report(report, 'shards', args.json)}")
    return int(bool(above) or any(run["problems"] for each in rounds for run in each.values()))


if __name__ == "__main__":
    sys.exit(main())
