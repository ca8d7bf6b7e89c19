# The owner of the mapped partitions.  See store.pyx.

from libc.stdint cimport uint32_t
from fastsip._core.slots cimport store_t

cdef class Store:
    cdef store_t *store
    cdef readonly str run_dir
    cdef readonly list notes
    cdef map_partition(self, uint32_t number, path)
    cdef void unmap(self) noexcept
