# Requests of dialogs: who may send them, and who stands in for whom.  See in_dialog.pyx.

from libc.stdint cimport uint32_t, uint64_t
from fastsip._core.base.address cimport origin_t
from fastsip._core.sip.types cimport message_t
from fastsip._core.store.records cimport policy_copy_t
from fastsip._core.store.slots cimport slot_t
from fastsip._core.state.shard cimport shard_t
from fastsip._core.proxy.hop cimport hop_t
from fastsip._core.proxy.routes cimport route_t

# May a request of a dialog go on along this route?  Counts a forged token.
cdef bint may_follow_route(shard_t *shard, const message_t *m, const route_t *route,
                           const origin_t *origin) noexcept nogil

# Aims a hop without state: the route set, our token, who answered, or who stands in; below zero: nowhere.
cdef int aim_in_dialog(shard_t *shard, const message_t *m, const route_t *route, const origin_t *origin,
                       hop_t *hop) noexcept nogil

# The hop leads to a destination of a shared set: its id, what is hashed for the ranking, and the
# policy that requests of dialogs fail over by.  0: it does not, nothing is changed.
cdef uint32_t join_shared(shard_t *shard, const message_t *m, const route_t *route, hop_t *hop, policy_copy_t *policy,
                          uint64_t *call_key) noexcept nogil

# Who is tried next in such a search, as index, or E_NONE; and the hop to it.
cdef int next_stand_in(shard_t *shard, const slot_t *server, uint32_t tried_count) noexcept nogil
cdef void aim_at_stand_in(shard_t *shard, uint32_t index, hop_t *hop) noexcept nogil
