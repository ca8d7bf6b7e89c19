# The response context: branches, failover, cancellation.  See context.pyx.

from libc.stdint cimport uint32_t
from fastsip._core.base.address cimport addr_t
from fastsip._core.sip.types cimport message_t
from fastsip._core.state.shard cimport shard_t
from fastsip._core.proxy.hop cimport hop_t
from fastsip._core.proxy.targets cimport group_t

# Starts a branch and publishes it by committing its server transaction in this
# state (the first branch brings that to life); OK or a code below zero.
cdef int start_branch(shard_t *shard, uint32_t parent, int kind, int state, const message_t *m, const addr_t *source,
                      uint32_t origin, const hop_t *hop) noexcept nogil

# Starts the branches of a group from number `first` on, each published by a commit of its own; how many.
# `m`, `source` and `origin` as for make_branch; the server transaction lives.
cdef int start_group(shard_t *shard, uint32_t parent, const message_t *m, const addr_t *source, uint32_t origin,
                     const group_t *group, uint32_t first, hop_t *hop) noexcept nogil

# A 2xx whose branch has no slot any more goes to the caller, and the other branches are CANCELled (16.7 item 5).
cdef void end_by_stray(shard_t *shard, uint32_t parent, const message_t *m) noexcept nogil

# A client_event of a branch (17.1); `m` is the response, or NULL.  The server transaction commits first, then the
# branch, then messages leave: docs/core.md#commit-before-send.
cdef void branch_input(shard_t *shard, uint32_t ref, int event, const message_t *m) noexcept nogil
# The caller has cancelled (16.10).
cdef void cancel_search(shard_t *shard, uint32_t parent, const message_t *m) noexcept nogil
# Ends the search with a final response of our own and CANCELs its branches; shard.stored holds its request.
cdef void refuse_search(shard_t *shard, uint32_t parent, int status) noexcept nogil
# The slot's timer has come up: Timer A or E (RETRANSMIT), B, C, D, F, M or a clock of the policy (EXPIRE) of a branch;
# of a server transaction what fire_server_timer says, or the end of a wait for a name.
cdef void fire_timer(shard_t *shard, uint32_t ref) noexcept nogil
# After a restart: carries out what the server transaction had committed, or
# goes on where no branch is left to wait for.
cdef void resume_search(shard_t *shard, uint32_t parent) noexcept nogil
# The same for a branch, after all searches: ends it if it had ended but for its slot.
cdef void resume_branch(shard_t *shard, uint32_t ref) noexcept nogil
