# The steps that end a batch.  See round.pyx.

cimport cython
from libc.stdint cimport uint32_t
from fastsip._core.transport.udp cimport net_t
from fastsip._core.state.shard cimport shard_t

# Sets the outcome of all that stands in the outbox.
ctypedef void (*send_step_t)(net_t *net) noexcept nogil

# What flush does with a net that has no buffers, and so no sockets (the rig's).
cdef void stand_in_for_sockets(send_step_t send) noexcept nogil

# Sends the outbox, clears what was owed, gives the blocks back.
cdef void flush(shard_t *shard) noexcept nogil
# Fires timers that are due at shard.now_ms, in order of their ticks, at most so many; False when none is left.
cdef bint fire_timers(shard_t *shard, uint32_t most) noexcept nogil
# Sends the probes that are due, and flushes whenever the outbox is nearly full of them.
cdef void run_probes(shard_t *shard) noexcept nogil

# The slot's timer has come up: Timer A or E (RETRANSMIT), B, C, D, F, M or a clock of the policy (EXPIRE) of a branch;
# of a server transaction what fire_server_timer says, or the end of a wait for a name.
cdef void fire_timer(shard_t *shard, uint32_t ref) noexcept nogil
