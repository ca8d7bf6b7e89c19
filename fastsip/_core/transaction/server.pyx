"""The server transaction's side of a response context: what the caller gets.

Stores the response that a repeated request must get again, retransmits it
where RFC 3261 17.2 says so, keeps the best response until a choice is made
(16.7 item 6) and ends the transaction.  Which response it shall be is decided
in proxy/context.  Implements 17.2, 16.7 items 3, 6, 8-10, RFC 6026 and RFC 4320.

Its clocks are two deadlines of the record:

    retransmit_ms   Timer G of an INVITE's failure; of any other method the 100 that RFC 4320 wants
    expire_ms       Timer H, then I of an INVITE's failure; Timer L of its 2xx (RFC 6026); Timer J of any other method
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from fastsip._core.base.types cimport E_FULL, E_NONE, E_ROOM, MAX_HEADERS, NO_HEADER, OK, put, text_t
from fastsip._core.base.check cimport check
from fastsip._core.base.address cimport addr_t, is_reliable, origin_t
from fastsip._core.sip.types cimport H_PROXY_AUTHENTICATE, H_VIA, H_WWW_AUTHENTICATE, M_INVITE, is_in_line, message_t
from fastsip._core.sip.parser cimport first_of, parse_message
from fastsip._core.sip.edits cimport clear_edits, edit_delete, edit_insert, edit_replace
from fastsip._core.store.records cimport (
    KIND_SERVER_INVITE, KIND_SERVER_OTHER, OWES_RESPONSE, SERVER_ACCEPTED, SERVER_COMPLETED, SERVER_DECIDED,
    SERVER_ENDED, SERVER_PROCEEDING, SERVER_PROGRESSED, TRYING, block_t, is_server, record_t,
)
from fastsip._core.store.slots cimport (
    NO_SLOT, SLOT_BITS, block_at, clear_owes, commit, drop_block, end_block, first_child_of, next_child_of, record_of,
    slot_at, slot_t, word_generation, word_kind, word_owes, word_state,
)
from fastsip._core.state.counters cimport (
    N_ANSWERED, N_LATE_ANSWERS, N_NO_ROOM, N_REANSWERED, N_REPEATED_INVITES, N_REPEATED_OTHERS, N_RESENT_RESPONSES,
    N_RETRANSMISSIONS_SENT, N_RETRANSMITTED_REQUESTS,
)
from fastsip._core.state.shard cimport count
from fastsip._core.state.outbox cimport queue_message, send_edited, take_scratch
from fastsip._core.transaction.machines cimport (
    END, GOT_ACK, PASS_UP, REPEATED, RESEND_LAST, SEND_1XX, SEND_2XX, SEND_FINAL, SEND_TRYING, SERVER_EXPIRE,
    SERVER_RETRANSMIT, is_state, server_step, step_t,
)
from fastsip._core.transaction.clocks cimport absorb_until, arm_slot
from fastsip._core.transaction.lingering cimport begin_lingering, drop_all, free_server, take_block, write_block
from fastsip._core.transaction.client cimport read_request
from fastsip._core.transaction.replies cimport answer, reply_of, reply_room, reply_t, write_reply


# What the tables say to an event in the state that the slot is in.
cdef inline step_t step_of(const slot_t *slot, int event) noexcept nogil:
    return server_step(word_kind(slot.commit), word_state(slot.commit), event)


cdef inline void commit_server(shard_t *shard, uint32_t ref, int state, int owes,
                               const record_t *record) noexcept nogil:
    cdef int kind = word_kind(slot_at(shard.store, ref).commit)
    check(is_state(kind, word_state(slot_at(shard.store, ref).commit)))
    check(is_state(kind, state))
    commit(shard.store, ref, kind, state, owes, record)
    arm_slot(shard, ref, kind, record)


cdef void edit_response(shard_t *shard, const message_t *m) noexcept nogil:
    """16.7 item 3: takes the topmost Via off, which is ours."""
    cdef int i = first_of(m, H_VIA)
    check(not m.is_request)
    check(is_in_line(m, i))
    clear_edits(&shard.edits)
    if m.via.last:
        edit_delete(&shard.edits, m.headers[i].name_off, m.headers[i].end_off - m.headers[i].name_off)
    else:
        edit_delete(&shard.edits, m.via.off, m.via.len + 1)


cdef void send_block(shard_t *shard, uint32_t ref, const block_t *block, int owes) noexcept nogil:
    queue_message(shard, block_at(shard.store, ref, block.unit), block.len,
                  &slot_at(shard.store, ref).identity.server.source, ref if owes else NO_SLOT, owes)


cdef void final_clocks(shard_t *shard, uint32_t ref, record_t *record) noexcept nogil:
    """Timers G and H of an INVITE (17.2.1), Timer J of any other method (17.2.2)."""
    cdef uint32_t t1 = shard.table.clocks.t1_ms
    cdef const slot_t *slot = slot_at(shard.store, ref)
    cdef const addr_t *source = &slot.identity.server.source.remote
    check(is_server(word_kind(slot.commit)))
    record.server.retransmit_ms = 0
    if word_kind(slot.commit) != KIND_SERVER_INVITE:
        record.server.expire_ms = absorb_until(shard, source, 64 * <uint64_t>t1)
        return
    record.server.expire_ms = shard.now_ms + 64 * <uint64_t>t1
    record.server.interval_ms = <uint16_t>t1
    if not is_reliable(source):
        record.server.retransmit_ms = shard.now_ms + t1


cdef void set_server_flag(shard_t *shard, uint32_t ref, int flag) noexcept nogil:
    cdef slot_t *slot = slot_at(shard.store, ref)
    cdef record_t record = record_of(slot)[0]
    check(is_server(word_kind(slot.commit)))    # a branch has its flags in the same place
    if record.server.flags & flag == flag:
        return
    record.server.flags |= flag
    commit(shard.store, ref, word_kind(slot.commit), word_state(slot.commit), word_owes(slot.commit), &record)


cdef void set_trying_clock(shard_t *shard, const slot_t *slot, record_t *record) noexcept nogil:
    """RFC 4320 4.1: a non-INVITE gets a 100 when its caller's Timer E has reached T2, and no sooner."""
    cdef uint64_t t1 = shard.table.clocks.t1_ms
    cdef uint64_t interval = 2 * t1
    if slot.method == M_INVITE:
        return
    while 0 < interval < shard.table.clocks.t2_ms:
        interval *= 2
    check(record.server.response.len == 0)      # it would be due to nobody
    record.server.retransmit_ms = max(slot.created_ms + interval - t1, shard.now_ms + 1)


cdef uint32_t read_any_request(shard_t *shard, uint32_t parent, message_t *into) noexcept nogil:
    cdef uint32_t ref = first_child_of(shard.store, parent)
    check(is_server(word_kind(slot_at(shard.store, parent).commit)))
    while ref != NO_SLOT:
        check(slot_at(shard.store, ref).parent == parent)
        if read_request(shard, ref, into) >= 0:
            return ref
        ref = next_child_of(shard.store, ref)
    return NO_SLOT


# ---------------------------------------------------------------- from a branch

cdef void pass_provisional(shard_t *shard, uint32_t ref, const message_t *m) noexcept nogil:
    """16.7 item 5: a 101-199 is stored, as the caller's repeated INVITE gets the last one again.  Without a free
    block it is sent all the same, and only that it was is committed.
    """
    cdef slot_t *slot = slot_at(shard.store, ref)
    cdef record_t record
    cdef block_t old
    cdef step_t step = step_of(slot, SEND_1XX)
    if not step.valid:
        return
    check(m.status > 100)               # a 100 is the next hop's own (16.7 item 5)
    check(m.status < 200)
    edit_response(shard, m)
    record = record_of(slot)[0]
    old = record.server.response
    if write_block(shard, ref, m, NULL, &record.server.response) < 0:
        send_edited(shard, m, &slot.identity.server.source, NO_SLOT, 0)
        set_server_flag(shard, ref, SERVER_PROGRESSED)
        return
    record.server.last_status = m.status
    record.server.flags |= SERVER_PROGRESSED
    commit_server(shard, ref, step.next, OWES_RESPONSE, &record)
    drop_block(shard.store, &shard.pending, ref, &old)
    send_block(shard, ref, &record.server.response, OWES_RESPONSE)


cdef inline void count_answer(shard_t *shard, int status) noexcept nogil:
    if 200 <= status < 700:         # a slot of a damaged file may say anything
        count(shard, N_ANSWERED + status // 100 - 2)


cdef inline void name_no_blocks(record_t *record) noexcept nogil:
    record.server.kept.len = 0
    record.server.response.len = 0
    record.server.best.len = 0


cdef void pass_success(shard_t *shard, uint32_t ref, const message_t *m) noexcept nogil:
    """A 2xx to INVITE goes to the caller each time it comes (16.7 item 10, RFC 6026) and is not stored: the callee
    repeats it until the ACK. The first one starts Timer L and decides the search.
    """
    cdef slot_t *slot = slot_at(shard.store, ref)
    cdef record_t was = record_of(slot)[0]
    cdef record_t record = was
    cdef step_t step = step_of(slot, SEND_2XX)
    if not step.valid:
        return
    check(step.next == SERVER_ACCEPTED)
    if word_state(slot.commit) != SERVER_ACCEPTED:
        count_answer(shard, m.status)
        if was.server.flags & SERVER_DECIDED:
            count(shard, N_LATE_ANSWERS)
        name_no_blocks(&record)
        record.server.last_status = m.status
        record.server.flags |= SERVER_DECIDED
        record.server.retransmit_ms = 0
        record.server.expire_ms = shard.now_ms + 64 * <uint64_t>shard.table.clocks.t1_ms
        commit_server(shard, ref, step.next, 0, &record)
        drop_all(shard, ref, &was)
    edit_response(shard, m)
    send_edited(shard, m, &slot.identity.server.source, NO_SLOT, 0)


cdef void send_final(shard_t *shard, uint32_t ref, const record_t *was, const block_t *response,
                     int status) noexcept nogil:
    """Commits the final response that stands in `response` and sends it (17.2).

    `response` NULL: no block was free, and the caller of this sends the message himself.  A failure is owed all the
    same and Timer G runs: where it is due again it is made anew (answer_anew).  A 2xx to a non-INVITE is not, since
    more than its status counts: repeated requests are absorbed.
    """
    cdef record_t record = was[0]
    cdef record_t rest = was[0]
    cdef step_t step = step_of(slot_at(shard.store, ref), SEND_FINAL)
    cdef bint due = response != NULL or status >= 300
    check(step.valid)                   # takes_final has said so
    check(step.next == SERVER_COMPLETED)
    count_answer(shard, status)
    name_no_blocks(&record)
    record.server.last_status = <uint16_t>status
    record.server.flags |= SERVER_DECIDED
    final_clocks(shard, ref, &record)
    if response != NULL:
        record.server.response = response[0]
        if rest.server.best.unit == response.unit:
            rest.server.best.len = 0
    elif not due:
        record.server.retransmit_ms = 0
    commit_server(shard, ref, step.next, OWES_RESPONSE if due else 0, &record)
    begin_lingering(shard, ref)
    drop_all(shard, ref, &rest)
    if response != NULL:
        send_block(shard, ref, response, OWES_RESPONSE)


cdef void send_unkept(shard_t *shard, uint32_t ref, const message_t *m) noexcept nogil:
    """Sends the final response `m`, for which no block is free, from scratch; a 503 as 500 (16.7 item 6)."""
    cdef slot_t *slot = slot_at(shard.store, ref)
    cdef record_t record = record_of(slot)[0]
    check(m.status >= 200)
    edit_response(shard, m)
    if m.status == 503:
        edit_status_500(shard, m)
    send_edited(shard, m, &slot.identity.server.source, ref, OWES_RESPONSE)
    send_final(shard, ref, &record, NULL, 500 if m.status == 503 else m.status)


cdef bint takes_final(const slot_t *slot) noexcept nogil:
    """Has the caller no final response yet?  A transaction that ended with one may have a branch left, whose answer
    would be the second (17.2.2).
    """
    return (step_of(slot, SEND_FINAL).valid
            and (word_state(slot.commit) != SERVER_ENDED or record_of(slot).server.last_status < 200))


cdef void pass_final(shard_t *shard, uint32_t ref, const message_t *m) noexcept nogil:
    cdef slot_t *slot = slot_at(shard.store, ref)
    cdef record_t record = record_of(slot)[0]
    cdef block_t block
    if not takes_final(slot):
        return
    check(word_kind(slot.commit) == KIND_SERVER_OTHER)
    edit_response(shard, m)
    if write_block(shard, ref, m, NULL, &block) < 0:
        send_unkept(shard, ref, m)
        return
    send_final(shard, ref, &record, &block, m.status)


# ---------------------------------------------------------------- the choice

cdef int rank_of(int kind, int status) noexcept nogil:
    """16.7 item 6: a 6xx first, then the lowest class; in a class what helps the caller to try again.

    A 482 says only that two ways led to one server, whose own answer comes by the other.
    A 408 is no answer to a non-INVITE (RFC 4320): whatever else was said is better.
    """
    cdef int preferred = (status == 401 or status == 407 or status == 415 or status == 420 or status == 484)
    if status >= 600:
        return 0
    if status == 408 and kind == KIND_SERVER_OTHER:
        return 9999
    return status // 100 * 1000 + (0 if preferred else 999 if status == 482 else 500 + status % 100)


cdef inline bint is_challenge(int status) noexcept nogil:
    return status == 401 or status == 407


cdef void edit_status_500(shard_t *shard, const message_t *m) noexcept nogil:
    """The whole status line, which ends where the headers begin; blank lines may stand before it (7.5)."""
    check(m.headers_off > 0)
    edit_replace(&shard.edits, 0, m.headers_off, b"SIP/2.0 500 Server Internal Error\r\n", 35)


cdef int write_best(shard_t *shard, uint32_t ref, const message_t *m, block_t *best) noexcept nogil:
    """A 503 is kept as 500: to the caller it would say that we ourselves are unavailable (16.7 item 6)."""
    edit_response(shard, m)
    if m.status == 503:
        edit_status_500(shard, m)
    return write_block(shard, ref, m, NULL, best)


cdef int put_headers(char *out, const message_t *m, int id, int *headers) noexcept nogil:
    """All headers of this id, as they stand; their number is added to `headers`."""
    cdef int i = first_of(m, id)
    cdef int n = 0
    while i != NO_HEADER:
        check(is_in_line(m, i))
        n += put(out + n, m.buf + m.headers[i].name_off, m.headers[i].end_off - m.headers[i].name_off)
        headers[0] += 1
        i = m.headers[i].next
    return n


cdef int write_merged(shard_t *shard, uint32_t ref, const message_t *m, block_t *best) noexcept nogil:
    """16.7 item 7: the kept challenge gets those of `m` behind its own headers.

    OK; E_NONE if `m` brings none; E_ROOM if the message would be too long or have too many headers, E_FULL without a
    block: the kept response stays as it is then.
    """
    cdef message_t kept
    cdef uint32_t scratch = shard.scratch_used
    cdef char *text = take_scratch(shard, m.headers_end)
    cdef int headers = 0
    cdef int code = E_NONE
    cdef int n
    if text == NULL or parse_message(block_at(shard.store, ref, best.unit), best.len, &kept) < 0:
        return E_ROOM
    n = put_headers(text, m, H_WWW_AUTHENTICATE, &headers)
    n += put_headers(text + n, m, H_PROXY_AUTHENTICATE, &headers)
    check(n <= m.headers_end)
    if kept.header_count + headers > MAX_HEADERS:
        code = E_ROOM
    elif headers:
        clear_edits(&shard.edits)
        edit_insert(&shard.edits, kept.headers_end, text, n)
        code = write_block(shard, ref, &kept, NULL, best)
    shard.scratch_used = scratch
    return code


cdef void keep_best(shard_t *shard, uint32_t ref, const message_t *m, int flag) noexcept nogil:
    """One commit for the response, if it is the better one, and for `flag`, so that a recovery sees both or neither."""
    cdef slot_t *slot = slot_at(shard.store, ref)
    cdef record_t record = record_of(slot)[0]
    cdef block_t old = record.server.best
    cdef int kind = word_kind(slot.commit)
    cdef int best = record.server.best_status
    cdef int code = E_NONE
    check(m.status >= 300)
    if record.server.flags & SERVER_DECIDED:
        return
    record.server.flags |= <uint8_t>flag
    if is_challenge(best) and is_challenge(m.status) and old.len:
        code = write_merged(shard, ref, m, &record.server.best)
    elif best == 0 or rank_of(kind, m.status) < rank_of(kind, best):
        code = write_best(shard, ref, m, &record.server.best)
        record.server.best_status = m.status
        if code < 0:                        # by its status alone (send_best)
            count(shard, N_NO_ROOM)
            record.server.best.len = 0
            code = OK
    if code == E_ROOM or code == E_FULL:
        count(shard, N_NO_ROOM)
    if code < 0:
        old.len = 0
        if record.server.flags == record_of(slot).server.flags:
            return
    commit(shard.store, ref, kind, word_state(slot.commit), word_owes(slot.commit), &record)
    drop_block(shard.store, &shard.pending, ref, &old)


cdef void send_best(shard_t *shard, uint32_t ref, const message_t *m) noexcept nogil:
    """Sends the best response (16.7 item 6).  If it found no block: as it is when it is `m`, which came last, else
    made anew from its status.
    """
    cdef record_t record = record_of(slot_at(shard.store, ref))[0]
    cdef int status = 500 if record.server.best_status == 503 else record.server.best_status
    cdef message_t stored
    if not takes_final(slot_at(shard.store, ref)):
        return
    if record.server.best.len:
        send_final(shard, ref, &record, &record.server.best, status)
    elif m != NULL and m.status == record.server.best_status:
        send_unkept(shard, ref, m)
    elif read_any_request(shard, ref, &stored) != NO_SLOT:
        send_own(shard, ref, &stored, status, NULL)
    else:
        end_silently(shard, ref)


cdef int first_via_of(const message_t *request, const addr_t *source) noexcept nogil:
    """Header of the caller's own Via.  Of a request as we sent it (`source` NULL) the topmost is ours."""
    cdef int i = first_of(request, H_VIA)
    check(i != NO_HEADER)
    return i if source != NULL else request.headers[i].next


cdef void queue_reply(shard_t *shard, uint32_t ref, const message_t *request, const addr_t *source,
                      const reply_t *reply, int owes) noexcept nogil:
    """A response of our own that no block keeps.  Without scratch nothing is sent; what is owed stays owed."""
    cdef char *text = take_scratch(shard, reply_room(request, reply))
    if text != NULL:
        queue_message(shard, text, write_reply(request, first_via_of(request, source), source, reply, text),
                      &slot_at(shard.store, ref).identity.server.source, ref if owes else NO_SLOT, owes)


cdef void send_own(shard_t *shard, uint32_t ref, const message_t *request, int status,
                   const text_t *reason) noexcept nogil:
    cdef reply_t reply = reply_of(status, reason, NULL)
    send_reply(shard, ref, request, NULL, &reply)


cdef void send_reply(shard_t *shard, uint32_t ref, const message_t *request, const addr_t *source,
                     reply_t *reply) noexcept nogil:
    cdef slot_t *slot = slot_at(shard.store, ref)
    cdef record_t record = record_of(slot)[0]
    cdef block_t block
    cdef char *text
    cdef char *at
    cdef int len
    if not takes_final(slot):
        return
    reply.tag_key = slot.key
    text = take_scratch(shard, reply_room(request, reply))
    if text == NULL:
        end_silently(shard, ref)
        return
    len = write_reply(request, first_via_of(request, source), source, reply, text)
    at = take_block(shard, ref, len, &block)
    if at == NULL:
        queue_message(shard, text, len, &slot.identity.server.source, ref, OWES_RESPONSE)
        send_final(shard, ref, &record, NULL, reply.status)
        return
    memcpy(at, text, len)
    end_block()
    send_final(shard, ref, &record, &block, reply.status)


cdef bint is_unkept(shard_t *shard, uint32_t ref) noexcept nogil:
    """Was a failure sent that stands in no block?  A branch keeps its request then: answer_anew needs one."""
    cdef const slot_t *slot = slot_at(shard.store, ref)
    cdef const record_t *record = record_of(slot)
    return (word_state(slot.commit) == SERVER_COMPLETED and record.server.response.len == 0
            and record.server.last_status >= 300)


cdef void answer_anew(shard_t *shard, uint32_t ref) noexcept nogil:
    """Sends the failure that no block keeps once more, made from its status and the request of a branch.

    It is poorer than the callee's, but ends the call: a caller who never gets a final response waits for ever.
    """
    cdef slot_t *slot = slot_at(shard.store, ref)
    cdef reply_t reply = reply_of(record_of(slot).server.last_status, NULL, NULL)
    cdef message_t stored
    if read_any_request(shard, ref, &stored) == NO_SLOT:
        clear_owes(shard.store, ref, word_generation(slot.commit), OWES_RESPONSE)
        return
    check(stored.routing_done)
    reply.tag_key = slot.key
    queue_reply(shard, ref, &stored, NULL, &reply, OWES_RESPONSE)


cdef void end_silently(shard_t *shard, uint32_t ref) noexcept nogil:
    """Ends the transaction without an answer.

    A non-INVITE that nobody answered gets none (RFC 4320 4.2): repeated ones are absorbed as if it had one (Timer J).
    An INVITE that comes again is a new one.
    """
    cdef record_t was = record_of(slot_at(shard.store, ref))[0]
    cdef record_t record = was
    check(is_server(word_kind(slot_at(shard.store, ref).commit)))
    name_no_blocks(&record)
    record.server.flags |= SERVER_DECIDED
    record.server.retransmit_ms = 0
    record.server.expire_ms = 0
    if word_kind(slot_at(shard.store, ref).commit) == KIND_SERVER_OTHER:
        record.server.expire_ms = absorb_until(shard, &slot_at(shard.store, ref).identity.server.source.remote,
                                               64 * <uint64_t>shard.table.clocks.t1_ms)
    commit_server(shard, ref, SERVER_ENDED, 0, &record)
    begin_lingering(shard, ref)
    drop_all(shard, ref, &was)
    end_server(shard, ref)


# ---------------------------------------------------------------- from the caller

cdef int server_input(shard_t *shard, uint32_t ref, int event, const message_t *m,
                      const origin_t *origin) noexcept nogil:
    """17.2: a repeated request, or the ACK of a failure, which starts Timer I. PASS_UP: the ACK is that of a 2xx."""
    cdef slot_t *slot = slot_at(shard.store, ref)
    cdef record_t record = record_of(slot)[0]
    cdef step_t step = step_of(slot, event)
    check((event == REPEATED) | (event == GOT_ACK))
    if event == REPEATED:
        count(shard, N_RETRANSMITTED_REQUESTS)
        count(shard, N_REPEATED_INVITES if word_kind(slot.commit) == KIND_SERVER_INVITE else N_REPEATED_OTHERS)
    if not step.valid:
        return 0
    if step.actions & RESEND_LAST:
        resend_last(shard, ref, &record, m, origin)
    elif step.actions & PASS_UP:
        return 1
    elif event == GOT_ACK:
        drop_all(shard, ref, &record)
        name_no_blocks(&record)
        record.server.retransmit_ms = 0
        record.server.expire_ms = absorb_until(shard, &slot.identity.server.source.remote, shard.table.clocks.t4_ms)
        commit_server(shard, ref, step.next, 0, &record)
    return 0


cdef void resend_last(shard_t *shard, uint32_t ref, const record_t *record, const message_t *m,
                      const origin_t *origin) noexcept nogil:
    """The last response once more, from the listener that the first copy came to; to an INVITE that has none yet the
    100 (17.2.1).
    """
    cdef const slot_t *slot = slot_at(shard.store, ref)
    cdef origin_t again = origin[0]
    again.flow.listener_id = slot.identity.server.source.listener_id
    count(shard, N_REANSWERED)
    if record.server.response.len:
        send_block(shard, ref, &record.server.response, 0)
    elif is_unkept(shard, ref):
        answer(shard, m, &again, record.server.last_status, NULL, NULL)
    elif word_state(slot.commit) == SERVER_PROCEEDING:
        answer(shard, m, &again, 100, NULL, NULL)


cdef void send_trying(shard_t *shard, uint32_t ref, const message_t *request, const addr_t *source) noexcept nogil:
    """RFC 4320 4.1: from Trying to Proceeding by a 100 of our own; by none if `request` is NULL."""
    cdef slot_t *slot = slot_at(shard.store, ref)
    cdef record_t record = record_of(slot)[0]
    cdef reply_t reply = reply_of(100, NULL, NULL)
    check(word_kind(slot.commit) == KIND_SERVER_OTHER)
    check(word_state(slot.commit) == TRYING)
    record.server.retransmit_ms = 0
    commit_server(shard, ref, step_of(slot, SERVER_RETRANSMIT).next, 0, &record)
    if request != NULL:
        queue_reply(shard, ref, request, source, &reply, 0)


cdef void send_due_trying(shard_t *shard, uint32_t ref) noexcept nogil:
    cdef message_t stored
    cdef bint found = read_any_request(shard, ref, &stored) != NO_SLOT
    send_trying(shard, ref, &stored if found else NULL, NULL)


cdef void fire_server_timer(shard_t *shard, uint32_t ref) noexcept nogil:
    """expire_ms: Timer H, I, J or L ends the state. retransmit_ms: Timer G repeats the failure, doubling up to T2;
    of a non-INVITE the 100 is due.
    """
    cdef slot_t *slot = slot_at(shard.store, ref)
    cdef record_t was = record_of(slot)[0]
    cdef record_t record = was
    cdef bint expired = was.server.expire_ms and shard.now_ms >= was.server.expire_ms
    cdef step_t step
    if not expired and (was.server.retransmit_ms == 0 or shard.now_ms < was.server.retransmit_ms):
        arm_slot(shard, ref, word_kind(slot.commit), &was)
        return
    step = step_of(slot, SERVER_EXPIRE if expired else SERVER_RETRANSMIT)
    if not step.valid:
        return
    if step.actions & SEND_TRYING:
        send_due_trying(shard, ref)
        return
    if step.actions & END:
        name_no_blocks(&record)
        record.server.retransmit_ms = 0
        record.server.expire_ms = 0
        commit_server(shard, ref, step.next, 0, &record)
        drop_all(shard, ref, &was)
        end_server(shard, ref)
        return
    check(step.next == SERVER_COMPLETED)        # Timer G runs in no other state (17.2.1)
    record.server.interval_ms = <uint16_t>min(max(2 * <uint32_t>record.server.interval_ms, 1),
                                              shard.table.clocks.t2_ms)
    record.server.retransmit_ms = shard.now_ms + record.server.interval_ms
    commit_server(shard, ref, step.next, OWES_RESPONSE, &record)
    count(shard, N_RETRANSMISSIONS_SENT)
    count(shard, N_RESENT_RESPONSES)
    send_response(shard, ref)


cdef void end_server(shard_t *shard, uint32_t ref) noexcept nogil:
    """Frees the slot of an ended transaction once no branch lives and Timer J has run out."""
    cdef const slot_t *slot = slot_at(shard.store, ref)
    if (word_state(slot.commit) == SERVER_ENDED and first_child_of(shard.store, ref) == NO_SLOT
            and record_of(slot).server.expire_ms == 0):
        free_server(shard, ref)


cdef void send_response(shard_t *shard, uint32_t ref) noexcept nogil:
    cdef const record_t *record = record_of(slot_at(shard.store, ref))
    if record.server.response.len:
        send_block(shard, ref, &record.server.response, OWES_RESPONSE)
    elif is_unkept(shard, ref):
        answer_anew(shard, ref)


cdef bint is_stale(shard_t *shard, uint32_t parent) noexcept nogil:
    """A search that nobody may want any more: past its budget, and no router was here for 64 T1, so that a CANCEL of
    the caller's was not heard and is not repeated.

    After a shorter absence nothing was missed, and what rings goes on as it would have without one.
    """
    cdef const slot_t *server = slot_at(shard.store, parent)
    cdef uint64_t seen_ms = shard.store.partitions[parent >> SLOT_BITS].header.boottime_ms
    return (server.budget_ms and shard.now_ms >= server.budget_ms
            and shard.now_ms > seen_ms + 64 * <uint64_t>shard.table.clocks.t1_ms
            and word_kind(server.commit) == KIND_SERVER_INVITE)
