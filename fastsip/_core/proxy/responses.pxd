# Responses: to their branch, or on without state.  See responses.pyx.

from libc.stdint cimport uint32_t
from fastsip._core.base.address cimport addr_t
from fastsip._core.sip.types cimport message_t
from fastsip._core.state.shard cimport shard_t

cdef void process_response(shard_t *shard, const message_t *m, uint32_t listener, const addr_t *source) noexcept nogil
