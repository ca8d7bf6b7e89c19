"""What routers were at when they died, and what is not touched any more because two of them died of it.

run_dir/marks: a page for the loop of the control plane, then one for each shard, mapped by
the router that routes and by its supervisor.  state_dir/quarantine: a file for each datagram that is
refused, and one for each slot that was dropped, for whoever looks for the fault.  Who
deletes a datagram's file lets it in again, from the next router on.

Called by supervisor (all but Quarantine) and router.
"""

import hashlib
import mmap
import os
from collections import OrderedDict
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from fastsip._core.base.folder import make_folder, open_file, read_file, replace_file
from fastsip._core.store.marks import HEAD, KINDS, MOST, PAGE_BYTES, ROOM_BYTES, Quarantine
from fastsip.base.plain import reason
from fastsip.config.language import MAX_SHARDS
from fastsip.log import log

POISON_AT = 2           # deaths with the same mark
REMEMBERED = 1000       # marks of deaths
ENDING = ".datagram"


class Mark(NamedTuple):
    """What a shard was at: a datagram (its first bytes, its length) or a slot in one of its lives."""

    kind: str
    datagram: bytes = b""
    len: int = 0
    ref: int = 0
    generation: int = 0

    def __str__(self) -> str:
        if self.kind == "slot":
            return f"slot {self.ref >> 26}/{self.ref & 0x3FFFFFF}, generation {self.generation}"
        return f"datagram of {self.len} bytes: {self.datagram[:64]!r}"


class Marks:
    """The file run_dir/marks, mapped; whoever comes first makes it."""

    def __init__(self, run_dir: str):
        size = (1 + MAX_SHARDS) * PAGE_BYTES
        fd = open_file(Path(run_dir) / "marks", os.O_RDWR | os.O_CREAT)
        try:
            os.posix_fallocate(fd, 0, size)
            self._mapping = mmap.mmap(fd, size)
        finally:
            os.close(fd)

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


class Deaths:
    """Counts what routers died at."""

    def __init__(self) -> None:
        self._counts: OrderedDict[Mark, int] = OrderedDict()

    def note(self, marks: Iterable[Mark]) -> list[Mark]:
        """Of these marks of one death, those that are poison now; once more after as many more deaths."""
        poison = []
        for mark in set(marks):
            self._counts[mark] = self._counts.pop(mark, 0) + 1
            if self._counts[mark] % POISON_AT == 0:
                poison.append(mark)
        while len(self._counts) > REMEMBERED:
            self._counts.popitem(last=False)
        return poison


def _keep(state_dir: str, name: str, content: bytes) -> Path | None:
    """None: it could not be saved, which nobody's calls must wait for."""
    folder = Path(state_dir) / "quarantine"
    place = folder / name
    try:
        make_folder(folder)
        replace_file(place, content)
    except OSError as error:
        log.error(f"not kept in quarantine: {reason(error)}")
        return None
    return place


def keep_datagram(state_dir: str, mark: Mark) -> Path | None:
    """Saves it; the routers that start from now on refuse it.  None: the disk is full or read-only."""
    digest = hashlib.blake2b(mark.datagram, digest_size=8).hexdigest()
    return _keep(state_dir, f"{digest}-{mark.len}{ENDING}", mark.datagram)


def keep_slot(state_dir: str, mark: Mark, content: bytes) -> Path | None:
    """Saves what a dropped slot held.  None: the disk is full or read-only."""
    return _keep(state_dir, f"{mark.ref:08x}-{mark.generation}.slot", content)


def read_quarantine(state_dir: str) -> Quarantine:
    """The datagrams that are refused; of more than there is room for, the newest.  What is none of ours is left out."""
    quarantine = Quarantine()
    found = sorted((Path(state_dir) / "quarantine").glob(f"*{ENDING}"), key=lambda place: place.lstat().st_mtime)
    for place in found[-MOST:]:
        try:
            quarantine.add(read_file(place), int(place.stem.partition("-")[2]))
        except (OSError, ValueError, OverflowError) as error:
            log.warning(f"{place} is not refused: {reason(error)}")
    return quarantine
