# A branch: the request that it sends, its CANCEL and its ACK.  See client.pyx.

from libc.stdint cimport uint32_t
from fastsip._core.base.types cimport text_t
from fastsip._core.base.check cimport check
from fastsip._core.sip.types cimport message_t
from fastsip._core.store.records cimport CLIENT_HAS_ACK
from fastsip._core.store.slots cimport record_of, slot_t
from fastsip._core.state.shard cimport shard_t

# Makes the CANCEL of the branch's request and queues it (9.1).
cdef void send_cancel(shard_t *shard, uint32_t ref) noexcept nogil
# What the CANCELs of this search say why (RFC 3326); len 0 = nothing.
cdef text_t cancel_reason(shard_t *shard, uint32_t parent) noexcept nogil
# Makes the ACK of a final response other than 2xx and queues it (17.1.1.3).
cdef void send_ack(shard_t *shard, uint32_t ref, const message_t *response) noexcept nogil
# Once no branch can follow this one: the ACK replaces the request block.
cdef void keep_ack(shard_t *shard, uint32_t ref, const message_t *response) noexcept nogil

# Does the branch's block still hold its request, and not the ACK in its place?
cdef inline bint has_request(const slot_t *branch) noexcept nogil:
    return record_of(branch).client.request.len > 0 and not record_of(branch).client.flags & CLIENT_HAS_ACK

# Reads the branch's request back from there, as sent; its length, or a code.  The message lies in the block.
cdef int read_request(shard_t *shard, uint32_t ref, message_t *into) noexcept nogil

# Queues the branch's request block (the ACK, when it holds that).  False: its listener is gone since the
# branch began, so that nothing of it goes out any more.
cdef bint send_request(shard_t *shard, uint32_t ref) noexcept nogil

cdef void end_branch(shard_t *shard, uint32_t ref) noexcept nogil

cdef inline uint32_t sent_len(const slot_t *slot) noexcept nogil:
    """Of the message in a request block, which stands before what the branch took off (client_identity_t)."""
    check(record_of(slot).client.request.len > <uint32_t>slot.identity.client.ruri_len + slot.identity.client.taken_len)
    return (record_of(slot).client.request.len - slot.identity.client.ruri_len
            - slot.identity.client.taken_len)
