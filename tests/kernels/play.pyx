"""Whole calls, both user agents included, without Python.

A caller sends INVITE, ACK and BYE, a callee answers 180, 200 and 200; each
message is made from what the router sent, so a call that is not forwarded
stops the play.  Call-ID, branch and tags differ from call to call.

Shows what a call costs in the kernels alone, and that it takes no Python
object.  Must never: check more than that each message came through.
Called by tests and benches.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memcmp, memset

from fastsip._core.base.types cimport put, put_number, text_t
from fastsip._core.base.address cimport T_UDP, addr_t, origin_t
from fastsip._core.base.hashing cimport mix, write_base32
from fastsip._core.sip.uri cimport write_address
from fastsip._core.routing.lookup cimport set_origin
from fastsip._core.state.shard cimport shard_t
from fastsip._core.proxy.requests cimport receive_message
from fastsip._core.shard.round cimport flush
from fastsip._core.harness.virtual_net cimport record_room, step_clock, wire_record_t, wire_t
from fastsip._core.harness.rig cimport Rig

cdef enum:
    ROOM = 8192             # of one message, and what wide loads read behind it
    BODY_BYTES = 240        # a session description of usual size

cdef const char *CALLER_LINES = (b"Max-Forwards: 70\r\nContact: <sip:caller@10.9.0.1:5060>\r\n"
                                 b"User-Agent: played\r\nAllow: INVITE, ACK, CANCEL, BYE\r\n")
cdef uint32_t CALLER_LINES_LEN = len(CALLER_LINES)

# One call in progress: who it is, and the message being made.
cdef struct played_t:
    char id[16]             # 13 letters, different for each call
    addr_t caller
    addr_t callee           # where the INVITE was sent
    uint32_t len
    char message[8192]      # ROOM


cdef void put_text(played_t *call, const char *text, uint32_t len) noexcept nogil:
    call.len += put(call.message + call.len, text, len)


cdef void put_id(played_t *call) noexcept nogil:
    call.len += put(call.message + call.len, call.id, 13)


cdef void write_request(played_t *call, const text_t *method, uint32_t cseq, uint32_t branch, const text_t *route,
                        const text_t *to_tag) noexcept nogil:
    """route.len 0: outside of the dialog.  A request of the dialog goes to the callee's contact."""
    call.len = 0
    put_text(call, method.at, method.len)
    put_text(call, b" sip:80123@", 11)
    if route.len:
        call.len += write_address(&call.callee, call.message + call.len, False)
        put_text(call, b":", 1)
        call.len += put_number(call.message + call.len, call.callee.port)
    else:
        put_text(call, b"example.net", 11)
    put_text(call, b" SIP/2.0\r\nVia: SIP/2.0/UDP 10.9.0.1:5060;branch=z9hG4bK", 55)
    put_id(call)
    call.len += put_number(call.message + call.len, branch)
    put_text(call, b"\r\n", 2)
    if route.len:
        put_text(call, b"Route: <sip:", 12)
        put_text(call, route.at, route.len)
        put_text(call, b";lr>\r\n", 6)
    put_text(call, b"From: <sip:caller@example.net>;tag=", 35)
    put_id(call)
    put_text(call, b"\r\nTo: <sip:80123@example.net>", 29)
    if to_tag.len:
        put_text(call, b";tag=", 5)
        put_text(call, to_tag.at, to_tag.len)
    put_text(call, b"\r\nCall-ID: ", 11)
    put_id(call)
    put_text(call, b"@10.9.0.1\r\nCSeq: ", 17)
    call.len += put_number(call.message + call.len, cseq)
    put_text(call, b" ", 1)
    put_text(call, method.at, method.len)
    put_text(call, b"\r\n", 2)
    put_text(call, CALLER_LINES, CALLER_LINES_LEN)
    put_body(call, BODY_BYTES if cseq == 1 and method.len == 6 else 0)


cdef void put_body(played_t *call, uint32_t len) noexcept nogil:
    if len:
        put_text(call, b"Content-Type: application/sdp\r\n", 31)
    put_text(call, b"Content-Length: ", 16)
    call.len += put_number(call.message + call.len, len)
    put_text(call, b"\r\n\r\n", 4)
    memset(call.message + call.len, 120, len)
    call.len += len


cdef uint32_t find_text(const char *at, uint32_t len, const char *text, uint32_t text_len) noexcept nogil:
    """Where it first stands, or len."""
    cdef uint32_t off = 0
    while off + text_len <= len:
        if memcmp(at + off, text, text_len) == 0:
            return off
        off += 1
    return len


cdef bint write_response(played_t *call, const wire_record_t *request, const char *status, uint32_t status_len,
                         const text_t *tag) noexcept nogil:
    """The request's headers behind a status line; `tag` completes the To, when it has len."""
    cdef const char *at = <const char *>request + sizeof(wire_record_t)
    cdef uint32_t first = find_text(at, request.len, b"\r\n", 2) + 2
    cdef uint32_t end = find_text(at, request.len, b"\r\nContent-", 10)
    cdef uint32_t to = find_text(at, end, b"\r\nTo: ", 6)
    cdef uint32_t to_end
    if end == request.len or to == end or request.len + 256 > ROOM:
        return False
    to_end = to + 2 + find_text(at + to + 2, end - to - 2, b"\r\n", 2)
    call.len = 0
    put_text(call, status, status_len)
    put_text(call, at + first, to_end - first)
    if tag.len:
        put_text(call, b";tag=", 5)
        put_text(call, tag.at, tag.len)
    put_text(call, at + to_end, end + 2 - to_end)
    put_body(call, BODY_BYTES if tag.len and status[8] == 50 else 0)
    return True


cdef const wire_record_t *send_played(shard_t *shard, wire_t *wire, played_t *call, const addr_t *source,
                                      const char *starts, uint32_t starts_len) noexcept nogil:
    """Gives the router the message; what it sent that begins so, or NULL."""
    cdef uint32_t off = 0
    cdef const wire_record_t *record
    cdef origin_t origin
    set_origin(&origin, shard.table, 0, source)
    wire.used = 0
    receive_message(shard, call.message, call.len, &origin)
    flush(shard)
    while off < wire.used:
        record = <const wire_record_t *>(wire.sent + off)
        if record.len >= starts_len and memcmp(<const char *>record + sizeof(wire_record_t), starts, starts_len) == 0:
            return record
        off += record_room(record.len)
    return NULL


cdef inline text_t text_of(const char *at, uint32_t len) noexcept nogil:
    cdef text_t text
    text.at = at
    text.len = len
    return text


cdef bint play_call(shard_t *shard, wire_t *wire, played_t *call) noexcept nogil:
    cdef text_t nothing = text_of(NULL, 0)
    cdef text_t tag = text_of(call.id, 13)
    cdef text_t invite = text_of(b"INVITE", 6)
    cdef text_t ack = text_of(b"ACK", 3)
    cdef text_t bye = text_of(b"BYE", 3)
    cdef const text_t *route = &shard.table.listeners[0].contact
    cdef const wire_record_t *request
    cdef char kept[4096]
    write_request(call, &invite, 1, 1, &nothing, &nothing)
    request = send_played(shard, wire, call, &call.caller, b"INVITE ", 7)
    if request == NULL or request.len + sizeof(wire_record_t) > sizeof(kept):
        return False
    put(kept, <const char *>request, <uint32_t>sizeof(wire_record_t) + request.len)
    request = <const wire_record_t *>kept
    call.callee = request.to
    if (not write_response(call, request, b"SIP/2.0 180 Ringing\r\n", 21, &tag)
            or send_played(shard, wire, call, &call.callee, b"SIP/2.0 180", 11) == NULL
            or not write_response(call, request, b"SIP/2.0 200 OK\r\n", 16, &tag)
            or send_played(shard, wire, call, &call.callee, b"SIP/2.0 200", 11) == NULL):
        return False
    write_request(call, &ack, 1, 2, route, &tag)
    if send_played(shard, wire, call, &call.caller, b"ACK ", 4) == NULL:
        return False
    write_request(call, &bye, 2, 3, route, &tag)
    request = send_played(shard, wire, call, &call.caller, b"BYE ", 4)
    return (request != NULL and write_response(call, request, b"SIP/2.0 200 OK\r\n", 16, &nothing)
            and send_played(shard, wire, call, &call.callee, b"SIP/2.0 200", 11) != NULL)


cdef int64_t play(shard_t *shard, wire_t *wire, uint64_t calls, uint32_t step_ms) noexcept nogil:
    cdef played_t call
    cdef uint64_t number
    memset(&call, 0, sizeof(call))
    call.caller.family = 4
    call.caller.transport = T_UDP
    call.caller.port = 5060
    call.caller.ip[10] = call.caller.ip[11] = 0xFF
    call.caller.ip[12], call.caller.ip[13], call.caller.ip[14], call.caller.ip[15] = 10, 9, 0, 1
    for number in range(calls):
        write_base32(mix(number + 1, shard.now_ms), 64, call.id)
        if not play_call(shard, wire, &call):
            return <int64_t>number
        wire.used = 0
        step_clock(shard, shard.now_ms + step_ms)
        wire.used = 0
    return -1


def play_calls(Rig rig not None, uint64_t calls, uint32_t step_ms=50) -> int:
    """Plays whole calls without Python: INVITE, 180, 200, ACK, BYE, 200; the clock moves on by step_ms after each.

    Returns the messages sent.  One shard only; what the table's rules do must lead to a destination.
    """
    cdef uint64_t before = rig.wire.count
    cdef int64_t failed
    if rig.shard().count != 1:
        raise ValueError("calls are played with one shard only")
    with nogil:
        failed = play(rig.workspace.shard, rig.wire, calls, step_ms)
    if failed >= 0:
        raise RuntimeError(f"call {failed} of {calls} was not forwarded as expected")
    return rig.wire.count - before
