"""What shards see of messages, read out of the rings in run_dir that a router keeps while somebody looks.

Who looks says so over control.sock (api/looking), again and again; the rings hold the union of what is looked at, so
each reader takes out what is his.  A router that took over has other files: they are found here, and what the one
before wrote last is read first.

Never: write into a ring, or believe one; it may be damaged, or change while it is read.
"""

import mmap
import os
import socket
import struct
from pathlib import Path
from typing import NamedTuple

from fastsip._core.base.files import look_into
from fastsip._core.state.mirror_ring import KIND_RECEIVED, KIND_SENT, layout, read_ring, read_ring_head
from fastsip.base.run_dir import MIRROR

MOST_AT_ONCE = 10_000   # messages of one answer

_LAYOUT = layout()
_HEAD_BYTES, _ALIGN = _LAYOUT["bytes"][1], _LAYOUT["align"][1]
_SHORTEST = 48          # of what fills the end of a ring there is no more than this part of a head
_TRANSPORTS = ("", "udp", "tcp", "tls", "ws", "wss", "sctp")    # by transport_id


class Damaged(Exception):
    """A ring that cannot be read; the text says which."""


class Seen(NamedTuple):
    """One message as a shard saw it."""

    when: float     # unix seconds
    received: bool  # else sent
    ours: tuple[str, int]   # our listener's address
    peer: tuple[str, int]
    transport: str  # "udp"
    shard: int
    message: bytes  # whole, or the first 64 KiB of it
    length: int     # as it was on the wire


def _at(name: str, content: bytes, off: int) -> tuple:
    form, place = _LAYOUT[name]
    return struct.unpack_from(f"={form}", content, off + place)


def _address(packed: tuple) -> tuple[str, int]:
    """Of an addr_t; anything else than IPv4 is written as IPv6."""
    ip, port, family, _, scope = packed
    if family == 4:
        return socket.inet_ntop(socket.AF_INET, ip[12:]), port
    host = socket.inet_ntop(socket.AF_INET6, ip)
    return (f"{host}%{scope}" if scope else host), port


class _Ring:
    """One file; `number` is that of the entry that comes next, `position` where it stands."""

    def __init__(self, path: Path, fd: int, from_now: bool):
        self.path = path
        self.inode = os.fstat(fd).st_ino    # nobody else has that number as long as this is mapped
        self.lost = 0
        size = os.fstat(fd).st_size
        self.file = mmap.mmap(fd, size, prot=mmap.PROT_READ) if size else None
        head = read_ring_head(self.file) if self.file else {}
        if not head:
            self.close()
            raise Damaged(f"{path} is damaged, or of another version")
        self.shard, self.generation = head["shard"], head["generation"]
        self.position, self.number = (head["written"], head["number"]) if from_now else (0, 0)

    def close(self) -> None:
        if self.file:
            self.file.close()
            self.file = None

    def read(self, most: int) -> list[Seen]:
        """The next ones, at most so many; those that were overwritten before are counted in `lost`."""
        if not self.file or most <= 0:
            return []
        start, content = read_ring(self.file, self.position)
        found: list[Seen] = []
        off = 0
        while off + _SHORTEST <= len(content) and len(found) < most:
            off += self._take(content, off, start + off, found)
        self.position = start + off
        return found

    def _take(self, content: bytes, off: int, position: int, found: list[Seen]) -> int:
        """Adds what stands at `off`, and says how far the next entry is: the next place when none stands there."""
        (tag,), (room,), (kept,) = (_at(name, content, off) for name in ("tag", "room", "kept"))
        if tag != position ^ self.generation or room % _ALIGN or not 0 < room <= len(content) - off:
            return _ALIGN
        (kind,), (number,) = _at("kind", content, off), _at("number", content, off)
        if kind not in (KIND_RECEIVED, KIND_SENT):
            return room
        if kept > room - _HEAD_BYTES:
            return _ALIGN
        self.lost += max(number - self.number, 0)
        self.number = number + 1
        ours, peer = _at("ours", content, off), _at("peer", content, off)
        message = content[off + _HEAD_BYTES : off + _HEAD_BYTES + kept]
        transport = _TRANSPORTS[peer[3]] if peer[3] < len(_TRANSPORTS) else ""
        found.append(Seen(_at("when_ns", content, off)[0] / 1e9, kind == KIND_RECEIVED, _address(ours), _address(peer),
                          transport, self.shard, message, _at("length", content, off)[0]))
        return room


class Mirror:
    """Mirror(run_dir): what comes from now on.  It need not be there yet: a ring that comes is read from its start.

    Damaged: a ring cannot be read.  OSError: run_dir's rings may not be opened.
    """

    def __init__(self, run_dir: str | os.PathLike[str]):
        self.folder = Path(run_dir) / MIRROR
        self._rings: dict[Path, _Ring] = {}
        self._lost = 0      # of rings that are closed
        self._open(from_now=True)

    @property
    def lost(self) -> int:
        """Messages that were overwritten before they were read."""
        return self._lost + sum(ring.lost for ring in self._rings.values())

    def read(self) -> list[Seen]:
        """What came since the last time, at most MOST_AT_ONCE, in order of time over all shards; [] when nothing did.

        Of what does not fit each shard has its share in the next answer, which may reach back behind this one's end.
        """
        share = MOST_AT_ONCE // max(len(self._rings), 1)
        found = [one for ring in self._rings.values() for one in ring.read(share)]
        if not found:       # files of another router are looked for when those of the one before are read
            found = [one for ring in self._open() for one in ring.read(share)]
        return sorted(found, key=lambda seen: seen.when)

    def close(self) -> None:
        for path in list(self._rings):
            self._drop(path)

    def _drop(self, path: Path) -> None:
        ring = self._rings.pop(path)
        self._lost += ring.lost
        ring.close()

    def _open(self, from_now: bool = False) -> list[_Ring]:
        """Maps what is there and not mapped yet, and lets go of what is not there any more."""
        try:
            paths = sorted(self.folder.glob("*.ring"))
        except FileNotFoundError:
            paths = []
        for path in [path for path in self._rings if path not in paths]:
            self._drop(path)
        return [ring for path in paths if (ring := self._opened(path, from_now))]

    def _opened(self, path: Path, from_now: bool) -> _Ring | None:
        """The ring of this name, if it is another one than before."""
        try:
            fd = look_into(path)
        except FileNotFoundError:   # it has ended just now
            return None
        try:
            if path in self._rings:
                if self._rings[path].inode == os.fstat(fd).st_ino:
                    return None
                self._drop(path)
            ring = self._rings[path] = _Ring(path, fd, from_now)
            return ring
        finally:
            os.close(fd)
