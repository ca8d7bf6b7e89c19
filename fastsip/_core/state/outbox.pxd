# What leaves with this batch.  See outbox.pyx.

from libc.stdint cimport uint32_t
from fastsip._core.base.address cimport flow_t
from fastsip._core.sip.types cimport message_t
from fastsip._core.state.shard cimport shard_t

cdef bint needs_flush(const shard_t *shard) noexcept nogil
cdef char *take_scratch(shard_t *shard, uint32_t len) noexcept nogil

# Queues bytes that stay valid until the flush.  `owes` is cleared in the
# owner's slot when they were sent; owner NO_SLOT = nobody owes them.  False (and counted as lost): the
# listener is gone, or nothing here sends by this transport; a full outbox is loss on the wire, which somebody repairs.
cdef bint queue_message(shard_t *shard, const char *at, uint32_t len, const flow_t *flow,
                        uint32_t owner, int owes) noexcept nogil

# Writes the edited message into scratch and queues it there.
cdef int send_edited(shard_t *shard, const message_t *m, const flow_t *flow, uint32_t owner, int owes) noexcept nogil
