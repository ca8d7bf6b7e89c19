# What a shard shows of its messages, and to whom.  See mirror.pyx.

cimport cython
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from fastsip._core.base.address cimport addr_t
from fastsip._core.base.types cimport MAX_TOKEN
from fastsip._core.state.hep cimport Hep, hep_t
from fastsip._core.state.mirror_ring cimport MirrorRing, mirror_ring_t, sighting_kind

cdef enum:
    MOST_LOOKS = 8

# What is looked at: the union of all looks.  Written once, before any shard sees it.
cdef struct looks_t:
    uint64_t share          # of 2**32: calls whose sample is below
    uint32_t call_count
    uint32_t peer_count
    uint32_t call_lens[MOST_LOOKS]
    char calls[MOST_LOOKS][MAX_TOKEN]   # Call-IDs
    uint8_t peers[MOST_LOOKS][16]       # as addr_t has them

cdef struct mirror_t:
    looks_t looks
    mirror_ring_t *ring     # NULL = nobody looks
    hep_t *hep              # NULL = nothing goes to a collector

# Where a call lies among all calls, from 0 to 2**32 - 1: by its Call-ID alone, so each node says the same of each leg.
cdef uint32_t sample_of(const char *call_id, uint32_t len) noexcept nogil

# A message that was received or sent: to whoever looks at such, and to the collector.  max_head: as of parse_datagram.
cdef void show_message(const mirror_t *mirror, sighting_kind kind, const addr_t *ours, const addr_t *peer,
                       const char *at, uint32_t len, uint32_t max_head) noexcept nogil


@cython.final
cdef class View:
    cdef mirror_t mirror
    cdef MirrorRing ring
    cdef Hep hep

    cdef int add_share(self, share) except -1
    cdef int add_call(self, bytes call_id) except -1
    cdef int add_peer(self, address) except -1
