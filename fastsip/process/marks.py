"""What routers are at, in run_dir/marks: whoever finds one dead or standing still reads it there.

A page for the loop of the control plane, then one for each shard, mapped by the router that routes and by its
supervisor.  Heartbeats stand there, too.
"""

from pathlib import Path
from typing import NamedTuple

from fastsip._core.base.mapped import map_rows, open_whole
from fastsip._core.store.marks import HEAD, KINDS, PAGE_BYTES, ROOM_BYTES
from fastsip._core.transaction.inspect import REFERENCE_BITS
from fastsip.base.run_dir import MARKS
from fastsip.config.language import MAX_SHARDS


class Mark(NamedTuple):
    """What a shard was at: a datagram (its first bytes, its length) or a slot in one of its lives."""

    kind: str
    datagram: bytes = b""
    len: int = 0
    ref: int = 0
    generation: int = 0

    def __str__(self) -> str:
        if self.kind == "slot":
            partition, index = divmod(self.ref, 1 << REFERENCE_BITS)
            return f"slot {partition}/{index}, generation {self.generation}"
        return f"datagram of {self.len} bytes: {self.datagram[:64]!r}"


class Marks:
    """The file run_dir/marks, mapped; whoever comes first makes it."""

    def __init__(self, run_dir: str):
        size = (1 + MAX_SHARDS) * PAGE_BYTES
        with open_whole(Path(run_dir) / MARKS, size) as fd:
            self._mapping = map_rows(fd, size)

    def page(self, number: int) -> memoryview:
        """0 is the loop's, 1 the first shard's; 64-bit words, of which the first counts beats."""
        return memoryview(self._mapping)[number * PAGE_BYTES : (number + 1) * PAGE_BYTES].cast("L")

    def beats(self, shards: int) -> list[int]:
        """The heartbeats of the loop and of each shard."""
        return [HEAD.unpack_from(self._mapping, number * PAGE_BYTES)[0] for number in range(1 + shards)]

    def clear(self) -> None:
        """Nobody is at anything: between two routers."""
        self._mapping[:] = bytes(len(self._mapping))

    def at(self, shard: int) -> Mark | None:
        """What this shard is at, None = nothing."""
        place = (1 + shard) * PAGE_BYTES
        _, kind, length, ref, generation = HEAD.unpack_from(self._mapping, place)
        start = place + HEAD.size
        if KINDS.get(kind) == "slot":
            return Mark("slot", ref=ref, generation=generation)
        if KINDS.get(kind) == "datagram":
            return Mark("datagram", self._mapping[start : start + min(length, ROOM_BYTES)], length)
        return None

    def set(self) -> list[Mark]:
        """What the shards are at, of those that are at something."""
        return [mark for shard in range(MAX_SHARDS) if (mark := self.at(shard))]


def stuck_at(before: dict[int, Mark | None], now: dict[int, Mark | None]) -> list[Mark]:
    """What shards that stand still were at a second ago and are at now: others are only busy, whatever passes by."""
    return [mark for number, mark in now.items() if mark and before.get(number) == mark]
