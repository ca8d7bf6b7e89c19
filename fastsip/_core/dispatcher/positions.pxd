# Where a shard begins among the members of each set.  See positions.pyx.

from fastsip._core.routing.types cimport table_t
from fastsip._core.dispatcher.choose cimport positions_t

# Fresh positions of shard `positions.shard` (counts, zeroed arrays and shard are
# set by the owner), apart from the other shards'.
cdef void start_positions(positions_t *positions, const table_t *table) noexcept nogil

# After start_positions: takes over from the table before what is still there, by id.
cdef void carry_positions(positions_t *positions, const table_t *table, const positions_t *old,
                          const table_t *old_table) noexcept nogil
