"""A next hop that is a name is a list (docs/names.md#a-name-is-a-list, RFC 3263 section 4.3).

Its next target is tried, in a branch of its own, when one says nothing, cannot be reached, or answers 503.  Any
other answer is the server's, and ends that.  The name is found again in the request as it was sent: in the header
that the rule names, in the first Route, in the Request-URI.  Each target is tried once for one request; where a
search has been stands in the store (`tried`), so it goes on likewise in another process.

What its targets did is told to the table of resting places, which puts some of them off for all requests
(docs/names.md#resting-places).  Must never: touch health, for nobody chose a destination here.
"""

from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memset

from fastsip._core.base.types cimport E_NONE, E_URI, MAX_ATTEMPTS, NO_HEADER, OK, span_t
from fastsip._core.base.address cimport addr_t, flow_t, origin_t
from fastsip._core.base.check cimport check
from fastsip._core.sip.types cimport H_RETRY_AFTER, is_in_line
from fastsip._core.sip.parser cimport first_of
from fastsip._core.sip.values cimport leading_number
from fastsip._core.store.records cimport BY_STRICT_ROUTER, is_server
from fastsip._core.store.slots cimport NO_SLOT, record_of, slot_at, slot_t, word_kind
from fastsip._core.routing.types cimport F_TIMEOUT, F_TRANSPORT
from fastsip._core.routing.index cimport ID_RULE, find_id
from fastsip._core.routing.lookup cimport find_by_address, find_listener_index, find_set, set_origin
from fastsip._core.routing.rules cimport is_known
from fastsip._core.transport.resting cimport note_alive, note_busy, note_failed
from fastsip._core.state.counters cimport N_TARGETS_RESTED
from fastsip._core.state.shard cimport count
from fastsip._core.state.quota cimport source_key
from fastsip._core.transaction.server cimport read_any_request
from fastsip._core.proxy.request cimport begin_hop, begin_request, hop_t, route_t
from fastsip._core.proxy.forward cimport undo_way_out
from fastsip._core.proxy.routes cimport first_route, read_forward, read_ruri
from fastsip._core.proxy.next_hop cimport aim_by_route, listener_for


cdef int reread_request(shard_t *shard, uint32_t parent, message_t *into, request_t *request) noexcept nogil:
    """What a later branch has in common with the first one; all else is aimed anew.  Nobody knows its origin but as
    the place where responses go.
    """
    cdef const slot_t *server = slot_at(shard.store, parent)
    check(is_server(word_kind(server.commit)))
    begin_request(request, into, NULL)
    request.earlier = read_any_request(shard, parent, into)
    if request.earlier == NO_SLOT or undo_way_out(shard, request.earlier, into) < 0:
        return E_NONE
    begin_hop(&request.hop, server.identity.server.source.listener_id)
    request.hop.from_destination = find_by_address(shard.table, &server.identity.server.source.remote)
    request.hop.record_route = slot_at(shard.store, request.earlier).record_routed > 0
    request.hop.timeout_ms = server.identity.server.policy.timeout_ms
    return OK


cdef int read_named(shard_t *shard, const slot_t *server, request_t *request) noexcept nogil:
    """The URI that the first hop followed.  Without its rule nobody knows which one that was."""
    cdef const message_t *m = request.m
    cdef route_t *route = &request.route
    cdef int rule
    memset(route, 0, sizeof(route_t))
    route.listener = E_NONE
    if read_ruri(m, &request.ruri) < 0:
        return E_URI
    if server.identity.server.rule_id:
        rule = find_id(shard.table, ID_RULE, server.identity.server.rule_id)
        return read_forward(m, &shard.table.rules[rule], &request.ruri, route) if rule >= 0 else E_NONE
    route.next = request.ruri
    return OK if server.identity.server.by_name == BY_STRICT_ROUTER else first_route(m, &route.next)


cdef int listener_before(shard_t *shard, const flow_t *flow, uint32_t came_by) noexcept nogil:
    """The listener of an earlier branch, if something named it, as index: our own Route, or the configuration."""
    cdef int index = find_listener_index(shard.table, flow.listener_id)
    return E_NONE if index == listener_for(shard, &flow.remote, E_NONE, came_by) else index


cdef int aim_beyond(shard_t *shard, const slot_t *server, const flow_t *before, request_t *request) noexcept nogil:
    """Aims at the first untried target of the name that this sender may be led to.

    Somebody unknown was let through because the first one was a destination's, so the next must be one, too.
    """
    cdef hop_t *hop = &request.hop
    cdef const addr_t *source = &server.identity.server.source.remote
    cdef int came_by = find_listener_index(shard.table, server.identity.server.source.listener_id)
    cdef origin_t origin
    cdef int code
    if came_by < 0 or read_named(shard, server, request) < 0:
        return E_NONE
    set_origin(&origin, shard.table, came_by, source)
    request.origin = &origin
    request.route.listener = listener_before(shard, before, came_by)
    request.in_dialog = server.in_dialog
    hop.tried = &server.identity.server.tried[0]
    hop.tried_count = record_of(server).server.attempt_count
    hop.destinations_only = (not is_known(shard.table, source)
                             and find_by_address(shard.table, &before.remote) >= 0)
    check(hop.tried_count < MAX_ATTEMPTS)
    code = aim_by_route(shard, request)
    request.origin = NULL           # it is on the stack
    return OK if code == OK and hop.by_name else E_NONE


cdef bint is_of_address(shard_t *shard, uint32_t parent, const failure_t *failure) noexcept nogil:
    """Does this failure say something of the address alone (RFC 3263 4.3): silence, an unreachable place, a 503?"""
    cdef const slot_t *server = slot_at(shard.store, parent)
    cdef int reason = failure.reason
    return (server.identity.server.by_name and failure.ref != NO_SLOT
            and slot_at(shard.store, failure.ref).identity.client.destination_id == 0
            and record_of(server).server.attempt_count < MAX_ATTEMPTS
            and (reason == F_TIMEOUT or reason == F_TRANSPORT or (reason == 0 and failure.status == 503)))


cdef int aim_at_next_address(shard_t *shard, uint32_t parent, const failure_t *failure,
                             request_t *request) noexcept nogil:
    """If there is none the hop stays as reread_request began it, for another way to go on."""
    cdef const slot_t *server = slot_at(shard.store, parent)
    cdef hop_t begun = request.hop
    cdef int code
    check(request.earlier != NO_SLOT)
    if not is_of_address(shard, parent, failure):
        return E_NONE
    code = aim_beyond(shard, server, &slot_at(shard.store, failure.ref).identity.client.target, request)
    request.hop.tried = NULL        # they stand in the store, which the next branch writes
    request.hop.tried_count = 0
    if code < 0:
        request.hop = begun
    elif server.in_dialog and server.identity.server.rule_id == 0:
        request.hop.token_set = max(find_set(shard.table, server.identity.server.set_id) + 1, 0)
    return code


cdef bint has_next_address(shard_t *shard, uint32_t parent, const failure_t *failure) noexcept nogil:
    """Asked only of failures: reread_request costs a look at the whole request."""
    cdef message_t stored
    cdef request_t request
    return (is_of_address(shard, parent, failure) and reread_request(shard, parent, &stored, &request) == OK
            and aim_at_next_address(shard, parent, failure, &request) == OK)


# ---------------------------------------------------------------- what a target did

cdef uint64_t asker_of(shard_t *shard, const slot_t *branch) noexcept nogil:
    return source_key(shard, &slot_at(shard.store, branch.parent).identity.server.source.remote)


cdef void note_target_failed(shard_t *shard, const slot_t *branch, bint refused) noexcept nogil:
    check(follows_name(shard, branch))
    if note_failed(shard.names.resting, &branch.identity.client.target.remote, asker_of(shard, branch), refused,
                   shard.now_ms):
        count(shard, N_TARGETS_RESTED)


cdef long long busy_seconds(const message_t *m) noexcept nogil:
    """What a Retry-After says; 0 or less: there is none, or none to go by."""
    cdef int i = first_of(m, H_RETRY_AFTER)
    cdef span_t value
    if i == NO_HEADER:
        return 0
    check(is_in_line(m, i))
    value.off, value.len = m.headers[i].value_off, m.headers[i].value_len
    return leading_number(m.buf, value, 9)


cdef void note_target_answered(shard_t *shard, const slot_t *branch, const message_t *m) noexcept nogil:
    """Any answer wakes a resting place; a 503 may say for how long nobody shall come again."""
    cdef long long seconds
    check(follows_name(shard, branch))
    note_alive(shard.names.resting, &branch.identity.client.target.remote, shard.now_ms)
    if m.status != 503:
        return
    seconds = busy_seconds(m)
    if seconds > 0 and note_busy(shard.names.resting, &branch.identity.client.target.remote,
                                 asker_of(shard, branch), <uint64_t>seconds, shard.now_ms):
        count(shard, N_TARGETS_RESTED)
