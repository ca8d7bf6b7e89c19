# The ring in which whoever looks finds what a shard saw of messages.  See mirror_ring.pyx.

cimport cython
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from fastsip._core.base.address cimport addr_t

cdef enum:
    MOST_KEPT = 0x10000     # bytes of a message: what is longer is cut, and its length says so

cdef enum sighting_kind:
    SEEN_RECEIVED = 1
    SEEN_SENT
    SEEN_NOTHING            # fills the end of the ring, where the next entry did not fit

# The first page of the file.  The writer never reads it.
cdef struct mirror_head_t:
    uint64_t magic
    uint16_t major
    uint16_t minor
    uint32_t shard
    uint64_t generation     # of this file and no other
    uint64_t ring_bytes
    uint64_t reserve[4]
    uint64_t claimed        # up to here it is, or is being, written: so what lies RING_BYTES before that is gone
    uint64_t written        # up to here it is whole
    uint64_t number         # of the next entry

# An entry, and behind it the bytes of the message.  Each begins at a multiple of ENTRY_ALIGN.
cdef struct sighting_t:
    uint64_t tag            # where it stands, counted from the first one on, xor the generation
    uint64_t number         # of the entry, from 0 on
    uint64_t when_ns        # unix time
    uint32_t room           # bytes from here to the next one
    uint32_t kept           # bytes of the message that are here
    uint32_t length         # as it was on the wire
    uint8_t kind            # sighting_kind
    uint8_t reserve[3]
    addr_t ours
    addr_t peer

# What the writer goes by, in memory of its own.
cdef struct mirror_ring_t:
    mirror_head_t *head
    char *entries           # RING_BYTES
    uint64_t position       # of the next entry
    uint64_t number
    uint64_t generation

# Writes it, with what of the message is kept, over the oldest entries; never waits.
cdef void put_sighting(mirror_ring_t *ring, sighting_kind kind, uint64_t when_ns, const addr_t *ours,
                       const addr_t *peer, const char *at, uint32_t len) noexcept nogil


@cython.final
cdef class MirrorRing:
    cdef mirror_ring_t ring
    cdef readonly uint32_t shard
    cdef void *mapping
