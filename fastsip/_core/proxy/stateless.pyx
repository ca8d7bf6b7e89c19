"""What passes without a transaction (16.11): the ACK of a 2xx, and the CANCEL of a call that is not known here.

Both go the way that their INVITE went: by Route, or as the rules would choose for that INVITE.  Neither is answered.
"""

from libc.stdint cimport uint64_t

from fastsip._core.base.types cimport E_NEXT_HOP, E_NONE, E_UNRESOLVED
from fastsip._core.base.address cimport origin_t
from fastsip._core.sip.types cimport message_t, uri_t
from fastsip._core.store.records cimport policy_copy_t
from fastsip._core.routing.types cimport ACT_FORWARD, ACT_REPLY, rule_t
from fastsip._core.state.counters cimport N_EDITS_REFUSED, N_NEXT_HOPS_REFUSED
from fastsip._core.state.shard cimport count
from fastsip._core.proxy.hop cimport hop_t
from fastsip._core.proxy.forward cimport forward_stateless
from fastsip._core.proxy.routes cimport leads_to_us, read_forward, route_t
from fastsip._core.proxy.next_hop cimport aim_by_route
from fastsip._core.proxy.in_dialog cimport aim_in_dialog
from fastsip._core.proxy.parking cimport hold_request
from fastsip._core.proxy.targets cimport (
    aim_by_rule, comes_round, goes_by_rules, group_t, is_clear_sips, leave_route, match_as_invite, may_forward,
    read_way,
)


cdef bint send_on(shard_t *shard, const message_t *m, const origin_t *origin) noexcept nogil:
    """16.11: sends an ACK or CANCEL on, now or when the name of its next hop is known; False: it has no way."""
    cdef hop_t hop
    cdef int code = aim_as_invite(shard, m, origin, &hop)
    if code == E_UNRESOLVED:
        hold_request(shard, m, origin, &hop)
        return True
    if code < 0:
        if code == E_NEXT_HOP:
            count(shard, N_NEXT_HOPS_REFUSED)
        return False
    if forward_stateless(shard, m, &origin.flow.remote, &hop) < 0:
        count(shard, N_EDITS_REFUSED)
        return False
    return True


cdef int aim_as_invite(shard_t *shard, const message_t *m, const origin_t *origin, hop_t *hop) noexcept nogil:
    """Where the INVITE of this ACK or CANCEL would go now: the same place, for algorithms that hash."""
    cdef uri_t ruri
    cdef route_t route
    cdef policy_copy_t policy
    cdef uint64_t call_key
    cdef group_t group
    cdef const rule_t *rule
    cdef int found
    if (m.max_forwards == 0 or read_way(shard, m, origin, &ruri, &route, hop) < 0
            or comes_round(shard, m, hop) or is_clear_sips(shard, m, &ruri)):
        return E_NONE
    if not goes_by_rules(shard, m, &ruri, &route, origin):
        return aim_in_dialog(shard, m, &route, origin, hop) if not route.unreadable else E_NONE
    found = match_as_invite(shard, m, &ruri, origin)
    if found < 0 or leave_route(shard, m, &route, hop) < 0 or shard.table.rules[found].action == ACT_REPLY:
        return E_NONE
    rule = &shard.table.rules[found]
    hop.headers = &rule.headers
    if rule.action == ACT_FORWARD:
        if (not may_forward(shard, rule, origin) or read_forward(m, rule, &ruri, &route) < 0
                or leads_to_us(shard, m, &route.next)):
            return E_NONE
        return aim_by_route(shard, m, &route, origin, hop)
    return aim_by_rule(shard, m, rule, &ruri, 1, &policy, &call_key, &group, hop)
