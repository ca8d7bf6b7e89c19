"""Types of the marks and of the quarantine; meanings stand in marks.pyx."""

import struct

HEAD: struct.Struct
KINDS: dict[int, str]
PAGE_BYTES: int
ROOM_BYTES: int
MOST: int

class Quarantine:
    def __len__(self) -> int: ...
    def add(self, datagram: bytes, len: int, is_fatal: bool = False) -> None: ...
