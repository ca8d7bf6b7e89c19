# The CANCEL and the ACK of a branch.  See client.pyx.

from libc.stdint cimport uint32_t
from fastsip._core.base.types cimport text_t
from fastsip._core.sip.types cimport message_t
from fastsip._core.state.shard cimport core_t

# Makes the CANCEL of the branch's request and queues it (9.1).
cdef void send_cancel(core_t *core, uint32_t ref) noexcept nogil
# What the CANCELs of this search say why (RFC 3326); len 0 = nothing.
cdef text_t cancel_reason(core_t *core, uint32_t parent) noexcept nogil
# Makes the ACK of a final response other than 2xx and queues it (17.1.1.3).
cdef void send_ack(core_t *core, uint32_t ref, const message_t *response) noexcept nogil
# Once no branch can follow this one: the ACK replaces the request block.
cdef void keep_ack(core_t *core, uint32_t ref, const message_t *response) noexcept nogil
