# cython: boundscheck=True, wraparound=True
"""The bounds of histograms: the same for all that is timed, so that one can be laid over another.

They go by 1, 2, 5 up to ten seconds, where calls are set up, and reach to a minute, after which nobody waits any more.
Counting is two stores without a lock, by the one thread whose line it is.
"""

BOUNDS_MS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 30_000, 60_000)

assert len(BOUNDS_MS) + 1 == BUCKET_COUNT   # the last has no bound


def bucket_index(uint64_t ms) -> int:
    """Which of the buckets a time is counted in: the first that does not end below it."""
    return bucket_of(ms)
