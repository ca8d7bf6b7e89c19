# The way in: one datagram, one step.  See requests.pyx.

from libc.stdint cimport uint32_t, uint64_t
from fastsip._core.base.address cimport origin_t
from fastsip._core.state.shard cimport shard_t

# Takes one datagram of a call that this shard owns.  `at` stays valid until the flush.
cdef void receive_message(shard_t *shard, const char *at, uint32_t len, const origin_t *origin) noexcept nogil
# The same of one that has come already, and has waited.
cdef void take_message(shard_t *shard, const char *at, uint32_t len, const origin_t *origin) noexcept nogil

# The request of a search that waits (parking), from the start, as if it came now; `paid_name` as in request_t.
cdef void route_again(shard_t *shard, uint32_t ref, uint64_t paid_name) noexcept nogil
