"""Types of the vocabulary; meanings stand in words.pyx."""

HEADER_IDS: dict[bytes, int]
COMPACT_FORMS: dict[bytes, bytes]
METHOD_IDS: dict[bytes, int]
METHOD_NAMES: tuple[str, ...]
PHRASES: dict[int, bytes]
