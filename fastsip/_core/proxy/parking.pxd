# Requests that wait for the address of their next hop.  See parking.pyx.

from libc.stdint cimport uint32_t
from fastsip._core.base.types cimport text_t
from fastsip._core.base.address cimport addr_t, origin_t
from fastsip._core.sip.types cimport message_t
from fastsip._core.store.records cimport SERVER_CANCELLED, block_t, record_t
from fastsip._core.state.memory cimport parked_t, waiting_t
from fastsip._core.state.shard cimport shard_t
from fastsip._core.proxy.request cimport request_t

# What stands before the request in the block of a search that waits.
cdef struct parked_head_t:
    addr_t source           # where it came from: its Via need not say
    uint32_t listener_id
    uint32_t reserve        # 0: it waits for a name

# Does the search (of this server record) wait for where to go first?
cdef inline bint is_parked(const record_t *record) noexcept nogil:
    return record.server.kept.len > 0 and not record.server.flags & SERVER_CANCELLED

# Lets a search wait for request.hop.name: commits the server transaction with the request as it
# was received, or leaves it as it is when it waits already.  OK or E_FULL.
cdef int park_search(shard_t *shard, uint32_t ref, request_t *request) noexcept nogil
# In the record with which its first branch is committed; returns the block that is named no more.
cdef block_t leave_parking(record_t *record) noexcept nogil

# The waiting request, parsed from its block, and where it came from; OK or a code below zero.
cdef int read_parked(shard_t *shard, uint32_t ref, message_t *into, origin_t *origin) noexcept nogil
# Ends the wait with a final response.
cdef void answer_parked(shard_t *shard, uint32_t ref, int status) noexcept nogil
# After the request was routed again: ends what has come to nothing; `waits` as in request_t.
cdef void settle_parked(shard_t *shard, uint32_t ref, bint waits) noexcept nogil
# Its timer has come up.  The place in the list of who waits of one that has to ask again, by being routed again;
# else E_NONE.
cdef int expire_parked(shard_t *shard, uint32_t ref) noexcept nogil
# Who stands at this place of the list leaves it: it is routed again, or waits no more.
cdef parked_t take_parked(waiting_t *waiting, uint32_t place) noexcept nogil
# After a restart: from now on it has the whole time again.
cdef void renew_parked(shard_t *shard, uint32_t ref) noexcept nogil

# Lets a request without transaction wait, or drops it (counted).
cdef void hold_request(shard_t *shard, const request_t *request) noexcept nogil
