# What is known of each destination, and the mapping in which all shards and the control plane keep it
# (docs/core.md#cells).  See cells.pyx.

cimport cython
from libc.stdint cimport int32_t, uint32_t, uint64_t
from fastsip._core.base.atomics cimport load_acquire64
from fastsip._core.dispatcher.lines cimport Lines
from fastsip._core.dispatcher.paces cimport pace_t

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

cdef enum health_event:
    NO_CHANGE = 0
    WENT_UP = 1
    WENT_DOWN = 2
    WENT_TRYING = 3

# Health by compare-and-set; each returns the health_event it caused.
# The first two count `failed`.
cdef int mark_failed(cell_t *cell, uint32_t fall, uint32_t code, uint64_t now_ms) noexcept nogil
cdef int mark_down(cell_t *cell, uint32_t code, uint64_t now_ms) noexcept nogil
cdef int mark_succeeded(cell_t *cell, uint32_t rise, uint32_t code, uint64_t now_ms) noexcept nogil
cdef uint64_t cell_since_ms(const cell_t *cell) noexcept nogil

cdef inline int word_health(uint64_t word) noexcept nogil:
    return word & 0xFF

cdef inline int cell_health(const cell_t *cell) noexcept nogil:
    return word_health(load_acquire64(&cell.word))

# What is known of each destination: of one, the lines at the same index.
cdef struct known_t:
    cell_t *cells
    pace_t *paces

@cython.final
cdef class Cells:
    cdef cell_t *cells          # [count]
    cdef pace_t *paces          # [count]
    cdef readonly uint32_t count
    cdef readonly str path      # "" = anonymous
    cdef readonly list notes
    cdef Lines mapped
    cdef Lines mapped_paces
    cdef dict lines             # destination id -> index
    cdef uint32_t search_from   # no free line before this one

    cdef cell_t *line(self, index) except NULL
    cdef known_t known(self) noexcept nogil
