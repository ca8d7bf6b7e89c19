"""What a shard remembers of calls beyond their transactions, for 64 T1 at most.

Two things follow a transaction and shall find the same server: a request with
credentials the one that asked for them (docs/wire.md#same-server-as-before), the ACK of a 2xx the
one that gave it (docs/wire.md#the-ack-follows-its-2xx).  Kept in private memory, one place for each hash:
a newer call takes the place of an older one.  What is forgotten so, or by a
restart, is routed by the rules or by health, as it would be without this.  A restart
recalls the challenges whose transactions still linger (recovery).
"""

from libc.stdint cimport uint32_t, uint64_t

from fastsip._core.base.check cimport check
from fastsip._core.base.hashing cimport hash_add, hash_add_number, hash_begin, hash_end, siphash_t
from fastsip._core.sip.types cimport message_t
from fastsip._core.state.memory cimport RECALL_PLACES, recalled_t

cdef enum purpose:
    CHALLENGED = 1
    ANSWERED = 2
    OF_NAME = 3


cdef uint64_t key_of(const shard_t *shard, int purpose, const message_t *m) noexcept nogil:
    """Of a call and its caller; of an answer also the number in CSeq."""
    cdef siphash_t h
    check(CHALLENGED <= purpose <= OF_NAME)
    hash_begin(&h, shard.store.hash_key)
    hash_add_number(&h, <uint64_t>purpose << 32 | (m.cseq if purpose == ANSWERED else 0))
    hash_add_number(&h, <uint64_t>m.call_id.len << 32 | m.from_tag.len)
    hash_add(&h, m.buf + m.call_id.off, m.call_id.len)
    hash_add(&h, m.buf + m.from_tag.off, m.from_tag.len)
    return hash_end(&h)


cdef void remember(shard_t *shard, int purpose, const message_t *m, uint32_t destination_id) noexcept nogil:
    cdef uint64_t key = key_of(shard, purpose, m)
    cdef recalled_t *place = &shard.recalled[key % RECALL_PLACES]
    check(m.call_id.len > 0)
    place.key = key
    place.destination_id = destination_id
    place.expires_ms = shard.now_ms + 64 * <uint64_t>shard.table.clocks.t1_ms


cdef uint32_t recall(const shard_t *shard, int purpose, const message_t *m) noexcept nogil:
    cdef uint64_t key = key_of(shard, purpose, m)
    cdef const recalled_t *place = &shard.recalled[key % RECALL_PLACES]
    check(m.call_id.len > 0)
    return place.destination_id if place.key == key and shard.now_ms < place.expires_ms else 0


cdef void remember_challenge(shard_t *shard, const message_t *m, uint32_t destination_id) noexcept nogil:
    remember(shard, CHALLENGED, m, destination_id)


cdef uint32_t recall_challenge(const shard_t *shard, const message_t *m) noexcept nogil:
    return recall(shard, CHALLENGED, m)


cdef void remember_answer(shard_t *shard, const message_t *m, uint32_t destination_id) noexcept nogil:
    remember(shard, ANSWERED, m, destination_id)


cdef void remember_target(shard_t *shard, const message_t *m, uint32_t place) noexcept nogil:
    remember(shard, OF_NAME, m, place)


cdef uint32_t recall_target(const shard_t *shard, const message_t *m) noexcept nogil:
    return recall(shard, OF_NAME, m)


cdef uint32_t recall_answer(const shard_t *shard, const message_t *m) noexcept nogil:
    return recall(shard, ANSWERED, m)
