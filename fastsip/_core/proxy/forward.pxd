# Branches: client transactions and the bytes that they send.  See forward.pyx.

from libc.stdint cimport int64_t, uint32_t
from fastsip._core.base.address cimport addr_t
from fastsip._core.sip.types cimport message_t
from fastsip._core.state.shard cimport shard_t
from fastsip._core.proxy.hop cimport hop_t

# shard.stored, which read_request has filled from this branch, becomes the request as it was before this branch
# changed its Request-URI and its way out its headers: what another branch begins with.  OK or a code.
cdef int undo_way_out(shard_t *shard, uint32_t ref) noexcept nogil

# Makes branch `attempt` of the response context `parent` from a request: as
# received (source != NULL) or read back from another branch (source == NULL,
# `earlier` is that branch).  Commits the branch, unpublished; its reference (32 bits), or a code below zero.
cdef int64_t make_branch(shard_t *shard, uint32_t parent, uint32_t attempt, const message_t *m, const addr_t *source,
                         uint32_t earlier, const hop_t *hop) noexcept nogil

# Sends a request on without state, with the edits of 16.6 items 2-8 and of its way out; E_ROOM when these cannot be
# made: it stays here then.
cdef int forward_stateless(shard_t *shard, const message_t *m, const addr_t *source, const hop_t *hop) noexcept nogil
