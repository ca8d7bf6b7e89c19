# The clocks of a branch.  See clocks.pyx.

from libc.stdint cimport uint32_t, uint64_t
from fastsip._core.base.address cimport addr_t, is_reliable
from fastsip._core.store.records cimport record_t
from fastsip._core.store.slots cimport slot_t
from fastsip._core.state.shard cimport shard_t
from fastsip._core.transaction.machines cimport step_t

# Until when repetitions of a request from there are to be absorbed that has its final response (Timer J), or its ACK
# (Timer I, with T4 for `wait_ms`), and those of a final response from there (Timer D): at once where none can come.
cdef inline uint64_t absorb_until(const shard_t *shard, const addr_t *from_there, uint64_t wait_ms) noexcept nogil:
    return shard.now_ms if is_reliable(from_there) else shard.now_ms + wait_ms

# Sets the clocks of a branch to `to` that begins, in the record that it is committed with; timeout_ms 0 = Timer B or F.
cdef void first_clocks(shard_t *shard, const addr_t *to, uint32_t timeout_ms, record_t *record) noexcept nogil

# Sets the clocks in a copy of the branch's record, which is to be committed with this step; `state` is the one
# before it, `status` that of the response, 0 = there is none.
cdef void set_clocks(shard_t *shard, const slot_t *branch, const slot_t *server, int state, step_t step, int status,
                     record_t *record) noexcept nogil

# Which clock has run out: the failure_reason, or 0 for Timer C, and for Timer F after a 1xx.
cdef int expiry_reason(shard_t *shard, int kind, int state, const record_t *record) noexcept nogil

# Of two deadlines, and of all that a record has; 0 = none.
cdef uint64_t earlier(uint64_t a, uint64_t b) noexcept nogil
cdef uint64_t deadline_of(int kind, const record_t *record) noexcept nogil

# Sets the slot's timer to the earliest of its record's deadlines.
cdef void arm_slot(shard_t *shard, uint32_t ref, int kind, const record_t *record) noexcept nogil
