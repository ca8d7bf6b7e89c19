"""Which rule a request meets: conditions of the route table against the index of a message.

Conditions of a rule are ANDed, items of a condition ORed, `negate` turns the outcome of
one condition.  Each kind has its matcher in a table; lists of more than a few texts
are searched by halves (conditions lays them out for that).

What is compared how: methods and users with case (RFC 3261 sections 7.1 and 19.1.4),
hosts and header names without, IPv6 addresses by value, header values without case
and with any run of white space, folds too, as one blank (7.3.1).  Escapes in users are not decoded.
A condition on what a request does not have (the user of sip:host, the domain of a tel
URI) does not hold; negated, it does.

Must never: touch Python, or judge a header that no rule names.
Called by the proxy core for each request that opens a dialog or transaction of its own.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memchr, memcmp
from fastsip._core.hashing cimport hash_add, hash_add_number, hash_begin, hash_end, siphash_t
from fastsip._core.parser cimport find_header, parse_message, parse_routing
from fastsip._core.patterns cimport match_pattern
from fastsip._core.tables cimport Table
from fastsip._core.types cimport (
    C_TO_TAG, E_NONE, HOST_IPV4, HOST_IPV6, H_OTHER, M_OTHER, NO_HEADER, OK, addr_t, condition_t, header_t, message_t,
    network_t, rule_t, set_t, table_t, text_t, uri_t,
)
from fastsip._core.uri cimport parse_address, parse_uri, same_text, write_address

cdef enum:
    HOST_ROOM = 256         # a name has at most 253 bytes (RFC 1035 section 2.3.4)
    FEW = 8                 # texts that are looked through one by one
    SIP_PORT = 5060

# What the matchers look at.  The host is written out once, when the first condition asks.
cdef struct request_t:
    const table_t *table
    const message_t *m
    const uri_t *ruri
    const addr_t *source
    uint32_t listener
    int host_len            # -1 = not written yet
    char host[256]          # HOST_ROOM

ctypedef bint (*matcher_t)(const condition_t *condition, request_t *request) noexcept nogil


# ---------------------------------------------------------------- texts

cdef inline uint8_t lower(uint8_t letter) noexcept nogil:
    return letter | 0x20 if c'A' <= letter <= c'Z' else letter


cdef inline bint is_blank(char letter) noexcept nogil:
    return letter == c' ' or letter == c'\t' or letter == c'\r' or letter == c'\n'


cdef int write_host(const char *host, uint32_t len, char *room) noexcept nogil:
    """The host as tables keep it: lower case, no brackets, no final dot, IPv6 in its short form.

    Length, or 0 for none and for what is too long to be a name.
    """
    cdef addr_t addr
    cdef uint32_t i
    if len > 2 and host[0] == c'[' and host[len - 1] == c']':
        host += 1
        len -= 2
    if len and memchr(host, c':', len) != NULL:
        return write_address(&addr, room, False) if parse_address(host, len, HOST_IPV6, 0, &addr) == OK else 0
    if len and host[len - 1] == c'.':
        len -= 1
    if len > HOST_ROOM:
        return 0
    for i in range(len):
        room[i] = lower(host[i])
    return <int>len


cdef inline int compare(const text_t *text, const char *at, uint32_t len) noexcept nogil:
    """Order by bytes, the shorter of two equal beginnings first: as Python sorts bytes."""
    cdef int order = memcmp(text.at, at, text.len if text.len < len else len)
    if order:
        return order
    return 0 if text.len == len else (-1 if text.len < len else 1)


cdef uint32_t count_not_above(const text_t *texts, uint32_t count, const char *at, uint32_t len) noexcept nogil:
    """How many of the sorted texts are not above this one."""
    cdef uint32_t low = 0
    cdef uint32_t high = count
    cdef uint32_t middle
    while low < high:
        middle = (low + high) // 2
        if compare(&texts[middle], at, len) <= 0:
            low = middle + 1
        else:
            high = middle
    return low


cdef bint has_text(const text_t *texts, uint32_t count, const char *at, uint32_t len) noexcept nogil:
    cdef uint32_t place, i
    if count <= FEW:
        for i in range(count):
            if texts[i].len == len and memcmp(texts[i].at, at, len) == 0:
                return True
        return False
    place = count_not_above(texts, count, at, len)
    return place > 0 and compare(&texts[place - 1], at, len) == 0


cdef bint has_place(const text_t *hosts, const uint16_t *ports, uint32_t count, const char *host, uint32_t len,
                    uint32_t port) noexcept nogil:
    """Sorted hosts as tables keep them, one host's ports side by side; of `ports` 0 stands for any."""
    cdef uint32_t place = count_not_above(hosts, count, host, len)
    if port == 0:
        port = SIP_PORT
    while place > 0 and compare(&hosts[place - 1], host, len) == 0:
        place -= 1
        if ports[place] == 0 or ports[place] == port:
            return True
    return False


cdef bint has_prefix(const text_t *texts, uint32_t count, const char *at, uint32_t len) noexcept nogil:
    """No text begins with another one, so the only one that may fit is the greatest not above."""
    cdef uint32_t place = count_not_above(texts, count, at, len)
    if place == 0:
        return False
    return texts[place - 1].len <= len and memcmp(texts[place - 1].at, at, texts[place - 1].len) == 0


cdef bint same_value(const char *a, uint32_t a_len, const text_t *text) noexcept nogil:
    """Equal without case, each run of white space being one blank."""
    cdef uint32_t i = 0
    cdef uint32_t k = 0
    while i < a_len and k < text.len:
        if is_blank(a[i]) != is_blank(text.at[k]):
            return False
        if is_blank(a[i]):
            while i < a_len and is_blank(a[i]):
                i += 1
            while k < text.len and is_blank(text.at[k]):
                k += 1
        elif lower(a[i]) == lower(text.at[k]):
            i += 1
            k += 1
        else:
            return False
    return i == a_len and k == text.len


# ---------------------------------------------------------------- matchers

cdef bint match_method_condition(const condition_t *condition, request_t *request) noexcept nogil:
    cdef const message_t *m = request.m
    if m.method != M_OTHER:
        return (condition.methods >> m.method) & 1
    return has_text(condition.texts, condition.count, m.buf + m.method_name.off, m.method_name.len)


cdef bint match_user(const condition_t *condition, request_t *request) noexcept nogil:
    cdef const uri_t *ruri = request.ruri
    return has_text(condition.texts, condition.count, request.m.buf + ruri.user.off, ruri.user.len)


cdef bint match_user_prefix(const condition_t *condition, request_t *request) noexcept nogil:
    cdef const uri_t *ruri = request.ruri
    return has_prefix(condition.texts, condition.count, request.m.buf + ruri.user.off, ruri.user.len)


cdef bint match_user_pattern(const condition_t *condition, request_t *request) noexcept nogil:
    cdef const uri_t *ruri = request.ruri
    return ruri.user.len and match_pattern(condition.pattern, request.m.buf + ruri.user.off, ruri.user.len)


cdef bint match_domain(const condition_t *condition, request_t *request) noexcept nogil:
    if request.host_len < 0:
        request.host_len = write_host(request.m.buf + request.ruri.host.off, request.ruri.host.len, request.host)
    if request.host_len == 0:
        return False
    return has_place(condition.texts, condition.ports, condition.count, request.host, request.host_len,
                     request.ruri.port)


cdef inline bint covers(const network_t *network, const addr_t *addr) noexcept nogil:
    cdef uint32_t whole = network.bits >> 3
    cdef uint32_t rest = network.bits & 7
    if network.family != addr.family or memcmp(network.ip, addr.ip, whole) != 0:
        return False
    return rest == 0 or (network.ip[whole] ^ addr.ip[whole]) >> (8 - rest) == 0


cdef bint is_in_networks(const condition_t *condition, const addr_t *addr) noexcept nogil:
    cdef uint32_t i
    for i in range(condition.count):
        if covers(&condition.networks[i], addr):
            return True
    return False


cdef bint match_source(const condition_t *condition, request_t *request) noexcept nogil:
    return is_in_networks(condition, request.source)


cdef bint match_source_set(const condition_t *condition, request_t *request) noexcept nogil:
    """By address and port, as find_by_address knows a destination: other programs of that host are not it."""
    cdef const addr_t *source = request.source
    cdef const addr_t *addr
    cdef const set_t *named
    cdef uint32_t i, k
    for i in range(condition.count):
        named = &request.table.sets[condition.tags[i]]
        for k in range(named.first, named.first + named.count):
            addr = &request.table.destinations[k].addr
            if addr.port == source.port and memcmp(addr.ip, source.ip, 16) == 0:
                return True
    return False


cdef bint is_trusted(const table_t *table, const addr_t *addr) noexcept nogil:
    return is_in_networks(&table.trusted, addr)


cdef bint match_listen(const condition_t *condition, request_t *request) noexcept nogil:
    cdef uint32_t i, tag
    if request.listener >= request.table.listener_count:
        return False
    tag = request.table.listeners[request.listener].tag_id
    for i in range(condition.count):
        if condition.tags[i] == tag:
            return True
    return False


cdef inline bint is_named(const condition_t *condition, const message_t *m, const header_t *header) noexcept nogil:
    """By id, by its name, or by the compact letter that conditions put beside the name."""
    if condition.header_id != H_OTHER:
        return True
    if header.name_len == 1 and condition.compact:
        return lower(m.buf[header.name_off]) == condition.compact
    return same_text(m.buf + header.name_off, header.name_len, condition.texts[0].at, condition.texts[0].len)


cdef bint match_header(const condition_t *condition, request_t *request) noexcept nogil:
    """Present, or one of the headers of this name has one of the values."""
    cdef const message_t *m = request.m
    cdef const header_t *header
    cdef uint32_t i
    cdef int index = find_header(m, condition.texts[0].at, condition.texts[0].len)
    if index == NO_HEADER or condition.flag:
        return index != NO_HEADER
    while index != NO_HEADER:
        header = &m.headers[index]
        if is_named(condition, m, header):
            for i in range(1, condition.count):
                if same_value(m.buf + header.value_off, header.value_len, &condition.texts[i]):
                    return True
        index = header.next
    return False


cdef uint64_t headers_looked_at(const table_t *table, const message_t *m) noexcept nogil:
    """Two requests with the same value are routed alike as far as headers go; 0 when they do not matter."""
    cdef siphash_t h
    cdef const condition_t *condition
    cdef const header_t *header
    cdef uint32_t i
    cdef int index
    if table.looked_at_count == 0:
        return 0
    hash_begin(&h, table.branch_key)
    for i in range(table.looked_at_count):
        condition = &table.looked_at[i]
        index = find_header(m, condition.texts[0].at, condition.texts[0].len)
        while index != NO_HEADER:
            header = &m.headers[index]
            if is_named(condition, m, header):
                hash_add_number(&h, <uint64_t>header.value_len << 32 | i)
                hash_add(&h, m.buf + header.value_off, header.value_len)
            index = header.next
    return hash_end(&h)


cdef bint match_to_tag(const condition_t *condition, request_t *request) noexcept nogil:
    return (request.m.to_tag.len > 0) == (condition.flag != 0)


# [condition_id]
cdef matcher_t[10] MATCHERS = [
    match_method_condition, match_user, match_user_prefix, match_domain,
    match_source, match_listen, match_header, match_to_tag,
    match_user_pattern, match_source_set,
]


# ---------------------------------------------------------------- rules

cdef inline bint holds(const rule_t *rule, request_t *request) noexcept nogil:
    cdef const condition_t *condition
    cdef uint32_t i
    for i in range(rule.condition_count):
        condition = &rule.conditions[i]
        if MATCHERS[condition.kind](condition, request) == (condition.negate != 0):
            return False
    return True


# Requests inside a dialog have their way already: only a rule that says to_tag means them.
cdef inline bint asks_for_tag(const rule_t *rule) noexcept nogil:
    cdef uint32_t i
    for i in range(rule.condition_count):
        if rule.conditions[i].kind == C_TO_TAG:
            return True
    return False


cdef int match_rules(const table_t *table, const message_t *m, const uri_t *ruri,
                     const addr_t *source, uint32_t listener) noexcept nogil:
    cdef request_t request
    cdef uint32_t i
    request.table, request.m, request.ruri, request.source = table, m, ruri, source
    request.listener, request.host_len = listener, -1
    for i in range(table.rule_count):
        if (not m.to_tag.len or asks_for_tag(&table.rules[i])) and holds(&table.rules[i], &request):
            return i
    return E_NONE


cdef bint is_own(const table_t *table, const char *host, uint32_t len, uint32_t port) noexcept nogil:
    cdef char room[HOST_ROOM]
    cdef int room_len = write_host(host, len, room)
    if room_len <= 0:
        return False
    return has_place(table.own, table.own_ports, table.own_count, room, room_len, port)


# ---------------------------------------------------------------- for tests

def match(Table table not None, bytes text not None, source="192.0.2.99", listener=0, port=SIP_PORT):
    """Index of the rule that this request meets, or None; ValueError if it cannot be read."""
    cdef const table_t *sealed = table.sealed_table()
    cdef message_t m
    cdef uri_t ruri
    cdef addr_t addr
    cdef bytes peer = source.encode("ascii")
    cdef uint32_t listener_index = listener
    cdef uint8_t kind = HOST_IPV6 if b":" in peer else HOST_IPV4
    cdef int found
    if parse_message(text, <uint32_t>len(text), &m) != OK or parse_routing(&m) != OK:
        raise ValueError("not a SIP request")
    if parse_uri(m.buf, m.ruri.off, m.ruri.len, &ruri) != OK:
        raise ValueError("not a URI that is routed")
    if parse_address(peer, <uint32_t>len(peer), kind, port, &addr) != OK:
        raise ValueError(f"not an address: {source!r}")
    with nogil:
        found = match_rules(sealed, &m, &ruri, &addr, listener_index)
    return found if found >= 0 else None


def own(Table table not None, bytes host not None, port=0):
    """Is host:port one of the table's own?"""
    return bool(is_own(table.sealed_table(), host, <uint32_t>len(host), port))
