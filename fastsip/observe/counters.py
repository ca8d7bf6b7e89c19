"""Counters and gauges of a running router, in a file that anyone may read.

run_dir/stats holds a head of 16,384 bytes (JSON: names, shards, process) and then
one row of 64-bit numbers for the gauges and one for each shard.  Shards count
straight into their row; nothing is sent, locked or asked for.
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path

import orjson

from fastsip._core.base.files import look_at
from fastsip._core.base.mapped import begin_beside, map_rows
from fastsip._core.state.counters import COUNTER_HELP, COUNTER_NAMES
from fastsip.base.run_dir import STATS

HEAD_BYTES = 16_384     # the names of all numbers
GAUGE_HELP = {
    "slots": "transactions and branches in the store now",
    "slot_bytes": "bytes of their slots",
    "block_bytes": "bytes of their messages",
    "store_bytes": "bytes of the files of the store, all of them allocated",
    "slot_places": "transactions and branches that the store has room for",
}
GAUGES = tuple(GAUGE_HELP)
HELP = GAUGE_HELP | COUNTER_HELP  # of the numbers of this release; a file may hold others
COLUMNS = 512
ROW_BYTES = COLUMNS * 8
assert len(COUNTER_NAMES) <= COLUMNS


class StatsFile:
    """Makes the file anew and keeps it mapped: `gauges` and `shards` are writable rows."""

    def __init__(self, run_dir: str, shards: int):
        self.path = Path(run_dir) / STATS
        size = HEAD_BYTES + (1 + shards) * COLUMNS * 8
        head = {"shards": shards, "pid": os.getpid(), "gauges": GAUGES, "counters": COUNTER_NAMES}
        with begin_beside(self.path, size, 0o644) as fd:
            os.pwrite(fd, json.dumps(head).encode().ljust(HEAD_BYTES), 0)
            self.mapping = map_rows(fd, size)
        # Memoryviews: importing numpy would cost each router 30 MB and threads that it never uses.
        self.gauges, *self.shards = split_rows(memoryview(self.mapping))


class Damaged(Exception):
    """A file of counters that cannot be read; the text says which."""


def split_rows(content: memoryview) -> list[memoryview]:
    """The file's rows of COLUMNS unsigned 64-bit numbers, behind its head."""
    numbers = content[HEAD_BYTES:].cast("L")
    return [numbers[at : at + COLUMNS] for at in range(0, len(numbers), COLUMNS)]


def read_rows(run_dir: str | Path) -> tuple[dict, list[memoryview]]:
    """The head, and all rows: gauges first, then one per shard; OSError when there is no router's file, or Damaged."""
    path = Path(run_dir) / STATS
    raw = look_at(path)
    try:
        head = orjson.loads(raw[:HEAD_BYTES])
        rows = [] if len(raw) % ROW_BYTES else split_rows(memoryview(raw))
        names_fit = all(type(name) is str for key in ("gauges", "counters") for name in head[key][:COLUMNS + 1])
        fits = names_fit and len(rows) == 1 + head["shards"]
    except (ValueError, LookupError, TypeError):
        fits = False
    if not fits:
        raise Damaged(f"{path} is damaged, or of another version")
    return head, rows


def named(names: list[str], row: Sequence[int]) -> dict[str, int]:
    return dict(zip(names, row, strict=False))


def read(run_dir: str | Path) -> dict[str, int]:
    """Gauges, and counters summed over the shards; OSError when there is no router's file."""
    head, rows = read_rows(run_dir)
    sums = [sum(column) for column in zip(*rows[1:], strict=True)]
    return named(head["gauges"], rows[0]) | named(head["counters"], sums)


def read_shards(run_dir: str | Path) -> list[dict[str, int]]:
    """The counters of each shard; OSError when there is no router's file."""
    head, rows = read_rows(run_dir)
    return [named(head["counters"], row) for row in rows[1:]]
