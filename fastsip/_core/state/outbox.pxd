# What leaves with this batch.  See outbox.pyx.

from libc.stdint cimport uint32_t
from fastsip._core.base.address cimport flow_t
from fastsip._core.sip.types cimport message_t
from fastsip._core.state.shard cimport core_t

cdef bint needs_flush(const core_t *core) noexcept nogil
cdef char *take_scratch(core_t *core, uint32_t len) noexcept nogil

# Queues bytes that stay valid until the flush.  `owes` is cleared in the
# owner's slot when they were sent; owner NO_SLOT = nobody owes them.  False (and counted as lost): the
# listener is gone; a full outbox is loss on the wire, which somebody repairs.
cdef bint queue_message(core_t *core, const char *at, uint32_t len, const flow_t *flow,
                        uint32_t owner, int owes) noexcept nogil

# Writes the edited message into scratch and queues it there.
cdef int send_edited(core_t *core, const message_t *m, const flow_t *flow, uint32_t owner, int owes) noexcept nogil
