# What attempts and probes measure of destinations.  See measuring.pyx.

from libc.stdint cimport uint32_t, uint64_t
from fastsip._core.sip.types cimport message_t
from fastsip._core.store.slots cimport slot_t
from fastsip._core.state.shard cimport shard_t

# Of a branch: its request leaves for the first time; the search goes on to somebody else.
cdef void measure_attempt(shard_t *shard, const slot_t *branch) noexcept nogil
cdef void measure_failover(shard_t *shard, const slot_t *branch) noexcept nogil
# Before a branch commits what an input has made of it: a response of this status, or (0) none; the
# failure_reason that it stands for from now on; did a clock run out?
cdef void measure_input(shard_t *shard, const slot_t *branch, int status, int reason, bint expired) noexcept nogil
# A probe ended so (probe_end), this long after it was sent.
cdef void measure_probe(shard_t *shard, uint32_t cell, int end, uint64_t ms) noexcept nogil
# The failover_id of a failure.
cdef int failover_of(int reason, int status, const message_t *m) noexcept nogil
