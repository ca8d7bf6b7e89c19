# How long things take, told apart by bounds that never change.  See buckets.pyx.

from libc.stdint cimport uint32_t, uint64_t
from fastsip._core.base.atomics cimport store_relaxed32, store_relaxed64
from fastsip._core.base.check cimport check

cdef enum:
    BUCKET_COUNT = 16

# A histogram: how many took how long, and the sum, which an average needs.  It has one writer.
cdef struct times_t:
    uint64_t sum_ms
    uint32_t counts[BUCKET_COUNT]


# The first bucket whose bound is not below: 1, 2 and 5 of each power of ten, and 1, 3 and 6 of ten seconds; the last
# has no bound.  Rounding up by tens changes no comparison with a bound that is a multiple of ten.
cdef inline int bucket_of(uint64_t ms) noexcept nogil:
    cdef int decade = 0
    while ms > 5 and decade < BUCKET_COUNT - 4:
        ms = (ms + 9) // 10
        decade += 3
    if decade < BUCKET_COUNT - 4:
        return decade + (ms > 1) + (ms > 2)
    return decade + (ms > 1) + (ms > 3) + (ms > 6)


cdef inline void add_time(times_t *times, uint64_t ms) noexcept nogil:
    cdef int bucket = bucket_of(ms)
    check(bucket < BUCKET_COUNT)
    store_relaxed64(&times.sum_ms, times.sum_ms + ms)
    store_relaxed32(&times.counts[bucket], times.counts[bucket] + 1)
