"""Damaged messages for the parser, the readers of values, the edits and the replies.

    python -m tests.fuzz.parser [--seconds 60] [--seed N]      from seed N on
    python -m tests.fuzz.parser --replay FILE...               what was found before

The loop is compiled (see fuzz_doors): it damages messages, checks what must hold for any of
them, and keeps those that are unlike all before.  A few of each round go to the oracle, too,
and branches and hints are damaged by themselves.
"""

import argparse
import random
import sys
import time
from pathlib import Path

from fastsip._core.routing.table import RoutingTable
from tests.fuzz.findings import FOUND, note, open_current, save
from tests.fuzz.seeds import seeds
from tests.kernels import fuzz_doors
from tests.oracle.compare import compare

MESSAGES, TOKENS, COMPARED = 20_000, 50_000, 40  # of one seed

# Each of them is asked by nearly every request, as hardly one holds.
CONDITIONS = (
    {"kind": "header", "items": ["X-Odd", "a b"]}, {"kind": "header", "items": ["s", "hello", "x"]},
    {"kind": "header", "items": ["Route", "<sip:a>"]}, {"kind": "method", "items": ["FOO", "PRACK"]},
    {"kind": "user", "items": ["0800", *(f"u{n}" for n in range(20))]}, {"kind": "user_prefix", "items": ["777", "+1"]},
    {"kind": "domain", "items": ["[2001:db8::77]", "b.example", *(f"d{n}.example" for n in range(20))]},
    {"kind": "source", "items": ["10.0.0.0/8", "2001:db8::/33"]}, {"kind": "listen", "items": [7]},
)  # fmt: skip


def make_rules() -> RoutingTable:
    table = RoutingTable(1)
    table.add_listener(1, 0, "192.0.2.1", 5060, "192.0.2.1")
    table.add_set(1, 0)
    for number, condition in enumerate(CONDITIONS, 1):
        table.add_rule(number, 0, [condition])
        table.add_rule(100 + number, 0, [condition, {"kind": "to_tag"}])
    return table.seal()


RULES = make_rules()


def differs(text: bytes) -> str | None:
    """What the kernel reads otherwise than the oracle."""
    try:
        compare(text)
    except AssertionError as error:
        return f"the oracle reads it otherwise: {str(error).partition(chr(10))[0]}"
    return None


def wrong(text: bytes) -> str | None:
    """What does not hold for this message."""
    return fuzz_doors.wrong(text, RULES) or differs(text)


def one_round(texts: list[bytes], seed: int, current) -> tuple[bytes, str] | None:
    fuzzer = fuzz_doors.Fuzzer(texts, seed, RULES, current)
    found = fuzzer.run(MESSAGES) or fuzzer.run_tokens(TOKENS)
    for _ in range(COMPARED if not found else 0):
        text = fuzzer.sample()
        complaint = differs(text)
        if complaint:
            return text, complaint
    return found


def replay(paths: list[str]) -> int:
    found = 0
    for path in paths:
        complaint = wrong(Path(path).read_bytes())
        print(f"{path}: {complaint or 'nothing found'}")
        found = FOUND if complaint else found
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000_000), help="the first one")
    parser.add_argument("--current", type=Path, help="a file that holds the message in work")
    parser.add_argument("--findings", type=Path, default=Path("findings"), help="directory for what is found")
    parser.add_argument("--replay", nargs="+", metavar="FILE")
    args = parser.parse_args()
    if args.replay:
        return replay(args.replay)
    current = open_current(args.current) if args.current else None
    texts, seed, end = seeds(), args.seed, time.monotonic() + args.seconds
    while seed == args.seed or time.monotonic() < end:
        found = one_round(texts, seed, current)
        if found:
            print(f"seed {seed}: {found[1]}: {save(args.findings, 'parser', seed, found[0])}")
            return FOUND
        seed += 1
    note(current, b"")
    rounds = seed - args.seed
    print(f"parser: {rounds * MESSAGES} messages and {rounds * TOKENS} tokens from seed {args.seed}, nothing found")
    return 0


if __name__ == "__main__":
    sys.exit(main())
