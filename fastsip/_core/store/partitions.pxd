# The owner of the mapped partitions.  See partitions.pyx.

from libc.stdint cimport uint32_t
from fastsip._core.store.slots cimport store_t

cdef class Store:
    cdef store_t *store
    cdef readonly str run_dir
    cdef readonly list notes
    cdef object folder
    cdef int map_partition(self, uint32_t number) except -2
    cdef void unmap_partition(self, uint32_t number) noexcept
    cdef void unmap(self) noexcept
