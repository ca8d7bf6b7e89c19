"""Types of the dispatcher's cells; meanings and units stand in cells.pyx."""

from os import PathLike
from typing import NamedTuple, overload

HEALTH_NAMES: tuple[str, ...]
ADMIN_NAMES: tuple[str, ...]

class CellsError(Exception): ...

class Cell(NamedTuple):
    destination_id: int
    health: int
    streak: int
    since_ms: int
    admin: int
    retry_after_ms: int
    load: int
    chosen: int
    failed: int
    probes_sent: int
    probes_failed: int
    rtt_us: int
    trial_ms: int
    last_code: int

class Cells:
    count: int
    path: str
    notes: list[str]

    @overload
    def __init__(self, count: int, /) -> None: ...
    @overload
    def __init__(self, path: str | PathLike[str], count: int, /) -> None: ...
    def __len__(self) -> int: ...
    @property
    def assigned(self) -> dict[int, int]: ...
    def assign(self, destination_id: int) -> int: ...
    def release(self, destination_id: int) -> None: ...
    def read(self, index: int) -> Cell: ...
    def set_admin(self, index: int, value: int) -> None: ...
    def set_retry_after(self, index: int, until_ms: int) -> None: ...
    def add_load(self, index: int, calls: int) -> int: ...
    def load(self, index: int) -> int: ...
    def owner(self, index: int) -> int: ...
