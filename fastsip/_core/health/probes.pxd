# OPTIONS probes, sent by the shards.  See probes.pyx.

from libc.stdint cimport uint32_t, uint64_t
from fastsip._core.base.address cimport addr_t
from fastsip._core.sip.types cimport message_t
from fastsip._core.state.shard cimport shard_t

# Does what is due for one destination: a probe, its repetition, its time-out.  False when nothing is due.
cdef bint run_next_probe(shard_t *shard) noexcept nogil
# An operator asks: the destination of this line is probed at once.
cdef void probe_now(shard_t *shard, uint32_t cell) noexcept nogil
# Ms until something is due.
cdef int next_probe_ms(const shard_t *shard) noexcept nogil
# A probe sent to `to` that ICMP has come back for (`value` is its branch, `cell` the hint's).
cdef void fail_probe(shard_t *shard, uint32_t cell, uint64_t value, const addr_t *to) noexcept nogil
# True when the response is one to a probe of ours (`value` is its branch, `source` who sent it).
cdef bint take_probe_response(shard_t *shard, const message_t *m, uint64_t value, const addr_t *source) noexcept nogil
