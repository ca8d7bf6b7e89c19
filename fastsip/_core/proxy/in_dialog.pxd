# Requests of dialogs: who may send them, and who stands in for whom.  See in_dialog.pyx.

from libc.stdint cimport uint32_t
from fastsip._core.store.slots cimport slot_t
from fastsip._core.state.shard cimport shard_t
from fastsip._core.proxy.request cimport hop_t, request_t, opening_t

# May a request of a dialog go on along this route?  Counts a forged token.
cdef bint may_follow_route(shard_t *shard, const request_t *request) noexcept nogil

# Aims a hop without state: the route set, our token, who answered, or who stands in; below zero: nowhere.
cdef int aim_in_dialog(shard_t *shard, request_t *request) noexcept nogil

# If the hop leads to a destination of a shared set the search gets its set, what is hashed for the ranking, and the
# policy that requests of dialogs fail over by; else nothing is changed.
cdef void join_shared(shard_t *shard, request_t *request, opening_t *opening) noexcept nogil

# Who is tried next in such a search, as index, or E_NONE; and the hop to it.
cdef int next_stand_in(shard_t *shard, const slot_t *server, uint32_t tried_count) noexcept nogil
cdef void aim_at_stand_in(shard_t *shard, uint32_t index, hop_t *hop) noexcept nogil
