# Random damage to SIP messages, for fuzzers.  See damage.pyx.

from libc.stdint cimport uint32_t, uint64_t

cdef enum:
    DAMAGE_ROOM = 70000     # bytes, somewhat more than a message may have

# A message being damaged.  `text` has DAMAGE_ROOM bytes; `other` is where pieces come from.
cdef struct damaged_t:
    uint64_t random         # never 0
    char *text
    uint32_t len
    const char *other
    uint32_t other_len

# The next number of the series.
cdef uint64_t next_random(uint64_t *random) noexcept nogil

# One to four kinds of damage.
cdef void damage(damaged_t *d) noexcept nogil
