# The choice of a destination and what is known of each (docs/design.md#dispatcher,
# docs/core.md#cells, docs/wire.md#usable-destinations).  See choose.pyx.

from libc.stdint cimport uint32_t, uint64_t
from fastsip._core.routing.types cimport table_t
from fastsip._core.dispatcher.cells cimport known_t
from fastsip._core.dispatcher.positions cimport positions_t

# What limits of calls a second count.
cdef enum call_id:
    NO_CALL = 0
    NEW_CALL                # its first attempt in this set: also for the set
    NEXT_ATTEMPT

# Index (into table.destinations) of the next candidate of the set for this
# key, or E_NONE.  `tried` are the destination ids this search has used.
# State is checked now, at use.  With no usable one: when_all_down.
# A key of 0 = the request has no such value: round robin.  Counts the winner's
# `chosen` and claims the trial call of a down one; with tried_count > 0 no
# position moves.
cdef int choose(const table_t *table, uint32_t set_index, uint64_t key, const uint32_t *tried,
                uint32_t tried_count, known_t known, positions_t *positions, uint64_t now_ms) noexcept nogil

# The one that stands in for those of `tried` when they fail: as choose, but nothing is
# counted, claimed or moved on.
cdef int rank_next(const table_t *table, uint32_t set_index, uint64_t key, const uint32_t *tried,
                   uint32_t tried_count, known_t known, positions_t *positions, uint64_t now_ms) noexcept nogil

# Where choose would go for a first attempt; what moves, counts or is claimed stays as it is.
cdef int peek(const table_t *table, uint32_t set_index, uint64_t key, known_t known, positions_t *positions,
              uint64_t now_ms) noexcept nogil

# What is tried together next: one destination, or with `parallel` up to `most` (at most MAX_ATTEMPTS) of
# the highest tier that has candidates.  Indexes into `group`; returns how many, 0 = none.  `call`: call_id.
cdef int choose_group(const table_t *table, uint32_t set_index, uint64_t key, const uint32_t *tried,
                      uint32_t tried_count, uint32_t most, int call, known_t known, positions_t *positions,
                      uint64_t now_ms, uint32_t *group) noexcept nogil
