"""What the request itself says about its way: Route, Request-URI, and what is hashed of it.

RFC 3261 16.4 (our own Route values are removed), 16.5 and 16.6 items 6 and 7
(the next hop is the topmost Route, else the Request-URI).  Only reads; used by
proxy.  A next hop that is a name is looked up in the table of names (wire section 7).
"""

from libc.stdint cimport uint32_t, uint64_t, uint8_t

from fastsip._core.chars cimport C_ALPHA, C_HOST, is_class, scan_class
from fastsip._core.core cimport (ASKED_LATELY, EVENT_QUESTION, N_NAMES_ASKED, N_NAMES_FAILED, asked_t, count,
                                 emit_event, find_by_address)
from fastsip._core.hashing cimport hash_text
from fastsip._core.branches cimport MAX_CUTS
from fastsip._core.names cimport NAME_BYTES, find_address, hash_name
from fastsip._core.parser cimport first_of, find_header
from fastsip._core.values cimport parse_name_addr
from fastsip._core.rules cimport is_own
from fastsip._core.types cimport (A_AUTH_USER, A_FROM_URI, A_KEY, A_REQUEST_URI, A_TO_URI, E_BAD, E_NONE, E_ROUTE,
                                  E_UNRESOLVED, HOST_IPV4, HOST_IPV6, H_AUTHORIZATION, H_FROM, H_PROXY_AUTHORIZATION,
                                  H_ROUTE, H_TO, NO_HEADER, OK, S_SIP, T_NONE, T_UDP, name_addr_t, span_t)
from fastsip._core.uri cimport parse_address, parse_uri, same_text

cdef enum:
    ASK_AGAIN_MS = 1000     # a name


cdef int add_cut(hop_t *hop, uint32_t off, uint32_t len) noexcept nogil:
    if hop.cut_count >= MAX_CUTS:
        return E_ROUTE
    hop.cuts[hop.cut_count].off = <unsigned short>off
    hop.cuts[hop.cut_count].len = <unsigned short>len
    hop.cut_count += 1
    return OK


cdef int cut_routes(const message_t *m, hop_t *hop) noexcept nogil:
    cdef int i = first_of(m, H_ROUTE)
    hop.cut_count = 0
    while i != NO_HEADER:
        if add_cut(hop, m.headers[i].name_off, m.headers[i].end_off - m.headers[i].name_off) < 0:
            return E_ROUTE
        i = m.headers[i].next
    return OK


cdef int read_route(core_t *core, const message_t *m, const uri_t *ruri, route_t *route, hop_t *hop) noexcept nogil:
    """Leading values that are ours are popped together: a pair names two of our listeners (RFC 5658)."""
    cdef int i = first_of(m, H_ROUTE)
    cdef name_addr_t value
    cdef uint32_t off, end
    cdef uri_t uri
    cdef int code
    route.ours = 0
    route.onward = 0
    route.listener = E_NONE
    route.next = ruri[0]
    while i != NO_HEADER:
        off = m.headers[i].value_off
        end = off + m.headers[i].value_len
        while True:
            if parse_name_addr(m.buf, off, end, &value) < 0:
                return E_ROUTE
            code = parse_uri(m.buf, value.uri.off, value.uri.len, &uri)
            if code < 0:
                return code
            if not is_own(core.table, m.buf + uri.host.off, uri.host.len, uri.port):
                route.onward = 1
                route.next = uri
                return cut_leading(m, i, off, hop)
            route.ours = 1
            route.listener = listener_named(core, m, &uri)
            if value.last:
                break
            off = value.off + value.len + 1
        if add_cut(hop, m.headers[i].name_off, m.headers[i].end_off - m.headers[i].name_off) < 0:
            return E_ROUTE
        i = m.headers[i].next
    return OK


cdef int cut_leading(const message_t *m, int i, uint32_t off, hop_t *hop) noexcept nogil:
    """The values of header i before `off` are ours and go."""
    if off == m.headers[i].value_off:
        return OK
    return add_cut(hop, m.headers[i].value_off, off - m.headers[i].value_off)


cdef int listener_named(core_t *core, const message_t *m, const uri_t *uri) noexcept nogil:
    """The listener that one of our own Record-Route values names, as index."""
    cdef uint32_t start = uri.host.off - (uri.host_kind == HOST_IPV6)
    cdef uint32_t i, len
    for i in range(core.table.listener_count):
        len = core.table.listeners[i].sent_by.len
        if (start + len <= <uint32_t>uri.off + uri.len
                and same_text(m.buf + start, len, core.table.listeners[i].sent_by.at, len)):
            return i
    return E_NONE


cdef int listener_for(core_t *core, uint8_t family, int named, uint32_t came_by) noexcept nogil:
    """The one that our own Route names, else the one the request came in by, else the first of the family."""
    cdef uint32_t i
    if named >= 0 and core.table.listeners[named].addr.family == family:
        return named
    if core.table.listeners[came_by].addr.family == family:
        return came_by
    for i in range(core.table.listener_count):
        if core.table.listeners[i].addr.family == family:
            return i
    return E_BAD


cdef void ask_name(core_t *core, const text_t *name) noexcept nogil:
    """One question per name and ASK_AGAIN_MS: an answer takes a moment, and a lost question is asked again."""
    cdef uint64_t hash = hash_name(core.names, name.at, name.len)
    cdef asked_t *asked = &core.waiting.asked[hash % ASKED_LATELY]
    if asked.name == hash and core.now_ms < asked.at_ms + ASK_AGAIN_MS:
        return
    if emit_event(core, EVENT_QUESTION, 0, 0, 0, 0, name.at, name.len):
        asked.name = hash
        asked.at_ms = core.now_ms
        count(core, N_NAMES_ASKED)


cdef uint32_t families_of(core_t *core) noexcept nogil:
    """Bits 4 and 6: those that can be sent to."""
    cdef uint32_t families = 0
    cdef uint32_t i
    for i in range(core.table.listener_count):
        families |= <uint32_t>1 << core.table.listeners[i].addr.family
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


cdef int find_name(core_t *core, const message_t *m, const span_t *host, int named, addr_t *to,
                   hop_t *hop) noexcept nogil:
    """Wire section 7: rather of the family of the listener that our own Route names.

    An answer whose time is over is used, and asked for again meanwhile.
    """
    cdef text_t name
    cdef uint32_t families = families_of(core)
    cdef uint64_t key = hash_text(core.table.branch_key, m.buf + m.call_id.off, m.call_id.len)
    cdef bint due = False
    cdef int code = E_NONE
    name.at = m.buf + host.off
    name.len = host.len
    if not is_host_name(&name):
        return E_NONE
    if named >= 0:
        code = find_address(core.names, name.at, name.len, key, <uint32_t>1 << core.table.listeners[named].addr.family,
                            core.now_ms, to, &due)
    if code == E_NONE:
        code = find_address(core.names, name.at, name.len, key, families, core.now_ms, to, &due)
    if due:
        ask_name(core, &name)
    if code == E_UNRESOLVED:
        hop.name = name
    elif code < 0:
        count(core, N_NAMES_FAILED)
    return code


cdef int find_host(core_t *core, const message_t *m, const route_t *route, addr_t *to, hop_t *hop) noexcept nogil:
    """The address of the next hop, its port as far as it is known."""
    cdef const uri_t *uri = &route.next
    cdef span_t host = uri.maddr if uri.maddr.len else uri.host
    if parse_address(m.buf + host.off, host.len, HOST_IPV4, 0, to) == OK:
        return OK
    if uri.host_kind == HOST_IPV6:
        return OK if parse_address(m.buf + host.off, host.len, HOST_IPV6, 0, to) == OK else E_NONE
    return find_name(core, m, &host, route.listener, to, hop)


cdef int aim_by_route(core_t *core, const message_t *m, const route_t *route, uint32_t listener,
                      hop_t *hop) noexcept nogil:
    """The port of the URI, else the one that `[names]` gives, else 5060."""
    cdef const uri_t *uri = &route.next
    cdef addr_t *to = &hop.flow.remote
    cdef int known, index, code
    hop.name.len = 0
    if uri.scheme != S_SIP or uri.transport not in (T_NONE, T_UDP):
        return E_BAD
    code = find_host(core, m, route, to, hop)
    if code < 0:
        return code
    if uri.port or to.port == 0:
        to.port = uri.port if uri.port else 5060
    to.transport = T_UDP
    index = listener_for(core, to.family, route.listener, listener)
    known = find_by_address(core.table, to)
    if known >= 0 and route.listener < 0:
        index = core.table.destinations[known].listener
    if index < 0:
        return E_BAD
    hop.flow.listener_id = core.table.listeners[index].id
    return OK


cdef bint find_username(const message_t *m, span_t *value) noexcept nogil:
    """The digest user name: of Proxy-Authorization if there is one, else of Authorization."""
    cdef int i = first_of(m, H_PROXY_AUTHORIZATION)
    cdef uint32_t at, end
    if i == NO_HEADER:
        i = first_of(m, H_AUTHORIZATION)
    if i == NO_HEADER:
        return False
    at = m.headers[i].value_off
    end = at + m.headers[i].value_len
    while at + 11 <= end and not same_text(m.buf + at, 10, b'username="', 10):
        at += 1
    if at + 11 > end:
        return False
    at += 10
    value.off = <unsigned short>at
    while at < end and m.buf[at] != c'"':
        at += 1
    value.len = <unsigned short>(at - value.off)
    return True


cdef uint64_t selection_key(const set_t *dispatch_set, const message_t *m, const uri_t *ruri) noexcept nogil:
    """Call-ID for every algorithm that names nothing else (also where the named value is absent)."""
    cdef span_t value = m.call_id
    cdef name_addr_t name
    cdef int i = NO_HEADER
    if dispatch_set.algorithm == A_REQUEST_URI:
        value = m.ruri
    elif dispatch_set.algorithm == A_FROM_URI or dispatch_set.algorithm == A_TO_URI:
        i = first_of(m, H_FROM if dispatch_set.algorithm == A_FROM_URI else H_TO)
        if parse_name_addr(m.buf, m.headers[i].value_off, m.headers[i].value_off + m.headers[i].value_len, &name) >= 0:
            value = name.uri
    elif dispatch_set.algorithm == A_AUTH_USER:
        find_username(m, &value)
    elif dispatch_set.algorithm == A_KEY:
        i = find_header(m, dispatch_set.key_header.at, dispatch_set.key_header.len)
        if i != NO_HEADER:
            value.off = m.headers[i].value_off
            value.len = m.headers[i].value_len
    return hash_text(dispatch_set.hash_key, m.buf + value.off, value.len)
