"""What passes without a transaction (16.11): the ACK of a 2xx, and the CANCEL of a call that is not known here.

Both go the way that their INVITE went: by Route, or as the rules would choose for that INVITE.  Neither is answered.
"""

from fastsip._core.base.types cimport E_NEXT_HOP, E_NONE, E_UNRESOLVED
from fastsip._core.base.check cimport check
from fastsip._core.sip.types cimport M_ACK, M_CANCEL
from fastsip._core.routing.types cimport ACT_FORWARD, ACT_REPLY, rule_t
from fastsip._core.state.counters cimport N_EDITS_REFUSED, N_NEXT_HOPS_REFUSED
from fastsip._core.state.shard cimport count
from fastsip._core.proxy.request cimport opening_t
from fastsip._core.proxy.forward cimport forward_stateless
from fastsip._core.proxy.routes cimport leads_to_us, read_forward
from fastsip._core.proxy.next_hop cimport aim_by_route
from fastsip._core.proxy.in_dialog cimport aim_in_dialog
from fastsip._core.proxy.parking cimport hold_request
from fastsip._core.proxy.targets cimport (
    aim_by_rule, comes_round, goes_by_rules, is_clear_sips, leave_route, match_as_invite, may_forward, read_way,
)


cdef bint send_on(shard_t *shard, request_t *request) noexcept nogil:
    """16.11: sends an ACK or CANCEL on, now or when the name of its next hop is known; False: it has no way."""
    cdef int code = aim_as_invite(shard, request)
    if code == E_UNRESOLVED:
        hold_request(shard, request)
        return True
    if code < 0:
        if code == E_NEXT_HOP:
            count(shard, N_NEXT_HOPS_REFUSED)
        return False
    if forward_stateless(shard, request) < 0:
        count(shard, N_EDITS_REFUSED)
        return False
    return True


cdef int aim_as_invite(shard_t *shard, request_t *request) noexcept nogil:
    """Where the INVITE of this ACK or CANCEL would go now: the same place, for algorithms that hash.

    OK, E_UNRESOLVED, or another code below zero: nowhere.
    """
    cdef opening_t opening
    cdef const rule_t *rule
    cdef int found
    check((request.m.method == M_ACK) | (request.m.method == M_CANCEL))
    request.breadth = 1             # it follows one branch
    if (request.m.max_forwards == 0 or read_way(shard, request) < 0 or comes_round(shard, request)
            or is_clear_sips(shard, request)):
        return E_NONE
    if not goes_by_rules(shard, request):
        return aim_in_dialog(shard, request) if not request.route.unreadable else E_NONE
    found = match_as_invite(shard, request)
    if found < 0 or leave_route(shard, request) < 0 or shard.table.rules[found].action == ACT_REPLY:
        return E_NONE
    rule = &shard.table.rules[found]
    request.hop.headers = &rule.headers
    if rule.action == ACT_FORWARD:
        if (not may_forward(shard, request, rule)
                or read_forward(request.m, rule, &request.ruri, &request.route) < 0
                or leads_to_us(shard, request.m, &request.route.next)):
            return E_NONE
        return aim_by_route(shard, request)
    return aim_by_rule(shard, request, rule, &opening)
