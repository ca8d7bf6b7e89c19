# The candidates of a search: who is tried next, and how far each may spread.  See targets.pyx.

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from fastsip._core.sip.types cimport message_t
from fastsip._core.store.records cimport policy_copy_t
from fastsip._core.routing.types cimport table_t
from fastsip._core.state.shard cimport core_t
from fastsip._core.proxy.hop cimport hop_t

# What is tried together.
cdef struct group_t:
    uint32_t count
    uint32_t destinations[16]   # indexes into the table; MAX_ATTEMPTS
    uint8_t breadth             # that its branches share

# Aims a hop (its cuts may be filled) at a destination of the table; `ruri` is a ruri_mode.
# OK, or E_FULL: there is no room for the Request-URI that it wants.
cdef int aim_at(core_t *core, uint32_t destination, int ruri, const message_t *m, const policy_copy_t *policy,
                hop_t *hop) noexcept nogil

# Max-Breadth of a request: 0..MAX_BREADTH, which stands for more, too, and for none; E_MAX_BREADTH.
cdef int read_breadth(const message_t *m) noexcept nogil

# The Max-Breadth of branch `number` of the group, made from this request; 0 = it says as much as that.
cdef uint8_t share_of(const group_t *group, uint32_t number, const message_t *m) noexcept nogil

# The next group for a search of this set and policy: of the set itself, then of the one that the policy
# names behind `then`, each up to its limit.  OK, or E_NONE when nothing is left.
cdef int choose_next(core_t *core, uint32_t set_id, const policy_copy_t *policy, uint64_t key, const uint32_t *tried,
                     uint32_t tried_count, uint8_t breadth, group_t *group) noexcept nogil

# Where choose_next would begin for a new call, for what is none: no turn, no trial call, no count.
cdef int peek_next(core_t *core, uint32_t set_id, const policy_copy_t *policy, uint64_t key,
                   group_t *group) noexcept nogil
