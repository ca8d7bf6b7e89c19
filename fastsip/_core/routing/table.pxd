# The immutable routing table and its builder.  See table.pyx.

cimport cython
from libc.stdint cimport uint32_t
from fastsip._core.base.arena cimport Arena
from fastsip._core.routing.types cimport table_t

# Owned by Python; kernels get `table` and must not outlive the object.  Before
# seal() the table is empty, after it nothing in it changes.
@cython.final
cdef class RoutingTable:
    cdef table_t *table
    cdef Arena arena
    cdef readonly bint sealed
    cdef list listeners
    cdef list sets
    cdef list destinations      # of each set: a list
    cdef list policies
    cdef list rules
    cdef list own
    cdef list trusted
    cdef bytes branch_key
    cdef bytes other_branch_key
    cdef bytes loop_key
    cdef tuple token_keys
    cdef uint32_t node
    cdef tuple clocks
    cdef object target_ms
    cdef object max_message
    cdef object max_head
    cdef object names_quota
    cdef readonly object version

    cdef table_t *sealed_table(self) except NULL
    cdef table_t *_lay_out(self) except NULL
