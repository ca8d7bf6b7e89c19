"""Keys that move, and where to, when one of N destinations leaves or goes down.

    python -m bench.consistency [--destinations 2,5,10,51] [--keys 100000]

Call-ID hashing promises that a change of the set moves only what it must: of the
keys of those that stay none, and the keys of the one that left spread over all.
Measured on the kernels themselves, through the Python door Chooser.
"""

import argparse
import random
import sys
from collections import Counter
from pathlib import Path

from bench.load import write_report

CALL_ID = 0  # algorithm_id


def make_table(count: int, left_out: int | None = None):
    """A sealed table of one call-id set; ids are 1..count, cell lines follow the id."""
    from fastsip._core.routing.table import RoutingTable

    table = RoutingTable(1)
    listener = table.add_listener(1, 1, "127.0.0.1", 5060, "127.0.0.1:5060")
    of_set = table.add_set(1, CALL_ID, hash_key=b"consistency-test")
    for number in range(1, count + 1):
        if number != left_out:
            host = f"10.0.{number >> 8}.{number & 255}"
            table.add_destination(
                of_set,
                number,
                number - 1,
                host,
                5060,
                listener,
                f"sip:{host}:5060",
                f"{host}:5060",
                name=f"ms{number}",
            )
    return table.seal()


def choose_all(table, count: int, keys: list[int], down: int | None = None) -> list[int | None]:
    """The destination id of each key; `down` is the index of one that is marked so."""
    from fastsip._core.dispatcher.cells import Cells
    from fastsip._core.dispatcher.chooser import Chooser

    chooser = Chooser(table, Cells(count), 0)
    if down is not None:
        chooser.mark(down, "down", 0, 1)
    return chooser.choose_many(0, keys, 1)


def compare(before: list[int | None], after: list[int | None], gone: int, stay: int) -> dict:
    """Keys moved without need, and how evenly those of the one gone spread over the rest."""
    needless = sum(old != gone and old != new for old, new in zip(before, after, strict=True))
    heirs = Counter(new for old, new in zip(before, after, strict=True) if old == gone)
    total = sum(heirs.values())
    fair = total / stay if stay else 0
    shares = [heirs.get(each, 0) for each in heirs] + [0] * (stay - len(heirs))
    return {
        "needless": needless,
        "had": total,
        "lost": heirs.get(None, 0) + heirs.get(gone, 0),
        "heirs_max_to_fair": max(shares) / fair if fair else None,
        "heirs_min_to_fair": min(shares) / fair if fair else None,
    }


def measure(count: int, keys: list[int]) -> dict:
    gone = (count + 1) // 2
    before = choose_all(make_table(count), count, keys)
    shares, fair = Counter(before), len(keys) / count
    return {
        "destinations": count,
        "balance_max_to_fair": max(shares.values()) / fair,
        "balance_min_to_fair": min(shares.get(each, 0) for each in range(1, count + 1)) / fair,
        "leaves": compare(before, choose_all(make_table(count, gone), count, keys), gone, count - 1),
        "goes_down": compare(before, choose_all(make_table(count), count, keys, gone - 1), gone, count - 1),
    }


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.consistency", description=__doc__.partition("\n")[0]
    )
    parser.add_argument(
        "--destinations", type=lambda text: [int(each) for each in text.split(",")], default=[2, 5, 10, 51]
    )
    parser.add_argument("--keys", type=int, default=100_000)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    if min(args.destinations) < 2:
        parser.error("--destinations: at least 2, since one has to leave")
    source = random.Random(1)
    keys = [source.getrandbits(64) for _ in range(args.keys)]
    try:
        found = [measure(count, keys) for count in args.destinations]
    except ImportError as missing:
        print(f"bench.consistency: {missing}; are the kernels built?", file=sys.stderr)
        return 2
    print(
        f"{'N':>5}{'busiest':>10}{'idlest':>10}  {'event':<10}{'moved needlessly':>18}{'lost':>6}"
        f"{'busiest heir':>14}{'idlest heir':>13}   (1.00 = a fair share)"
    )
    for each in found:
        for event in ("leaves", "goes_down"):
            one = each[event]
            print(
                f"{each['destinations']:>5}{each['balance_max_to_fair']:>10.2f}"
                f"{each['balance_min_to_fair']:>10.2f}  {event.replace('_', ' '):<10}{one['needless']:>18}"
                f"{one['lost']:>6}{one['heirs_max_to_fair'] or 0:>14.2f}"
                f"{one['heirs_min_to_fair'] or 0:>13.2f}"
            )
    report = {
        "keys": args.keys,
        "consistency": found,
    }
    print(f"written to {write_report(report, 'consistency', args.json)}")
    return int(
        any(
            each[event]["needless"] or each[event]["lost"]
            for each in found
            for event in ("leaves", "goes_down")
        )
    )


if __name__ == "__main__":
    sys.exit(main())
