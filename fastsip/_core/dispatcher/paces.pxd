# How calls come to a destination and how fast it answers, beside its cell.  See paces.pyx.

from libc.stdint cimport uint32_t, uint64_t
from fastsip._core.routing.types cimport call_limit_t

# One 64-byte line, at the index of the cell; of a set with a limit of its own, at the line that it has.
cdef struct pace_t:
    uint32_t destination_id  # whose line this is; 0 = nobody's yet
    uint32_t limited        # counter, wraps around: choices that passed it over for its limit
    uint64_t next_call_ns   # when the next call is due if all come evenly (ns of CLOCK_BOOTTIME)
    uint64_t latency        # decaying mean in us (32 bits) << 32 | low 32 bits of the ms of its last sample; 0 = none
    uint64_t downs          # how often it went down in close succession (8 bits) | ms when it did last << 8
    uint64_t limited_ms     # when that was last
    uint64_t reserve[3]

cdef object read_pace(const pace_t *pace, uint64_t now_ms)
cdef void begin_pace(pace_t *pace, uint32_t destination_id) noexcept nogil

# May a call go there now?  Takes nothing.
cdef bint has_turn(const pace_t *pace, const call_limit_t *limit, uint64_t now_ms) noexcept nogil
# Takes the turn of one call; False when another shard has taken the last one.
cdef bint take_turn(pace_t *pace, const call_limit_t *limit, uint64_t now_ms) noexcept nogil

# It was passed over for its limit.
cdef void note_limited(pace_t *pace, uint64_t now_ms) noexcept nogil

cdef void note_latency(pace_t *pace, uint64_t elapsed_ms, uint64_t now_ms) noexcept nogil
# us as they count now; 0 = not measured.
cdef uint32_t latency_us(const pace_t *pace, uint64_t now_ms) noexcept nogil

# It went down; window_ms 0 = nothing is damped.
cdef void note_down(pace_t *pace, uint32_t window_ms, uint64_t now_ms) noexcept nogil
# Successes in a row that bring it back, of one that is down.
cdef uint32_t damped_rise(const pace_t *pace, uint32_t rise, uint32_t window_ms, uint64_t now_ms) noexcept nogil
