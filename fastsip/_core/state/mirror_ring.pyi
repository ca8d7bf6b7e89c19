"""Types of the ring of what a shard saw; its layout, and who may believe what, stand in mirror_ring.pyx."""

import mmap
from os import PathLike
from typing import final

RING_BYTES: int
LONGEST_KEPT: int
KIND_RECEIVED: int
KIND_SENT: int

def layout() -> dict[str, tuple[str, int]]: ...
def read_ring_head(file: mmap.mmap) -> dict[str, int]: ...
def read_ring(file: mmap.mmap, position: int) -> tuple[int, bytes]: ...
@final
class MirrorRing:
    @property
    def shard(self) -> int: ...
    def __init__(self, path: str | PathLike[str], shard: int) -> None: ...
    def put(self, kind: int, when_ns: int, message: bytes) -> None: ...
