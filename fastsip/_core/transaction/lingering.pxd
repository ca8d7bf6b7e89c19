# Room in a full store: transactions that only absorb repetitions give way.  See lingering.pyx.

from libc.stdint cimport uint8_t, uint32_t
from fastsip._core.base.types cimport text_t
from fastsip._core.sip.types cimport message_t
from fastsip._core.store.records cimport block_t, record_t
from fastsip._core.state.shard cimport shard_t

# A block of the slot's partition, as begin_block: if there is none, what only lingers makes room.
cdef char *take_block(shard_t *shard, uint32_t ref, uint32_t len, block_t *block) noexcept nogil
# A slot for what belongs to the call of another one, in the same way; NO_SLOT = there is none.
cdef uint32_t take_slot_of_call(shard_t *shard, uint32_t of) noexcept nogil

# Ends the oldest transactions of the partition that only absorb repeated non-INVITE
# requests, to make room for new calls; how many.
cdef int shed_lingering(shard_t *shard, uint32_t partition) noexcept nogil
# The same among those of one share of calls, for one that holds too much.
cdef int shed_lingering_of(shard_t *shard, uint32_t partition, uint8_t share) noexcept nogil
# A server transaction with a final response that only waits for its end from now on.
cdef void begin_lingering(shard_t *shard, uint32_t ref) noexcept nogil

# Frees the slot of a server transaction, and its blocks after the batch.
cdef void free_server(shard_t *shard, uint32_t ref) noexcept nogil
cdef void drop_all(shard_t *shard, uint32_t ref, const record_t *was) noexcept nogil

# Writes the edited message (and `trailer` behind it) into a new block of the slot.
cdef int write_block(shard_t *shard, uint32_t ref, const message_t *m, const text_t *trailer,
                     block_t *block) noexcept nogil
