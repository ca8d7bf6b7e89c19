"""A branch as a client transaction: the request that it sends, its CANCEL (9.1) and its ACK of a failure (17.1.1.3).

CANCEL and ACK are for one hop, made by ourselves.  They repeat of the request as sent what makes them find its
transaction, and nothing else of the caller's but, in a CANCEL, his Reason.  Once no other branch can begin with the
request, the ACK takes its place in the block.
"""

from libc.stdint cimport uint32_t
from libc.string cimport memcpy, strlen

from fastsip._core.base.types cimport E_NONE, NO_HEADER, OK, put, put_number
from fastsip._core.base.check cimport check
from fastsip._core.sip.types cimport H_CALL_ID, H_FROM, H_ROUTE, H_TO, H_VIA, header_t, is_in_line, is_within
from fastsip._core.sip.parser cimport first_of, parse_message, parse_routing
from fastsip._core.store.records cimport (
    CLIENT_HAS_ACK, KIND_CLIENT_INVITE, OWES_CANCEL, OWES_REQUEST, SERVER_ACCEPTED, SERVER_CANCELLED, block_t, is_child,
    is_server, record_t,
)
from fastsip._core.store.slots cimport (
    NO_SLOT, block_at, commit, drop_block, end_block, give_slot, index_remove, record_of, slot_at, slot_t, unlink_child,
    word_kind, word_owes, word_state,
)
from fastsip._core.store.wheel cimport disarm_timer
from fastsip._core.routing.lookup cimport find_destination, find_set
from fastsip._core.routing.header_edits cimport changes_t, gather_changes, hides_lines, takes_away
from fastsip._core.state.outbox cimport queue_message, take_scratch
from fastsip._core.transaction.lingering cimport take_block

cdef enum:
    HOP_REQUEST_ROOM = 128      # of a CANCEL or ACK, beyond what it copies
assert HOP_REQUEST_ROOM >= len(b"CANCEL  SIP/2.0\r\nMax-Forwards: 70\r\nCSeq: 4294967295 CANCEL\r\n"
                               b"Content-Length: 0\r\n\r\n")

cdef const char *COMPLETED_ELSEWHERE = b'Reason: SIP;cause=200;text="Call completed elsewhere"\r\n'


cdef uint32_t hop_request_room(const message_t *request, const message_t *to_of) noexcept nogil:
    """Bytes that a CANCEL or ACK of this request can have, without lines of its own.

    Of the request all headers at most, though few are copied: a sum over those would cost more than the room is worth.
    The To comes on top, for it is another's and may be longer by its tag.
    """
    cdef const header_t *to = &to_of.headers[first_of(to_of, H_TO)]
    check(request.headers_end > 0)
    check(to.id == H_TO)
    return request.headers_end + to.end_off - to.name_off + HOP_REQUEST_ROOM


# As it came, with its folds and its line end: whoever compares it with what he knows compares bytes.
cdef inline int put_header(char *out, const message_t *m, int i) noexcept nogil:
    check(is_in_line(m, i))
    return put(out, m.buf + m.headers[i].name_off, m.headers[i].end_off - m.headers[i].name_off)


cdef int write_hop_request(char *out, const char *method, uint32_t method_len, const message_t *request,
                           const message_t *to_of, const text_t *lines) noexcept nogil:
    """A CANCEL (9.1) or ACK (17.1.1.3): To from `to_of`, all else that identifies it from `request`.

    One Via, the topmost, which is ours: the next hop finds the transaction by its branch, and nobody behind that hop
    sees this request.  Max-Forwards begins anew, for so does the request (8.1.1.6).
    """
    cdef int n = put(out, method, method_len)
    cdef int i
    check(request.is_request)
    check(is_within(request, &request.ruri))
    check(request.routing_done)
    n += put(out + n, b" ", 1)
    n += put(out + n, request.buf + request.ruri.off, request.ruri.len)
    n += put(out + n, b" SIP/2.0\r\n", 10)
    n += put_header(out + n, request, first_of(request, H_VIA))
    n += put(out + n, b"Max-Forwards: 70\r\n", 18)
    i = first_of(request, H_ROUTE)
    while i != NO_HEADER:           # 9.1, 17.1.1.3: those of the request, or its server would be missed
        check(request.headers[i].id == H_ROUTE)
        n += put_header(out + n, request, i)
        i = request.headers[i].next
    n += put_header(out + n, request, first_of(request, H_FROM))
    n += put_header(out + n, to_of, first_of(to_of, H_TO))
    n += put_header(out + n, request, first_of(request, H_CALL_ID))
    n += put(out + n, b"CSeq: ", 6)
    n += put_number(out + n, request.cseq)
    n += put(out + n, b" ", 1)
    n += put(out + n, method, method_len)
    n += put(out + n, b"\r\n", 2)
    if lines != NULL:
        n += put(out + n, lines.at, lines.len)
    return n + put(out + n, b"Content-Length: 0\r\n\r\n", 21)


cdef bint may_say_why(shard_t *shard, const slot_t *branch, const text_t *reason) noexcept nogil:
    """May our CANCEL repeat the caller's Reason, or would the border on the branch's way out take it off?

    The INVITE went through this border; a CANCEL is made anew and goes by none, so the same rule is asked here.  A set
    or destination that the table has no more (index below zero) has no border to ask.
    """
    cdef int destination = find_destination(shard.table, branch.identity.client.destination_id,
                                            branch.identity.client.destination_hint)
    cdef uint32_t border_id = branch.identity.client.border_id
    cdef int border = find_set(shard.table, border_id) if border_id else -1
    cdef changes_t changes
    cdef text_t name
    check(is_child(word_kind(branch.commit)))
    check(reason.len > 0)
    name.at = b"Reason"
    name.len = 6
    return (gather_changes(shard.table, NULL, destination, border + 1, &branch.identity.client.target.remote,
                           branch.identity.client.target.listener_id, &changes) == OK
            and not takes_away(&changes, &name)
            and (changes.count == 0 or not hides_lines(reason.at, reason.len)))


cdef text_t cancel_reason(shard_t *shard, uint32_t parent) noexcept nogil:
    """Why the branch is cancelled (RFC 3326): the caller's own Reason, or that somebody else has answered.

    A phone that hears of the answer elsewhere lists no missed call.  Where a failover cancels, nothing is said.
    """
    cdef slot_t *server = slot_at(shard.store, parent)
    cdef const record_t *record = record_of(server)
    cdef text_t reason
    check(is_server(word_kind(server.commit)))
    reason.at = COMPLETED_ELSEWHERE
    reason.len = 0
    if word_state(server.commit) == SERVER_ACCEPTED:
        reason.len = <uint32_t>strlen(COMPLETED_ELSEWHERE)
    elif record.server.flags & SERVER_CANCELLED and record.server.kept.len:
        reason.at = block_at(shard.store, parent, record.server.kept.unit)
        reason.len = record.server.kept.len
    return reason


cdef void send_cancel(shard_t *shard, uint32_t ref) noexcept nogil:
    """9.1.  Without scratch nothing is sent; Timer E comes again.

    Each repetition is made anew from the request, which stays as it was sent: no block has to keep the CANCEL.
    """
    cdef message_t request
    cdef text_t reason
    cdef char *at
    cdef uint32_t room
    cdef int len
    if read_request(shard, ref, &request) < 0:
        return
    reason = cancel_reason(shard, slot_at(shard.store, ref).parent)
    if reason.len and not may_say_why(shard, slot_at(shard.store, ref), &reason):
        reason.len = 0
    room = hop_request_room(&request, &request) + reason.len
    at = take_scratch(shard, room)
    if at == NULL:
        return
    len = write_hop_request(at, b"CANCEL", 6, &request, &request, &reason)
    check(<uint32_t>len <= room)
    queue_message(shard, at, len, &slot_at(shard.store, ref).identity.client.target, ref, OWES_CANCEL)


cdef void send_ack(shard_t *shard, uint32_t ref, const message_t *response) noexcept nogil:
    """17.1.1.3: the ACK that the block keeps, or else one made from the request.

    Nothing is owed for it: should it get lost, the next hop repeats its response and gets another one.
    """
    cdef message_t request
    cdef char *at
    cdef uint32_t room
    cdef int len
    check(word_kind(slot_at(shard.store, ref).commit) == KIND_CLIENT_INVITE)   # 17.1.2 has no ACK
    check(response.status >= 300)
    if record_of(slot_at(shard.store, ref)).client.flags & CLIENT_HAS_ACK:
        send_request(shard, ref)
        return
    if read_request(shard, ref, &request) < 0:
        return
    room = hop_request_room(&request, response)
    at = take_scratch(shard, room)
    if at == NULL:
        return
    len = write_hop_request(at, b"ACK", 3, &request, response, NULL)
    check(<uint32_t>len <= room)
    queue_message(shard, at, len, &slot_at(shard.store, ref).identity.client.target, NO_SLOT, 0)


cdef void keep_ack(shard_t *shard, uint32_t ref, const message_t *response) noexcept nogil:
    """Commits the ACK into the block in place of the request: this branch sends nothing else any more, and no other
    begins with its request.  Without room the request stays, and each ACK is made anew.
    """
    cdef slot_t *slot = slot_at(shard.store, ref)
    cdef record_t record = record_of(slot)[0]
    cdef block_t old = record.client.request
    cdef message_t request
    cdef uint32_t room
    cdef char *text
    cdef char *at
    cdef int len
    check(word_kind(slot.commit) == KIND_CLIENT_INVITE)
    if read_request(shard, ref, &request) < 0:
        return
    room = hop_request_room(&request, response)
    text = take_scratch(shard, room)
    if text == NULL:
        return
    len = write_hop_request(text, b"ACK", 3, &request, response, NULL)
    check(<uint32_t>len <= room)
    at = take_block(shard, ref, len, &record.client.request)
    if at == NULL:
        return
    memcpy(at, text, len)
    end_block()
    record.client.flags |= CLIENT_HAS_ACK
    commit(shard.store, ref, word_kind(slot.commit), word_state(slot.commit), word_owes(slot.commit), &record)
    drop_block(shard.store, &shard.pending, ref, &old)


cdef int read_request(shard_t *shard, uint32_t ref, message_t *into) noexcept nogil:
    """Parsed anew each time: what a restart finds in the store is read by the same steps as what was written just now.

    E_NONE when the ACK stands there, or nothing: then no CANCEL, no ACK and no other branch can be made of it.
    """
    cdef slot_t *slot = slot_at(shard.store, ref)
    cdef uint32_t len
    cdef int code
    if not has_request(slot):
        return E_NONE
    len = sent_len(slot)
    code = parse_message(block_at(shard.store, ref, record_of(slot).client.request.unit), len, into)
    if code < 0:
        return code
    code = parse_routing(into)
    check((code < 0) | into.routing_done)
    return code if code < 0 else <int>len


cdef bint send_request(shard_t *shard, uint32_t ref) noexcept nogil:
    """From the block itself, without a copy: drop_block gives it back only once the batch is sent.  An ACK is never
    owed, for the callee asks for it by repeating its response (17.2.1).
    """
    cdef slot_t *slot = slot_at(shard.store, ref)
    cdef const block_t *block = &record_of(slot).client.request
    cdef bint is_ack = (record_of(slot).client.flags & CLIENT_HAS_ACK) != 0
    cdef uint32_t len = block.len
    if len == 0:
        return True
    if not is_ack:
        len = sent_len(slot)
    return queue_message(shard, block_at(shard.store, ref, block.unit), len, &slot.identity.client.target,
                         NO_SLOT if is_ack else ref, OWES_REQUEST)


cdef void end_branch(shard_t *shard, uint32_t ref) noexcept nogil:
    """The slot first, then the block: a block that no slot names is free, a slot that names a free block is damage.

    No timer and no index entry may outlive the slot: the next one to have its number would be woken, or found, for it.
    """
    cdef slot_t *slot = slot_at(shard.store, ref)
    cdef block_t block = record_of(slot).client.request
    check(is_child(word_kind(slot.commit)))
    check(slot.parent != NO_SLOT)
    disarm_timer(shard.wheel, ref)
    unlink_child(shard.store, ref)
    index_remove(shard.store, ref)
    give_slot(shard.store, ref)
    drop_block(shard.store, &shard.pending, ref, &block)
