"""Types of what tests ask of the slots; meanings stand in slots.pyx."""

CRASH_STATUS: int

def die_at_store(k: int) -> None: ...
