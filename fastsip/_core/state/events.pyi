"""Types of what the shards report; meanings and units stand in events.pyx."""

from typing import NamedTuple

from fastsip._core.base.ring import Ring

class Event(NamedTuple):
    kind: str
    destination_id: int
    reason: str
    status: int
    at_ms: int
    after_ms: int
    call_id: str
    name: str
    cause: str

def cause_name(cause: int) -> str: ...
def take_events(ring: Ring, most: int = 1000) -> list[Event]: ...
