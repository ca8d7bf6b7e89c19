# What calls say of destinations.  See calls.pyx.

from libc.stdint cimport uint32_t
from fastsip._core.sip.types cimport message_t
from fastsip._core.store.slots cimport slot_t
from fastsip._core.state.shard cimport shard_t

# The branch was answered with a final response that is no failure.
cdef void note_success(shard_t *shard, const slot_t *branch, uint32_t status) noexcept nogil
# The branch's first response came, or (status 0) none in time.
cdef void note_first_reply(shard_t *shard, const slot_t *branch, uint32_t status) noexcept nogil
# The branch failed by a failure_reason, or (reason 0) by the response `m` with this status.
cdef void note_failure(shard_t *shard, uint32_t parent, const slot_t *branch, int reason, int status,
                       const message_t *m) noexcept nogil
