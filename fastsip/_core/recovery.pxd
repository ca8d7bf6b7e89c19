# Taking up the calls that the store holds.  See recovery.pyx.

from libc.stdint cimport uint32_t
from fastsip._core.core cimport core_t

# Owed sends first, then timers; returns how many slots live in the partition.
cdef int recover_partition(core_t *core, uint32_t partition) noexcept nogil
