"""Types of what a shard shows; who sees what stands in mirror.pyx."""

from collections.abc import Sequence
from typing import final

from fastsip._core.state.hep import Hep
from fastsip._core.state.mirror_ring import MirrorRing

MOST_AT_ONCE: int
LONGEST_CALL_ID: int

def place_in_sample(call_id: bytes) -> float: ...
def packed_address(text: str) -> bytes: ...
@final
class View:
    def __init__(
        self, looks: Sequence[tuple[str, float | bytes | str]], ring: MirrorRing | None, hep: Hep | None = None
    ) -> None: ...
    def show(self, received: bool, peer: tuple[str, int], message: bytes) -> None: ...
