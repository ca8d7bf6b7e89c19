# The clocks of a branch.  See clocks.pyx.

from fastsip._core.store.slots cimport record_t, slot_t
from fastsip._core.state.shard cimport core_t
from fastsip._core.transaction.machines cimport step_t

# Sets the clocks in a copy of the branch's record, which is to be committed with this step; `state` is the one
# before it, `status` that of the response, 0 = there is none.
cdef void set_clocks(core_t *core, const slot_t *branch, const slot_t *server, int state, step_t step, int status,
                     record_t *record) noexcept nogil

# Which clock has run out: the failure_reason, or 0 for Timer C, and for Timer F after a 1xx.
cdef int expiry_reason(core_t *core, int kind, int state, const record_t *record) noexcept nogil
