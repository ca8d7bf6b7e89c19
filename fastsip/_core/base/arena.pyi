"""Types of arenas, which Python only holds; meanings stand in arena.pyx."""

from typing import final

@final
class Arena:
    @property
    def total_bytes(self) -> int: ...
