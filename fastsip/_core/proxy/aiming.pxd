# Where a request goes.  See aiming.pyx.

from libc.stdint cimport uint32_t, uint64_t
from fastsip._core.base.address cimport addr_t
from fastsip._core.sip.types cimport message_t, uri_t
from fastsip._core.store.records cimport policy_copy_t
from fastsip._core.routing.types cimport rule_t
from fastsip._core.state.shard cimport core_t
from fastsip._core.proxy.hop cimport hop_t
from fastsip._core.proxy.routes cimport route_t
from fastsip._core.proxy.targets cimport group_t

# Request-URI and Route, and a hop that has what the request will be known by; OK, E_URI, E_ROUTE, E_SCHEME, E_FORGED.
cdef int read_way(core_t *core, const message_t *m, uint32_t listener, const addr_t *source, uri_t *ruri,
                  route_t *route, hop_t *hop) noexcept nogil
cdef bint comes_round(core_t *core, const message_t *m, const hop_t *hop) noexcept nogil
# A sips URI that is not of a domain of ours: in clear it must not go (26.2.2).
cdef bint is_clear_sips(core_t *core, const message_t *m, const uri_t *ruri) noexcept nogil

# Do the rules decide?  If they do, Routes are left: E_ROUTE when there are too many to cut.
cdef bint goes_by_rules(core_t *core, const message_t *m, const uri_t *ruri, const route_t *route, uint32_t listener,
                        const addr_t *source) noexcept nogil
cdef int leave_route(core_t *core, const message_t *m, const route_t *route, hop_t *hop) noexcept nogil

# May this source forward by this rule?
cdef bint may_forward(core_t *core, const rule_t *rule, const addr_t *source) noexcept nogil
# At the first of the rule's first group; E_NONE when there is none.  Policy, key and group are for the search.
cdef int aim_by_rule(core_t *core, const message_t *m, const rule_t *rule, const uri_t *ruri, int breadth,
                     policy_copy_t *policy, uint64_t *call_key, group_t *group, hop_t *hop) noexcept nogil

# Where the INVITE of an ACK or CANCEL would go; E_UNRESOLVED, or below zero: nowhere.
cdef int aim_as_invite(core_t *core, const message_t *m, uint32_t listener, const addr_t *source,
                       hop_t *hop) noexcept nogil
