"""What of a request the algorithm of its set hashes (docs/design.md#dispatcher): Call-ID, URI, user name, header.

Only reads.  Must never: refuse a request that lacks the value; its Call-ID stands in.
"""

from libc.stdint cimport uint32_t, uint64_t

from fastsip._core.base.types cimport NO_HEADER, span_t, text_t
from fastsip._core.base.check cimport check
from fastsip._core.base.hashing cimport hash_text
from fastsip._core.sip.types cimport (
    H_AUTHORIZATION, H_FROM, H_JOIN, H_PROXY_AUTHORIZATION, H_REPLACES, H_TARGET_DIALOG, H_TO, name_addr_t,
)
from fastsip._core.sip.chars cimport scan_byte
from fastsip._core.sip.uri cimport CANONICAL_URI_ROOM, canonical_uri, same_text
from fastsip._core.sip.values cimport parse_name_addr
from fastsip._core.sip.parser cimport find_header, first_of
from fastsip._core.routing.types cimport A_AUTH_USER, A_CALL_ID, A_FROM_URI, A_KEY, A_REQUEST_URI, A_TO_URI

# RFC 3891, RFC 3911, RFC 4538.
cdef int[3] ABOUT_A_CALL = [H_REPLACES, H_JOIN, H_TARGET_DIALOG]


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
    check(<uint32_t>value.off + value.len <= end)
    return True


cdef void find_other_call(const message_t *m, span_t *value) noexcept nogil:
    """A request about another call goes where that call went: its Call-ID stands before the first semicolon."""
    cdef int n, i
    cdef uint32_t len
    for n in range(3):
        i = first_of(m, ABOUT_A_CALL[n])
        if i != NO_HEADER:
            value.off = m.headers[i].value_off
            len = scan_byte(m.buf, value.off, value.off + m.headers[i].value_len, c";") - value.off
            while len and m.buf[value.off + len - 1] in (c" ", c"\t", c"\r", c"\n"):
                len -= 1
            check(len <= m.headers[i].value_len)
            value.len = <unsigned short>len
            return


cdef uint64_t selection_key(const set_t *dispatch_set, const message_t *m, const uri_t *ruri) noexcept nogil:
    """Call-ID for every algorithm that names nothing else (also where the named value is absent)."""
    cdef span_t value = m.call_id
    cdef char room[CANONICAL_URI_ROOM]
    cdef name_addr_t name
    cdef text_t text
    cdef int i = NO_HEADER
    if dispatch_set.algorithm == A_CALL_ID:
        find_other_call(m, &value)
    elif dispatch_set.algorithm == A_REQUEST_URI:
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
    check(<uint32_t>value.off + value.len <= m.len)
    text.at = m.buf + value.off
    text.len = value.len
    # Two writings of one URI are one key (RFC 3261 19.1.4), so that a caller is found again however he writes it.
    if dispatch_set.algorithm in (A_REQUEST_URI, A_FROM_URI, A_TO_URI):
        text = canonical_uri(m.buf, value, room)
    return hash_text(dispatch_set.hash_key, text.at, text.len)
