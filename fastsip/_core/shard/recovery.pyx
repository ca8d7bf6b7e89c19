"""Taking up the calls that the store holds (docs/core.md#recovery).

What was committed as owed is sent, whether or not it had left before the
process died: SIP bears duplicates, and its clocks begin then.  A decision that was committed but not
carried out is carried out now; a request that waits for a name asks again.  Then every timer is armed by its absolute
deadline; those that are overdue fire in the order of their deadlines, and spread: what ran out within minutes
would otherwise reach the next destinations within milliseconds, and not fit into their sockets.
"""

from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcmp

from fastsip._core.base.types cimport OK, PARTITIONS
from fastsip._core.sip.types cimport M_INVITE, message_t
from fastsip._core.sip.parser cimport parse_message, parse_routing
from fastsip._core.store.records cimport (
    CLIENT_ENDED, CLIENT_HAS_ACK, KIND_CLIENT_INVITE, KIND_SERVER_INVITE, KIND_SERVER_OTHER, OWES_CANCEL,
    OWES_REQUEST, OWES_RESPONSE, SERVER_COMPLETED, SERVER_DECIDED, SERVER_ENDED, is_searching, is_server, may_owe,
    record_t,
)
from fastsip._core.store.slots cimport (
    NO_SLOT, SLOT_BITS, block_at, commit, drop_block, first_child_of, give_slot, is_ours, next_child_of, record_of,
    scan_partition, slot_at, slot_t, word_generation, word_kind, word_owes, word_state,
)
from fastsip._core.store.wheel cimport arm_timer
from fastsip._core.store.marks cimport beat, mark_nothing, mark_slot
from fastsip._core.state.outbox cimport needs_flush
from fastsip._core.state.recall cimport remember_challenge
from fastsip._core.transaction.machines cimport (
    RETRANSMIT, SEND_FINAL, SERVER_EXPIRE, SERVER_RETRANSMIT, client_step, is_state, server_step,
)
from fastsip._core.transaction.clocks cimport arm_slot, deadline_of, earlier
from fastsip._core.transaction.lingering cimport begin_lingering
from fastsip._core.transaction.client cimport end_branch, send_cancel, send_request
from fastsip._core.transaction.server cimport end_server, end_silently, is_stale, send_response
from fastsip._core.proxy.parking cimport is_parked, renew_parked
from fastsip._core.proxy.addresses cimport failure_of, failure_t
from fastsip._core.proxy.context cimport cancel_open, count_open, decide, is_closing, may_go_on, try_next
from fastsip._core.proxy.requests cimport route_again
from fastsip._core.shard.round cimport flush

cdef enum:
    LONGEST_SPREAD_MS = 5000
    MOST_RECORD_ROUTES = 2      # of ours in one request (RFC 5658)
    LONGEST_CLOCK_MS = 172_800_000  # two days: none that the configuration allows runs so long


cdef bint is_sound(shard_t *shard, uint32_t ref) noexcept nogil:
    """Can these kernels take it up?  Damage that the scan does not see cannot be."""
    cdef slot_t *slot = slot_at(shard.store, ref)
    cdef int kind = word_kind(slot.commit)
    cdef bint invite = kind == KIND_SERVER_INVITE or kind == KIND_CLIENT_INVITE
    if not is_state(kind, word_state(slot.commit)) or (slot.method == M_INVITE) != invite:
        return False
    if word_owes(slot.commit) & ~may_owe(kind):     # its blocks would be read as those of the other kind
        return False
    return is_server(kind) or (slot.record_routed <= MOST_RECORD_ROUTES
                               and slot_at(shard.store, slot.parent).method == slot.method)


cdef void sweep_unsound(shard_t *shard, uint32_t partition) noexcept nogil:
    """What cannot be taken up would stay for ever; its branches go with it."""
    cdef uint32_t index, ref
    cdef int swept = 0
    for index in range(shard.store.partitions[partition].header.high_water):
        ref = partition << SLOT_BITS | index
        if is_ours(shard.store, ref) and not is_sound(shard, ref):
            give_slot(shard.store, ref)
            swept += 1
    if swept:
        scan_partition(shard.store, partition)


cdef void mend_clocks(shard_t *shard, uint32_t ref) noexcept nogil:
    """Damage again: a clock that its state does not have stops, and one that it needs runs out some day."""
    cdef slot_t *slot = slot_at(shard.store, ref)
    cdef record_t record = record_of(slot)[0]
    cdef int kind = word_kind(slot.commit)
    cdef int state = word_state(slot.commit)
    cdef uint64_t latest = shard.now_ms + LONGEST_CLOCK_MS
    cdef uint64_t soon = shard.now_ms + 64 * <uint64_t>shard.table.clocks.t1_ms
    cdef bint ends
    if is_server(kind):
        if is_parked(&record) and not server_step(kind, state, SEND_FINAL).valid:
            # It has its answer: it waits for no name.
            drop_block(shard.store, &shard.pending, ref, &record.server.kept)
            record.server.kept.len = 0
        ends = server_step(kind, state, SERVER_EXPIRE).valid or is_parked(&record)
        if not server_step(kind, state, SERVER_RETRANSMIT).valid or record.server.retransmit_ms > latest:
            record.server.retransmit_ms = 0
        if not ends:
            record.server.expire_ms = 0
        elif record.server.expire_ms == 0 or record.server.expire_ms > latest:
            record.server.expire_ms = soon
    elif state != CLIENT_ENDED:
        if not client_step(kind, state, RETRANSMIT).valid or record.client.retransmit_ms > latest:
            record.client.retransmit_ms = 0
        if record.client.c_ms > latest:
            record.client.c_ms = 0
        if record.client.expire_ms > latest or (record.client.expire_ms == 0 and record.client.c_ms == 0):
            record.client.expire_ms = soon
    if memcmp(&record, record_of(slot), sizeof(record)) != 0:
        commit(shard.store, ref, kind, state, word_owes(slot.commit), &record)


cdef void renew_unsent(shard_t *shard, uint32_t ref) noexcept nogil:
    """What may never have left has its clocks from now on: that we were away is no failure of whom it is for.

    Only of a first copy, and while its sender may still wait.  A recovery that was cut short may have moved them.
    """
    cdef slot_t *slot = slot_at(shard.store, ref)
    cdef record_t record = record_of(slot)[0]
    cdef uint64_t began = slot.created_ms
    cdef uint64_t away
    if not word_owes(slot.commit) & OWES_REQUEST or record.client.interval_ms > shard.table.clocks.t1_ms:
        return
    if shard.now_ms > began + 64 * <uint64_t>shard.table.clocks.t1_ms:
        return
    if record.client.retransmit_ms > record.client.interval_ms:
        began = max(began, record.client.retransmit_ms - record.client.interval_ms)
    away = shard.now_ms - min(began, shard.now_ms)
    record.client.retransmit_ms += away if record.client.retransmit_ms else 0
    record.client.expire_ms += away if record.client.expire_ms else 0
    record.client.c_ms += away if record.client.c_ms else 0
    commit(shard.store, ref, word_kind(slot.commit), word_state(slot.commit), word_owes(slot.commit), &record)


cdef void send_owed(shard_t *shard, uint32_t ref) noexcept nogil:
    cdef int owes = word_owes(slot_at(shard.store, ref).commit)
    if owes & OWES_RESPONSE:
        send_response(shard, ref)
    if owes & OWES_REQUEST:
        send_request(shard, ref)
    if owes & OWES_CANCEL:
        send_cancel(shard, ref)


cdef void recall_challenged(shard_t *shard, uint32_t ref) noexcept nogil:
    """Of a branch that was asked for credentials, from the ACK that it keeps."""
    cdef slot_t *slot = slot_at(shard.store, ref)
    cdef const record_t *record = record_of(slot)
    cdef message_t ack
    if not record.client.flags & CLIENT_HAS_ACK or record.client.last_status not in (401, 407):
        return
    if (parse_message(block_at(shard.store, ref, record.client.request.unit), record.client.request.len,
                      &ack) == OK and parse_routing(&ack) == OK):
        remember_challenge(shard, &ack, slot.identity.client.destination_id)


cdef uint64_t overdue_since(const shard_t *shard, uint32_t ref) noexcept nogil:
    """The deadline that ran out meanwhile; of a repetition only when no other did.  0 = none."""
    cdef const slot_t *slot = slot_at(shard.store, ref)
    cdef const record_t *record = record_of(slot)
    cdef int kind = word_kind(slot.commit)
    cdef uint64_t at
    if not is_ours(shard.store, ref):
        return 0
    at = record.server.expire_ms if is_server(kind) else earlier(record.client.expire_ms, record.client.c_ms)
    if at == 0 or at >= shard.now_ms:
        at = deadline_of(kind, record)
    return at if at < shard.now_ms else 0


cdef int go_on(shard_t *shard, uint32_t parent) noexcept nogil:
    """try_next, after the branch that started last: what it ended by stands in its record."""
    cdef int attempts = record_of(slot_at(shard.store, parent)).server.attempt_count
    cdef uint32_t ref = first_child_of(shard.store, parent)
    cdef const record_t *record
    cdef failure_t failure = failure_of(NO_SLOT, 0, 0, NULL)
    cdef message_t stored
    while ref != NO_SLOT and slot_at(shard.store, ref).attempt + 1 < attempts:
        ref = next_child_of(shard.store, ref)
    if ref != NO_SLOT:
        record = record_of(slot_at(shard.store, ref))
        failure = failure_of(ref, record.client.reason, record.client.last_status, NULL)
    return try_next(shard, parent, &failure, &stored)


cdef void resume_search(shard_t *shard, uint32_t parent) noexcept nogil:
    cdef slot_t *server = slot_at(shard.store, parent)
    cdef bint more = may_go_on(server)
    if is_closing(server):
        cancel_open(shard, parent)
    if record_of(server).server.flags & SERVER_DECIDED and is_searching(word_state(server.commit)):
        end_silently(shard, parent)          # damage: whatever decides leaves these states
        return
    if record_of(server).server.flags & SERVER_DECIDED or not is_searching(word_state(server.commit)):
        end_server(shard, parent)
    elif not is_closing(server) and is_stale(shard, parent):
        decide(shard, parent, more, NULL)    # no ghost ringing (docs/core.md#after-an-absence)
        cancel_open(shard, parent)
    elif count_open(shard, parent) == 0 and (not more or go_on(shard, parent) != OK):
        decide(shard, parent, more, NULL)


cdef void resume_branch(shard_t *shard, uint32_t ref) noexcept nogil:
    cdef uint32_t parent = slot_at(shard.store, ref).parent
    if word_state(slot_at(shard.store, ref).commit) == CLIENT_ENDED:
        end_branch(shard, ref)
        end_server(shard, parent)


cdef int recover_partition(shard_t *shard, uint32_t partition, uint64_t *oldest) noexcept nogil:
    """How many slots live; `oldest` becomes the oldest deadline that ran out, if there is an older one."""
    cdef uint32_t index, ref
    cdef slot_t *slot
    cdef uint64_t overdue
    cdef int live = 0
    cdef int step
    sweep_unsound(shard, partition)
    for step in range(3):
        for index in range(shard.store.partitions[partition].header.high_water):
            ref = partition << SLOT_BITS | index
            slot = slot_at(shard.store, ref)
            if not is_ours(shard.store, ref):
                continue
            mark_slot(shard.mark, ref, word_generation(slot.commit))
            beat(shard.mark)
            if step == 0:
                live += 1
                renew_unsent(shard, ref)
                overdue = overdue_since(shard, ref)
                if 0 < overdue < oldest[0]:
                    oldest[0] = overdue
                mend_clocks(shard, ref)
                arm_slot(shard, ref, word_kind(slot.commit), record_of(slot))
                if (word_kind(slot.commit) == KIND_SERVER_OTHER
                        and word_state(slot.commit) in (SERVER_COMPLETED, SERVER_ENDED)):
                    begin_lingering(shard, ref)
                send_owed(shard, ref)
            elif step == 1 and is_server(word_kind(slot.commit)):
                if is_parked(record_of(slot)):
                    renew_parked(shard, ref)
                    route_again(shard, ref, 0)
                else:
                    resume_search(shard, ref)
            elif step == 2 and not is_server(word_kind(slot.commit)):
                recall_challenged(shard, ref)
                resume_branch(shard, ref)        # last: a search may still read the request of a branch that ended
            if needs_flush(shard):
                flush(shard)
    flush(shard)
    mark_nothing(shard.mark)
    return live


cdef void spread_overdue(shard_t *shard, uint32_t partition, uint64_t oldest) noexcept nogil:
    """At the distances that they had, as long as that takes no longer than LONGEST_SPREAD_MS."""
    cdef uint64_t span = shard.now_ms - oldest
    cdef uint64_t window = min(span, <uint64_t>LONGEST_SPREAD_MS)
    cdef uint64_t at
    cdef uint32_t index, ref
    for index in range(shard.store.partitions[partition].header.high_water):
        ref = partition << SLOT_BITS | index
        at = overdue_since(shard, ref)
        if at >= oldest:
            arm_timer(shard.wheel, ref, shard.now_ms + (at - oldest) * window // span)


cdef int recover_calls(shard_t *shard) noexcept nogil:
    """Of all partitions of this shard; how many slots live."""
    cdef uint64_t oldest = shard.now_ms
    cdef uint32_t partition
    cdef int live = 0
    for partition in range(PARTITIONS):
        if partition % shard.count == shard.number:
            live += recover_partition(shard, partition, &oldest)
    for partition in range(PARTITIONS):
        if partition % shard.count == shard.number and oldest < shard.now_ms:
            spread_overdue(shard, partition, oldest)
    return live
