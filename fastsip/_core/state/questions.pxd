# Questions about names to the control plane.  See questions.pyx.

from fastsip._core.base.types cimport text_t
from fastsip._core.base.address cimport addr_t
from fastsip._core.state.shard cimport shard_t

cdef enum question:
    NOT_ASKED = 0           # `source` has had too many asked
    ASKED = 1               # now, or a moment ago: an answer takes a while
    UNHEARD = 2             # it found no room: ask again

# Asks the control plane for the targets of a name, by what is asked of it (name_kind).  `source` pays for it; NULL = it
# is paid for, or asked again for all who use a known name.
cdef int ask_name(shard_t *shard, const text_t *name, int kind, const addr_t *source) noexcept nogil
