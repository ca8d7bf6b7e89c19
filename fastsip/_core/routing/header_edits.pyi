"""Types of what makes header edits of a configuration; meanings stand in header_edits.pyx."""

from collections.abc import Iterable, Sequence

PROTECTED: frozenset[bytes]

Piece = tuple[int, bytes]
Plan = tuple[bytes, bool, int, tuple[Piece, ...]]  # name, prefix, letters of compact forms, pieces

def plan_name(text: bytes, what: str) -> tuple[bytes, bool, int]: ...
def plan_piece(piece: tuple[str, bytes]) -> Piece: ...
def plan_headers(
    *, remove: Iterable[bytes] = (), set: Iterable[tuple[bytes, Sequence[tuple[str, bytes]]]] = ()
) -> tuple[Plan, ...]: ...
