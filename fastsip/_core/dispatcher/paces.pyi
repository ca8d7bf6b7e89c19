"""Types of what stands beside the cells; meanings and units stand in paces.pyx."""

from typing import NamedTuple

from fastsip._core.dispatcher.lines import Lines

class Pace(NamedTuple):
    limited: int
    latency_us: int
    downs: int
    last_down_ms: int

def open_paces(path: str, count: int) -> Lines: ...
def read_paces(content: bytes, now_ms: int) -> dict[int, Pace]: ...
