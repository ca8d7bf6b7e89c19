# Each source has its share of questions and of waiting requests.  See quota.pyx.

from libc.stdint cimport uint64_t
from fastsip._core.base.address cimport addr_t
from fastsip._core.state.shard cimport shard_t

# A number for the source, whatever its port: 0 for none.
cdef uint64_t source_key(const shard_t *shard, const addr_t *source) noexcept nogil

# May this source have another question asked?  Then that is counted.
cdef bint take_turn(shard_t *shard, const addr_t *source) noexcept nogil

# Has this source its share of those that wait, in times when there are many?
cdef bint is_greedy(const shard_t *shard, const addr_t *source) noexcept nogil
cdef bint holds_much(const shard_t *shard, const addr_t *source) noexcept nogil
