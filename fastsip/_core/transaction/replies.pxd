# Responses that the router makes itself.  See replies.pyx.

from libc.stdint cimport uint32_t, uint64_t
from fastsip._core.base.types cimport text_t
from fastsip._core.base.address cimport addr_t, flow_t, origin_t
from fastsip._core.sip.types cimport message_t
from fastsip._core.state.shard cimport shard_t

cdef struct reply_t:
    int status
    text_t reason           # len 0 = the usual phrase
    text_t headers          # whole lines with line ends, or len 0
    uint64_t tag_key        # of the To tag, when the request has none; 0 = add none

# A reply of this status; reason and headers may be NULL.
cdef reply_t reply_of(int status, const text_t *reason, const text_t *headers) noexcept nogil

# The Via lines from header `first_via` on; the topmost value stamped when `source` is not NULL.
cdef int write_vias(const message_t *m, int first_via, const addr_t *source, char *out) noexcept nogil

# Bytes that write_reply needs at most for this request.
cdef uint32_t reply_room(const message_t *m, const reply_t *reply) noexcept nogil

# A response to the request: Via lines from header `first_via` on, with
# received and rport filled in when `source` is not NULL.  Returns its length.
cdef int write_reply(const message_t *m, int first_via, const addr_t *source, const reply_t *reply,
                     char *out) noexcept nogil

# Answers without state: nothing is stored, the same question gets the same answer.
cdef void answer(shard_t *shard, const message_t *m, const origin_t *origin, int status, const text_t *reason,
                 const text_t *headers) noexcept nogil
# The same, with the To tag that belongs to the server transaction of this key; 0 = without.
cdef void answer_as(shard_t *shard, const message_t *m, uint64_t key, const origin_t *origin, int status,
                    const text_t *reason, const text_t *headers) noexcept nogil

# Where the answers to a request received here go, as a flow.
cdef void reply_flow(const message_t *m, const origin_t *origin, flow_t *flow) noexcept nogil
