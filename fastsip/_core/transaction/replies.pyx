"""Responses that the router makes itself (8.2.6, 16.7, 21).

Via, From, To, Call-ID and CSeq are copied as they stand; nothing else of the
request is needed, so the same writer serves a received request and one that
is read back from the store.  An ACK never gets here (docs/wire.md#no-answer-to-an-ack).
"""

from libc.stdint cimport uint32_t
from libc.string cimport memset

from fastsip._core.base.types cimport NO_HEADER, put, text_t
from fastsip._core.base.check cimport check
from fastsip._core.base.address cimport addr_t, flow_t, origin_t
from fastsip._core.base.hashing cimport write_base32
from fastsip._core.sip.types cimport (
    H_CALL_ID, H_CSEQ, H_FROM, H_TIMESTAMP, H_TO, H_VIA, M_ACK, M_CANCEL, header_t, is_in_line, message_t,
)
from fastsip._core.sip.words cimport usual_phrase
from fastsip._core.sip.parser cimport first_of
from fastsip._core.store.slots cimport NO_SLOT
from fastsip._core.wire.via cimport STAMPS_ROOM, local_tag, reply_address, server_key, stamp_t, stamp_via
from fastsip._core.state.counters cimport N_REFUSED_REQUESTS
from fastsip._core.state.shard cimport count
from fastsip._core.state.outbox cimport queue_message, take_scratch

from fastsip._core.sip.words import PHRASES

cdef enum:
    FIXED_ROOM = 256        # status line but its own reason, tag, Content-Length: the sum stands at the end
    TAG_LETTERS = 13

cdef int[5] COPIED = [H_FROM, H_TO, H_CALL_ID, H_CSEQ, H_TIMESTAMP]


cdef reply_t reply_of(int status, const text_t *reason, const text_t *headers) noexcept nogil:
    """Points at the texts and copies none: a reply lives as long as the event that wants it."""
    cdef reply_t reply
    memset(&reply, 0, sizeof(reply))
    reply.status = status
    if reason != NULL:
        reply.reason = reason[0]
    if headers != NULL:
        reply.headers = headers[0]
    return reply


cdef uint32_t reply_room(const message_t *m, const reply_t *reply) noexcept nogil:
    """All headers of the request, as if each went back: five do and the Vias, so there is always enough."""
    check(m.headers_end <= m.len)
    check(m.headers_end > 0)
    return m.headers_end + reply.reason.len + reply.headers.len + FIXED_ROOM + STAMPS_ROOM


cdef int write_status_line(char *out, const reply_t *reply) noexcept nogil:
    """7.2: the phrase that a rule gives, else the usual one.

    A phrase has no line end in it, which the configuration makes sure of: what follows would be headers of its choice.
    """
    cdef uint32_t len = reply.reason.len
    cdef const char *phrase = reply.reason.at
    cdef int n = put(out, b"SIP/2.0 ", 8)
    if len == 0:
        phrase = usual_phrase(reply.status, &len)
    check(phrase != NULL)
    out[n] = <char>(48 + reply.status // 100)
    out[n + 1] = <char>(48 + reply.status // 10 % 10)
    out[n + 2] = <char>(48 + reply.status % 10)
    out[n + 3] = 32
    n += 4
    n += put(out + n, phrase, len)
    return n + put(out + n, b"\r\n", 2)


cdef int write_vias(const message_t *m, int first_via, const addr_t *source, char *out) noexcept nogil:
    """8.2.6.2: all of them, in their order.  A request as received has its stamps only here (18.2.1); one that is read
    back from the store has them in its lines.
    """
    cdef stamp_t stamps[2]
    cdef int stamp_count = stamp_via(m, source, stamps) if source != NULL else 0
    cdef int n = 0
    cdef int i = first_via
    cdef int k
    cdef uint32_t at
    check(m.headers[i].id == H_VIA)
    while i != NO_HEADER:
        check(is_in_line(m, i))
        at = m.headers[i].name_off
        for k in range(stamp_count):        # all of the topmost value
            check(stamps[k].off >= at)
            check(stamps[k].off + stamps[k].cut <= m.headers[i].end_off)
            n += put(out + n, m.buf + at, stamps[k].off - at)
            n += put(out + n, stamps[k].text, stamps[k].len)
            at = stamps[k].off + stamps[k].cut
        n += put(out + n, m.buf + at, m.headers[i].end_off - at)
        stamp_count = 0
        i = m.headers[i].next
    return n


cdef int write_copied(const message_t *m, int id, const reply_t *reply, char *out) noexcept nogil:
    """One of the headers that go back, To with our tag when it has none (8.2.6.2), or one without a value (7.3.1).

    In a `;tag` or `;tag=` without a value ours is written into its place: a second parameter of the name would let each
    reader take another one.
    """
    cdef int i = m.first[id]
    cdef const header_t *header
    cdef uint32_t value_end
    cdef int n
    if i == NO_HEADER:
        return 0
    check(is_in_line(m, i))
    header = &m.headers[i]
    if id != H_TO or m.to_tag.len or reply.tag_key == 0:
        return put(out, m.buf + header.name_off, header.end_off - header.name_off)
    value_end = <uint32_t>header.value_off + header.value_len
    check(value_end >= m.to_tag.off)
    if m.to_tag.off:
        check(m.to_tag.off > header.name_off)
        n = put(out, m.buf + header.name_off, m.to_tag.off - header.name_off)
        if m.buf[m.to_tag.off - 1] | 0x20 == c'g':      # not even "="
            n += put(out + n, b"=", 1)
        n += write_base32(local_tag(reply.tag_key), 64, out + n)
        n += put(out + n, m.buf + m.to_tag.off, value_end - m.to_tag.off)
    else:
        n = put(out, m.buf + header.name_off, value_end - header.name_off)
        n += put(out + n, b";tag=", 5)
        n += write_base32(local_tag(reply.tag_key), 64, out + n)
    return n + put(out + n, b"\r\n", 2)


cdef int write_reply(const message_t *m, int first_via, const addr_t *source, const reply_t *reply,
                     char *out) noexcept nogil:
    """A Timestamp goes back in a 100 alone (8.2.6.1), as it came."""
    cdef int n = write_status_line(out, reply)
    cdef int i
    check(m.is_request)
    n += write_vias(m, first_via, source, out + n)
    for i in range(5):
        if COPIED[i] != H_TIMESTAMP or reply.status == 100:
            n += write_copied(m, COPIED[i], reply, out + n)
    if reply.headers.len:
        n += put(out + n, reply.headers.at, reply.headers.len)
    n += put(out + n, b"Content-Length: 0\r\n\r\n", 21)
    check(<uint32_t>n <= reply_room(m, reply))
    return n


cdef void reply_flow(const message_t *m, const origin_t *origin, flow_t *flow) noexcept nogil:
    """From the listener that the request came to, so that NATs and firewalls on the way know the pair of places."""
    flow[0] = origin.flow
    reply_address(m, &origin.flow.remote, &flow.remote)


cdef void answer(shard_t *shard, const message_t *m, const origin_t *origin, int status, const text_t *reason,
                 const text_t *headers) noexcept nogil:
    """A CANCEL gets the To tag that its INVITE gets, known here or not (9.2)."""
    answer_as(shard, m, 0 if status == 100 else server_key(shard.store, m, m.method == M_CANCEL), origin, status,
              reason, headers)


cdef void answer_as(shard_t *shard, const message_t *m, uint64_t key, const origin_t *origin, int status,
                    const text_t *reason, const text_t *headers) noexcept nogil:
    """`headers` are whole lines, or NULL."""
    cdef reply_t reply
    cdef flow_t flow
    cdef char *at
    cdef int len
    if m.method == M_ACK:
        return
    check(m.is_request)
    reply = reply_of(status, reason, headers)
    reply.tag_key = key
    if status >= 400:
        count(shard, N_REFUSED_REQUESTS)
    at = take_scratch(shard, reply_room(m, &reply))
    if at == NULL:
        return
    len = write_reply(m, first_of(m, H_VIA), &origin.flow.remote, &reply, at)
    reply_flow(m, origin, &flow)
    queue_message(shard, at, len, &flow, NO_SLOT, 0)


# ---------------------------------------------------------------- at import

assert FIXED_ROOM >= (len(b"SIP/2.0 400 \r\n") + max(len(phrase) for phrase in PHRASES.values())
                      + len(b";tag==\r\n") + TAG_LETTERS + len(b"Content-Length: 0\r\n\r\n"))
