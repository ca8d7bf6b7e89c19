# Files of lines, one for each destination, that all shards and the control plane share.  See lines.pyx.

cimport cython
from libc.stdint cimport uint32_t, uint64_t

@cython.final
cdef class Lines:
    cdef char *first            # of `count` lines
    cdef readonly uint32_t count
    cdef readonly str path      # "" = anonymous
    cdef readonly list notes
    cdef uint32_t line_bytes
    cdef uint64_t magic
    cdef str what
    cdef void *mapping
    cdef size_t mapping_bytes

    cdef int attach(self, int fd) except -1
