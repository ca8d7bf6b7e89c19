# The target set of a search: who is tried next, and how far each may spread.  See targets.pyx.

from libc.stdint cimport uint8_t, uint32_t
from fastsip._core.sip.types cimport message_t
from fastsip._core.routing.types cimport rule_t
from fastsip._core.state.shard cimport shard_t
from fastsip._core.proxy.request cimport candidate_t, group_t, hop_t, request_t, opening_t, targets_t

# Aims a hop (its cuts may be filled) at a candidate; `ruri` is the ruri_mode of a destination.
# OK, or E_FULL: there is no room for the Request-URI that it wants.
cdef int aim_at(shard_t *shard, const candidate_t *candidate, int ruri, const message_t *m, hop_t *hop) noexcept nogil

# Max-Breadth of a request: 0..MAX_BREADTH, which stands for more, too, and for none; E_MAX_BREADTH.
cdef int read_breadth(const message_t *m) noexcept nogil

# The Max-Breadth of branch `number` of the group (RFC 5393 5.3.3); 0 = the branch says what the request says.
cdef uint8_t share_of(const group_t *group, uint32_t number, const message_t *m) noexcept nogil

# The next group, within group.breadth: of the set itself, then of the one that the policy names behind `then`, each
# up to its limit.  OK, or E_NONE when nothing is left.
cdef int choose_next(shard_t *shard, const targets_t *targets, group_t *group) noexcept nogil

# Whom choose_next would name first, for an ACK or CANCEL without a call: nothing is taken, claimed or counted.
cdef int peek_next(shard_t *shard, const targets_t *targets, group_t *group) noexcept nogil

# Request-URI and Route, and a hop that has what the request will be known by; OK, E_URI, E_ROUTE, E_SCHEME, E_FORGED.
cdef int read_way(shard_t *shard, request_t *request) noexcept nogil
cdef bint comes_round(shard_t *shard, const request_t *request) noexcept nogil
# A sips URI that is not of a domain of ours: in clear it must not go (26.2.2).
cdef bint is_clear_sips(shard_t *shard, const request_t *request) noexcept nogil

# Do the rules decide?  If they do, Routes are left: E_ROUTE when there are too many to cut.
cdef bint goes_by_rules(shard_t *shard, const request_t *request) noexcept nogil
cdef int leave_route(shard_t *shard, request_t *request) noexcept nogil

# May this source forward by this rule?
cdef bint may_forward(shard_t *shard, const request_t *request, const rule_t *rule) noexcept nogil
# Chooses and aims for a request that met this rule; E_NONE when nobody is usable.  `opening` becomes what open_search
# and start_group need.
cdef int aim_by_rule(shard_t *shard, request_t *request, const rule_t *rule, opening_t *opening) noexcept nogil

# Index of the rule that the INVITE of this ACK or CANCEL would meet, or E_NONE.
cdef int match_as_invite(shard_t *shard, const request_t *request) noexcept nogil
