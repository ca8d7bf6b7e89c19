# Messages on their way to a collector, as HEP3.  See hep.pyx.

cimport cython
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp
from fastsip._core.base.address cimport addr_t
from fastsip._core.transport.net_sys cimport iovec, mmsghdr

cdef enum:
    HEP_BATCH = 64          # datagrams that wait for the end of a round; more are sent before
    HEP_ARENA = 0x40000     # bytes that they lie in
    MOST_HEP = 65487        # of one datagram: what UDP over IPv6 carries; of a longer message the beginning goes
    MOST_HEP_TEXT = 255     # bytes of a node's name, of a key

# A datagram that waits.
cdef struct waiting_hep_t:
    char *at
    uint32_t len
    uint32_t size_class     # 0 = goes by itself; others: of how many CLASS_BYTES it would be

# A cmsghdr of Linux, and what UDP_SEGMENT wants behind it.
cdef struct segment_size_t:
    size_t len
    int level
    int kind
    uint16_t size
    uint16_t reserve[3]

# One shard's, which alone touches it; a View leads there.
cdef struct hep_t:
    int fd                  # connected; owned by Hep
    uint32_t count          # datagrams that wait
    uint32_t used           # bytes of the arena
    uint32_t key_len
    uint64_t share          # of 2**32: calls whose sample is below go
    uint64_t sent           # since they were last counted
    uint64_t lost
    uint32_t node_len
    uint32_t agent
    bint cuts               # the kernel cuts many datagrams of one size out of one, as far as is known
    char key[MOST_HEP_TEXT + 6]     # chunks
    char node[MOST_HEP_TEXT + 6]
    waiting_hep_t waiting[HEP_BATCH]
    iovec parts[HEP_BATCH]  # in the order in which they are sent
    mmsghdr headers[HEP_BATCH]
    segment_size_t sizes[HEP_BATCH]     # [header]
    char arena[HEP_ARENA]

# Is it a datagram of HEP3 itself?  It says so, and how long it is; no message of SIP does.
cdef inline bint is_hep(const char *at, uint32_t len) noexcept nogil:
    return (len >= 6 and memcmp(at, b"HEP3", 4) == 0
            and (<uint32_t><uint8_t>at[4] << 8 | <uint8_t>at[5]) == len)

# Queues a message of a call of the sample; copied, so `at` may change.  call_id: NULL for one that has none.
cdef void queue_hep(hep_t *hep, const addr_t *source, const addr_t *target, uint64_t when_ns, const char *call_id,
                    uint32_t call_id_len, const char *at, uint32_t len) noexcept nogil
# Sends what is queued; never waits, and what the kernel does not take is lost.
cdef void send_hep(hep_t *hep) noexcept nogil


@cython.final
cdef class Hep:
    cdef hep_t *hep
    cdef object socket
