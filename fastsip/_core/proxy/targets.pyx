"""Who is tried next, and how far each may spread: the target set of a search (16.5).

A group is what is tried together: one destination, or with `parallel` all usable ones of the highest tier
that has any (16.6: by q, here `priority`).  A group is chosen when it starts and its branches start at
once, so there is no list that could grow stale; what it left out - by `limit`, by
Max-Breadth, or because a start was cut short - is asked for again with the next group.

Max-Breadth (RFC 5393 5.3.3): the branches of a group share what the request
came with, or 60; groups follow one another and can use the same again.  A
single branch of a request that says nothing says nothing either: the next hop
assumes 60 by itself.  Chooses and aims, starts nothing.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memset

from fastsip._core.base.types cimport (
    E_FULL, E_MAX_BREADTH, E_NONE, MAX_ATTEMPTS, MAX_BREADTH, NO_HEADER, OK, put, span_t,
)
from fastsip._core.base.address cimport origin_t
from fastsip._core.sip.types cimport (
    H_AUTHORIZATION, H_MAX_BREADTH, H_PROXY_AUTHORIZATION, M_ACK, M_CANCEL, M_INVITE, SIPS_PORT, S_SIPS, message_t,
    uri_t,
)
from fastsip._core.sip.uri cimport host_port_place, parse_uri
from fastsip._core.sip.values cimport parse_number
from fastsip._core.sip.parser cimport first_of
from fastsip._core.store.records cimport policy_copy_t
from fastsip._core.routing.types cimport (
    A_PARALLEL, RURI_HOST, RURI_OF_SET, RURI_URI, destination_t, rule_t, set_t, table_t,
)
from fastsip._core.routing.lookup cimport find_destination, find_policy, find_set
from fastsip._core.routing.rules cimport is_known, is_own, match_rules
from fastsip._core.dispatcher.choose cimport choose_group, is_usable, peek
from fastsip._core.dispatcher.keys cimport selection_key
from fastsip._core.wire.loops cimport is_loop, loop_value
from fastsip._core.state.counters cimport N_LOOPS, N_ROUTES_REMOVED
from fastsip._core.state.shard cimport count
from fastsip._core.state.outbox cimport take_scratch
from fastsip._core.state.recall cimport recall_challenge
from fastsip._core.proxy.hop cimport hop_t
from fastsip._core.proxy.border cimport strip_maddr
from fastsip._core.proxy.routes cimport cut_routes, read_route, read_ruri, route_t
from fastsip._core.proxy.next_hop cimport find_named, find_other_end

# ---------------------------------------------------------------- where a branch goes

cdef int aim_ruri(shard_t *shard, const destination_t *destination, int mode, const message_t *m,
                  hop_t *hop) noexcept nogil:
    """16.6 item 2.  `ruri = "host"` keeps user and parameters and takes the destination's host and port; `"uri"`
    takes all of the destination's URI.
    """
    cdef uri_t uri
    cdef uint32_t before, after
    cdef char *text
    cdef int n
    if mode == RURI_URI:
        hop.ruri = destination.uri
    if mode != RURI_HOST or parse_uri(m.buf, m.ruri.off, m.ruri.len, &uri) < 0 or uri.host.len == 0:
        return OK
    host_port_place(&uri, &before, &after)
    before -= m.ruri.off
    text = take_scratch(shard, m.ruri.len + destination.host_port.len)
    if text == NULL:
        return E_FULL
    n = put(text, m.buf + m.ruri.off, before)
    n += put(text + n, destination.host_port.at, destination.host_port.len)
    n += put(text + n, m.buf + after, m.ruri.off + m.ruri.len - after)
    hop.ruri.at = text
    hop.ruri.len = n
    return OK


cdef int aim_at(shard_t *shard, uint32_t destination, int ruri, const message_t *m, const policy_copy_t *policy,
                hop_t *hop) noexcept nogil:
    cdef const destination_t *d = &shard.table.destinations[destination]
    hop.flow.remote = d.addr
    hop.flow.listener_id = shard.table.listeners[d.listener].id
    hop.destination_id = d.id
    hop.destination = destination
    hop.timeout_ms = policy.timeout_ms
    hop.ruri.len = 0
    return aim_ruri(shard, d, ruri if ruri != RURI_OF_SET else shard.table.sets[d.set_index].ruri, m, hop)


# ---------------------------------------------------------------- breadth

cdef int read_breadth(const message_t *m) noexcept nogil:
    cdef int i = first_of(m, H_MAX_BREADTH)
    cdef span_t value
    cdef long long breadth
    if i == NO_HEADER:
        return MAX_BREADTH
    value.off = m.headers[i].value_off
    value.len = m.headers[i].value_len
    breadth = parse_number(m.buf, value, 18)
    if breadth < 0 or m.headers[i].next != NO_HEADER:
        return E_MAX_BREADTH
    return <int>min(breadth, <long long>MAX_BREADTH)


cdef uint8_t share_of(const group_t *group, uint32_t number, const message_t *m) noexcept nogil:
    if group.count == 1 and first_of(m, H_MAX_BREADTH) == NO_HEADER:
        return 0
    return <uint8_t>(group.breadth // group.count + (number < group.breadth % group.count))


# ---------------------------------------------------------------- the next group

cdef uint32_t count_tried(const table_t *table, uint32_t set_index, const uint32_t *tried,
                          uint32_t tried_count) noexcept nogil:
    """How many of the set's own destinations have been tried: its `limit` counts no others."""
    cdef uint32_t i
    cdef uint32_t n = 0
    cdef int index
    for i in range(tried_count):
        index = find_destination(table, tried[i], 0)
        n += index >= 0 and table.destinations[index].set_index == set_index
    return n


cdef int choose_in(shard_t *shard, uint32_t set_index, uint64_t key, const uint32_t *tried, uint32_t tried_count,
                   group_t *group) noexcept nogil:
    """A group of this set, within what `limit` leaves and the request's breadth allows."""
    cdef const set_t *of_set = &shard.table.sets[set_index]
    cdef uint32_t of_this = count_tried(shard.table, set_index, tried, tried_count)
    group.count = 0
    if of_this < of_set.limit:
        group.count = choose_group(shard.table, set_index, key, tried, tried_count,
                                   min(of_set.limit - of_this, <uint32_t>group.breadth), shard.cells, shard.positions,
                                   shard.now_ms, group.destinations)
    return OK if group.count else E_NONE


cdef int choose_next(shard_t *shard, uint32_t set_id, const policy_copy_t *policy, uint64_t key, const uint32_t *tried,
                     uint32_t tried_count, uint8_t breadth, group_t *group) noexcept nogil:
    cdef int set_index = find_set(shard.table, set_id)
    cdef int index = find_policy(shard.table, policy.policy_id)
    cdef int found = E_NONE
    group.breadth = breadth
    group.count = 0
    if tried_count >= MAX_ATTEMPTS:
        return E_NONE
    if set_index >= 0:
        found = choose_in(shard, set_index, key, tried, tried_count, group)
    if found < 0 and index >= 0 and shard.table.policies[index].then_set:
        found = choose_in(shard, shard.table.policies[index].then_set - 1, key, tried, tried_count, group)
    return found


cdef int peek_next(shard_t *shard, uint32_t set_id, const policy_copy_t *policy, uint64_t key,
                   group_t *group) noexcept nogil:
    cdef int set_index = find_set(shard.table, set_id)
    cdef int index = find_policy(shard.table, policy.policy_id)
    cdef int found = E_NONE
    if set_index >= 0:
        found = peek(shard.table, set_index, key, shard.cells, shard.positions, shard.now_ms)
    if found < 0 and index >= 0 and shard.table.policies[index].then_set:
        set_index = <int>shard.table.policies[index].then_set - 1
        found = peek(shard.table, set_index, key, shard.cells, shard.positions, shard.now_ms)
    group.count = found >= 0
    if found >= 0:
        group.destinations[0] = found
    return found


cdef uint32_t set_of_token(const table_t *table, const route_t *route) noexcept nogil:
    """Index + 1 of the set whose border the request crosses on its way out, by a verified token; 0 = none.

    The next hop need not be the destination's address: who answered for a destination, or called from it, may want to
    be reached elsewhere (its Contact), and its border holds there, too.  If the destination is gone from the
    configuration any set of this short id is taken.
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


cdef int read_way(shard_t *shard, const message_t *m, const origin_t *origin, uri_t *ruri, route_t *route,
                  hop_t *hop) noexcept nogil:
    """16.4, before anything else looks at the request: Request-URI and Routes; begins the hop."""
    cdef int code = read_ruri(m, ruri)
    memset(hop, 0, sizeof(hop_t))
    if code == OK:
        code = strip_maddr(shard, ruri)
    hop.loop = loop_value(shard.table, m, origin)
    hop.came_by = origin.flow.listener_id
    if code == OK:
        code = read_route(shard, m, ruri, route, hop)
    if code == OK:
        hop.verified = route.verified
        hop.token_set = set_of_token(shard.table, route)
        hop.in_dialog = route.verified or m.to_tag.len > 0
    return code


cdef bint comes_round(shard_t *shard, const message_t *m, const hop_t *hop) noexcept nogil:
    """16.3 item 4: a Via of ours with these loop values says that the request was here before, as it is now."""
    cdef bint loop = is_loop(shard.table, m, hop.loop)
    if loop:
        count(shard, N_LOOPS)
    return loop


cdef bint is_clear_sips(shard_t *shard, const message_t *m, const uri_t *ruri) noexcept nogil:
    """26.2.2: only TLS leads to a sips URI.  Behind a domain of ours the operator decides; 5061 is its usual port."""
    return (ruri.scheme == S_SIPS and
            not is_own(shard.table, m.buf + ruri.host.off, ruri.host.len, 0 if ruri.port == SIPS_PORT else ruri.port))


cdef int who_asked(shard_t *shard, const message_t *m, const set_t *to, group_t *group) noexcept nogil:
    """The group of who asked for credentials: the request with them goes there (docs/wire.md#same-server-as-before).

    Not with `parallel`: that asks all of them again, since the challenges of all went to the caller.
    """
    cdef int index
    if to.algorithm == A_PARALLEL:
        return E_NONE
    if m.to_tag.len or (first_of(m, H_PROXY_AUTHORIZATION) == NO_HEADER and first_of(m, H_AUTHORIZATION) == NO_HEADER):
        return E_NONE
    index = find_destination(shard.table, recall_challenge(shard, m), 0)
    if (index < 0 or &shard.table.sets[shard.table.destinations[index].set_index] != to
            or not is_usable(shard.table, index, shard.cells, shard.now_ms)):
        return E_NONE
    group.destinations[0] = index
    group.count = 1
    return OK


cdef int aim_by_rule(shard_t *shard, const message_t *m, const rule_t *rule, const uri_t *ruri, int breadth,
                     policy_copy_t *policy, uint64_t *call_key, group_t *group, hop_t *hop) noexcept nogil:
    """Chooses the first group of the rule's set and aims at the first of it; E_NONE when nobody is usable.

    `policy`, `call_key` and `group` are what open_search and start_group need.
    """
    cdef const set_t *to = &shard.table.sets[rule.set_index]
    cdef int found
    policy[0] = shard.table.policies[rule.policy_index].copy
    call_key[0] = selection_key(to, m, ruri)
    group.breadth = <uint8_t>breadth
    found = who_asked(shard, m, to, group)
    if found < 0 and (m.method == M_CANCEL or m.method == M_ACK):      # of a call that is not known here
        found = peek_next(shard, to.id, policy, call_key[0], group)
    elif found < 0:
        found = choose_next(shard, to.id, policy, call_key[0], NULL, 0, group.breadth, group)
    if found < 0:
        return found
    if aim_at(shard, group.destinations[0], rule.ruri, m, policy, hop) < 0:
        return E_NONE
    hop.breadth = share_of(group, 0, m)
    return OK


cdef int match_as_invite(shard_t *shard, const message_t *m, const uri_t *ruri, const origin_t *origin) noexcept nogil:
    """The rule that this request meets; of an ACK or CANCEL, the rule that its INVITE meets."""
    cdef int method = m.method
    cdef int found
    if method == M_ACK or method == M_CANCEL:
        shard.incoming.method = M_INVITE
    found = match_rules(shard.table, m, ruri, origin)
    shard.incoming.method = method
    return found


cdef bint goes_by_rules(shard_t *shard, const message_t *m, const uri_t *ruri, const route_t *route,
                        const origin_t *origin) noexcept nogil:
    """Do the rules decide where this request goes, or its own Route?

    Outside of a dialog the rules, unless a known sender brings a Route of its own.  Inside, the route set, unless no
    token proves the dialog and a rule with `to_tag` matches.  An ACK without a To tag has no way at all.
    """
    if route.verified or (route.onward and is_known(shard.table, &origin.flow.remote)):
        return False
    if m.to_tag.len:
        return match_as_invite(shard, m, ruri, origin) >= 0
    return m.method != M_ACK


cdef int leave_route(shard_t *shard, const message_t *m, const route_t *route, hop_t *hop) noexcept nogil:
    """The rules decide, so all Routes go, and the hop begins anew: nothing that they led to holds."""
    cdef hop_t begun = hop[0]
    if route.onward:
        count(shard, N_ROUTES_REMOVED)
    memset(hop, 0, sizeof(hop_t))
    hop.loop, hop.came_by, hop.in_dialog = begun.loop, begun.came_by, begun.in_dialog
    return cut_routes(m, hop)


cdef bint may_forward(shard_t *shard, const rule_t *rule, const origin_t *origin) noexcept nogil:
    """No open relay: only for whom the configuration knows, or names as a source of this very rule."""
    return rule.names_sources or is_known(shard.table, &origin.flow.remote)
