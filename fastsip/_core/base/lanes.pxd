# From one shard to another: a ring, and larger ones that follow it.  See lanes.pyx.

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from fastsip._core.base.ring cimport ring_t

cdef enum:
    LARGEST_AREA = 4 << 20  # of a ring of a lane; a record fills half of it at the most

# What all lanes of a router may have beyond the rings that they begin with.
cdef struct allowance_t:
    uint64_t limit_bytes
    uint64_t used_bytes     # atomically

cdef struct lane_t:
    ring_t *writing         # the producer's: where the next record goes
    uint32_t base_bytes     # of the area that it begins with, and comes back to
    uint32_t reserve0
    allowance_t *allowance  # NULL = it never grows
    uint64_t reserve1[5]
    ring_t *reading         # the consumer's
    uint64_t grown_bytes    # beyond the ring that it begins with; atomically
    uint64_t reserve2[6]

# The producer's: room for a record of len bytes, or NULL; publish it with lane_pushed.
cdef uint8_t *lane_push(lane_t *lane, uint32_t len) noexcept nogil
cdef void lane_pushed(lane_t *lane, uint32_t len) noexcept nogil
# Has it grown so far that only what cannot wait should be added?
cdef bint is_crowded(const lane_t *lane) noexcept nogil
# Once in a while: goes back to a small ring when a large one is idle.
cdef void shrink_lane(lane_t *lane) noexcept nogil

# The consumer's: the oldest record and its length, or NULL; valid until lane_popped.
cdef uint8_t *lane_pop(lane_t *lane, uint32_t *len) noexcept nogil
cdef void lane_popped(lane_t *lane) noexcept nogil
cdef bint lane_is_empty(const lane_t *lane) noexcept nogil
# What lies there: bytes of records, as of a moment ago.
cdef uint64_t lane_bytes(const lane_t *lane) noexcept nogil

cdef class Allowance:
    cdef allowance_t *allowance

cdef class Lane:
    cdef lane_t *lane
    cdef readonly Allowance allowance
