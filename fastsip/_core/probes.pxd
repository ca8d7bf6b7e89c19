# OPTIONS probes, sent by the shards.  See probes.pyx.

from libc.stdint cimport uint32_t, uint64_t
from fastsip._core.core cimport core_t
from fastsip._core.types cimport message_t

# Sends what is due, counts what has timed out.
cdef void run_probes(core_t *core) noexcept nogil
# Ms until run_probes has something to do, -1 = never.
cdef int next_probe_ms(const core_t *core) noexcept nogil
# A probe that ICMP has come back for (`value` is its branch, `cell` the hint's).
cdef void fail_probe(core_t *core, uint32_t cell, uint64_t value) noexcept nogil
# True when the response is one to a probe of ours (`value` is its branch).
cdef bint take_probe_response(core_t *core, const message_t *m, uint64_t value) noexcept nogil
