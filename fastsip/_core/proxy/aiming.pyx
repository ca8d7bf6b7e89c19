"""Where a request goes: what is known by looking at it, before anything is stored (RFC 3261 16.4 to 16.6).

By its route set, where somebody known or a token leads; else by the first rule that matches.  ACKs and CANCELs
without a transaction are aimed as their INVITE was.  Only looks: nothing here answers, sends or stores; but a
choice for a request that will be sent takes its turn.  Called by proxy.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memset

from fastsip._core.base.types cimport E_NONE, NO_HEADER, OK
from fastsip._core.base.address cimport addr_t
from fastsip._core.sip.types cimport (
    H_AUTHORIZATION, H_PROXY_AUTHORIZATION, M_ACK, M_CANCEL, M_INVITE, S_SIPS, message_t, uri_t,
)
from fastsip._core.sip.parser cimport first_of
from fastsip._core.store.records cimport policy_copy_t
from fastsip._core.routing.types cimport ACT_FORWARD, ACT_REPLY, A_PARALLEL, rule_t, set_t, table_t
from fastsip._core.routing.lookup cimport find_destination
from fastsip._core.routing.rules cimport is_own, match_rules
from fastsip._core.dispatcher.choose cimport is_usable
from fastsip._core.dispatcher.keys cimport selection_key
from fastsip._core.wire.loops cimport is_loop, loop_value
from fastsip._core.state.counters cimport N_LOOPS, N_ROUTES_REMOVED
from fastsip._core.state.shard cimport count
from fastsip._core.state.recall cimport recall_challenge
from fastsip._core.proxy.border cimport strip_maddr
from fastsip._core.proxy.hop cimport hop_t
from fastsip._core.proxy.routes cimport (
    aim_by_route, cut_routes, find_named, find_other_end, is_known, leads_to_us, read_forward, read_route, read_ruri,
    route_t,
)
from fastsip._core.proxy.in_dialog cimport aim_in_dialog
from fastsip._core.proxy.targets cimport aim_at, choose_next, group_t, peek_next, share_of

cdef enum:
    SIPS_PORT = 5061


cdef uint32_t set_of_token(const table_t *table, const route_t *route) noexcept nogil:
    """Whoever answered for a destination, or called from it, may want to be reached elsewhere: the set's border
    holds there, too.

    Of a destination that is gone any set of this short name is taken.
    """
    cdef bint away
    cdef int index
    cdef uint32_t i
    if not table.edits_out or not route.verified:
        return 0
    away = route.token.from_caller == route.token.of_caller
    index = find_other_end(table, &route.token) if away else find_named(table, route)
    if index >= 0:
        return table.destinations[index].set_index + 1
    if away:
        return 0
    for i in range(table.set_count):
        if table.sets[i].short_id == route.token.of_set:
            return i + 1
    return 0


cdef int read_way(core_t *core, const message_t *m, uint32_t listener, const addr_t *source, uri_t *ruri,
                  route_t *route, hop_t *hop) noexcept nogil:
    """16.4, which comes before everything else; begins a hop with what the request will be known by."""
    cdef int code = read_ruri(m, ruri)
    memset(hop, 0, sizeof(hop_t))
    if code == OK:
        code = strip_maddr(core, ruri)
    hop.loop = loop_value(core.table, m, source, core.table.listeners[listener].id)
    hop.came_by = core.table.listeners[listener].id
    if code == OK:
        code = read_route(core, m, ruri, route, hop)
    if code == OK:
        hop.verified = route.verified
        hop.token_set = set_of_token(core.table, route)
        hop.in_dialog = route.verified or m.to_tag.len > 0
    return code


cdef bint comes_round(core_t *core, const message_t *m, const hop_t *hop) noexcept nogil:
    """16.3 item 4."""
    cdef bint loop = is_loop(core.table, m, hop.loop)
    if loop:
        count(core, N_LOOPS)
    return loop


cdef bint is_clear_sips(core_t *core, const message_t *m, const uri_t *ruri) noexcept nogil:
    """26.2.2: only TLS leads to a sips URI.  Behind a domain of ours the operator decides; 5061 is its usual port."""
    return (ruri.scheme == S_SIPS and
            not is_own(core.table, m.buf + ruri.host.off, ruri.host.len, 0 if ruri.port == SIPS_PORT else ruri.port))


cdef int who_asked(core_t *core, const message_t *m, const set_t *to, group_t *group) noexcept nogil:
    """Credentials go to the destination that asked for them, if usable (docs/wire.md#same-server-as-before).

    What forks asks all of them again: the challenges of all went to the caller.
    """
    cdef int index
    if to.algorithm == A_PARALLEL:
        return E_NONE
    if m.to_tag.len or (first_of(m, H_PROXY_AUTHORIZATION) == NO_HEADER and first_of(m, H_AUTHORIZATION) == NO_HEADER):
        return E_NONE
    index = find_destination(core.table, recall_challenge(core, m), 0)
    if (index < 0 or &core.table.sets[core.table.destinations[index].set_index] != to
            or not is_usable(core.table, index, core.cells, core.now_ms)):
        return E_NONE
    group.destinations[0] = index
    group.count = 1
    return OK


cdef int aim_by_rule(core_t *core, const message_t *m, const rule_t *rule, const uri_t *ruri, int breadth,
                     policy_copy_t *policy, uint64_t *call_key, group_t *group, hop_t *hop) noexcept nogil:
    """At the first of the rule's first group; E_NONE when there is none.  Policy, key and group are for the search."""
    cdef const set_t *to = &core.table.sets[rule.set_index]
    cdef int found
    policy[0] = core.table.policies[rule.policy_index].copy
    call_key[0] = selection_key(to, m, ruri)
    group.breadth = <uint8_t>breadth
    found = who_asked(core, m, to, group)
    if found < 0 and (m.method == M_CANCEL or m.method == M_ACK):      # of a call that is not known here
        found = peek_next(core, to.id, policy, call_key[0], group)
    elif found < 0:
        found = choose_next(core, to.id, policy, call_key[0], NULL, 0, group.breadth, group)
    if found < 0:
        return found
    if aim_at(core, group.destinations[0], rule.ruri, m, policy, hop) < 0:
        return E_NONE
    hop.breadth = share_of(group, 0, m)
    return OK


cdef int match_as_invite(core_t *core, const message_t *m, const uri_t *ruri, uint32_t listener,
                         const addr_t *source) noexcept nogil:
    """The rule of a request; of an ACK or CANCEL, that of its INVITE."""
    cdef int method = m.method
    cdef int found
    if method == M_ACK or method == M_CANCEL:
        core.incoming.method = M_INVITE
    found = match_rules(core.table, m, ruri, source, listener)
    core.incoming.method = method
    return found


cdef bint goes_by_rules(core_t *core, const message_t *m, const uri_t *ruri, const route_t *route, uint32_t listener,
                        const addr_t *source) noexcept nogil:
    """All outside of a dialog but a Route from somebody known; inside, what a rule asks for and no token proves.

    An ACK without a tag has no dialog, and outside of one no way.
    """
    if route.verified or (route.onward and is_known(core.table, source)):
        return False
    if m.to_tag.len:
        return match_as_invite(core, m, ruri, listener, source) >= 0
    return m.method != M_ACK


cdef int leave_route(core_t *core, const message_t *m, const route_t *route, hop_t *hop) noexcept nogil:
    """Whatever Route a stranger brings is removed: the rules decide."""
    cdef hop_t begun = hop[0]
    if route.onward:
        count(core, N_ROUTES_REMOVED)
    memset(hop, 0, sizeof(hop_t))
    hop.loop, hop.came_by, hop.in_dialog = begun.loop, begun.came_by, begun.in_dialog
    return cut_routes(m, hop)


cdef bint may_forward(core_t *core, const rule_t *rule, const addr_t *source) noexcept nogil:
    """Nobody relays through us but whom the configuration knows, or names as a source of this very rule."""
    return rule.names_sources or is_known(core.table, source)


cdef int aim_as_invite(core_t *core, const message_t *m, uint32_t listener, const addr_t *source,
                       hop_t *hop) noexcept nogil:
    """Where the INVITE of this ACK or CANCEL would go now: the same place, for algorithms that hash."""
    cdef uri_t ruri
    cdef route_t route
    cdef policy_copy_t policy
    cdef uint64_t call_key
    cdef group_t group
    cdef const rule_t *rule
    cdef int found
    if (m.max_forwards == 0 or read_way(core, m, listener, source, &ruri, &route, hop) < 0
            or comes_round(core, m, hop) or is_clear_sips(core, m, &ruri)):
        return E_NONE
    if not goes_by_rules(core, m, &ruri, &route, listener, source):
        return aim_in_dialog(core, m, &route, listener, source, hop) if not route.unreadable else E_NONE
    found = match_as_invite(core, m, &ruri, listener, source)
    if found < 0 or leave_route(core, m, &route, hop) < 0 or core.table.rules[found].action == ACT_REPLY:
        return E_NONE
    rule = &core.table.rules[found]
    hop.headers = &rule.headers
    if rule.action == ACT_FORWARD:
        if (not may_forward(core, rule, source) or read_forward(m, rule, &ruri, &route) < 0
                or leads_to_us(core, m, &route.next)):
            return E_NONE
        return aim_by_route(core, m, &route, listener, source, hop)
    return aim_by_rule(core, m, rule, &ruri, 1, &policy, &call_key, &group, hop)
