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

from fastsip._core.base.types cimport (
    E_FULL, E_MAX_BREADTH, E_NONE, MAX_ATTEMPTS, MAX_BREADTH, NO_HEADER, OK, put, span_t,
)
from fastsip._core.base.check cimport check
from fastsip._core.sip.types cimport (
    H_AUTHORIZATION, H_MAX_BREADTH, H_PROXY_AUTHORIZATION, M_ACK, M_CANCEL, M_INVITE, SIPS_PORT, S_SIPS, message_t,
    uri_t,
)
from fastsip._core.sip.uri cimport host_port_place, parse_uri
from fastsip._core.sip.values cimport parse_number
from fastsip._core.sip.parser cimport first_of
from fastsip._core.store.slots cimport NO_SLOT
from fastsip._core.routing.types cimport (
    A_PARALLEL, RURI_HOST, RURI_OF_SET, RURI_URI, destination_t, rule_t, set_t, table_t,
)
from fastsip._core.routing.lookup cimport find_destination, find_policy, find_set
from fastsip._core.routing.rules cimport is_known, is_own, match_rules
from fastsip._core.dispatcher.choose cimport NEW_CALL, NEXT_ATTEMPT, NO_CALL, choose_group, peek
from fastsip._core.dispatcher.keys cimport selection_key
from fastsip._core.dispatcher.usable cimport is_usable
from fastsip._core.wire.loops cimport is_loop, loop_value
from fastsip._core.state.counters cimport N_LOOPS, N_ROUTES_REMOVED
from fastsip._core.state.shard cimport count
from fastsip._core.state.outbox cimport take_scratch
from fastsip._core.state.recall cimport recall_challenge
from fastsip._core.proxy.request cimport (
    TO_ADDRESS, TO_DESTINATION, TO_STAND_IN, begin_hop, begin_opening, hop_t, name_one, route_t, targets_t,
)
from fastsip._core.proxy.border cimport strip_maddr
from fastsip._core.proxy.routes cimport cut_routes, read_route, read_ruri
from fastsip._core.proxy.next_hop cimport find_named, find_other_end
from fastsip._core.proxy.in_dialog cimport aim_at_stand_in

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
    check(<uint32_t>n <= m.ruri.len + destination.host_port.len)
    hop.ruri.at = text
    hop.ruri.len = n
    return OK


cdef int aim_at_destination(shard_t *shard, uint32_t destination, int ruri, const message_t *m,
                            hop_t *hop) noexcept nogil:
    cdef const destination_t *d
    check(destination < shard.table.destination_count)
    d = &shard.table.destinations[destination]
    check(d.listener < shard.table.listener_count)
    hop.flow.remote = d.addr
    hop.flow.listener_id = shard.table.listeners[d.listener].id
    hop.destination_id = d.id
    hop.destination = destination
    hop.ruri.len = 0
    return aim_ruri(shard, d, ruri if ruri != RURI_OF_SET else shard.table.sets[d.set_index].ruri, m, hop)


cdef int aim_at(shard_t *shard, const candidate_t *candidate, int ruri, const message_t *m, hop_t *hop) noexcept nogil:
    """A stand-in keeps the Request-URI, which is its dialog's remote target (12.2.1.1)."""
    if candidate.kind == TO_DESTINATION:
        return aim_at_destination(shard, candidate.index, ruri, m, hop)
    check((candidate.kind == TO_STAND_IN) | (candidate.kind == TO_ADDRESS))
    if candidate.kind == TO_STAND_IN:
        aim_at_stand_in(shard, candidate.index, hop)
    return OK


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
    """The first branches get what does not divide evenly; none gets 0, as a group has no more branches than breadth."""
    check(number < group.count)
    if group.breadth == 0 or (group.count == 1 and first_of(m, H_MAX_BREADTH) == NO_HEADER):
        return 0
    check(group.count <= group.breadth)
    return <uint8_t>(group.breadth // group.count + (number < group.breadth % group.count))


# ---------------------------------------------------------------- the next group

cdef uint32_t count_tried(const table_t *table, uint32_t set_index, const targets_t *targets) noexcept nogil:
    """How many of the set's own destinations have been tried: its `limit` counts no others."""
    cdef uint32_t i
    cdef uint32_t n = 0
    cdef int index
    for i in range(targets.tried_count):
        index = find_destination(table, targets.tried[i], 0)
        n += index >= 0 and table.destinations[index].set_index == set_index
    return n


cdef int choose_in(shard_t *shard, uint32_t set_index, const targets_t *targets, group_t *group) noexcept nogil:
    """A group of this set, within what `limit` leaves and the request's breadth allows."""
    cdef const set_t *of_set = &shard.table.sets[set_index]
    cdef uint32_t of_this = count_tried(shard.table, set_index, targets)
    cdef uint32_t found[MAX_ATTEMPTS]
    cdef uint32_t i
    cdef int call = NO_CALL if not targets.is_call else NEXT_ATTEMPT if of_this else NEW_CALL
    check(set_index < shard.table.set_count)
    group.count = 0
    if of_this < of_set.limit:
        group.count = choose_group(shard.table, set_index, targets.call_key, targets.tried, targets.tried_count,
                                   min(of_set.limit - of_this, <uint32_t>group.breadth), call, shard.known,
                                   shard.positions, shard.now_ms, found)
    for i in range(group.count):
        group.candidates[i].kind = TO_DESTINATION
        group.candidates[i].index = found[i]
    check(group.count <= group.breadth)
    return OK if group.count else E_NONE


cdef inline int then_set_of(const table_t *table, uint32_t policy_id) noexcept nogil:
    """Index of the set that the policy names behind `then`, or E_NONE."""
    cdef int index = find_policy(table, policy_id)
    return <int>table.policies[index].then_set - 1 if index >= 0 and table.policies[index].then_set else E_NONE


cdef int choose_next(shard_t *shard, const targets_t *targets, group_t *group) noexcept nogil:
    cdef int set_index = find_set(shard.table, targets.set_id)
    cdef int then_set = then_set_of(shard.table, targets.policy_id)
    cdef int found = E_NONE
    group.count = 0
    if targets.tried_count >= MAX_ATTEMPTS:
        return E_NONE
    if set_index >= 0:
        found = choose_in(shard, set_index, targets, group)
    if found < 0 and then_set >= 0:
        found = choose_in(shard, then_set, targets, group)
    return found


cdef int peek_next(shard_t *shard, const targets_t *targets, group_t *group) noexcept nogil:
    cdef int set_index = find_set(shard.table, targets.set_id)
    cdef int then_set = then_set_of(shard.table, targets.policy_id)
    cdef int found = E_NONE
    check(targets.tried_count == 0)
    if set_index >= 0:
        found = peek(shard.table, set_index, targets.call_key, shard.known, shard.positions, shard.now_ms)
    if found < 0 and then_set >= 0:
        found = peek(shard.table, then_set, targets.call_key, shard.known, shard.positions, shard.now_ms)
    group.count = 0
    if found >= 0:
        name_one(group, TO_DESTINATION, found)
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


cdef int read_way(shard_t *shard, request_t *request) noexcept nogil:
    """16.4, before anything else looks at the request: Request-URI and Routes; begins the hop."""
    cdef int code = read_ruri(request.m, &request.ruri)
    check(request.m == &shard.incoming)     # which strip_maddr rewrites
    check(request.earlier == NO_SLOT)
    begin_hop(&request.hop, request.origin.flow.listener_id)
    if code == OK:
        code = strip_maddr(shard, &request.ruri)
    request.hop.loop = loop_value(shard.table, request.m, request.origin)
    if code == OK:
        code = read_route(shard, request.m, &request.ruri, &request.route, &request.hop)
    if code == OK:
        request.hop.token_set = set_of_token(shard.table, &request.route)
        request.in_dialog = request.route.verified or request.m.to_tag.len > 0
    return code


cdef bint comes_round(shard_t *shard, const request_t *request) noexcept nogil:
    """16.3 item 4: a Via of ours with these loop values says that the request was here before, as it is now."""
    cdef bint loop = is_loop(shard.table, request.m, request.hop.loop)
    if loop:
        count(shard, N_LOOPS)
    return loop


cdef bint is_clear_sips(shard_t *shard, const request_t *request) noexcept nogil:
    """26.2.2: only TLS leads to a sips URI.  Behind a domain of ours the operator decides; 5061 is its usual port."""
    cdef const uri_t *ruri = &request.ruri
    return (ruri.scheme == S_SIPS and not is_own(shard.table, request.m.buf + ruri.host.off, ruri.host.len,
                                                 0 if ruri.port == SIPS_PORT else ruri.port))


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
            or not is_usable(shard.table, index, shard.known, shard.now_ms)):
        return E_NONE
    name_one(group, TO_DESTINATION, index)
    return OK


cdef int aim_by_rule(shard_t *shard, request_t *request, const rule_t *rule, opening_t *opening) noexcept nogil:
    """Chooses the first group of the rule's set and aims at the first of it; E_NONE when nobody is usable."""
    cdef const message_t *m = request.m
    cdef const set_t *to
    cdef int found
    check(rule.set_index < shard.table.set_count)
    check(request.breadth > 0)
    to = &shard.table.sets[rule.set_index]
    begin_opening(opening, rule, &shard.table.policies[rule.policy_index].copy)
    opening.targets.set_id = to.id
    opening.targets.call_key = selection_key(to, m, &request.ruri)
    opening.targets.is_call = m.method == M_INVITE and not request.in_dialog
    opening.group.breadth = request.breadth
    found = who_asked(shard, m, to, &opening.group)
    if found < 0 and (m.method == M_CANCEL or m.method == M_ACK):      # of a call that is not known here
        found = peek_next(shard, &opening.targets, &opening.group)
    elif found < 0:
        found = choose_next(shard, &opening.targets, &opening.group)
    if found < 0:
        return found
    request.hop.timeout_ms = opening.policy.timeout_ms
    if aim_at(shard, &opening.group.candidates[0], rule.ruri, m, &request.hop) < 0:
        return E_NONE
    request.hop.breadth = share_of(&opening.group, 0, m)
    return OK


cdef int match_as_invite(shard_t *shard, const request_t *request) noexcept nogil:
    """The rule that this request meets; of an ACK or CANCEL, the rule that its INVITE meets."""
    cdef int method = request.m.method
    cdef int found
    check(request.m == &shard.incoming)
    if method == M_ACK or method == M_CANCEL:
        shard.incoming.method = M_INVITE
    found = match_rules(shard.table, request.m, &request.ruri, request.origin)
    shard.incoming.method = method
    return found


cdef bint goes_by_rules(shard_t *shard, const request_t *request) noexcept nogil:
    """Do the rules decide where this request goes, or its own Route?

    Outside of a dialog the rules, unless a known sender brings a Route of its own.  Inside, the route set, unless no
    token proves the dialog and a rule with `to_tag` matches.  An ACK without a To tag has no way at all.
    """
    cdef const route_t *route = &request.route
    if route.verified or (route.onward and is_known(shard.table, &request.origin.flow.remote)):
        return False
    if request.m.to_tag.len:
        return match_as_invite(shard, request) >= 0
    return request.m.method != M_ACK


cdef int leave_route(shard_t *shard, request_t *request) noexcept nogil:
    """The rules decide, so all Routes go, and the hop begins anew: nothing that they led to holds."""
    cdef uint64_t loop = request.hop.loop
    check(not request.route.verified)       # goes_by_rules
    if request.route.onward:
        count(shard, N_ROUTES_REMOVED)
    begin_hop(&request.hop, request.hop.came_by)
    request.hop.loop = loop
    return cut_routes(request.m, &request.hop)


cdef bint may_forward(shard_t *shard, const request_t *request, const rule_t *rule) noexcept nogil:
    """No open relay: only for whom the configuration knows, or names as a source of this very rule."""
    return rule.names_sources or is_known(shard.table, &request.origin.flow.remote)
