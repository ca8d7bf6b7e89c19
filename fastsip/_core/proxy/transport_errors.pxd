# What ICMP says of requests that we sent.  See transport_errors.pyx.

from libc.stdint cimport uint32_t
from fastsip._core.transport.udp cimport net_error_t
from fastsip._core.state.shard cimport shard_t

# The shard whose call the quoted datagram belongs to, or E_BAD when it is not one of ours.
cdef int shard_of_error(const shard_t *shard, const net_error_t *error) noexcept nogil
# Fails the branch or the probe that was quoted, if it is one that still waits for its first reply.
cdef void take_error(shard_t *shard, const net_error_t *error) noexcept nogil

# What flush_outbox could not send, by its owner (see outgoing_t).
cdef void message_failed(shard_t *shard, uint32_t ref, uint32_t generation, int owes, bint too_big) noexcept nogil
