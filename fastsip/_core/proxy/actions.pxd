# What is done with a new request: its route set or a rule says it.  See actions.pyx.

from libc.stdint cimport uint32_t, uint64_t
from fastsip._core.base.address cimport origin_t
from fastsip._core.sip.types cimport message_t, uri_t
from fastsip._core.state.shard cimport shard_t
from fastsip._core.proxy.hop cimport hop_t
from fastsip._core.proxy.routes cimport route_t

# By the route set (16.5), or by the first rule that matches; answered, forwarded, or left to wait for a name.
cdef void follow_route(shard_t *shard, const message_t *m, uint64_t key, const route_t *route, const origin_t *origin,
                       hop_t *hop) noexcept nogil
cdef void follow_rules(shard_t *shard, const message_t *m, uint64_t key, const uri_t *ruri, const origin_t *origin,
                       hop_t *hop) noexcept nogil
