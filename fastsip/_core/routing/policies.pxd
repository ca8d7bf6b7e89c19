# What a failure policy says about one failure.  See policies.pyx.

from fastsip._core.store.records cimport policy_copy_t

# Does `on` contain it?  `reason` is a failure_reason bit, or 0 with a status code.
cdef bint policy_wants(const policy_copy_t *p, int reason, int code) noexcept nogil

# The mark_id that it earns the destination.  A code that neither `on` nor
# `mark` names earns none: a 486 says nothing against the one that sent it.
cdef int policy_mark(const policy_copy_t *p, int reason, int code) noexcept nogil
