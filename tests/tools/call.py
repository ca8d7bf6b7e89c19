"""python -m tests.tools.call FILE [--config CONFIG] [--source HOST:PORT] [--listener N]: what becomes of one message.

The message (`-` is standard input; plain line ends are made CR LF) goes through the kernels as a router with this
configuration has them, on a virtual clock and without sockets.  Printed are the rule that it meets, what is sent and
whereto, and which counters moved.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from fastsip._core.dispatcher.cells import Cells
from fastsip._core.harness.rig import Rig
from fastsip.config import Config, ConfigError, load
from fastsip.router.explain import on_the_wire
from fastsip.routing.compile import compile_table
from fastsip.routing.registry import Registry
from tests.kernels.rule_doors import match

SOURCE = "192.0.2.1:5060"


def place(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


def rule_of(config: Config, table, message: bytes, source: tuple[str, int], listener: int) -> str:
    if message.startswith(b"SIP/"):
        return "none: a response"
    try:
        found = match(table, message, source[0], listener, source[1])
    except ValueError as error:
        return f"none: {error}"
    return "none matches" if found is None else config.rules[found].name


def run(config: Config, message: bytes, source: tuple[str, int], listener: int) -> None:
    with tempfile.TemporaryDirectory(prefix="fastsip-call-") as folder, Registry(folder) as registry:
        cells = Cells(max(64, 2 * sum(len(group.destinations) for group in config.sets)))
        table = compile_table(config, registry, cells, 1)
        rig = Rig(folder, table, cells)
        print(f"rule: {rule_of(config, table, message, source, listener)}")
        before = rig.counters()
        rig.receive(message, source, listener)
        for sent in rig.sent():
            host, port = sent.to
            print(f"\n--- to {host}:{port}, from listener {sent.listener}, {len(sent.datagram)} bytes, {sent.outcome}")
            print(sent.datagram.decode("utf-8", "backslashreplace").replace("\r\n", "\n").rstrip("\n"))
        print("\n--- counters")
        for name, value in rig.counters().items():
            if value != before[name]:
                print(f"{name} {value - before[name]:+}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", help="one SIP message, - is standard input")
    parser.add_argument("--config", default="config.example.toml")
    parser.add_argument("--source", type=place, default=place(SOURCE), help=f"where it comes from, default {SOURCE}")
    parser.add_argument("--listener", type=int, default=0, help="number of the listener that it comes in by, from 0")
    args = parser.parse_args()
    try:
        config = load(args.config, make_secret=False)
        text = sys.stdin.buffer.read() if args.file == "-" else Path(args.file).read_bytes()
    except (ConfigError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    if not 0 <= args.listener < len(config.listeners):
        print(f"there are {len(config.listeners)} listeners", file=sys.stderr)
        return 2
    run(config, on_the_wire(text), args.source, args.listener)
    return 0


if __name__ == "__main__":
    sys.exit(main())
