# The server transaction's side of a response context.  See server.pyx.

from libc.stdint cimport uint32_t
from fastsip._core.base.types cimport text_t
from fastsip._core.base.address cimport addr_t
from fastsip._core.sip.types cimport message_t
from fastsip._core.store.records cimport record_t
from fastsip._core.store.slots cimport slot_t
from fastsip._core.state.shard cimport core_t
from fastsip._core.transaction.replies cimport reply_t

# A 101-199 to the caller of an INVITE.
cdef void pass_provisional(core_t *core, uint32_t ref, const message_t *m) noexcept nogil
# A 2xx to INVITE: sent each time it comes (RFC 6026); the first one decides.
cdef void pass_success(core_t *core, uint32_t ref, const message_t *m) noexcept nogil
# The final response to another method.
cdef void pass_final(core_t *core, uint32_t ref, const message_t *m) noexcept nogil

# Keeps a final response of a branch if it is better than the one kept (16.7 item 6), or its challenges if both
# are challenges (item 7), and sets a server_flag (0 = none) by the same commit.
cdef void keep_best(core_t *core, uint32_t ref, const message_t *m, int flag) noexcept nogil
# Sends the kept response as the final one; `m` is the response that came last, or NULL.
cdef void send_best(core_t *core, uint32_t ref, const message_t *m) noexcept nogil
# Sends a final response of our own, made from the request that `core.stored` holds.
cdef void send_own(core_t *core, uint32_t ref, int status, const text_t *reason) noexcept nogil
# The same from any request: `source` is where it came from, when it is one as received; NULL = one as sent.
cdef void send_reply(core_t *core, uint32_t ref, const message_t *request, const addr_t *source,
                     reply_t *reply) noexcept nogil
# A 100 of our own to a non-INVITE, from such a request, or from none: then the state alone moves on.
cdef void send_trying(core_t *core, uint32_t ref, const message_t *request, const addr_t *source) noexcept nogil
# In the record with which a server transaction begins: when that is due.
cdef void set_trying_clock(core_t *core, const slot_t *slot, record_t *record) noexcept nogil
# A branch whose request can still be read, in core.stored; its reference, or NO_SLOT.
cdef uint32_t read_any_request(core_t *core, uint32_t parent) noexcept nogil
# Ends without an answer (RFC 4320).
cdef void end_silently(core_t *core, uint32_t ref) noexcept nogil

# The request again, or an ACK; 1 = the ACK belongs to a 2xx and must be forwarded.
cdef int server_input(core_t *core, uint32_t ref, int event, const message_t *m, const addr_t *source) noexcept nogil
cdef void fire_server_timer(core_t *core, uint32_t ref) noexcept nogil

# Frees the server transaction if it has ended and no branch is left.
cdef void end_server(core_t *core, uint32_t ref) noexcept nogil
cdef void set_server_flag(core_t *core, uint32_t ref, int flag) noexcept nogil

# Removes our Via, the topmost.
cdef void edit_response(core_t *core, const message_t *m) noexcept nogil

# Is it answered by a failure that stands in no block?  It is made anew from a branch's request, which stays then.
cdef bint is_unkept(core_t *core, uint32_t ref) noexcept nogil
# Queues the stored response, which the slot owes.
cdef void send_response(core_t *core, uint32_t ref) noexcept nogil

# After a restart: would nobody hear of it any more if this search went on?
cdef bint is_stale(core_t *core, uint32_t parent) noexcept nogil
