# The mapping in which all shards and the control plane keep what they know of
# each destination.  See cells.pyx.

cimport cython
from libc.stdint cimport uint32_t
from fastsip._core.dispatcher.choose cimport cell_t

@cython.final
cdef class Cells:
    cdef cell_t *cells          # [count]
    cdef readonly uint32_t count
    cdef readonly str path      # "" = anonymous
    cdef readonly list notes
    cdef void *mapping
    cdef size_t mapping_bytes
    cdef dict lines             # destination id -> index
    cdef uint32_t search_from   # no free line before this one

    cdef int attach(self, int fd) except -1
    cdef cell_t *line(self, index) except NULL
