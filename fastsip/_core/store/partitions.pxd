# The owner of the mapped partitions.  See partitions.pyx.

from libc.stdint cimport uint32_t, uint64_t
from fastsip._core.store.slots cimport store_t
from fastsip._core.store.resize cimport room_t

cdef class Store:
    cdef store_t *store
    cdef readonly str run_dir
    cdef readonly list notes
    cdef object folder
    cdef object used_epochs
    cdef object key
    cdef tuple sizes_of(self, uint32_t number)
    cdef str resize_partition(self, uint32_t number, const room_t *room)
    cdef void sweep_over(self, uint32_t number, uint64_t now_ms) noexcept
    cdef int map_partition(self, uint32_t number) except -2
    cdef void unmap_partition(self, uint32_t number) noexcept
    cdef void unmap(self) noexcept
