# Where a shard begins among the members of each set.  See positions.pyx.

from libc.stdint cimport uint32_t, uint64_t
from fastsip._core.routing.types cimport table_t
from fastsip._core.dispatcher.ranking cimport ranking_t

# Fresh positions of shard `positions.shard` (counts, zeroed arrays and shard are
# set by the owner), apart from the other shards'.
cdef void start_positions(positions_t *positions, const table_t *table) noexcept nogil

# After start_positions: takes over from the table before what is still there, by id.
cdef void carry_positions(positions_t *positions, const table_t *table, const positions_t *old,
                          const table_t *old_table) noexcept nogil

# Positions of one shard: not shared, started apart by the shard's number.
cdef struct positions_t:
    uint32_t shard
    uint32_t set_count
    uint64_t random         # xorshift state
    uint32_t *next          # [set.position]: place in the set of the next one in turn
    uint64_t *turn          # [set.position]: place among the shares of the next one by weight
    ranking_t ranking       # of the last key; room for table.most_blocks
