# Files that are mapped, and left out of core dumps.  See mapped.pyx.

from libc.stdint cimport uint64_t

# All of an open file, shared and writable, or, with fd < 0, memory that forks share; NULL when that fails.
cdef char *map_file(int fd, uint64_t bytes_count) noexcept nogil
