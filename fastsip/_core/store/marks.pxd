# What a shard has in its hands, for whoever finds it dead.  See marks.pyx.

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy
from fastsip._core.base.atomics cimport store_release32, store_release64

cdef enum:
    MARK_BYTES = 4096
    MARK_ROOM = 4032        # bytes of a datagram that are kept and hashed
    MOST_QUARANTINED = 64

cdef enum mark_kind:
    MARK_NOTHING = 0
    MARK_DATAGRAM = 1
    MARK_SLOT = 2

# One page of run_dir/marks.
cdef struct mark_t:
    uint64_t beats          # heartbeat: at least one a second, and after each bit of work
    uint32_t kind
    uint32_t len            # of the datagram, which may be longer than what is kept
    uint32_t ref            # of the slot, in this life
    uint32_t generation
    uint8_t reserve[40]
    char datagram[MARK_ROOM]

cdef struct quarantined_t:
    uint64_t hash
    uint32_t len
    uint32_t is_fatal       # tests: the process dies of it

# Datagrams that are refused before they are parsed.
cdef struct quarantine_t:
    uint64_t key[2]
    uint32_t count
    quarantined_t items[MOST_QUARANTINED]

cdef inline void mark_datagram(mark_t *mark, const char *at, uint32_t len) noexcept nogil:
    mark.len = len
    memcpy(mark.datagram, at, len if len < MARK_ROOM else MARK_ROOM)
    store_release32(&mark.kind, MARK_DATAGRAM)

cdef inline void mark_slot(mark_t *mark, uint32_t ref, uint32_t generation) noexcept nogil:
    mark.ref = ref
    mark.generation = generation
    store_release32(&mark.kind, MARK_SLOT)

cdef inline void beat(mark_t *mark) noexcept nogil:
    store_release64(&mark.beats, mark.beats + 1)

cdef inline void mark_nothing(mark_t *mark) noexcept nogil:
    store_release32(&mark.kind, MARK_NOTHING)

# Only worth the call when quarantine.count is not 0.
cdef bint is_quarantined(const quarantine_t *quarantine, const char *at, uint32_t len) noexcept nogil

cdef class Quarantine:
    cdef quarantine_t *quarantine
