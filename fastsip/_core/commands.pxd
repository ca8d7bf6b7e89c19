# What the control plane tells a shard.  See commands.pyx.

from libc.stdint cimport uint32_t, uint64_t
from fastsip._core.core cimport core_t
from fastsip._core.ring cimport ring_t

cdef enum command_kind:
    COMMAND_NAME = 1        # there is an answer about a name: number = its hash, 0 = about any

# A record of the command ring (core section 6).
cdef struct command_t:
    uint32_t kind           # command_kind
    uint32_t reserve
    uint64_t number

# False (and counted in the ring) when there is no room.  The caller wakes the shard.
cdef bint push_command(ring_t *ring, int kind, uint64_t number) noexcept nogil
# Takes the commands that are there, and obeys.
cdef void read_commands(core_t *core, ring_t *ring) noexcept nogil
