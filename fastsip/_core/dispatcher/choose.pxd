# The choice of a destination and what is known of each (docs/design.md#dispatcher,
# docs/core.md#cells, docs/wire.md#usable-destinations).  See choose.pyx.

from libc.stdint cimport int32_t, uint32_t, uint64_t
from fastsip._core.routing.types cimport table_t
from fastsip._core.dispatcher.ranking cimport ranking_t

cdef enum health_id:
    HEALTH_UNKNOWN = 0
    HEALTH_UP = 1
    HEALTH_TRYING = 2       # failed, fewer than `fall` times in a row
    HEALTH_DOWN = 3

cdef enum admin_id:
    ADMIN_ENABLED = 0
    ADMIN_DRAINING = 1      # no new calls; in-dialog requests go on
    ADMIN_DISABLED = 2

# One 64-byte line per destination in a mapping shared by all shards and the
# control plane.  `word` is health (8 bits) | streak (8) | since (48, ms of
# CLOCK_BOOTTIME), changed only by compare-and-set.
cdef struct cell_t:
    uint64_t word
    uint32_t destination_id  # 0 = the line is free
    uint32_t admin          # admin_id; written by the control plane only
    uint64_t retry_after_ms  # absolute; not chosen for new calls before; 0 = none
    int32_t load            # calls in progress (fetch-and-add)
    uint32_t chosen         # counters, wrap around
    uint32_t failed
    uint32_t probes_sent
    uint32_t probes_failed
    uint32_t rtt_us         # last probe
    uint64_t trial_ms       # a down destination's last trial call
    uint32_t last_code      # of the event that changed `word` last
    uint32_t reserve

# Positions of one shard: not shared, started apart by the shard's number.
cdef struct positions_t:
    uint32_t shard
    uint32_t set_count
    uint64_t random         # xorshift state
    uint32_t *next          # [set.position]: place in the set of the next one in turn
    uint64_t *turn          # [set.position]: place among the shares of the next one by weight
    ranking_t ranking       # of the last key; room for table.most_blocks

cdef enum health_event:
    NO_CHANGE = 0
    WENT_UP = 1
    WENT_DOWN = 2
    WENT_TRYING = 3

# Index (into table.destinations) of the next candidate of the set for this
# key, or E_NONE.  `tried` are the destination ids this search has used.
# State is checked now, at use.  With no usable one: when_all_down.
# A key of 0 = the request has no such value: round robin.  Counts the winner's
# `chosen` and claims the trial call of a down one; with tried_count > 0 no
# position moves.
cdef int choose(const table_t *table, uint32_t set_index, uint64_t key, const uint32_t *tried,
                uint32_t tried_count, cell_t *cells, positions_t *positions, uint64_t now_ms) noexcept nogil

# The one that stands in for those of `tried` when they fail: as choose, but nothing is
# counted, claimed or moved on.
cdef int rank_next(const table_t *table, uint32_t set_index, uint64_t key, const uint32_t *tried,
                   uint32_t tried_count, cell_t *cells, positions_t *positions, uint64_t now_ms) noexcept nogil

# Where choose would go for a first attempt; what moves, counts or is claimed stays as it is.
cdef int peek(const table_t *table, uint32_t set_index, uint64_t key, cell_t *cells, positions_t *positions,
              uint64_t now_ms) noexcept nogil

# May requests of its dialogs go to this destination?  Draining, limits and Retry-After are about new calls.
cdef bint is_reachable(const table_t *table, uint32_t destination, cell_t *cells) noexcept nogil

# What is tried together next: one destination, or with `parallel` up to `most` (at most MAX_ATTEMPTS) of
# the highest tier that has candidates.  Indexes into `group`; returns how many, 0 = none.
cdef int choose_group(const table_t *table, uint32_t set_index, uint64_t key, const uint32_t *tried,
                      uint32_t tried_count, uint32_t most, cell_t *cells, positions_t *positions, uint64_t now_ms,
                      uint32_t *group) noexcept nogil

# May this destination be used for a new call now?
cdef bint is_usable(const table_t *table, uint32_t destination, cell_t *cells, uint64_t now_ms) noexcept nogil

# How many destinations of the set are usable now, up to `most`; a due trial does not count.
cdef uint32_t count_usable(const table_t *table, uint32_t set_index, cell_t *cells, uint64_t now_ms,
                           uint32_t most) noexcept nogil

# Health by compare-and-set; each returns the health_event it caused.
# The first two count `failed`.
cdef int mark_failed(cell_t *cell, uint32_t fall, uint32_t code, uint64_t now_ms) noexcept nogil
cdef int mark_down(cell_t *cell, uint32_t code, uint64_t now_ms) noexcept nogil
cdef int mark_succeeded(cell_t *cell, uint32_t rise, uint32_t code, uint64_t now_ms) noexcept nogil
cdef int cell_health(const cell_t *cell) noexcept nogil
cdef uint64_t cell_since_ms(const cell_t *cell) noexcept nogil
