# Questions about names to the control plane.  See questions.pyx.

from fastsip._core.base.types cimport text_t
from fastsip._core.base.address cimport addr_t
from fastsip._core.state.memory cimport waiting_t
from fastsip._core.state.shard cimport shard_t

# Asks the control plane for a name's addresses, if that was not done a moment ago.  A question for which
# the ring of events has no room is kept.
cdef bint ask_name(shard_t *shard, const text_t *name, const addr_t *source) noexcept nogil

# Is there such a question; and asks all of them again.
cdef bint has_lost(const waiting_t *waiting) noexcept nogil
cdef void ask_lost(shard_t *shard) noexcept nogil
