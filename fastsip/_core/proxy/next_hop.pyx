"""The next hop of a request that finds its own way (16.6 items 6 and 7).

It is the topmost Route, else the Request-URI: a numeric address, or a name that is looked up in the table of names
(docs/names.md#names-of-next-hops), by what its URI leaves open (RFC 3263 sections 4.1 and 4.2).  A verified token may
name a destination instead.  Nobody is sent to who is no host, to ourselves, or, by strangers, to what is this
machine's own.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.string cimport memcmp, memcpy

from fastsip._core.base.types cimport E_BAD, E_HOME, E_NEXT_HOP, E_NONE, E_SCHEME, E_UNRESOLVED, OK, span_t, text_t
from fastsip._core.base.address cimport T_NONE, origin_t, same_place
from fastsip._core.base.check cimport check
from fastsip._core.base.hashing cimport hash_text
from fastsip._core.sip.types cimport HOST_IPV6, M_ACK, M_CANCEL, S_SIP, message_t, uri_t
from fastsip._core.sip.chars cimport C_ALPHA, C_HOST, is_class, scan_class
from fastsip._core.sip.uri cimport is_loopback, is_unicast, transport_of, uri_address, usual_port
from fastsip._core.routing.types cimport destination_t, listener_t, table_t
from fastsip._core.routing.index cimport ID_NAMED, find_id
from fastsip._core.routing.lookup cimport find_by_address
from fastsip._core.routing.rules cimport is_known, is_served
from fastsip._core.wire.tokens cimport is_other_border, token_t
from fastsip._core.transport.names cimport (
    NAME_BYTES, OF_DOMAIN, OF_HOST, OF_SERVICE, find_target, found_t, place_mark, wanted_t,
)
from fastsip._core.transport.local cimport local_address
from fastsip._core.state.recall cimport recall_target
from fastsip._core.state.counters cimport N_NAMES_CUT, N_NAMES_FAILED
from fastsip._core.state.shard cimport count
from fastsip._core.state.questions cimport ask_name
from fastsip._core.proxy.request cimport hop_t


cdef inline bint can_send(const listener_t *listener, const addr_t *to) noexcept nogil:
    return listener.addr.family == to.family and listener.addr.transport == to.transport


cdef int first_that_can(const table_t *table, const addr_t *to, uint32_t *many) noexcept nogil:
    """Index of the first listener that can send there, E_BAD without one; `many` becomes how many there are."""
    cdef int found = E_BAD
    cdef uint32_t i
    many[0] = 0
    for i in range(table.listener_count):
        if can_send(&table.listeners[i], to):
            many[0] += 1
            if found < 0:
                found = <int>i
    return found


cdef int listener_towards(shard_t *shard, const addr_t *to, uint32_t came_by) noexcept nogil:
    """The listener on the address that the kernel would send from; of several, the one that the request came in by."""
    cdef addr_t ours
    cdef int found = E_NONE
    cdef uint32_t i
    if shard.local == NULL or local_address(shard.local, to, shard.now_ms, &ours) < 0:
        return E_NONE
    for i in range(shard.table.listener_count):
        if (memcmp(shard.table.listeners[i].addr.ip, ours.ip, 16) == 0 and (found < 0 or i == came_by)
                and shard.table.listeners[i].addr.transport == to.transport):
            found = <int>i
    return found


cdef int listener_for(shard_t *shard, const addr_t *to, int named, uint32_t came_by) noexcept nogil:
    """In this order: the listener that our own Route names, the only one that can, the one on the address
    towards `to`, the one that the request came in by.
    """
    cdef uint32_t many
    cdef int found = first_that_can(shard.table, to, &many)
    check(came_by < shard.table.listener_count)
    check(named < <int>shard.table.listener_count)
    if named >= 0 and can_send(&shard.table.listeners[named], to):
        return named
    if many > 1:
        named = listener_towards(shard, to, came_by)
        if named >= 0:
            return named
        if can_send(&shard.table.listeners[came_by], to):
            return came_by
    return found


cdef uint32_t families_of(shard_t *shard) noexcept nogil:
    """Address families that some listener can send to, as bits 4 and 6."""
    cdef uint32_t families = 0
    cdef uint32_t i
    for i in range(shard.table.listener_count):
        families |= <uint32_t>1 << shard.table.listeners[i].addr.family
    return families


cdef bint is_host_name(const text_t *name) noexcept nogil:
    """Could DNS know it?  The last label of a host name begins with a letter (25.1)."""
    cdef uint32_t len = name.len
    cdef uint32_t i
    if len and name.at[len - 1] == c'.':
        len -= 1
    if len == 0 or len > NAME_BYTES or scan_class(name.at, 0, len, C_HOST) != len:
        return False
    i = len
    while i > 0 and name.at[i - 1] != c'.':
        i -= 1
    return i < len and is_class(name.at[i], C_ALPHA)


cdef inline int kind_of(const uri_t *uri) noexcept nogil:
    """What DNS is asked of the name: what the URI leaves open (RFC 3263 sections 4.1 and 4.2)."""
    if uri.port:
        return OF_HOST
    return OF_SERVICE if uri.transport != T_NONE else OF_DOMAIN


cdef int find_name(shard_t *shard, request_t *request, const span_t *host, addr_t *to) noexcept nogil:
    """Looks the host name up; targets of the family of the listener that our own Route names come first
    (docs/names.md#names-of-next-hops).

    An answer whose time is over is still used; a question for a fresh one goes out beside it.
    """
    cdef const message_t *m = request.m
    cdef const route_t *route = &request.route
    cdef hop_t *hop = &request.hop
    cdef text_t name
    cdef wanted_t wanted
    cdef found_t found
    cdef bint due = False
    cdef int code
    check(<uint32_t>host.off + host.len <= m.len)
    name.at = m.buf + host.off
    name.len = host.len
    if not is_host_name(&name):
        return E_NONE
    hop.by_name = 1
    wanted.kind = kind_of(&route.next)
    wanted.key = hash_text(shard.table.branch_key, m.buf + m.call_id.off, m.call_id.len)
    wanted.inside = request.in_dialog or m.method == M_ACK or m.method == M_CANCEL
    wanted.preferred = recall_target(shard, m) if wanted.inside else 0
    wanted.port = route.next.port
    wanted.usual_port = usual_port(route.next.scheme, route.next.transport)
    wanted.tried = hop.tried
    wanted.tried_count = hop.tried_count
    wanted.families = families_of(shard)
    wanted.first_family = shard.table.listeners[route.listener].addr.family if route.listener >= 0 else 0
    code = find_target(shard.names, name.at, name.len, &wanted, shard.now_ms, &found, &due)
    if due:
        ask_name(shard, &name, wanted.kind, NULL)
    if code == E_UNRESOLVED:
        hop.name = name
        hop.name_kind = <uint8_t>wanted.kind
    elif code < 0 and hop.tried_count == 0:
        count(shard, N_NAMES_FAILED)
    elif code == OK:
        to[0] = found.addr
        hop.more = found.count > 1
        if found.cut and hop.tried_count == 0:
            count(shard, N_NAMES_CUT)
    return code


cdef int find_host(shard_t *shard, request_t *request, addr_t *to) noexcept nogil:
    """The address of the next hop, its port as far as it is known."""
    cdef const uri_t *uri = &request.route.next
    cdef span_t host = uri.maddr if uri.maddr.len else uri.host
    if uri_address(request.m.buf, uri, to) == OK:
        return OK
    if uri.host_kind == HOST_IPV6 and not uri.maddr.len:
        return E_NONE
    return find_name(shard, request, &host, to)


cdef bint is_listener(const table_t *table, const addr_t *to) noexcept nogil:
    cdef uint32_t i
    for i in range(table.listener_count):
        if same_place(&table.listeners[i].addr, to):
            return True
    return False


cdef int check_next_hop(shard_t *shard, const addr_t *to, const origin_t *origin) noexcept nogil:
    """May the request be sent to `to`, whatever named it, a text or DNS?

    Never to what is no host (multicast, unspecified), never to our own listeners, and to this machine's loopback only
    from a listener there or for a known source.
    """
    check(origin.listener < shard.table.listener_count)
    if not is_unicast(to):
        return E_NEXT_HOP
    if is_listener(shard.table, to):
        return E_HOME
    if (is_loopback(to) and not is_loopback(&shard.table.listeners[origin.listener].addr)
            and not is_known(shard.table, &origin.flow.remote)):
        return E_NEXT_HOP
    return OK


cdef int aim_at_host(shard_t *shard, request_t *request) noexcept nogil:
    """Address and port of the next hop: the URI's port, else what `[names]` gives, else the usual one; the listener.

    A destination of the table is reached from its own listener, unless our Route names another.
    """
    cdef const uri_t *uri = &request.route.next
    cdef addr_t *to = &request.hop.flow.remote
    cdef int named = request.route.listener
    cdef int known, index
    cdef int code = find_host(shard, request, to)
    if code < 0:
        return code
    check(to.family != 0)
    if uri.port or to.port == 0:
        to.port = uri.port if uri.port else usual_port(uri.scheme, uri.transport)
    to.transport = transport_of(uri)
    known = find_by_address(shard.table, to)
    if known < 0:
        code = E_NEXT_HOP if request.hop.destinations_only else check_next_hop(shard, to, request.origin)
        if code < 0:
            return code
    index = listener_for(shard, to, named, request.origin.listener)
    if known >= 0 and named < 0:
        index = shard.table.destinations[known].listener
    if index < 0:
        return E_BAD
    request.hop.flow.listener_id = shard.table.listeners[index].id
    return OK


cdef inline bint is_passed_over(int code) noexcept nogil:
    """Is the next target of the name looked at?"""
    return code == E_BAD or code == E_HOME or code == E_NEXT_HOP


cdef int aim_past(shard_t *shard, request_t *request, const uint32_t *before, uint16_t before_count) noexcept nogil:
    """As aim_at_host; a target of a name that nobody can be sent to counts as tried (docs/names.md#a-name-is-a-list).

    `before` are the marks of those that were tried, of which hop.tried is at most a part.
    """
    cdef hop_t *hop = &request.hop
    cdef uint32_t tried[MOST_TRIED]
    cdef int code = aim_at_host(shard, request)
    cdef int later = code
    check(before_count < MOST_TRIED)
    if not hop.by_name or not is_passed_over(code):
        return code
    if before_count:
        memcpy(tried, before, before_count * sizeof(uint32_t))
    hop.tried = tried
    while is_passed_over(later) and hop.tried_count < MOST_TRIED:
        tried[hop.tried_count] = place_mark(&hop.flow.remote)
        hop.tried_count += 1
        later = aim_at_host(shard, request)
    hop.tried = before
    hop.tried_count = before_count
    return code if later == E_NONE else later


cdef bint leads_elsewhere(shard_t *shard, request_t *request) noexcept nogil:
    """Is there another target of the name for this request, should the one that it is aimed at say nothing?

    Who is not known was let through because that one is a destination's, and goes to no other place either.
    """
    cdef hop_t aimed = request.hop
    cdef uint32_t tried[MOST_TRIED]
    cdef bint found
    if aimed.tried_count + 1 >= MOST_TRIED:
        return False
    if aimed.tried_count:
        memcpy(tried, aimed.tried, aimed.tried_count * sizeof(uint32_t))
    tried[aimed.tried_count] = place_mark(&aimed.flow.remote)
    request.hop.tried = tried
    request.hop.tried_count += 1
    if (not is_known(shard.table, &request.origin.flow.remote)
            and find_by_address(shard.table, &aimed.flow.remote) >= 0):
        request.hop.destinations_only = 1
    found = aim_past(shard, request, tried, request.hop.tried_count) == OK
    request.hop = aimed
    return found


cdef int aim_by_route(shard_t *shard, request_t *request) noexcept nogil:
    cdef hop_t *hop = &request.hop
    cdef int code
    check(hop.tried_count <= MOST_TRIED)
    hop.name.len = 0
    hop.by_name = 0
    hop.more = 0
    if request.route.next.scheme != S_SIP:
        return E_SCHEME
    if not is_served(shard.table, transport_of(&request.route.next)):
        return E_BAD
    code = aim_past(shard, request, hop.tried, hop.tried_count)
    if code == OK and hop.more:
        hop.more = leads_elsewhere(shard, request)
    return code


cdef int find_named(const table_t *table, const route_t *route) noexcept nogil:
    """The destination that a verified token names, when the request goes towards it and not towards the other end."""
    cdef const token_t *token = &route.token
    cdef int first, i
    if not route.verified or token.destination == 0 or token.from_caller == token.of_caller:
        return E_NONE
    first = find_id(table, ID_NAMED, token.destination)
    for i in range(first if first >= 0 else <int>table.destination_count, <int>table.destination_count):
        if (table.destinations[i].short_id == token.destination
                and table.sets[table.destinations[i].set_index].short_id == token.of_set):
            return i
    return E_NONE


cdef int find_other_end(const table_t *table, const token_t *token) noexcept nogil:
    """The destination at the other end of the dialog, which a token names when there is a border (fill_token)."""
    cdef int first = find_id(table, ID_NAMED, token.stand_in)
    cdef int i
    for i in range(first if first >= 0 else <int>table.destination_count, <int>table.destination_count):
        if (table.destinations[i].short_id == token.stand_in
                and is_other_border(table, &table.destinations[i], token.of_set)):
            return i
    return E_NONE


cdef int aim_by_token(shard_t *shard, request_t *request) noexcept nogil:
    cdef int index = find_named(shard.table, &request.route)
    cdef const destination_t *d
    if index < 0:
        return E_NONE
    check(index < <int>shard.table.destination_count)
    d = &shard.table.destinations[index]
    request.hop.flow.remote = d.addr
    request.hop.flow.listener_id = shard.table.listeners[d.listener].id
    return OK
