# Whole calls through the kernels, played without Python.  See play.pyx.

from libc.stdint cimport int64_t, uint32_t, uint64_t
from fastsip._core.state.shard cimport shard_t
from fastsip._core.harness.virtual_net cimport wire_t

# -1, or the number of the first call that did not go through.
cdef int64_t play(shard_t *shard, wire_t *wire, uint64_t calls, uint32_t step_ms) noexcept nogil
