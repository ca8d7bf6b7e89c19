"""Loops and spirals (RFC 5393 section 4, docs/wire.md#loops-and-spirals).

A request that comes back as it was would be routed as it was: a loop, 482.  One
that comes back with something changed that routing looks at is a spiral and
goes on.  What routing looks at are two hashes of 30 bits in our Via, both over what RFC 5393
names.  The first stands in the branch, which a CANCEL without state shall have, too: it covers
what a CANCEL has of its INVITE, with listener and place that answers go to.  The second
covers what it has not (9.1, 22.3), and the headers that rules ask for.  The listener's id and
the keys outlive a restart.
"""

from libc.stdint cimport uint32_t, uint64_t

from fastsip._core.base.types cimport NO_HEADER, OK
from fastsip._core.base.check cimport check
from fastsip._core.base.address cimport addr_t, origin_t
from fastsip._core.base.hashing cimport hash_add, hash_add_number, hash_begin, hash_end, siphash_t
from fastsip._core.sip.types cimport (
    H_PROXY_AUTHORIZATION, H_PROXY_REQUIRE, H_ROUTE, H_VIA, S_SIP, is_in_line, is_within, message_t, via_t,
)
from fastsip._core.sip.parser cimport first_of, parse_via
from fastsip._core.routing.types cimport table_t
from fastsip._core.routing.rules cimport headers_looked_at, is_own, port_of
from fastsip._core.wire.via cimport read_loop, reply_address

cdef enum:
    HALF_BITS = 30
    HALF = 0x3FFFFFFF


cdef void add_headers(siphash_t *h, const message_t *m, int id) noexcept nogil:
    """Each with its length, so that no value can pass for the end of another and the beginning of the next."""
    cdef int i = first_of(m, id)
    while i != NO_HEADER:
        check(is_in_line(m, i))
        hash_add_number(h, <uint64_t>m.headers[i].value_len << 8 | id)
        hash_add(h, m.buf + m.headers[i].value_off, m.headers[i].value_len)
        i = m.headers[i].next


cdef uint64_t hash_others(const table_t *table, const message_t *m) noexcept nogil:
    """What a CANCEL does not repeat; few requests have any of it."""
    cdef siphash_t h
    cdef uint64_t looked_at = headers_looked_at(table, m)
    if first_of(m, H_PROXY_REQUIRE) == NO_HEADER and first_of(m, H_PROXY_AUTHORIZATION) == NO_HEADER:
        return looked_at
    hash_begin(&h, table.loop_key)
    hash_add_number(&h, looked_at)
    add_headers(&h, m, H_PROXY_REQUIRE)
    add_headers(&h, m, H_PROXY_AUTHORIZATION)
    return hash_end(&h)


cdef uint64_t loop_value(const table_t *table, const message_t *m, const origin_t *origin) noexcept nogil:
    cdef siphash_t h
    cdef addr_t place
    check(m.routing_done)
    check(is_within(m, &m.ruri))
    reply_address(m, &origin.flow.remote, &place)
    hash_begin(&h, table.loop_key)
    hash_add(&h, <const char *>&place.ip[0], 16)
    hash_add_number(&h, place.port)
    hash_add_number(&h, <uint64_t>origin.flow.listener_id << 32 | m.cseq)
    hash_add_number(&h, <uint64_t>m.ruri.len << 48 | <uint64_t>m.from_tag.len << 32 | <uint64_t>m.to_tag.len << 16
                    | m.call_id.len)
    hash_add(&h, m.buf + m.ruri.off, m.ruri.len)
    hash_add(&h, m.buf + m.from_tag.off, m.from_tag.len)
    hash_add(&h, m.buf + m.to_tag.off, m.to_tag.len)
    hash_add(&h, m.buf + m.call_id.off, m.call_id.len)
    add_headers(&h, m, H_ROUTE)
    return (hash_end(&h) & HALF) << HALF_BITS | (hash_others(table, m) & HALF)


cdef bint is_loop(const table_t *table, const message_t *m, uint64_t loop) noexcept nogil:
    cdef int index = first_of(m, H_VIA)
    cdef uint32_t off, end
    cdef uint64_t seen
    cdef via_t via = m.via
    check(loop >> 2 * HALF_BITS == 0)
    while index != NO_HEADER:
        check(m.headers[index].id == H_VIA)
        off = m.headers[index].value_off
        end = off + m.headers[index].value_len
        while True:
            if off != m.via.off and parse_via(m.buf, off, end, &via) < 0:
                return False        # what others wrote below is not ours to judge
            if (read_loop(m.buf, &via, &seen) == OK and seen == loop
                    and is_own(table, m.buf + via.host.off, via.host.len,
                               port_of(table, S_SIP, via.transport, via.port))):
                return True
            if via.last:
                break
            check(via.off >= off)
            off = via.off + via.len + 1
        index = m.headers[index].next
    return False
