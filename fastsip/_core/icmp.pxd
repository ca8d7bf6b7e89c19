# What ICMP says of requests that we sent.  See icmp.pyx.

from libc.stdint cimport uint32_t
from fastsip._core.core cimport core_t
from fastsip._core.net cimport net_error_t

# The shard whose call the quoted datagram belongs to, or E_BAD when it is not one of ours.
cdef int shard_of_error(const core_t *core, const net_error_t *error) noexcept nogil
# Fails the branch or the probe that was quoted, if it is one that still waits for its first reply.
cdef void take_error(core_t *core, const net_error_t *error) noexcept nogil
