# The response context: branches, failover, cancellation.  See context.pyx.

from libc.stdint cimport uint32_t
from fastsip._core.sip.types cimport message_t
from fastsip._core.store.slots cimport slot_t
from fastsip._core.state.shard cimport shard_t
from fastsip._core.proxy.addresses cimport failure_t

# A 2xx whose branch has no slot any more goes to the caller, and the other branches are CANCELled (16.7 item 5).
cdef void end_by_stray(shard_t *shard, uint32_t parent, const message_t *m) noexcept nogil

# A client_event of a branch (17.1); `m` is the response, or NULL.  The server transaction commits first, then the
# branch, then messages leave: docs/core.md#commit-before-send.
cdef void branch_input(shard_t *shard, uint32_t ref, int event, const message_t *m) noexcept nogil
# The caller has cancelled (16.10).
cdef void cancel_search(shard_t *shard, uint32_t parent, const message_t *m) noexcept nogil
# Ends the search with a final response of our own and CANCELs its branches; `m` is its request as sent.
cdef void refuse_search(shard_t *shard, uint32_t parent, const message_t *m, int status) noexcept nogil

# Of a search: branches that it waits for; is it cancelled or decided; may it go on to another group; the next group,
# after such a failure (OK: its request is in `into`; below zero: there is none); the end, with the best that there is;
# a CANCEL for all that is open.
cdef int count_open(shard_t *shard, uint32_t parent) noexcept nogil
cdef bint is_closing(const slot_t *server) noexcept nogil
cdef bint may_go_on(const slot_t *server) noexcept nogil
cdef int try_next(shard_t *shard, uint32_t parent, const failure_t *failure, message_t *into) noexcept nogil
cdef void decide(shard_t *shard, uint32_t parent, bint exhausted, const message_t *m) noexcept nogil
cdef void cancel_open(shard_t *shard, uint32_t parent) noexcept nogil
