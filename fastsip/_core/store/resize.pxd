# A partition file of another size.  See resize.pyx.

from libc.stdint cimport uint32_t, uint64_t
from fastsip._core.store.slots cimport partition_t

cdef struct room_t:
    uint32_t slots
    uint32_t units
    uint64_t blocks_at      # where in the file
    uint64_t bytes

# Does all that lives there fit, at the same places of the array of slots?
cdef bint fits(const partition_t *p, const room_t *room) noexcept nogil
# The file at `path`, which is mapped as `p`, becomes one of that room; OSError: it is as it was.
cdef int replace_partition(const partition_t *p, path, const room_t *room) except -1
