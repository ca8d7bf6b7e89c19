# Responses: to their branch, or on without state.  See responses.pyx.

from libc.stdint cimport uint32_t
from fastsip._core.base.address cimport origin_t
from fastsip._core.sip.types cimport message_t
from fastsip._core.state.shard cimport shard_t

cdef void process_response(shard_t *shard, const message_t *m, const origin_t *origin) noexcept nogil
