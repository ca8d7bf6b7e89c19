"""Does a call cost more when much is configured?  Kernels alone, with 10, 1,000 and 10,000 of each kind.

    python -m bench.scale [--sizes 10,1000,10000] [--calls 3000] [--rounds 5] [--only call-id,source_set]

Whole calls are played on the test rig (play.play_calls): a set of N members for each algorithm, N rules for
each kind of condition, N sets.  The sizes take turns, and the median of the rounds counts: the figure is the
growth inside one run.  Requests meet the last of the rules.  Other commands measure what sockets and
processes cost.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from bench.load import write_report

BAR = 1.5
SEAL_BAR_S = 0.3
ALGORITHMS = {
    "call-id": 0, "round-robin": 4, "random": 6, "priority": 8, "weight": 9, "call-load": 10, "relative-weight": 11,
    "parallel": 12, "latency": 13, "ordered-round-robin": 14, "srv": 15,
}  # fmt: skip
LISTENER = "10.0.0.254"
CALLED = "80123"  # whom the played caller wants
HEADER, HEADER_VALUE = "User-Agent", "played"


def host_of(number: int) -> str:
    return f"10.{1 + (number >> 16)}.{number >> 8 & 255}.{number & 255}"


def begin_table():
    from fastsip._core.routing.table import RoutingTable

    table = RoutingTable(1)
    table.add_listener(1, 1, LISTENER, 5060, f"{LISTENER}:5060", "public")
    table.add_own(LISTENER, 5060)
    table.add_policy(5, on=["timeout", "transport", "5xx"], timeout_ms=2000)
    return table


def add_member(table, of_set: int, number: int, host: str, **fields) -> None:
    uri = f"sip:{host}:5060"
    table.add_destination(of_set, number + 1, number, host, 5060, 0, uri, f"{host}:5060", **fields)


def with_members(algorithm: int, weights: Callable[[int], int] = lambda number: 1, **fields):
    """One set; each size has as many members."""

    def build(size: int):
        table = begin_table()
        table.add_set(1, algorithm, hash_key=b"a key of 16 byte", limit=2, **fields)
        for number in range(size):
            add_member(table, 0, number, host_of(number), weight=weights(number))
        table.add_rule(1, 0, policy_index=1)
        return table.seal()

    return build


def with_rules(condition: Callable[[int, int], dict]):
    """`condition` of (number, size); the last rule is the one that is met."""

    def build(size: int):
        table = begin_table()
        table.add_set(1, 4)
        for number in range(2):
            add_member(table, 0, number, host_of(number))
        for number in range(size):
            table.add_rule(number + 1, 0, [condition(number, size)], policy_index=1)
        return table.seal()

    return build


def with_sets(size: int):
    """As many sets of one member, each with a rule for what comes from its member, and a rule for the rest."""
    table = begin_table()
    for number in range(size):
        table.add_set(number + 1, 0, hash_key=b"a key of 16 byte", name=f"set {number}")
        add_member(table, number, number, host_of(number), name=f"one {number}")
        table.add_rule(number + 1, 0, [{"kind": "source_set", "items": [number]}], number, 1)
    table.add_rule(size + 1, 0, set_index=size - 1, policy_index=1)
    return table.seal()


def last_of(kind: str, met: list, other: Callable[[int], list]):
    return with_rules(
        lambda number, size: {"kind": kind, "items": met if number == size - 1 else other(number)}
    )


CASES: dict[str, Callable[[int], object]] = {
    **{name: with_members(number) for name, number in ALGORITHMS.items()},
    "call-id, weights": with_members(0, lambda number: 1 + number % 3),
    "call-id, all weights": with_members(0, lambda number: 1 + number),
    "call-id, shared": with_members(0, in_dialog=1),
    "weight, all weights": with_members(9, lambda number: 1 + number),
    "user": last_of("user", [CALLED], lambda number: [f"9{number}"]),
    "user_prefix": last_of("user_prefix", [CALLED[:3]], lambda number: [f"9{number}"]),
    "domain": last_of("domain", ["example.net"], lambda number: [f"d{number}.example.net"]),
    "source": last_of("source", ["10.9.0.0/24"], lambda number: [host_of(number + 0x100000)]),
    "header": last_of("header", [HEADER, True], lambda number: [f"X-{number}", True]),
    "header, value": last_of("header", [HEADER, HEADER_VALUE], lambda number: [HEADER, f"agent {number}"]),
    "method": last_of("method", ["INVITE"], lambda number: [f"PING{number}"]),
    "listen": last_of("listen", [1], lambda number: [number + 2]),
    "source_set, sets": with_sets,
}  # fmt: skip


class Played:
    """One table on a rig of its own."""

    def __init__(self, folder: Path, name: str, size: int):
        from fastsip._core.dispatcher.cells import Cells
        from fastsip._core.harness.rig import Rig

        folder.mkdir()
        start = time.perf_counter()
        self.table = CASES[name](size)
        self.build_s = time.perf_counter() - start
        self.cells = Cells(size + 8)
        self.rig = Rig(folder, self.table, self.cells, max_transactions=20000)
        self.costs: list[float] = []

    def play(self, calls: int) -> None:
        from tests.kernels.play import play_calls

        start = time.perf_counter()
        play_calls(self.rig, calls)
        self.costs.append((time.perf_counter() - start) / calls * 1e6)


def measure(name: str, args: argparse.Namespace) -> dict:
    with tempfile.TemporaryDirectory(prefix="fastsip-scale-") as folder:
        played = [Played(Path(folder) / str(size), name, size) for size in args.sizes]
        for one in played:
            one.play(args.calls // 4 + 1)
        for _ in range(args.rounds):
            for one in played:
                one.play(args.calls)
    costs = [median(one.costs) for one in played]
    return {
        "case": name,
        "sizes": args.sizes,
        "us_per_call": costs,
        "growth": [cost / costs[0] for cost in costs],
        "table_bytes": [one.table.total_bytes for one in played],
    }


def seal_seconds(size: int) -> float:
    """How long it takes to lay out as many sets and rules: the least of three."""
    from fastsip._core.routing.table import RoutingTable

    found = []
    for _ in range(3):
        table = begin_table()
        assert isinstance(table, RoutingTable)
        for number in range(size):
            table.add_set(number + 1, 0, hash_key=b"a key of 16 byte", name=f"set {number}")
            add_member(table, number, number, host_of(number), name=f"one {number}")
            conditions = [{"kind": "user_prefix", "items": [f"9{number}"]}, {"kind": "source_set", "items": [number]}]
            table.add_rule(number + 1, 0, conditions, number, 1)
        start = time.perf_counter()
        table.seal()
        found.append(time.perf_counter() - start)
    return min(found)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.scale", description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--sizes", type=lambda text: [int(each) for each in text.split(",")], default=[10, 1000, 10000]
    )
    parser.add_argument("--calls", type=int, default=3000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", type=lambda text: text.split(","), help="algorithms and kinds, with commas")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    names = [name for name in CASES if args.only is None or name.split(",")[0] in args.only]
    if not names or min(args.sizes) < 2:
        parser.error(f"--only knows {', '.join(CASES)}; sizes are 2 and more")
    print(f"{'us per call with':<22}" + "".join(f"{size:>10}" for size in args.sizes) + f"{'growth':>10}")
    found, problems = [], []
    for name in names:
        found.append(one := measure(name, args))
        print(f"{name:<22}" + "".join(f"{cost:>10.2f}" for cost in one["us_per_call"]) + f"{max(one['growth']):>10.2f}",
              flush=True)
        if max(one["growth"]) > BAR:
            problems.append(f"{name}: {max(one['growth']):.2f} times, at most {BAR} is wanted")
    sealed = seal_seconds(max(args.sizes))
    print(f"{max(args.sizes)} sets and rules are laid out in {sealed:.3f} s")
    if sealed > SEAL_BAR_S:
        problems.append(f"the table took {sealed:.3f} s, at most {SEAL_BAR_S} is wanted")
    for problem in problems:
        print(f"! {problem}")
    report = {"scale": found, "seal_s": sealed, "problems": problems}
    print(f"written to {write_report(report, 'scale', args.json)}")
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
