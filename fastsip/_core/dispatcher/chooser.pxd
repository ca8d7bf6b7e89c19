# Owner of one shard's positions, and the Python door to the kernels of choose.  See chooser.pyx.

cimport cython
from libc.stdint cimport uint32_t, uint64_t
from fastsip._core.routing.table cimport RoutingTable
from fastsip._core.dispatcher.ranking cimport ranked_t
from fastsip._core.dispatcher.cells cimport Cells
from fastsip._core.dispatcher.positions cimport positions_t

# `positions` points into memory of the object, and at nothing of the table.
@cython.final
cdef class Positions:
    cdef positions_t positions
    cdef readonly RoutingTable table   # the one they count in
    cdef uint32_t *next
    cdef uint64_t *turn
    cdef ranked_t *blocks
    cdef size_t block_count

@cython.final
cdef class Chooser:
    cdef readonly RoutingTable table
    cdef readonly Cells cells
    cdef readonly Positions positions

    cdef uint32_t check_set(self, set_index) except? 0xFFFFFFFF
    cdef uint32_t check_destination(self, index) except? 0xFFFFFFFF
