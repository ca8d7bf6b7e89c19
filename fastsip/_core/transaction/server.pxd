# The server transaction's side of a response context.  See server.pyx.

from libc.stdint cimport uint32_t
from fastsip._core.base.types cimport text_t
from fastsip._core.base.address cimport addr_t, origin_t
from fastsip._core.sip.types cimport message_t
from fastsip._core.store.records cimport record_t
from fastsip._core.store.slots cimport slot_t
from fastsip._core.state.shard cimport shard_t
from fastsip._core.transaction.replies cimport reply_t

# A 101-199 to the caller of an INVITE.
cdef void pass_provisional(shard_t *shard, uint32_t ref, const message_t *m) noexcept nogil
# A 2xx to INVITE: sent each time it comes (RFC 6026); the first one decides.
cdef void pass_success(shard_t *shard, uint32_t ref, const message_t *m) noexcept nogil
# The final response to another method.
cdef void pass_final(shard_t *shard, uint32_t ref, const message_t *m) noexcept nogil

# Keeps a final response of a branch if it is better than the one kept (16.7 item 6), or its challenges if both
# are challenges (item 7), and sets a server_flag (0 = none) by the same commit.
cdef void keep_best(shard_t *shard, uint32_t ref, const message_t *m, int flag) noexcept nogil
# Sends the kept response as the final one; `m` is the response that came last, or NULL.
cdef void send_best(shard_t *shard, uint32_t ref, const message_t *m) noexcept nogil
# Sends a final response of our own, made from a request of its branches, as sent.
cdef void send_own(shard_t *shard, uint32_t ref, const message_t *request, int status,
                   const text_t *reason) noexcept nogil
# The same from any request: `source` is where it came from, when it is one as received; NULL = one as sent.
cdef void send_reply(shard_t *shard, uint32_t ref, const message_t *request, const addr_t *source,
                     reply_t *reply) noexcept nogil
# A 100 of our own to a non-INVITE, from such a request, or from none: then the state alone moves on.
cdef void send_trying(shard_t *shard, uint32_t ref, const message_t *request, const addr_t *source) noexcept nogil
# In the record with which a server transaction begins: when that is due.
cdef void set_trying_clock(shard_t *shard, const slot_t *slot, record_t *record) noexcept nogil
# Reads the request of a branch that still has one, as sent; its reference, or NO_SLOT.
cdef uint32_t read_any_request(shard_t *shard, uint32_t parent, message_t *into) noexcept nogil
# Ends without an answer (RFC 4320).
cdef void end_silently(shard_t *shard, uint32_t ref) noexcept nogil

# The request again, or an ACK; 1 = the ACK belongs to a 2xx and must be forwarded.
cdef int server_input(shard_t *shard, uint32_t ref, int event, const message_t *m,
                      const origin_t *origin) noexcept nogil
cdef void fire_server_timer(shard_t *shard, uint32_t ref) noexcept nogil

# Frees the server transaction if it has ended, no branch is left and no clock runs.
cdef void end_server(shard_t *shard, uint32_t ref) noexcept nogil
cdef void set_server_flag(shard_t *shard, uint32_t ref, int flag) noexcept nogil

# Removes our Via, the topmost.
cdef void edit_response(shard_t *shard, const message_t *m) noexcept nogil

# Is it answered by a failure that stands in no block?  It is made anew from a branch's request, which stays then.
cdef bint is_unkept(shard_t *shard, uint32_t ref) noexcept nogil
# Queues the stored response, which the slot owes.
cdef void send_response(shard_t *shard, uint32_t ref) noexcept nogil

# After a restart: may nobody want this search to go on any more?
cdef bint is_stale(shard_t *shard, uint32_t parent) noexcept nogil
