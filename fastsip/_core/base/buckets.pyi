"""Types of the bounds of histograms; meanings stand in buckets.pyx."""

BOUNDS_MS: tuple[int, ...]

def bucket_index(ms: int) -> int: ...
