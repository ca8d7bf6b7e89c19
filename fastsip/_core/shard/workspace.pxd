# The memory of one shard's shard_t.  See workspace.pyx.

cimport cython
from libc.stdint cimport uint32_t, uint64_t
from fastsip._core.base.ring cimport Ring, Sleeper
from fastsip._core.store.partitions cimport Store
from fastsip._core.store.wheel cimport timer_node_t, wheel_t
from fastsip._core.store.marks cimport Quarantine, mark_t
from fastsip._core.routing.table cimport RoutingTable
from fastsip._core.dispatcher.cells cimport Cells
from fastsip._core.dispatcher.measures cimport Measures
from fastsip._core.dispatcher.chooser cimport Positions
from fastsip._core.transport.names cimport Names
from fastsip._core.transport.udp cimport net_t
from fastsip._core.state.shard cimport shard_t

@cython.final
cdef class Workspace:
    cdef shard_t *shard
    cdef wheel_t *wheel
    cdef timer_node_t **nodes
    cdef readonly Store store
    cdef readonly Cells cells
    cdef readonly Measures measures
    cdef RoutingTable table            # of shard_t, until a Shard takes them over
    cdef Positions positions
    cdef readonly Ring events
    cdef readonly Sleeper control
    cdef readonly Names names

    cdef uint64_t *own_counters
    cdef object counter_owner
    cdef mark_t own_mark        # when nobody outside wants to know
    cdef object mark_owner
    cdef Quarantine quarantine

    cdef void measure_into(self, Measures measures, uint32_t number) noexcept
    cdef void count_into(self, uint64_t *where, object owner) noexcept
    cdef void mark_into(self, mark_t *page, object owner, Quarantine quarantine) noexcept
    cdef int attach(self, net_t *net) except -1
