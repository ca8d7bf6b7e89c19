"""Types of a shard's positions and of the door to the choosing kernels; see chooser.pyx."""

from collections.abc import Iterable, Sequence

from fastsip._core.dispatcher.cells import Cells
from fastsip._core.routing.table import RoutingTable

EVENT_NAMES: tuple[str, ...]

class Positions:
    table: RoutingTable

    def __init__(self, table: RoutingTable, shard: int, previous: Positions | None = None) -> None: ...

class Chooser:
    table: RoutingTable
    cells: Cells
    positions: Positions

    def __init__(
        self, table: RoutingTable, cells: Cells, shard: int = 0, previous: Chooser | None = None
    ) -> None: ...
    def choose(
        self, set_index: int, key: int = 0, tried: Sequence[int] = (), now_ms: int = 0
    ) -> int | None: ...
    def choose_group(
        self, set_index: int, key: int = 0, tried: Sequence[int] = (), now_ms: int = 0, most: int = 16
    ) -> list[int]: ...
    def choose_many(self, set_index: int, keys: Iterable[int], now_ms: int = 0) -> list[int | None]: ...
    def is_usable(self, index: int, now_ms: int = 0) -> bool: ...
    def count_usable(self, set_index: int, now_ms: int = 0) -> int: ...
    def mark(self, index: int, outcome: str, code: int = 0, now_ms: int = 0) -> str: ...
