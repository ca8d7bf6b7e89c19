# The store as it should be: a recount of all that is derived.  See audit.pyx.

from libc.stdint cimport uint32_t
from fastsip._core.state.shard cimport shard_t

# Dicts of the partition's slots in use.
cdef list list_partition(shard_t *shard, uint32_t partition)
# Complaints, as texts.
cdef list audit_partition(shard_t *shard, uint32_t partition)
