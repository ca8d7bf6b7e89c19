# The target set of a search: who is tried next, and how far each may spread.  See targets.pyx.

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from fastsip._core.base.types cimport MAX_ATTEMPTS
from fastsip._core.base.address cimport origin_t
from fastsip._core.sip.types cimport message_t, uri_t
from fastsip._core.store.records cimport policy_copy_t
from fastsip._core.routing.types cimport rule_t
from fastsip._core.state.shard cimport shard_t
from fastsip._core.proxy.hop cimport hop_t
from fastsip._core.proxy.routes cimport route_t

# What is tried together.
cdef struct group_t:
    uint32_t count
    uint32_t destinations[MAX_ATTEMPTS]  # indexes into the table
    uint8_t breadth             # that its branches share

# Aims a hop (its cuts may be filled) at a destination of the table; `ruri` is a ruri_mode.
# OK, or E_FULL: there is no room for the Request-URI that it wants.
cdef int aim_at(shard_t *shard, uint32_t destination, int ruri, const message_t *m, const policy_copy_t *policy,
                hop_t *hop) noexcept nogil

# Max-Breadth of a request: 0..MAX_BREADTH, which stands for more, too, and for none; E_MAX_BREADTH.
cdef int read_breadth(const message_t *m) noexcept nogil

# The Max-Breadth of branch `number` of the group (RFC 5393 5.3.3); 0 = the branch says what the request says.
cdef uint8_t share_of(const group_t *group, uint32_t number, const message_t *m) noexcept nogil

# The next group for a search of this set and policy: of the set itself, then of the one that the policy
# names behind `then`, each up to its limit.  OK, or E_NONE when nothing is left.
cdef int choose_next(shard_t *shard, uint32_t set_id, const policy_copy_t *policy, uint64_t key, const uint32_t *tried,
                     uint32_t tried_count, uint8_t breadth, group_t *group) noexcept nogil

# Whom choose_next would name first, for an ACK or CANCEL without a call: nothing is taken, claimed or counted.
cdef int peek_next(shard_t *shard, uint32_t set_id, const policy_copy_t *policy, uint64_t key,
                   group_t *group) noexcept nogil

# Request-URI and Route, and a hop that has what the request will be known by; OK, E_URI, E_ROUTE, E_SCHEME, E_FORGED.
cdef int read_way(shard_t *shard, const message_t *m, const origin_t *origin, uri_t *ruri, route_t *route,
                  hop_t *hop) noexcept nogil
cdef bint comes_round(shard_t *shard, const message_t *m, const hop_t *hop) noexcept nogil
# A sips URI that is not of a domain of ours: in clear it must not go (26.2.2).
cdef bint is_clear_sips(shard_t *shard, const message_t *m, const uri_t *ruri) noexcept nogil

# Do the rules decide?  If they do, Routes are left: E_ROUTE when there are too many to cut.
cdef bint goes_by_rules(shard_t *shard, const message_t *m, const uri_t *ruri, const route_t *route,
                        const origin_t *origin) noexcept nogil
cdef int leave_route(shard_t *shard, const message_t *m, const route_t *route, hop_t *hop) noexcept nogil

# May this source forward by this rule?
cdef bint may_forward(shard_t *shard, const rule_t *rule, const origin_t *origin) noexcept nogil
# Chooses and aims for a request that met this rule; E_NONE when nobody is usable.
cdef int aim_by_rule(shard_t *shard, const message_t *m, const rule_t *rule, const uri_t *ruri, int breadth,
                     policy_copy_t *policy, uint64_t *call_key, group_t *group, hop_t *hop) noexcept nogil

# Index of the rule that the INVITE of this ACK or CANCEL would meet, or E_NONE.
cdef int match_as_invite(shard_t *shard, const message_t *m, const uri_t *ruri, const origin_t *origin) noexcept nogil
