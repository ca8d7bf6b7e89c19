# Taking up the calls that the store holds.  See recovery.pyx.

from fastsip._core.state.shard cimport shard_t

# Owed sends first, then timers; returns how many slots live in the shard's partitions.
cdef int recover_calls(shard_t *shard) noexcept nogil
