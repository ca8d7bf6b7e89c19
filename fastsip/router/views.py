"""What each shard shows of its messages, put together: the rings of those who look, and what goes to a collector.

For one thread at a time, that of reloads: a shard is given another view as it is given another table.
"""

import socket
from collections.abc import Sequence
from pathlib import Path

from fastsip._core.base.files import make_folder
from fastsip._core.state.hep import Hep
from fastsip._core.state.mirror import View
from fastsip._core.state.mirror_ring import MirrorRing
from fastsip.base.run_dir import MIRROR, mirror_file
from fastsip.config import Hep as Collecting
from fastsip.process.messages import Looked
from fastsip.process.rings import clear_rings
from fastsip.router.shards import Shards

SEND_BUFFER_BYTES = 4 << 20     # of the socket of each shard, as far as the kernel grants it: bursts are lost elsewhere


def words_of(looked: Looked) -> tuple[str, float | bytes | str]:
    """As View wants it."""
    if looked.call_id:
        return "call", looked.call_id.encode()
    return ("peer", looked.peer) if looked.peer else ("share", looked.share)


def connected(host: str, port: int) -> socket.socket:
    """A socket of UDP that never waits; OSError: there is no way there."""
    made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    try:
        made.setblocking(False)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        made.connect((host, port))
    except BaseException:
        made.close()
        raise
    return made


class Views:
    """Of all shards of a router."""

    def __init__(self, run_dir: str, shards: Shards):
        self.run_dir, self.folder, self.shards = run_dir, Path(run_dir) / MIRROR, shards
        self.looks: list[tuple[str, float | bytes | str]] = []
        self.rings: Sequence[MirrorRing | None] = [None] * len(shards)
        self.heps: Sequence[Hep | None] = [None] * len(shards)

    def look_at(self, looks: Sequence[Looked]) -> None:
        """These and no others, from the next round of each shard on.  OSError: no room, nothing has changed."""
        words = [words_of(looked) for looked in looks]
        rings = self.rings
        if not words:
            rings = [None] * len(self.shards)
        elif rings[0] is None:
            rings = self.made()
        try:
            self.show(words, rings, self.heps)
        finally:
            if self.rings[0] is None:
                self.clear()

    def send_to(self, collecting: Collecting | None, host: str = "") -> None:
        """What the collector gets from now on, at this numeric address; OSError: there is no way there, and nothing has
        changed.
        """
        heps: list[Hep | None] = [None] * len(self.shards)
        if collecting:
            node, key = collecting.node.encode(), collecting.key.encode()
            heps = [Hep(connected(host, collecting.port), collecting.sample, collecting.agent, node, key) for _ in heps]
        self.show(self.looks, self.rings, heps)

    def show(self, looks: list[tuple[str, float | bytes | str]], rings: Sequence[MirrorRing | None],
             heps: Sequence[Hep | None]) -> None:
        self.shards.show([View(looks, ring, hep) if ring or hep else None
                          for ring, hep in zip(rings, heps, strict=True)])
        self.looks, self.rings, self.heps = looks, rings, heps

    def made(self) -> list[MirrorRing]:
        make_folder(self.folder)
        try:
            return [MirrorRing(str(mirror_file(self.run_dir, shard)), shard) for shard in range(len(self.shards))]
        except BaseException:
            self.clear()
            raise

    def clear(self) -> None:
        """No ring has a name any more, as far as that can be."""
        clear_rings(self.run_dir)
