# One shard's kernels without sockets and on a virtual clock.  See rig.pyx.

cimport cython
from libc.stdint cimport uint32_t, uint64_t
from fastsip._core.base.ring cimport Ring
from fastsip._core.store.partitions cimport Store
from fastsip._core.routing.table cimport RoutingTable
from fastsip._core.dispatcher.cells cimport Cells
from fastsip._core.dispatcher.measures cimport Measures
from fastsip._core.transport.names cimport Names
from fastsip._core.state.shard cimport shard_t
from fastsip._core.shard.workspace cimport Workspace
from fastsip._core.shard.commands cimport commands_t
from fastsip._core.harness.image cimport image_t
from fastsip._core.harness.virtual_net cimport wire_t

# The store at a moment, and what had been sent until then.
cdef struct camera_t:
    image_t image
    const shard_t *shard
    const wire_t *wire
    uint32_t used
    uint64_t count

@cython.final
cdef class Rig:
    cdef list routes        # (host, our host)
    cdef wire_t *wire
    cdef camera_t camera
    cdef readonly Workspace workspace
    cdef readonly Measures measures  # of all routers one after the other
    cdef Ring commands
    cdef commands_t taken       # of them

    cdef shard_t *shard(self) noexcept
    cdef void command(self, int kind, uint64_t number)
    cdef int know_route(self, host, ours) except -1
    cdef begin(self, Store store, Cells cells, RoutingTable table, uint32_t number, uint32_t count, uint64_t now_ms,
               Names names)
