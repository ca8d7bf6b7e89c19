# What each shard has measured of each destination, in a file of its own beside the cells (docs/core.md#measures).  See
# measures.pyx.

cimport cython
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from fastsip._core.base.atomics cimport store_relaxed64
from fastsip._core.base.buckets cimport times_t

# How an attempt was answered: the statuses that RFC 6076 tells apart, and a class for all others of it.
cdef enum answer_id:
    ANSWER_2XX = 0
    ANSWER_3XX
    ANSWER_CHALLENGE        # 401, 402, 407
    ANSWER_408
    ANSWER_480
    ANSWER_486
    ANSWER_487
    ANSWER_4XX
    ANSWER_500
    ANSWER_503
    ANSWER_504
    ANSWER_5XX
    ANSWER_600
    ANSWER_603
    ANSWER_6XX
    ANSWER_COUNT

# Why an attempt ended without an answer.
cdef enum silence_id:
    SILENT_TIMEOUT = 0      # nobody answered within Timer B, or the policy's timeout
    SILENT_PROGRESS
    SILENT_RING
    SILENT_TRANSPORT
    SILENT_CANCELLED        # a CANCEL of ours brought no final response
    SILENCE_COUNT

cdef enum probe_end:
    PROBE_ALIVE = 0
    PROBE_REFUSED           # an answer that `accept` does not name
    PROBE_SILENT
    PROBE_UNREACHABLE       # ICMP said so
    PROBE_END_COUNT

# Seven cache lines for each destination and shard.  Attempts are INVITEs that begin calls; numbers only grow.
cdef struct measure_t:
    uint32_t destination_id  # 0 = nobody's yet; written by the control plane only
    uint32_t reserve0
    uint64_t attempts
    uint64_t failovers      # searches that went on to somebody else
    uint64_t answers[ANSWER_COUNT]
    uint64_t silences[SILENCE_COUNT]
    uint64_t probes[PROBE_END_COUNT]
    times_t reply           # until the first response from 101 to 299
    times_t answer          # until the 2xx
    times_t probe           # until a probe was answered, by whatever
    uint32_t reserve1[4]

cdef uint8_t ANSWERS[700]       # [status] answer_id, from 200 on

# The line's shard alone writes it; whoever reads sees each number whole.
cdef inline void add_one(uint64_t *number) noexcept nogil:
    store_relaxed64(number, number[0] + 1)

@cython.final
cdef class Measures:
    cdef measure_t *measures    # [shards][lines]
    cdef readonly uint32_t lines
    cdef readonly uint32_t shards
    cdef readonly str path      # "" = anonymous
    cdef readonly list notes
    cdef void *mapping
    cdef size_t mapping_bytes

    cdef int attach(self, int fd) except -1
    cdef measure_t *of_shard(self, uint32_t shard) noexcept
