# A next hop that is a name is a list: the addresses after the first.  See addresses.pyx.

from libc.stdint cimport uint32_t
from fastsip._core.state.shard cimport shard_t
from fastsip._core.proxy.hop cimport hop_t

# Begins the hop of another branch: shard.stored becomes the request as it was before its way out.  The branch
# it is read back from, or NO_SLOT.
cdef uint32_t begin_hop(shard_t *shard, uint32_t parent, hop_t *hop) noexcept nogil

# Aims a hop that begin_hop has begun at the next address of the name that `failed` had one of.  E_NONE: there is
# none left, or this failure (a failure_reason, or 0 for the final response `status`) is none of an address.
cdef int aim_at_next_address(shard_t *shard, uint32_t parent, uint32_t failed, int reason, int status,
                             hop_t *hop) noexcept nogil

# Before the failure is committed: could it?
cdef bint has_next_address(shard_t *shard, uint32_t parent, uint32_t failed, int reason, int status) noexcept nogil
