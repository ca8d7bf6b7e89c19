# What a shard remembers of calls beyond their transactions.  See recall.pyx.

from libc.stdint cimport uint32_t
from fastsip._core.sip.types cimport message_t
from fastsip._core.state.shard cimport shard_t

# Who asked for credentials (401, 407): `m` is that response.
cdef void remember_challenge(shard_t *shard, const message_t *m, uint32_t destination_id) noexcept nogil
# The id of who asked the sender of this request, or 0.
cdef uint32_t recall_challenge(const shard_t *shard, const message_t *m) noexcept nogil

# Who answered an INVITE within a dialog with a 2xx: `m` is that response.
cdef void remember_answer(shard_t *shard, const message_t *m, uint32_t destination_id) noexcept nogil
# Which target of a name answered an INVITE with a 2xx: `m` is that response.
cdef void remember_target(shard_t *shard, const message_t *m, uint32_t place) noexcept nogil
# Its place_mark, for a request of that dialog by the same side, or 0.
cdef uint32_t recall_target(const shard_t *shard, const message_t *m) noexcept nogil

# The id of who gave the answer that this ACK belongs to, or 0.
cdef uint32_t recall_answer(const shard_t *shard, const message_t *m) noexcept nogil
