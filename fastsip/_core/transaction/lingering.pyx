"""Room in a full store: what only absorbs repeated requests gives way (docs/core.md#a-full-store).

A non-INVITE transaction that has its final response waits 64 T1 for repetitions.  Those
that do stand in a ring of their partition, oldest first, so that making room costs the
same however large the store is: shortage of slots and of blocks looks at a few of them.
After a restart those of before come first, in the order of their slots.

Must never: end what still has a branch, or reuse a block that waits to be sent.  Each slot and block that a
call needs is taken through here.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from fastsip._core.base.types cimport E_FULL, E_ROOM, MAX_MESSAGE, OK
from fastsip._core.base.check cimport check
from fastsip._core.base.scarcity cimport SCARCE_EDIT, runs_short
from fastsip._core.sip.edits cimport close_headers, write_edits
from fastsip._core.store.records cimport (
    KIND_FREE, KIND_SERVER_OTHER, SERVER_COMPLETED, SERVER_ENDED, block_t, record_t,
)
from fastsip._core.store.kinds cimport all_kinds, block_in, kind_t
from fastsip._core.store.blocks cimport BLOCK_BYTES, ORDERS, order_of
from fastsip._core.store.slots cimport (
    NO_SLOT, SLOT_BITS, add_lingering, begin_block, block_at, drop_block, end_block, first_child_of, give_block,
    give_slot, index_remove, leave_lingering, newer_lingering, oldest_lingering, record_of, share_of, slot_at,
    take_slot, word_kind, word_state,
)
from fastsip._core.store.wheel cimport disarm_timer
from fastsip._core.state.counters cimport N_SHED, N_TRANSACTIONS_ENDED
from fastsip._core.state.shard cimport count

cdef extern from *:
    int __builtin_ctz(unsigned int word) nogil

cdef const kind_t *kinds = all_kinds()

cdef enum:
    LOOK_AT_MOST = 32       # at once, whatever the shortage: a flood pays for few
    SHED_SPAN_MS = 2000     # what ends within this of the oldest counts as oldest, too


cdef inline void drop_words(shard_t *shard, uint32_t ref, uint32_t words, const record_t *was) noexcept nogil:
    """The blocks that these words of a record name (kinds); most name none, which costs no call."""
    cdef const block_t *block
    while words:
        block = block_in(was, __builtin_ctz(words))
        if block.len:
            drop_block(shard.store, &shard.pending, ref, block)
        words &= words - 1


cdef void drop_all(shard_t *shard, uint32_t ref, const record_t *was) noexcept nogil:
    """The blocks that the record named before a commit which names none of them."""
    cdef int kind = word_kind(slot_at(shard.store, ref).commit)
    check(kind != KIND_FREE)        # the life that named them goes on, or nobody knows what they were
    drop_words(shard, ref, kinds[kind].blocks, was)


cdef void free_server(shard_t *shard, uint32_t ref) noexcept nogil:
    cdef record_t record = record_of(slot_at(shard.store, ref))[0]
    # By the kind that the slot is of, which it has forgotten when it is free; and blocks are dropped only then.
    cdef uint32_t words = kinds[word_kind(slot_at(shard.store, ref).commit)].blocks
    check(first_child_of(shard.store, ref) == NO_SLOT)
    disarm_timer(shard.wheel, ref)
    index_remove(shard.store, ref)
    give_slot(shard.store, ref)
    drop_words(shard, ref, words, &record)
    count(shard, N_TRANSACTIONS_ENDED)


cdef void begin_lingering(shard_t *shard, uint32_t ref) noexcept nogil:
    if word_kind(slot_at(shard.store, ref).commit) == KIND_SERVER_OTHER:
        leave_lingering(shard.store, ref)
        add_lingering(shard.store, ref)


cdef bint is_queued(shard_t *shard, uint32_t ref, const block_t *block) noexcept nogil:
    """Does a message that waits to be sent stand in this block?"""
    cdef uint32_t i
    for i in range(shard.net.out_count):
        if block.len and shard.net.out[i].at == block_at(shard.store, ref, block.unit):
            return True
    return False


cdef void end_lingering(shard_t *shard, uint32_t ref) noexcept nogil:
    """Its block may be used at once: whoever asks for room cannot wait for the end of the batch.  Not so if a
    message that is still to be sent stands in it.
    """
    cdef block_t response = record_of(slot_at(shard.store, ref)).server.response
    cdef bint queued = is_queued(shard, ref, &response)
    disarm_timer(shard.wheel, ref)
    index_remove(shard.store, ref)
    give_slot(shard.store, ref)
    if queued:
        drop_block(shard.store, &shard.pending, ref, &response)
    else:
        give_block(shard.store, ref, &response)
    count(shard, N_SHED)
    count(shard, N_TRANSACTIONS_ENDED)


cdef uint64_t expiry_of(shard_t *shard, uint32_t ref) noexcept nogil:
    return record_of(slot_at(shard.store, ref)).server.expire_ms


cdef inline bint is_answered(int state) noexcept nogil:
    """Has it its final response, or will it get none, so that only repetitions come?"""
    return state == SERVER_COMPLETED or state == SERVER_ENDED


cdef inline bint may_give_way(shard_t *shard, uint32_t ref) noexcept nogil:
    return first_child_of(shard.store, ref) == NO_SLOT and is_answered(word_state(slot_at(shard.store, ref).commit))


cdef uint32_t next_to_shed(shard_t *shard, uint32_t partition, int *looks) noexcept nogil:
    """The oldest transaction without a branch, or NO_SLOT after LOOK_AT_MOST looks; one that has a branch goes
    behind the others.
    """
    cdef uint32_t ref = oldest_lingering(shard.store, partition)
    while ref != NO_SLOT and looks[0] < LOOK_AT_MOST:
        looks[0] += 1
        if may_give_way(shard, ref):
            return ref
        leave_lingering(shard.store, ref)
        add_lingering(shard.store, ref)
        ref = oldest_lingering(shard.store, partition)
    return NO_SLOT


cdef int shed_lingering(shard_t *shard, uint32_t partition) noexcept nogil:
    """Several at once, all that end within SHED_SPAN_MS of the oldest: the next shortage is near."""
    cdef int looks = 0
    cdef int shed = 0
    cdef uint32_t ref = next_to_shed(shard, partition, &looks)
    cdef uint64_t end = expiry_of(shard, ref) + SHED_SPAN_MS if ref != NO_SLOT else 0
    while ref != NO_SLOT and expiry_of(shard, ref) <= end:
        end_lingering(shard, ref)
        shed += 1
        ref = next_to_shed(shard, partition, &looks)
    return shed


cdef int shed_lingering_of(shard_t *shard, uint32_t partition, uint8_t share) noexcept nogil:
    """Of one share only: a caller who holds too much takes no room from others, who keep their places."""
    cdef uint32_t ref = oldest_lingering(shard.store, partition)
    cdef uint32_t newer
    cdef uint64_t end = 0
    cdef int shed = 0
    cdef int _
    for _ in range(<int>LOOK_AT_MOST):
        if ref == NO_SLOT or (shed and expiry_of(shard, ref) > end):
            break
        newer = newer_lingering(shard.store, ref)
        if share_of(shard.store, ref) == share and may_give_way(shard, ref):
            if shed == 0:
                end = expiry_of(shard, ref) + SHED_SPAN_MS
            end_lingering(shard, ref)
            shed += 1
        ref = newer
    return shed


cdef char *take_block(shard_t *shard, uint32_t ref, uint32_t len, block_t *block) noexcept nogil:
    """Sheds one transaction after the other until a block of this size is free, or none may be looked at any more."""
    cdef char *at = begin_block(shard.store, ref, len, block)
    cdef int looks = 0
    cdef uint32_t other
    while at == NULL and order_of(len) < ORDERS:
        other = next_to_shed(shard, ref >> SLOT_BITS, &looks)
        if other == NO_SLOT:
            break
        end_lingering(shard, other)
        at = begin_block(shard.store, ref, len, block)
    return at


cdef uint32_t take_slot_of_call(shard_t *shard, uint32_t of) noexcept nogil:
    """A slot for another branch of a call that has one: from the reserve, too."""
    cdef uint32_t partition = of >> SLOT_BITS
    cdef uint8_t share = share_of(shard.store, of)
    cdef uint32_t ref = take_slot(shard.store, partition, share, True)
    if ref == NO_SLOT and shed_lingering(shard, partition):
        ref = take_slot(shard.store, partition, share, True)
    return ref


cdef int write_block(shard_t *shard, uint32_t ref, const message_t *m, const text_t *trailer,
                     block_t *block) noexcept nogil:
    """OK; E_ROOM beyond the largest message, E_FULL without a free block.  `trailer` may be NULL."""
    cdef uint32_t more = trailer.len if trailer != NULL else 0
    cdef uint32_t len
    cdef char *at
    close_headers(&shard.edits, m)
    len = m.len + shard.edits.growth
    if shard.edits.overflow or len > MAX_MESSAGE or len + more > BLOCK_BYTES or runs_short(SCARCE_EDIT):
        return E_ROOM
    at = take_block(shard, ref, len + more, block)
    if at == NULL:
        return E_FULL
    write_edits(&shard.edits, m.buf, m.len, at, len)
    if more:
        memcpy(at + len, trailer.at, more)
    end_block()
    return OK
