"""Answers to what is not routed (docs/design.md#bad-input-and-bounds, RFC 3261 16.3, 21.4).

All of them are made without state: the same request gets the same answer, To
tag included, and the ACK of it is dropped.  An ACK is never answered.
"""

from libc.stdint cimport uint32_t
from libc.string cimport memset

from fastsip._core.base.types cimport (
    E_CALL_ID, E_CONTENT_LENGTH, E_CSEQ, E_DUPLICATE, E_FROM, E_HEADER, E_LONG_HEAD, E_MAX_BREADTH, E_MAX_FORWARDS,
    E_ROUTE, E_SCHEME, E_START_LINE, E_TO, E_TOO_LARGE, E_TOO_MANY_HEADERS, E_TOO_MANY_VIAS, E_URI, E_VERSION, E_VIA,
    NO_HEADER, put, text_t,
)
from fastsip._core.base.check cimport check
from fastsip._core.base.hashing cimport mix
from fastsip._core.sip.types cimport (
    H_CALL_ID, H_CSEQ, H_FROM, H_PROXY_REQUIRE, H_REQUIRE, H_TO, H_VIA, M_ACK, message_t,
)
from fastsip._core.sip.parser cimport first_of
from fastsip._core.store.slots cimport NO_SLOT
from fastsip._core.routing.types cimport policy_t
from fastsip._core.state.counters cimport (
    N_BAD, N_BAD_EXTENSIONS, N_MALFORMED, N_REFUSED_REQUESTS, N_RELAYS_REFUSED, N_TOO_BROAD, N_TOO_LARGE,
    N_TOO_MANY_HOPS, N_UNAVAILABLE, N_UNSUPPORTED,
)
from fastsip._core.state.shard cimport count
from fastsip._core.state.outbox cimport take_scratch
from fastsip._core.transaction.replies cimport answer, reply_of, reply_t
from fastsip._core.transaction.server cimport send_reply
from fastsip._core.proxy.request cimport request_t

# What a parser's code means to the sender: status and reason phrase.
MEANINGS = {
    E_START_LINE: (400, b"Bad Request-Line"),
    E_VERSION: (505, b"Version Not Supported"),
    E_HEADER: (400, b"Bad Header Line"),
    E_TOO_MANY_HEADERS: (400, b"Too Many Headers"),
    E_TOO_MANY_VIAS: (400, b"Too Many Vias"),
    E_TOO_LARGE: (513, b"Message Too Large"),
    E_LONG_HEAD: (513, b"Headers Too Long"),
    E_VIA: (400, b"Bad Via"),
    E_FROM: (400, b"Bad From"),
    E_TO: (400, b"Bad To"),
    E_CALL_ID: (400, b"Bad Call-ID"),
    E_CSEQ: (400, b"Bad CSeq"),
    E_MAX_FORWARDS: (400, b"Bad Max-Forwards"),
    E_CONTENT_LENGTH: (400, b"Bad Content-Length"),
    E_URI: (400, b"Bad URI"),
    E_SCHEME: (416, b"Unsupported URI Scheme"),
    E_ROUTE: (400, b"Bad Route"),
    E_DUPLICATE: (400, b"Header Stands Twice"),
    E_MAX_BREADTH: (400, b"Bad Max-Breadth"),
}

# Which refusals are counted as what, beside refused_requests; the others are counted where they are decided.
cdef int counter_of[700]
memset(counter_of, 0, sizeof(counter_of))
counter_of[416] = N_UNSUPPORTED
counter_of[420] = N_BAD_EXTENSIONS
counter_of[440] = N_TOO_BROAD
counter_of[483] = N_TOO_MANY_HOPS
counter_of[513] = N_TOO_LARGE

cdef int status_of[32]
cdef text_t reason_of[32]
cdef bytes _reason
for _code, (_status, _reason) in MEANINGS.items():
    status_of[-_code] = _status
    reason_of[-_code].at = _reason          # MEANINGS keeps the bytes alive
    reason_of[-_code].len = len(_reason)

# 11.2; no Allow: a proxy forwards every method.
cdef const char *ABOUT_US = (b"Accept: application/sdp\r\nAccept-Encoding: identity\r\nAccept-Language: en\r\n"
                             b"Supported:\r\n")
cdef uint32_t ABOUT_US_LEN = len(ABOUT_US)

cdef enum:
    UNSUPPORTED_ROOM = 16   # of a line, beside its value
    WARNING_ROOM = 34       # of a line, beside our name
    RETRY_ROOM = 16
assert UNSUPPORTED_ROOM >= len(b"Unsupported: \r\n") and RETRY_ROOM >= len(b"Retry-After: 2\r\n")
assert WARNING_ROOM >= len(b'Warning: 380  "SIPS Not Allowed"\r\n')


cdef bint is_answerable(const message_t *m) noexcept nogil:
    """Can a response be made from it (8.2.6): Via, From, To, Call-ID and CSeq are there, and the Via names a place?"""
    return (m.via.host.len and first_of(m, H_VIA) != NO_HEADER and first_of(m, H_FROM) != NO_HEADER
            and first_of(m, H_TO) != NO_HEADER and first_of(m, H_CALL_ID) != NO_HEADER
            and first_of(m, H_CSEQ) != NO_HEADER)


cdef void respond(shard_t *shard, request_t *request, int status, const text_t *reason,
                  const text_t *headers) noexcept nogil:
    """The one place where it is decided who answers a request.

    A request that has waited for a name has a server transaction by now, whose final response this is (17.2): it is
    kept, and repeated until the ACK.  Any other is answered without state.
    """
    cdef reply_t reply
    check(status >= 200)
    if request.resumed == NO_SLOT:
        answer(shard, request.m, request.origin, status, reason, headers)
        return
    if status >= 400:
        count(shard, N_REFUSED_REQUESTS)
    reply = reply_of(status, reason, headers)
    send_reply(shard, request.resumed, request.m, &request.origin.flow.remote, &reply)


cdef void refuse(shard_t *shard, request_t *request, int status) noexcept nogil:
    cdef text_t headers
    headers.at = NULL
    headers.len = 0
    check(status < 700)
    if counter_of[status]:
        count(shard, counter_of[status])
    if status == 420:
        headers = unsupported(shard, request.m, H_PROXY_REQUIRE)
    respond(shard, request, status, NULL, &headers)


cdef void answer_options(shard_t *shard, request_t *request) noexcept nogil:
    """An OPTIONS to ourselves is answered as a server would (11.2): we support no extension (8.2.2.3)."""
    cdef text_t headers
    cdef int status = 200
    headers.at = ABOUT_US
    headers.len = ABOUT_US_LEN
    if first_of(request.m, H_REQUIRE) != NO_HEADER:
        status = 420
        count(shard, counter_of[status])
        headers = unsupported(shard, request.m, H_REQUIRE)
    respond(shard, request, status, NULL, &headers)


cdef text_t unsupported(shard_t *shard, const message_t *m, int asking) noexcept nogil:
    """8.2.2.3, 16.3 item 5: what Require or Proxy-Require asks for, header by header, in Unsupported."""
    cdef text_t lines
    cdef uint32_t len = 0
    cdef char *at
    cdef int i = first_of(m, asking)
    lines.len = 0
    while i != NO_HEADER:
        len += m.headers[i].value_len + UNSUPPORTED_ROOM
        i = m.headers[i].next
    lines.at = at = take_scratch(shard, len)
    i = first_of(m, asking)
    while at != NULL and i != NO_HEADER:
        lines.len += put(at + lines.len, b"Unsupported: ", 13)
        lines.len += put(at + lines.len, m.buf + m.headers[i].value_off, m.headers[i].value_len)
        lines.len += put(at + lines.len, b"\r\n", 2)
        i = m.headers[i].next
    check(lines.len <= len)
    return lines


cdef void count_malformed(shard_t *shard, int code) noexcept nogil:
    """`code` is what the parser said: E_START_LINE or below."""
    check(code <= E_START_LINE)
    if code == E_LONG_HEAD:
        count(shard, N_TOO_LARGE)
        return
    count(shard, N_MALFORMED)
    if code == E_DUPLICATE or code == E_MAX_BREADTH:
        count(shard, N_BAD + E_START_LINE - E_ROUTE + 1 + E_DUPLICATE - code)
    elif E_ROUTE <= code <= E_START_LINE:
        count(shard, N_BAD + E_START_LINE - code)


cdef void refuse_malformed(shard_t *shard, request_t *request, int code) noexcept nogil:
    check(-code < 32)
    count_malformed(shard, code)
    if request.m.method == M_ACK or not is_answerable(request.m) or status_of[-code] == 0:
        return
    respond(shard, request, status_of[-code], &reason_of[-code], NULL)


cdef text_t retry_after(shard_t *shard) noexcept nogil:
    """Retry-After of 2 to 8 seconds at random, so that those who were refused do not come back together."""
    cdef text_t line
    cdef char *text = take_scratch(shard, RETRY_ROOM)
    line.at = text
    line.len = 0
    if text == NULL:
        return line
    shard.positions.random = mix(shard.positions.random, shard.now_ms)
    line.len = put(text, b"Retry-After: 2\r\n", 16)
    check(line.len <= RETRY_ROOM)
    text[13] = <char>(50 + shard.positions.random % 7)
    return line


cdef void refuse_overload(shard_t *shard, request_t *request) noexcept nogil:
    cdef text_t headers = retry_after(shard)
    respond(shard, request, 503, NULL, &headers)


cdef void refuse_unavailable(shard_t *shard, request_t *request, const policy_t *policy) noexcept nogil:
    cdef int status = policy.copy.unavailable if policy.copy.unavailable else 500
    cdef text_t headers
    headers.at = NULL
    headers.len = 0
    count(shard, N_UNAVAILABLE)
    if status == 503:
        headers = retry_after(shard)
    respond(shard, request, status, &policy.unavailable_reason, &headers)


cdef void refuse_sips(shard_t *shard, request_t *request) noexcept nogil:
    """RFC 5630 5.3: no TLS leads there, and in clear it must not go."""
    cdef const text_t *sent_by = &shard.table.listeners[request.origin.listener].sent_by
    cdef text_t line
    cdef char *text = take_scratch(shard, sent_by.len + WARNING_ROOM)
    line.at = text
    line.len = 0
    count(shard, N_UNSUPPORTED)
    if text != NULL:
        line.len = put(text, b"Warning: 380 ", 13)
        line.len += put(text + line.len, sent_by.at, sent_by.len)
        line.len += put(text + line.len, b' "SIPS Not Allowed"\r\n', 21)
    check(line.len <= sent_by.len + WARNING_ROOM)
    respond(shard, request, 480, NULL, &line)


cdef void refuse_stranger(shard_t *shard, request_t *request) noexcept nogil:
    count(shard, N_RELAYS_REFUSED)
    refuse(shard, request, 403)
