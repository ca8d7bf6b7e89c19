# One shard: the loop.  See loop.pyx.

cimport cython
from libc.stdint cimport int64_t, uint32_t, uint64_t
from fastsip._core.base.types cimport MAX_LISTENERS, MAX_SHARDS
from fastsip._core.base.ring cimport Ring, Sleeper
from fastsip._core.routing.types cimport table_t
from fastsip._core.dispatcher.positions cimport positions_t
from fastsip._core.transport.udp cimport Net
from fastsip._core.state.mirror cimport View, mirror_t
from fastsip._core.state.shard cimport shard_t
from fastsip._core.shard.workspace cimport Workspace
from fastsip._core.shard.handover cimport MOST_LANES, neighbours_t

# What a shard looks at when it next wakes: one pointer, swapped by the control plane (docs/core.md#swapping-a-table).
cdef struct outlook_t:
    const table_t *table
    positions_t *positions
    const mirror_t *mirror      # NULL = nobody looks

# How the time of a shard is shared out.
cdef struct turns_t:
    uint64_t now_us             # CLOCK_BOOTTIME, when it was last looked at
    int64_t credit_us[MAX_LISTENERS]  # what each socket may take yet; below 0 it took too much
    int batch[MAX_LISTENERS]    # datagrams of each socket that are read at once
    int records[MAX_SHARDS][MOST_LANES]  # of each lane that are taken without a look at the clock
    uint32_t first              # of the lanes, in the next round

@cython.final
cdef class Shard:
    cdef readonly Net net
    cdef readonly Workspace workspace
    cdef readonly Sleeper sleeper
    cdef Ring commands
    cdef list kept              # tables and positions that the running loop may still look at
    cdef list views             # and what it may still show
    cdef neighbours_t neighbours
    cdef outlook_t outlooks[2]
    cdef outlook_t *outlook     # written by the control plane, read after each sleep
    cdef turns_t turns
    cdef uint64_t rounds        # ended so that nothing of them can touch its table any more
    cdef uint32_t stopping
    cdef uint32_t running

    cdef outlook_t *idle_outlook(self) noexcept
    cdef void swap_outlook(self, outlook_t *idle) noexcept
    cdef void await_passing(self) noexcept nogil
    cdef bint tell(self, int kind, uint64_t number) noexcept
    cdef void go_round(self, shard_t *shard, neighbours_t *others, turns_t *turns) noexcept nogil
