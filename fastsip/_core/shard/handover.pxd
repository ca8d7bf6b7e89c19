# What shards give each other.  See handover.pyx.

from libc.stdint cimport uint32_t, uint64_t
from fastsip._core.base.types cimport MAX_SHARDS
from fastsip._core.base.address cimport origin_t
from fastsip._core.base.ring cimport sleeper_t
from fastsip._core.base.lanes cimport lane_t
from fastsip._core.state.shard cimport shard_t
from fastsip._core.shard.commands cimport commands_t

cdef enum:
    OF_ICMP = 0xFFFFFFFF
    MOST_LANES = 4              # each way between two shards

# A datagram on its way to the shard that owns its call; the bytes follow.
cdef struct handover_t:
    origin_t origin             # its listener OF_ICMP: the bytes are a net_error_t
    uint32_t len

# The other shards, as one of them sees them.
cdef struct neighbours_t:
    lane_t *inbound[MAX_SHARDS][MOST_LANES]   # from shard i; NULL = none
    lane_t *outbound[MAX_SHARDS][MOST_LANES]  # to shard i
    uint32_t lane_count         # each way; a datagram takes the lane of its listener
    sleeper_t *sleepers[MAX_SHARDS]
    commands_t commands         # from the control plane
    uint64_t to_wake            # bit i: shard i was given something in this round

# The shard of the datagram's call; ourselves when it has no Call-ID (it is refused here).
cdef uint32_t owner_of(shard_t *shard, const char *at, uint32_t len) noexcept nogil

# Gives a datagram, or what ICMP said (its origin's listener is OF_ICMP), to its owner; counted where his lane has no
# room.
cdef void hand_over(shard_t *shard, neighbours_t *others, uint32_t owner, const origin_t *origin, const char *at,
                    uint32_t len) noexcept nogil

# Works on the next record of a lane; False when there is none.
cdef bint take_record(shard_t *shard, lane_t *lane) noexcept nogil

cdef void wake_others(shard_t *shard, neighbours_t *others) noexcept nogil

# Is there anything from another shard, the control plane, or left over?
cdef bint has_work(shard_t *shard, neighbours_t *others) noexcept nogil
