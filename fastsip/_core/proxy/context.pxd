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
                      uint32_t earlier, const hop_t *hop) noexcept nogil

# Starts the branches of a group from number `first` on, each published by a commit of its own; how many.
# `m`, `source` and `earlier` as for make_branch; the server transaction lives.
cdef int start_group(shard_t *shard, uint32_t parent, const message_t *m, const addr_t *source, uint32_t earlier,
                     const group_t *group, uint32_t first, hop_t *hop) noexcept nogil

# A 2xx of a branch that has ended already: this search is over all the same (16.7 item 5).
cdef void end_by_stray(shard_t *shard, uint32_t parent, const message_t *m) noexcept nogil

# A client_event of a branch; `m` is the response, or NULL.
cdef void branch_input(shard_t *shard, uint32_t ref, int event, const message_t *m) noexcept nogil
# The caller has cancelled (16.10).
cdef void cancel_search(shard_t *shard, uint32_t parent, const message_t *m) noexcept nogil
# Ends the search with a refusal of our own; shard.stored holds its request.
cdef void refuse_search(shard_t *shard, uint32_t parent, int status) noexcept nogil
# The slot's timer has come up.
cdef void fire_timer(shard_t *shard, uint32_t ref) noexcept nogil
# After a restart: carries out what the server transaction had committed, or
# goes on where no branch is left to wait for.
cdef void resume_search(shard_t *shard, uint32_t parent) noexcept nogil
# The same for a branch, after all searches: ends it if it had ended but for its slot.
cdef void resume_branch(shard_t *shard, uint32_t ref) noexcept nogil
