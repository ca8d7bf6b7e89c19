"""Taking up the calls that the store holds (core section 5).

What was committed as owed is sent, whether or not it had left before the
process died: SIP bears duplicates, and its clocks begin then.  A decision that was committed but not
carried out is carried out now; a request that waits for a name asks again.  Then every timer is armed by its absolute
deadline; those that are overdue fire in the order of their deadlines, and spread: what ran out within minutes
would otherwise reach the next destinations within milliseconds, and not fit into their sockets.
"""

from libc.stdint cimport uint32_t, uint64_t

from fastsip._core.branches cimport send_request
from fastsip._core.core cimport arm_slot, deadline_of, earlier, needs_flush
from fastsip._core.hop_requests cimport send_cancel
from fastsip._core.lingering cimport begin_lingering
from fastsip._core.marks cimport beat, mark_nothing, mark_slot
from fastsip._core.parser cimport parse_message, parse_routing
from fastsip._core.recall cimport remember_challenge
from fastsip._core.parking cimport is_parked, renew_parked
from fastsip._core.proxy cimport route_again
from fastsip._core.search cimport resume_branch, resume_search
from fastsip._core.slots cimport (CLIENT_HAS_ACK, KIND_FREE, KIND_SERVER_OTHER, OWES_CANCEL, OWES_REQUEST,
                                  OWES_RESPONSE, SLOT_BITS, block_at, commit, is_server, record_of, record_t,
                                  slot_at, slot_t, word_generation, word_kind, word_owes, word_state)
from fastsip._core.timers cimport arm_timer
from fastsip._core.transactions cimport SERVER_COMPLETED, SERVER_ENDED
from fastsip._core.types cimport OK, PARTITIONS
from fastsip._core.upstream cimport send_response
from fastsip._core.workspace cimport flush


cdef enum:
    LONGEST_SPREAD_MS = 5000


cdef void renew_unsent(core_t *core, uint32_t ref) noexcept nogil:
    """What may never have left has its clocks from now on: that we were away is no failure of whom it is for.

    Only of a first copy, and while its sender may still wait.
    """
    cdef slot_t *slot = slot_at(core.store, ref)
    cdef record_t record = record_of(slot)[0]
    cdef uint64_t away = core.now_ms - min(slot.created_ms, core.now_ms)
    if not word_owes(slot.commit) & OWES_REQUEST or record.client.interval_ms > core.table.clocks.t1_ms:
        return
    if away > 64 * <uint64_t>core.table.clocks.t1_ms:
        return
    record.client.retransmit_ms += away if record.client.retransmit_ms else 0
    record.client.expire_ms += away if record.client.expire_ms else 0
    record.client.c_ms += away if record.client.c_ms else 0
    commit(core.store, ref, word_kind(slot.commit), word_state(slot.commit), word_owes(slot.commit), &record)


cdef void send_owed(core_t *core, uint32_t ref) noexcept nogil:
    cdef int owes = word_owes(slot_at(core.store, ref).commit)
    if owes & OWES_RESPONSE:
        send_response(core, ref)
    if owes & OWES_REQUEST:
        send_request(core, ref)
    if owes & OWES_CANCEL:
        send_cancel(core, ref)


cdef void recall_challenged(core_t *core, uint32_t ref) noexcept nogil:
    """Of a branch that was asked for credentials, from the ACK that it keeps."""
    cdef slot_t *slot = slot_at(core.store, ref)
    cdef const record_t *record = record_of(slot)
    if not record.client.flags & CLIENT_HAS_ACK or record.client.last_status not in (401, 407):
        return
    if (parse_message(block_at(core.store, ref, record.client.request.unit), record.client.request.len,
                      &core.stored) == OK and parse_routing(&core.stored) == OK):
        remember_challenge(core, &core.stored, slot.identity.client.destination_id)


cdef uint64_t overdue_since(const core_t *core, slot_t *slot) noexcept nogil:
    """The deadline that ran out meanwhile; of a repetition only when no other did.  0 = none."""
    cdef const record_t *record = record_of(slot)
    cdef int kind = word_kind(slot.commit)
    cdef uint64_t at
    if kind == KIND_FREE:
        return 0
    at = record.server.expire_ms if is_server(kind) else earlier(record.client.expire_ms, record.client.c_ms)
    if at == 0 or at >= core.now_ms:
        at = deadline_of(kind, record)
    return at if at < core.now_ms else 0


cdef int recover_partition(core_t *core, uint32_t partition, uint64_t *oldest) noexcept nogil:
    """How many slots live; `oldest` becomes the oldest deadline that ran out, if there is an older one."""
    cdef uint32_t index, ref
    cdef slot_t *slot
    cdef uint64_t overdue
    cdef int live = 0
    cdef int step
    for step in range(3):
        for index in range(core.store.partitions[partition].header.high_water):
            ref = partition << SLOT_BITS | index
            slot = slot_at(core.store, ref)
            if word_kind(slot.commit) == KIND_FREE:
                continue
            mark_slot(core.mark, ref, word_generation(slot.commit))
            beat(core.mark)
            if step == 0:
                live += 1
                renew_unsent(core, ref)
                overdue = overdue_since(core, slot)
                if 0 < overdue < oldest[0]:
                    oldest[0] = overdue
                arm_slot(core, ref, word_kind(slot.commit), record_of(slot))
                if (word_kind(slot.commit) == KIND_SERVER_OTHER
                        and word_state(slot.commit) in (SERVER_COMPLETED, SERVER_ENDED)):
                    begin_lingering(core, ref)
                send_owed(core, ref)
            elif step == 1 and is_server(word_kind(slot.commit)):
                if is_parked(record_of(slot)):
                    renew_parked(core, ref)
                    route_again(core, ref)
                else:
                    resume_search(core, ref)
            elif step == 2 and not is_server(word_kind(slot.commit)):
                recall_challenged(core, ref)
                resume_branch(core, ref)        # last: a search may still read the request of a branch that ended
            if needs_flush(core):
                flush(core)
    flush(core)
    mark_nothing(core.mark)
    return live


cdef void spread_overdue(core_t *core, uint32_t partition, uint64_t oldest) noexcept nogil:
    """At the distances that they had, as long as that takes no longer than LONGEST_SPREAD_MS."""
    cdef uint64_t span = core.now_ms - oldest
    cdef uint64_t window = min(span, <uint64_t>LONGEST_SPREAD_MS)
    cdef uint64_t at
    cdef uint32_t index, ref
    for index in range(core.store.partitions[partition].header.high_water):
        ref = partition << SLOT_BITS | index
        at = overdue_since(core, slot_at(core.store, ref))
        if at >= oldest:
            arm_timer(core.wheel, ref, core.now_ms + (at - oldest) * window // span)


cdef int recover_calls(core_t *core) noexcept nogil:
    """Of all partitions of this shard; how many slots live."""
    cdef uint64_t oldest = core.now_ms
    cdef uint32_t partition
    cdef int live = 0
    for partition in range(PARTITIONS):
        if partition % core.shard_count == core.shard:
            live += recover_partition(core, partition, &oldest)
    for partition in range(PARTITIONS):
        if partition % core.shard_count == core.shard and oldest < core.now_ms:
            spread_overdue(core, partition, oldest)
    return live
