# One shard's kernels without sockets and on a virtual clock.  See rig.pyx.

cimport cython
from fastsip._core.commands cimport commands_t
from fastsip._core.core cimport core_t
from fastsip._core.ring cimport Ring
from fastsip._core.wire cimport wire_t
from fastsip._core.workspace cimport Workspace

@cython.final
cdef class Rig:
    cdef wire_t *wire
    cdef readonly Workspace workspace
    cdef Ring commands
    cdef commands_t taken       # of them

    cdef core_t *core(self) noexcept
