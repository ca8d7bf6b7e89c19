# Requests that are sent on without a transaction (16.11).  See stateless.pyx.

from fastsip._core.state.shard cimport shard_t
from fastsip._core.proxy.request cimport request_t

# An ACK or CANCEL without a transaction, now or when the name of its next hop is known; False: it has no way.
cdef bint send_on(shard_t *shard, request_t *request) noexcept nogil
