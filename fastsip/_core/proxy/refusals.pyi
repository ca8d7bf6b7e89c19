"""What a parser's code is answered with, for documents that list it; meanings stand in refusals.pyx."""

MEANINGS: dict[int, tuple[int, bytes]]
