# Places that did not answer, which are tried after all others.  See resting.pyx.

from libc.stdint cimport uint32_t, uint64_t
from fastsip._core.base.address cimport addr_t

cdef enum:
    RESTING_PLACES = 4096
    RESTING_WAYS = 8            # places of one row
    MOST_OF_SOURCE = 2          # of a row: who makes places rest has a quarter of the table at most
    SILENCES = 2                # in a row, until a place rests
    FIRST_REST_MS = 30000       # doubled each time, up to
    LONGEST_REST_MS = 300000
    LONGEST_BUSY_MS = 60000     # whatever a Retry-After says
    FORGET_MS = 300000          # after its rest: what was is no news any more

# One address and port.  Several shards write it, each field by itself.
cdef struct place_t:
    uint64_t hash               # of the place, 0 = free
    uint64_t source             # who sent the request by which it came here
    uint64_t until_ms           # it rests until then: it could not be reached
    uint64_t quiet_ms           # the same for what belongs to no call: it said nothing
    uint64_t busy_ms            # it takes nothing new until then
    uint64_t gone_ms            # from then on it is free
    uint32_t silences           # in a row
    uint32_t rests              # so far, since it answered last

cdef struct resting_t:
    uint64_t key                # of the hash: who sends names the places
    uint64_t last_ms            # nothing rests from then on
    place_t places[RESTING_PLACES]

# Address and port as a number by this key, and nothing else of the address.
cdef uint64_t place_hash(const addr_t *addr, uint64_t key) noexcept nogil

# inside: for a request of a dialog, an ACK or a CANCEL, to which it matters not whether it is busy, or was silent.
cdef bint is_resting(const resting_t *resting, const addr_t *addr, bint inside, uint64_t now_ms) noexcept nogil

# It could not be reached (`refused`), or said nothing.  True: it rests, and did not before.
cdef bint note_failed(resting_t *resting, const addr_t *addr, uint64_t source, bint refused,
                      uint64_t now_ms) noexcept nogil

# It said that it is busy for so many seconds.  True: as above.
cdef bint note_busy(resting_t *resting, const addr_t *addr, uint64_t source, uint64_t seconds,
                    uint64_t now_ms) noexcept nogil

# It answered.  How long it is busy stays as it said: what belongs to its calls it answers all the same.
cdef void note_alive(resting_t *resting, const addr_t *addr, uint64_t now_ms) noexcept nogil
