# Branches: client transactions and the bytes that they send.  See forward.pyx.

from libc.stdint cimport int64_t, uint32_t
from fastsip._core.sip.types cimport message_t
from fastsip._core.state.shard cimport shard_t
from fastsip._core.proxy.request cimport group_t, request_t

# `m`, which read_request has filled from this branch, becomes the request as it was before this branch changed its
# Request-URI and its way out its headers: what another branch begins with.  OK or a code.
cdef int undo_way_out(shard_t *shard, uint32_t ref, message_t *m) noexcept nogil

# Starts a branch and publishes it by committing its server transaction (the first branch brings that to life);
# OK or a code below zero.
cdef int start_branch(shard_t *shard, uint32_t parent, const request_t *request) noexcept nogil

# Starts the branches of a group from number `first` on, each published by a commit of its own; how many.
# The server transaction lives.
cdef int start_group(shard_t *shard, uint32_t parent, request_t *request, const group_t *group,
                     uint32_t first) noexcept nogil

# Do the calls of this search's share hold so much that it gets nothing beyond its first group?  Then that is counted.
cdef bint takes_too_much(shard_t *shard, uint32_t parent) noexcept nogil

# Sends a request on without state, with the edits of 16.6 items 2-8 and of its way out; E_ROOM when these cannot be
# made: it stays here then.
cdef int forward_stateless(shard_t *shard, const request_t *request) noexcept nogil
