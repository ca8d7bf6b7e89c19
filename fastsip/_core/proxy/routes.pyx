"""What the request itself says about its way: Route and Request-URI.

RFC 3261 16.4 (our own Route values are removed, what strict routers do is undone),
16.5 and 16.6 items 6 and 7 (the next hop is the topmost Route, else the
Request-URI).  Only reads.  A next hop that is a name
is looked up in the table of names (docs/names.md#names-of-next-hops).
"""

from libc.stdint cimport uint32_t
from libc.string cimport memchr, memset

from fastsip._core.base.types cimport (
    E_BAD, E_FORGED, E_FULL, E_NONE, E_ROUTE, E_SCHEME, E_URI, NO_HEADER, OK, put, span_t, text_t,
)
from fastsip._core.base.check cimport check
from fastsip._core.sip.types cimport HOST_IPV6, H_ROUTE, header_t, name_addr_t, uri_t
from fastsip._core.sip.chars cimport C_PARAM, scan_class
from fastsip._core.sip.uri cimport parse_uri, same_text
from fastsip._core.sip.values cimport parse_name_addr
from fastsip._core.sip.parser cimport find_header, first_of
from fastsip._core.routing.types cimport ACT_FORWARD, listener_t, rule_t, table_t
from fastsip._core.routing.rules cimport is_own, port_of
from fastsip._core.wire.tokens cimport dialog_t, read_token, token_t
from fastsip._core.state.outbox cimport take_scratch
from fastsip._core.proxy.request cimport MAX_CUTS

# Where in the Route headers the next value begins.
cdef struct place_t:
    int header              # index, or NO_HEADER
    int of_value            # index of the header of the value that was read last
    uint32_t off


cdef int read_ruri(const message_t *m, uri_t *ruri) noexcept nogil:
    """16.3 item 2.  Of a scheme that we do not know nothing else is read: a rule may send it somewhere.  Headers in
    a Request-URI are an error (19.1.1).
    """
    cdef int code = parse_uri(m.buf, m.ruri.off, m.ruri.len, ruri)
    check(<uint32_t>m.ruri.off + m.ruri.len <= m.headers_off)
    if code == E_SCHEME:
        return OK
    return E_URI if code == OK and ruri.headers.len else code


cdef enum:
    FORGED_MOST = 2         # forged tokens of one request, at which its Routes are read no further


cdef int add_cut(hop_t *hop, uint32_t off, uint32_t len) noexcept nogil:
    """Adds what is left out of the request; values and headers that stand side by side become one cut."""
    cdef span_t *before = &hop.cuts[hop.cut_count - 1] if hop.cut_count else NULL
    check(len > 0)
    if before != NULL and <uint32_t>before.off + before.len == off:
        before.len += <unsigned short>len
        return OK
    if hop.cut_count >= MAX_CUTS:
        return E_ROUTE
    if before != NULL:
        check(<uint32_t>before.off + before.len < off)      # in the order in which they stand, as edits want them
    hop.cuts[hop.cut_count].off = <unsigned short>off
    hop.cuts[hop.cut_count].len = <unsigned short>len
    hop.cut_count += 1
    return OK


cdef int cut_header(const message_t *m, int i, hop_t *hop) noexcept nogil:
    check(i < m.header_count)
    check(m.headers[i].end_off <= m.headers_end)
    return add_cut(hop, m.headers[i].name_off, m.headers[i].end_off - m.headers[i].name_off)


cdef int cut_routes(const message_t *m, hop_t *hop) noexcept nogil:
    cdef int i = first_of(m, H_ROUTE)
    hop.cut_count = 0
    while i != NO_HEADER:
        if cut_header(m, i, hop) < 0:
            return E_ROUTE
        i = m.headers[i].next
    return OK


cdef bint leads_to_us(shard_t *shard, const message_t *m, const uri_t *uri) noexcept nogil:
    cdef span_t host = uri.maddr if uri.maddr.len else uri.host
    check(<uint32_t>host.off + host.len <= m.len)
    return is_own(shard.table, m.buf + host.off, host.len, port_of(shard.table, uri.scheme, uri.transport, uri.port))


cdef inline bint is_pair(const route_t *route, const token_t *token) noexcept nogil:
    """Do this value and the one before it name two listeners of one passage (RFC 5658)?"""
    return (route.passage != 0 and token.passage == route.passage and token.of_pair != route.of_pair)


cdef bint is_ours(shard_t *shard, const message_t *m, const uri_t *uri, bint first, route_t *route) noexcept nogil:
    """Does this Route value, or Request-URI, name us: by a token of this dialog, or by host and port?

    A token alone makes the `first` value ours, whatever its host is: it may be that of a node we stand in for.  Of
    those behind it only the first one's pair is: another node of this secret may have written them, and wants to be
    passed, too.  The short value of a pair proves nothing by itself: it does not say whose border stands at the other
    end, and whoever sends it alone would cross that one.  The route says by which of our listeners the dialog goes on:
    the one that the value names, else the one that has the token's role on this node.
    """
    cdef token_t token
    cdef int code = read_token(shard.table, m, &uri.user, &route.dialog, &token)
    cdef int named
    if code == E_BAD:
        route.forged += route.forged < FORGED_MOST
    if not (code == OK and (first or is_pair(route, &token))) and not leads_to_us(shard, m, uri):
        return False
    route.ours = 1
    route.passage = 0
    if code == OK:
        route.passage = token.passage
        route.of_pair = token.of_pair
        if not token.of_pair:
            route.token = token
            route.verified = 1
    named = listener_named(shard, m, uri, token.listener if code == OK else 0)
    if named < 0 and code == OK:
        named = listener_of_role(shard.table, token.listener)
    check(named < <int>shard.table.listener_count)
    if named >= 0:
        route.listener = named
    return True


cdef int listener_named(shard_t *shard, const message_t *m, const uri_t *uri, uint32_t role) noexcept nogil:
    """The listener that one of our own Record-Route values names, as index; `role` 0 = whatever its tag.

    Several may share a tag, and several a contact: both together tell them apart.
    """
    cdef uint32_t start = uri.host.off - (uri.host_kind == HOST_IPV6)
    cdef const listener_t *listener
    cdef uint32_t i
    for i in range(shard.table.listener_count):
        listener = &shard.table.listeners[i]
        if (start + listener.contact.len <= <uint32_t>uri.off + uri.len and (role == 0 or listener.short_id == role)
                and same_text(m.buf + start, listener.contact.len, listener.contact.at, listener.contact.len)):
            return i
    return E_NONE


cdef int listener_of_role(const table_t *table, uint32_t short_id) noexcept nogil:
    """The listener whose tag has this short id: so a token names it that may be of another node."""
    cdef uint32_t i
    for i in range(table.listener_count):
        if table.listeners[i].short_id == short_id:
            return i
    return E_NONE


cdef int next_value(const message_t *m, place_t *place, name_addr_t *value) noexcept nogil:
    """The next Route value; E_NONE behind the last one, E_ROUTE for one that cannot be read."""
    cdef const header_t *header
    if place.header == NO_HEADER:
        return E_NONE
    header = &m.headers[place.header]
    if parse_name_addr(m.buf, place.off, header.value_off + header.value_len, value) < 0:
        return E_ROUTE
    check(<uint32_t>value.off + value.len <= <uint32_t>header.value_off + header.value_len)
    place.of_value = place.header
    place.off = <uint32_t>value.off + value.len + 1
    if value.last:
        place.header = header.next
        place.off = m.headers[place.header].value_off if place.header != NO_HEADER else 0
    return OK


cdef void first_value(const message_t *m, place_t *place) noexcept nogil:
    place.header = first_of(m, H_ROUTE)
    place.off = m.headers[place.header].value_off if place.header != NO_HEADER else 0


cdef int first_route(const message_t *m, uri_t *uri) noexcept nogil:
    cdef place_t place
    cdef name_addr_t value
    cdef int code
    first_value(m, &place)
    code = next_value(m, &place, &value)
    if code < 0:
        return OK if code == E_NONE else code
    return parse_uri(m.buf, value.uri.off, value.uri.len, uri)


cdef int cut_through(const message_t *m, const name_addr_t *value, const place_t *place, hop_t *hop) noexcept nogil:
    """All values up to and including this one go: whole headers, and the beginning of the last of them."""
    cdef int i = first_of(m, H_ROUTE)
    check(value.len > 0)
    while i != place.of_value:
        check(i != NO_HEADER)           # the header of the value is one of these
        if cut_header(m, i, hop) < 0:
            return E_ROUTE
        i = m.headers[i].next
    if value.last:
        return cut_header(m, i, hop)
    return add_cut(hop, m.headers[i].value_off, value.off + value.len + 1 - m.headers[i].value_off)


cdef int find_last(const message_t *m, name_addr_t *value, uint32_t *before, int *of_value) noexcept nogil:
    """The last Route value, its header, and where the value before it in that header ends (0 = there is none)."""
    cdef place_t place
    cdef uint32_t end = 0
    cdef int header = NO_HEADER
    cdef int code
    first_value(m, &place)
    while True:
        code = next_value(m, &place, value)
        if code < 0:
            of_value[0] = header
            return OK if code == E_NONE and header != NO_HEADER else code
        before[0] = end if place.of_value == header else 0
        header = place.of_value
        end = <uint32_t>value.off + value.len


cdef uint32_t find_method_param(const char *buf, uint32_t off, uint32_t end, uint32_t *behind) noexcept nogil:
    """Where ";method=..." begins in the parameters of a URI, or `end`."""
    cdef uint32_t name_end
    while off < end:
        name_end = scan_class(buf, off + 1, end, C_PARAM)
        behind[0] = name_end
        if name_end < end and buf[name_end] == c'=':
            behind[0] = scan_class(buf, name_end + 1, end, C_PARAM)
        if same_text(buf + off + 1, name_end - off - 1, b"method", 6):
            return off
        off = behind[0]
    return end


cdef int as_ruri(shard_t *shard, const message_t *m, const uri_t *uri, text_t *ruri) noexcept nogil:
    """A Route value as Request-URI: neither headers nor a method may stand there (19.1.1, 16.6 item 2)."""
    cdef uint32_t off = uri.params.off
    cdef uint32_t end = uri.off + uri.len - (uri.headers.len + 1 if uri.headers.len else 0)
    cdef uint32_t begin, behind = 0
    cdef uint32_t written = 0
    cdef char *at
    ruri.at = m.buf + uri.off
    ruri.len = end - uri.off
    if uri.params.len == 0 or find_method_param(m.buf, off, end, &behind) == end:
        return OK
    at = take_scratch(shard, ruri.len)
    if at == NULL:
        return E_FULL
    written = put(at, m.buf + uri.off, off - uri.off)
    while off < end:
        begin = find_method_param(m.buf, off, end, &behind)
        written += put(at + written, m.buf + off, begin - off)
        off = behind if begin < end else end
    check(written < ruri.len)           # one parameter at least is left out
    ruri.at = at
    ruri.len = written
    return OK


cdef int undo_strict(shard_t *shard, const message_t *m, route_t *route, hop_t *hop, uint32_t *stop) noexcept nogil:
    """16.4: a strict router has put our own value into the Request-URI and the target behind the Routes.

    Takes the target back from there; `stop` becomes where it stands, since it goes from the Routes.
    """
    cdef name_addr_t value
    cdef uint32_t before = 0
    cdef int header = NO_HEADER
    cdef int code = find_last(m, &value, &before, &header)
    if code < 0:
        return code
    code = parse_uri(m.buf, value.uri.off, value.uri.len, &route.next)
    if code < 0:
        return code
    code = as_ruri(shard, m, &route.next, &hop.ruri)
    hop.ruri_for_good = 1
    stop[0] = value.off
    return code


cdef int cut_last(const message_t *m, uint32_t stop, hop_t *hop) noexcept nogil:
    """Cuts the last Route value, which begins at `stop`, together with the comma before it."""
    cdef name_addr_t value
    cdef uint32_t before = 0
    cdef int i = NO_HEADER
    if find_last(m, &value, &before, &i) < 0:
        return E_ROUTE
    if before == 0:
        return cut_header(m, i, hop)
    if hop.cut_count and hop.cuts[hop.cut_count - 1].off + hop.cuts[hop.cut_count - 1].len > before:
        hop.cut_count -= 1      # all values before it in this header went: so does the header
        return cut_header(m, i, hop)
    return add_cut(hop, before, m.headers[i].value_off + m.headers[i].value_len - before)


cdef bint is_strict_request(shard_t *shard, const message_t *m, const uri_t *ruri, route_t *route) noexcept nogil:
    """Is the Request-URI a value of our Record-Route, put there by a strict router (16.4)?

    Our values have a token, be it the short one of a pair (which has a passage).  Of a pair that a release before
    wrote one has no user at all: that one counts when it has our lr, or inside a dialog.
    """
    if first_of(m, H_ROUTE) == NO_HEADER or not is_ours(shard, m, ruri, True, route):
        return False
    return route.verified or route.passage or (ruri.user.len == 0 and (ruri.lr or m.to_tag.len > 0))


cdef int read_route(shard_t *shard, const message_t *m, const uri_t *ruri, route_t *route, hop_t *hop) noexcept nogil:
    """Pops the leading values that are ours together, since a pair names two of our listeners (RFC 5658)."""
    cdef uint32_t stop = 0
    cdef dialog_t dialog
    cdef int code
    check(hop.cut_count == 0)           # begin_hop
    start_route(route, ruri)
    if is_strict_request(shard, m, ruri, route):
        code = undo_strict(shard, m, route, hop, &stop)
        if code < 0:
            return code
    else:
        dialog = route.dialog
        start_route(route, ruri)
        route.dialog = dialog
    code = pop_leading(shard, m, stop, route, hop)
    if code < 0 or stop == 0:
        return code
    route.onward = 1
    check(hop.ruri_for_good)            # undo_strict
    return cut_last(m, stop, hop)


cdef void start_route(route_t *route, const uri_t *ruri) noexcept nogil:
    memset(route, 0, sizeof(route_t))
    route.listener = E_NONE
    route.next = ruri[0]


cdef int pop_leading(shard_t *shard, const message_t *m, uint32_t stop, route_t *route, hop_t *hop) noexcept nogil:
    """16.4: cuts our own leading values, and one behind them that has no lr, which becomes the Request-URI (16.6 item
    6).

    `stop` is where the value stands that undo_strict took as the target, 0 = there is none.
    """
    cdef place_t place, popped_at
    cdef name_addr_t value, popped
    cdef uri_t uri
    cdef bint first = stop == 0
    cdef int code
    memset(&popped, 0, sizeof(popped))
    first_value(m, &place)
    popped_at = place
    while not route.onward:
        code = next_value(m, &place, &value)
        if code == E_NONE or (code == OK and stop and value.off == stop):
            break
        if code == OK:
            code = parse_uri(m.buf, value.uri.off, value.uri.len, &uri)
        if code < 0:
            route.unreadable = code
            break
        route.onward = not is_ours(shard, m, &uri, first, route)
        first = False
        if route.forged == FORGED_MOST:
            return E_FORGED
        if not route.onward or not uri.lr:
            popped, popped_at = value, place
    if route.unreadable:
        route.onward = 1
        return OK
    if route.onward and not uri.lr:
        code = leave_to_strict(shard, m, &uri, route, hop)
        if code < 0:
            return code
    if route.onward:
        route.next = uri
    return cut_through(m, &popped, &popped_at, hop) if popped.len else OK


cdef int leave_to_strict(shard_t *shard, const message_t *m, const uri_t *uri, const route_t *route,
                         hop_t *hop) noexcept nogil:
    """16.6 item 6: the next hop knows no lr, so its value becomes the Request-URI, and that the last Route value."""
    check(route.onward)
    check(route.next.len > 0)
    hop.route_last.at = m.buf + route.next.off
    hop.route_last.len = route.next.len
    hop.ruri_for_good = 1
    return as_ruri(shard, m, uri, &hop.ruri)


cdef int read_forward(const message_t *m, const rule_t *rule, const uri_t *ruri, route_t *route) noexcept nogil:
    """The header of `forward` holds one URI, or one name-addr; of two values nobody knows which is meant."""
    cdef name_addr_t value
    cdef span_t place
    cdef int i
    check(rule.action == ACT_FORWARD)
    route.ours = 0
    route.onward = 1
    route.listener = E_NONE
    route.next = ruri[0]
    if rule.forward.len == 0:
        return OK
    i = find_header(m, rule.forward.at, rule.forward.len)
    if i == NO_HEADER:
        return E_URI
    place.off, place.len = m.headers[i].value_off, m.headers[i].value_len
    if memchr(m.buf + place.off, c'<', place.len) != NULL:
        if parse_name_addr(m.buf, place.off, <uint32_t>place.off + place.len, &value) < 0 or not value.last:
            return E_URI
        place = value.uri
    return parse_uri(m.buf, place.off, place.len, &route.next)
