# What the control plane tells a shard.  See commands.pyx.

from libc.stdint cimport uint32_t, uint64_t
from fastsip._core.base.ring cimport ring_t
from fastsip._core.state.shard cimport shard_t

cdef enum command_kind:
    COMMAND_NAME = 1        # there is an answer about a name: number = its hash, 0 = about any
    COMMAND_PROBE = 2       # number = the line of a destination that is to be probed now

# A record of the command ring (docs/core.md#events-and-commands).
cdef struct command_t:
    uint32_t kind           # command_kind
    uint32_t reserve
    uint64_t number

# What a shard has of commands: its ring, and how far it is with the one that it obeys.
cdef struct commands_t:
    ring_t *ring
    uint64_t name           # who waits for it is routed again
    uint32_t parked_left    # of waiting_t.parked, those below this number are still to be looked at
    uint32_t held_left      # and so of waiting_t.held

# False (and counted in the ring) when there is no room.  The caller wakes the shard.
cdef bint push_command(ring_t *ring, int kind, uint64_t number) noexcept nogil
# Obeys the commands that are there, at most so many requests of them; False when nothing is left.
cdef bint take_commands(shard_t *shard, commands_t *commands, uint32_t most) noexcept nogil
cdef bint has_commands(const commands_t *commands) noexcept nogil
