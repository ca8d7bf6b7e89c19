"""A next hop that is a name is a list (docs/names.md#a-name-is-a-list, RFC 3263 section 4.3).

Its next address is tried, in a branch of its own, when one says nothing, cannot be reached, or answers 503.  Any
other answer is the server's, and ends that.  The name is found again in the request as it was sent: in the header
that the rule names, in the first Route, in the Request-URI.  Each address is tried once for one request; where a
search has been stands in the store (`tried`), so it goes on likewise in another process.

Of the addresses that somebody may be sent to, those of the listener's family come first, in the order that the
Call-ID gives them.  Must never: touch health, for nobody chose a destination here.
"""

from libc.stdint cimport uint32_t
from libc.string cimport memcpy, memset

from fastsip._core.base.types cimport E_NONE, E_URI, MAX_ATTEMPTS, OK
from fastsip._core.base.address cimport addr_t, flow_t, origin_t
from fastsip._core.sip.types cimport message_t, uri_t
from fastsip._core.store.records cimport BY_STRICT_ROUTER
from fastsip._core.store.slots cimport NO_SLOT, record_of, slot_at, slot_t
from fastsip._core.routing.types cimport F_TIMEOUT, F_TRANSPORT
from fastsip._core.routing.index cimport ID_RULE, find_id
from fastsip._core.routing.lookup cimport find_by_address, find_listener_index, find_set, set_origin
from fastsip._core.routing.rules cimport is_known
from fastsip._core.transport.names cimport MOST_ADDRESSES, place_mark
from fastsip._core.transaction.server cimport read_any_request
from fastsip._core.proxy.forward cimport undo_way_out
from fastsip._core.proxy.routes cimport first_route, read_forward, read_ruri, route_t
from fastsip._core.proxy.next_hop cimport MOST_TRIED, aim_by_route, listener_for


cdef uint32_t begin_hop(shard_t *shard, uint32_t parent, hop_t *hop) noexcept nogil:
    """What the hop of a later branch has in common with the first one; all else is aimed anew."""
    cdef const slot_t *server = slot_at(shard.store, parent)
    cdef uint32_t earlier = read_any_request(shard, parent)
    memset(hop, 0, sizeof(hop_t))
    if earlier == NO_SLOT or undo_way_out(shard, earlier) < 0:
        return NO_SLOT
    hop.from_destination = find_by_address(shard.table, &server.identity.server.source.remote)
    hop.record_route = slot_at(shard.store, earlier).record_routed > 0
    hop.came_by = server.identity.server.source.listener_id
    hop.timeout_ms = server.identity.server.policy.timeout_ms
    return earlier


cdef int read_named(shard_t *shard, const slot_t *server, route_t *route) noexcept nogil:
    """The URI that the first hop followed, from shard.stored.  Without its rule nobody knows which one that was."""
    cdef const message_t *m = &shard.stored
    cdef uri_t ruri
    cdef int rule
    memset(route, 0, sizeof(route_t))
    route.listener = E_NONE
    if read_ruri(m, &ruri) < 0:
        return E_URI
    if server.identity.server.rule_id:
        rule = find_id(shard.table, ID_RULE, server.identity.server.rule_id)
        return read_forward(m, &shard.table.rules[rule], &ruri, route) if rule >= 0 else E_NONE
    route.next = ruri
    return OK if server.identity.server.by_name == BY_STRICT_ROUTER else first_route(m, &route.next)


cdef int listener_before(shard_t *shard, const flow_t *flow, uint32_t came_by) noexcept nogil:
    """The listener of an earlier branch, if something named it, as index: our own Route, or the configuration."""
    cdef int index = find_listener_index(shard.table, flow.listener_id)
    return E_NONE if index == listener_for(shard, &flow.remote, E_NONE, came_by) else index


cdef bint may_go_to(shard_t *shard, const addr_t *source, const addr_t *first, const addr_t *to) noexcept nogil:
    """May a sender be led to `to`, another address of the name whose `first` address it reached?

    Somebody unknown was let through because the first one was a destination's, so the next must be one, too.
    """
    return (is_known(shard.table, source) or find_by_address(shard.table, first) < 0
            or find_by_address(shard.table, to) >= 0)


cdef int aim_beyond(shard_t *shard, const slot_t *server, const flow_t *before, hop_t *hop) noexcept nogil:
    """Aims at the first untried address of the name that this sender may be led to; others count as tried."""
    cdef const addr_t *source = &server.identity.server.source.remote
    cdef uint32_t tried[MOST_TRIED]
    cdef int came_by = find_listener_index(shard.table, server.identity.server.source.listener_id)
    cdef origin_t origin
    cdef route_t route
    cdef int _
    if came_by < 0 or read_named(shard, server, &route) < 0:
        return E_NONE
    set_origin(&origin, shard.table, came_by, source)
    route.listener = listener_before(shard, before, came_by)
    hop.tried = tried
    hop.tried_count = record_of(server).server.attempt_count
    memcpy(tried, server.identity.server.tried, hop.tried_count * sizeof(uint32_t))
    for _ in range(MOST_ADDRESSES):
        if aim_by_route(shard, &shard.stored, &route, &origin, hop) < 0:
            return E_NONE
        if may_go_to(shard, source, &before.remote, &hop.flow.remote):
            return OK if hop.by_name else E_NONE
        tried[hop.tried_count] = place_mark(&hop.flow.remote)
        hop.tried_count += 1
    return E_NONE


cdef bint is_of_address(shard_t *shard, uint32_t parent, uint32_t failed, int reason, int status) noexcept nogil:
    """Does this failure say something of the address alone (RFC 3263 4.3): silence, an unreachable place, a 503?"""
    cdef const slot_t *server = slot_at(shard.store, parent)
    return (server.identity.server.by_name and failed != NO_SLOT
            and slot_at(shard.store, failed).identity.client.destination_id == 0
            and record_of(server).server.attempt_count < MAX_ATTEMPTS
            and (reason == F_TIMEOUT or reason == F_TRANSPORT or (reason == 0 and status == 503)))


cdef int aim_at_next_address(shard_t *shard, uint32_t parent, uint32_t failed, int reason, int status,
                             hop_t *hop) noexcept nogil:
    cdef const slot_t *server = slot_at(shard.store, parent)
    cdef hop_t aimed = hop[0]
    if not is_of_address(shard, parent, failed, reason, status):
        return E_NONE
    if aim_beyond(shard, server, &slot_at(shard.store, failed).identity.client.target, &aimed) < 0:
        return E_NONE
    if server.in_dialog and server.identity.server.rule_id == 0:
        aimed.token_set = max(find_set(shard.table, server.identity.server.set_id) + 1, 0)
    aimed.tried = NULL
    aimed.tried_count = 0
    hop[0] = aimed
    return OK


cdef bint has_next_address(shard_t *shard, uint32_t parent, uint32_t failed, int reason, int status) noexcept nogil:
    """Asked only of failures: read_any_request costs a look at the whole request."""
    cdef hop_t hop
    return (is_of_address(shard, parent, failed, reason, status) and begin_hop(shard, parent, &hop) != NO_SLOT
            and aim_at_next_address(shard, parent, failed, reason, status, &hop) == OK)
