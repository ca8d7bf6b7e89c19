"""Requests that wait for the address of their next hop (docs/names.md#waiting-for-a-name).

A request of which a name is not known is stored as it was received, in the
`kept` block of its server transaction, and the name is asked for.  When there
is an answer the request is routed again from the start, as if it came now, on
the transaction that it has: its first branch ends the wait, and so does what
would have refused it.  After NAME_WAIT_MS the search fails as nothing could be
tried (`unavailable`).  A CANCEL ends it at once.  The store says all of this:
after a restart each waiting request is routed again, and asks again.

What has no transaction, the ACK of a 2xx above all, waits in a list of bounded
size and is received again when its name is known.

Until its first branch is committed nothing but `unavailable` is read of what
the identity says of rule, set and policy, so that each look at the rules may
write these anew.

Must never: route (requests does).
"""

from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcpy, memmove, memset

from fastsip._core.base.types cimport E_BAD, E_FULL, E_NONE, OK
from fastsip._core.base.address cimport origin_t
from fastsip._core.base.check cimport check
from fastsip._core.base.scarcity cimport SCARCE_HELD, SCARCE_PARKED, runs_short
from fastsip._core.sip.parser cimport parse_message, parse_routing
from fastsip._core.store.records cimport KIND_FREE
from fastsip._core.store.slots cimport (
    NO_SLOT, block_at, commit, end_block, record_of, slot_at, slot_t, word_generation, word_kind, word_owes, word_state,
)
from fastsip._core.store.wheel cimport arm_timer
from fastsip._core.routing.types cimport policy_t
from fastsip._core.routing.lookup cimport find_listener_index, find_policy, set_origin
from fastsip._core.transport.names cimport hash_name
from fastsip._core.state.counters cimport N_NAMES_FAILED, N_PARKED, N_PARKED_DROPPED, N_STORE_FULL, N_TRANSPORT_FAILURES
from fastsip._core.state.memory cimport HELD_BYTES, MOST_HELD, MOST_PARKED, held_t, parked_t, waiting_t
from fastsip._core.state.shard cimport count
from fastsip._core.state.quota cimport holds_much, is_greedy, source_key
from fastsip._core.state.questions cimport NOT_ASKED, UNHEARD, ask_name
from fastsip._core.transaction.clocks cimport arm_slot
from fastsip._core.transaction.lingering cimport take_block
from fastsip._core.transaction.replies cimport reply_of, reply_t
from fastsip._core.transaction.server cimport end_silently, send_reply, send_trying, set_trying_clock
from fastsip._core.proxy.request cimport begin_request, first_state, server_kind
from fastsip._core.proxy.refusals cimport refuse_unavailable

cdef enum:
    NAME_WAIT_MS = 2000
    UNHEARD_WAIT_MS = 500   # until a question that found no room is asked again


# ---------------------------------------------------------------- searches

cdef bint still_waits(shard_t *shard, const parked_t *parked) noexcept nogil:
    cdef const slot_t *slot = slot_at(shard.store, parked.ref)
    return word_generation(slot.commit) == parked.generation and is_parked(record_of(slot))


cdef bint has_room(shard_t *shard) noexcept nogil:
    """Is there a place in the list of who waits?  Those that were answered leave it only when their room is wanted."""
    cdef waiting_t *waiting = shard.waiting
    cdef uint32_t i
    cdef uint32_t n = 0
    if waiting.parked_count < MOST_PARKED:
        return True
    for i in range(waiting.parked_count):
        if still_waits(shard, &waiting.parked[i]):
            waiting.parked[n] = waiting.parked[i]
            n += 1
    check(n <= waiting.parked_count)
    waiting.parked_count = n
    return n < MOST_PARKED


cdef int keep_request(shard_t *shard, uint32_t ref, const request_t *request, block_t *block) noexcept nogil:
    cdef const message_t *m = request.m
    cdef parked_head_t head
    cdef char *at = take_block(shard, ref, sizeof(parked_head_t) + m.len, block)
    if at == NULL:
        return E_FULL
    memset(&head, 0, sizeof(head))
    head.source = request.origin.flow.remote
    head.listener_id = request.origin.flow.listener_id
    memcpy(at, &head, sizeof(head))
    memcpy(at + sizeof(head), m.buf, m.len)
    end_block()
    return OK


cdef void arm_parked(shard_t *shard, uint32_t ref, bint unheard) noexcept nogil:
    """The same timer asks again what nobody heard, before the wait is over."""
    cdef const slot_t *slot = slot_at(shard.store, ref)
    check(is_parked(record_of(slot)))
    arm_slot(shard, ref, word_kind(slot.commit), record_of(slot))
    if unheard:
        arm_timer(shard.wheel, ref, min(shard.now_ms + UNHEARD_WAIT_MS, record_of(slot).server.expire_ms))


cdef parked_t take_parked(waiting_t *waiting, uint32_t place) noexcept nogil:
    """The last one takes its place: one that waits on is at the end again, and not looked at twice."""
    cdef parked_t parked = waiting.parked[place]
    check(place < waiting.parked_count)
    waiting.parked_count -= 1
    waiting.parked[place] = waiting.parked[waiting.parked_count]
    return parked


cdef int find_unheard(const shard_t *shard, uint32_t ref) noexcept nogil:
    """The place of this request in the list, if nobody heard its question; else E_NONE."""
    cdef const waiting_t *waiting = shard.waiting
    cdef uint32_t generation = word_generation(slot_at(shard.store, ref).commit)
    cdef uint32_t i
    for i in range(waiting.parked_count):
        if (waiting.parked[i].unheard and waiting.parked[i].ref == ref
                and waiting.parked[i].generation == generation):
            return <int>i
    return E_NONE


cdef int park_search(shard_t *shard, uint32_t ref, request_t *request) noexcept nogil:
    cdef slot_t *slot = slot_at(shard.store, ref)
    cdef const addr_t *source = &request.origin.flow.remote
    cdef const text_t *name = &request.hop.name
    cdef uint64_t hash = hash_name(shard.names, name.at, name.len)
    cdef int method = request.m.method
    cdef parked_t *parked
    cdef int asked
    cdef record_t record
    check(name.len > 0)
    check((word_kind(slot.commit) == KIND_FREE) == (request.resumed == NO_SLOT))
    if not has_room(shard) or is_greedy(shard, source) or runs_short(SCARCE_PARKED):
        count(shard, N_PARKED_DROPPED)
        return E_FULL
    if request.paid_name == hash:
        asked = ask_name(shard, name, request.hop.name_kind, NULL)
    else:
        asked = ask_name(shard, name, request.hop.name_kind, source)
    if asked == NOT_ASKED:
        return E_FULL
    if word_kind(slot.commit) == KIND_FREE:
        memset(&record, 0, sizeof(record))
        if keep_request(shard, ref, request, &record.server.kept) < 0:
            count(shard, N_STORE_FULL)
            return E_FULL
        record.server.expire_ms = shard.now_ms + NAME_WAIT_MS
        set_trying_clock(shard, slot, &record)
        commit(shard.store, ref, server_kind(method), first_state(method), 0, &record)
        count(shard, N_PARKED)
    arm_parked(shard, ref, asked == UNHEARD)
    request.waits = True
    parked = &shard.waiting.parked[shard.waiting.parked_count]
    shard.waiting.parked_count += 1
    check(shard.waiting.parked_count <= MOST_PARKED)
    parked.name = hash
    parked.unheard = asked == UNHEARD
    parked.ref = ref
    parked.generation = word_generation(slot.commit)
    parked.source = source_key(shard, source)
    return OK


cdef block_t leave_parking(record_t *record) noexcept nogil:
    cdef block_t spent
    spent.unit = spent.len = 0
    if is_parked(record):
        spent = record.server.kept
        record.server.kept.len = 0
        record.server.expire_ms = 0
    check(not is_parked(record))
    return spent


cdef int read_parked(shard_t *shard, uint32_t ref, message_t *into, origin_t *origin) noexcept nogil:
    """What the block says is not believed: it may be of a damaged store, or of a listener that is gone."""
    cdef const block_t *block = &record_of(slot_at(shard.store, ref)).server.kept
    cdef const char *at = block_at(shard.store, ref, block.unit)
    cdef parked_head_t head
    cdef int code, listener
    check(is_parked(record_of(slot_at(shard.store, ref))))
    if block.len <= sizeof(head):       # of a damaged store
        return E_BAD
    memcpy(&head, at, sizeof(head))
    code = parse_message(at + sizeof(head), block.len - <uint32_t>sizeof(head), into)
    if code == OK:
        code = parse_routing(into)
    if code < 0:
        return code
    listener = find_listener_index(shard.table, head.listener_id)
    if listener < 0:
        return E_BAD
    set_origin(origin, shard.table, listener, &head.source)
    return OK


cdef void answer_parked(shard_t *shard, uint32_t ref, int status) noexcept nogil:
    cdef message_t stored
    cdef origin_t origin
    cdef reply_t reply
    check(status >= 300)
    if read_parked(shard, ref, &stored, &origin) < 0:
        end_silently(shard, ref)         # its listener is gone: nobody can be told
        return
    reply = reply_of(status, NULL, NULL)
    send_reply(shard, ref, &stored, &origin.flow.remote, &reply)


cdef void settle_parked(shard_t *shard, uint32_t ref, bint waits) noexcept nogil:
    """After the request was routed again.  What refused it was answered by then (refusals.respond), and so ended the
    wait, as a first branch did.  One that went on without state, as a store was full, ends without an answer.
    """
    if is_parked(record_of(slot_at(shard.store, ref))) and not waits:
        end_silently(shard, ref)


cdef void send_parked_trying(shard_t *shard, uint32_t ref) noexcept nogil:
    """The 100 that a non-INVITE gets when its caller's Timer E has reached T2 (RFC 4320 4.1)."""
    cdef message_t stored
    cdef origin_t origin
    cdef int code = read_parked(shard, ref, &stored, &origin)
    send_trying(shard, ref, &stored if code == OK else NULL, &origin.flow.remote)


cdef void give_up_parked(shard_t *shard, uint32_t ref) noexcept nogil:
    """There is no answer from DNS in time: nothing could be tried (`unavailable` of the policy that it met)."""
    cdef const slot_t *slot = slot_at(shard.store, ref)
    cdef int index = find_policy(shard.table, slot.identity.server.policy.policy_id)
    cdef policy_t policy = shard.table.policies[max(index, 0)]
    cdef message_t stored
    cdef origin_t origin
    cdef request_t request
    policy.copy = slot.identity.server.policy
    begin_request(&request, &stored, &origin)
    request.resumed = ref
    if read_parked(shard, ref, &stored, &origin) == OK:
        refuse_unavailable(shard, &request, &policy)
    settle_parked(shard, ref, False)


cdef int expire_parked(shard_t *shard, uint32_t ref) noexcept nogil:
    """Its timer has come up: its time to wait is over, which is a failure of transport, or the 100 of a non-INVITE is
    due, or nobody heard its question.
    """
    cdef const record_t *record = record_of(slot_at(shard.store, ref))
    if shard.now_ms >= record.server.expire_ms:
        count(shard, N_NAMES_FAILED)
        count(shard, N_TRANSPORT_FAILURES)
        give_up_parked(shard, ref)
        return E_NONE
    if record.server.retransmit_ms and shard.now_ms >= record.server.retransmit_ms:
        send_parked_trying(shard, ref)
        return E_NONE
    return find_unheard(shard, ref)


cdef void renew_parked(shard_t *shard, uint32_t ref) noexcept nogil:
    cdef slot_t *slot = slot_at(shard.store, ref)
    cdef record_t record = record_of(slot)[0]
    check(is_parked(&record))
    record.server.expire_ms = shard.now_ms + NAME_WAIT_MS
    commit(shard.store, ref, word_kind(slot.commit), word_state(slot.commit), word_owes(slot.commit), &record)
    arm_slot(shard, ref, word_kind(slot.commit), &record)


# ---------------------------------------------------------------- what has no transaction

cdef void hold_request(shard_t *shard, const request_t *request) noexcept nogil:
    """Keeps a request without transaction, above all the ACK of a 2xx, until its name is known.

    memmove: a request that is received again may be held again, in the very place where it stands.
    """
    cdef const message_t *m = request.m
    cdef const addr_t *source = &request.origin.flow.remote
    cdef const text_t *name = &request.hop.name
    cdef held_t *held = NULL
    cdef uint32_t i
    check(name.len > 0)
    for i in range(MOST_HELD):
        if shard.waiting.held[i].name and shard.now_ms >= shard.waiting.held[i].until_ms:
            shard.waiting.held[i].name = 0
            count(shard, N_PARKED_DROPPED)
        if shard.waiting.held[i].name == 0:
            held = &shard.waiting.held[i]
    if (held == NULL or m.len > HELD_BYTES or runs_short(SCARCE_HELD) or holds_much(shard, source)
            or ask_name(shard, name, request.hop.name_kind, source) == NOT_ASKED):
        count(shard, N_PARKED_DROPPED)
        return
    held.name = hash_name(shard.names, name.at, name.len)
    held.until_ms = shard.now_ms + NAME_WAIT_MS
    held.origin = request.origin[0]
    held.len = m.len
    memmove(held.message, m.buf, m.len)
    count(shard, N_PARKED)
