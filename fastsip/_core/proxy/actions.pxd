# What is done with a new request: its route set or a rule says it.  See actions.pyx.

from fastsip._core.state.shard cimport shard_t
from fastsip._core.proxy.request cimport request_t

# By the route set (16.5), or by the first rule that matches; answered, forwarded, or left to wait for a name.
cdef void follow_route(shard_t *shard, request_t *request) noexcept nogil
cdef void follow_rules(shard_t *shard, request_t *request) noexcept nogil
