"""Types of the slots' layout and of the machines' words; meanings stand in inspect.pyx."""

KINDS: dict[int, str]
SERVER_KINDS: tuple[int, ...]
CLIENT_STATES: dict[int, str]
SERVER_STATES: dict[int, str]
SERVER_FLAGS: dict[int, str]
CLIENT_FLAGS: dict[int, str]
CLIENT_EVENTS: dict[int, str]
SERVER_EVENTS: dict[int, str]
ACTIONS: dict[int, str]
SLOTS_OFFSET: int
REFERENCE_BITS: int
NO_REFERENCE: int

def slot_fields() -> dict[str, tuple[str, int]]: ...
