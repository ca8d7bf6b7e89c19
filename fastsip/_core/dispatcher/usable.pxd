# May a destination be used (docs/wire.md#usable-destinations)?  See usable.pyx.

from libc.stdint cimport int32_t, uint32_t, uint64_t
from fastsip._core.base.atomics cimport load_acquire32, load_acquire64, load_relaxed32, load_relaxed64
from fastsip._core.base.check cimport check
from fastsip._core.routing.types cimport destination_t, set_t, table_t
from fastsip._core.dispatcher.cells cimport ADMIN_ENABLED, HEALTH_DOWN, cell_t, known_t, word_health

cdef enum usable_rule:
    BY_STATE = 0            # admin, limits and health; a due trial is usable
    NO_TRIALS = 1           # as above, without trials
    BY_LIMITS = 2           # admin and limits alone: when_all_down = "try"

# May this destination be used for a new call now?  Calls a second are not looked at: they are about one moment.
cdef bint is_usable(const table_t *table, uint32_t destination, known_t known, uint64_t now_ms) noexcept nogil

# May requests of its dialogs go to this destination?  Draining, limits and Retry-After are about new calls.
cdef bint is_reachable(const table_t *table, uint32_t destination, known_t known) noexcept nogil

# How many destinations of the set are usable now, up to `most`; a due trial does not count.
cdef uint32_t count_usable(const table_t *table, uint32_t set_index, known_t known, uint64_t now_ms,
                           uint32_t most) noexcept nogil


cdef inline bint within_limits(const destination_t *d, const cell_t *cell, uint64_t now_ms) noexcept nogil:
    """Enabled, not full, and past its Retry-After."""
    if load_acquire32(&cell.admin) != ADMIN_ENABLED or now_ms < load_relaxed64(&cell.retry_after_ms):
        return False
    return d.max_load == 0 or <int32_t>load_relaxed32(&cell.load) < <int32_t>d.max_load


cdef inline bint trial_due(const set_t *of_set, const destination_t *d, const cell_t *cell, uint64_t word,
                           uint64_t now_ms) noexcept nogil:
    """May a destination that is down have one call (docs/wire.md#usable-destinations): nothing probes it, and
    retry_ms went by since it went down or had its last trial?
    """
    cdef uint64_t last_ms = load_acquire64(&cell.trial_ms)
    if d.probe.interval_ms != 0:
        return False
    if last_ms < word >> 16:
        last_ms = word >> 16
    return now_ms >= last_ms + of_set.retry_ms


cdef inline bint passes(const table_t *table, const destination_t *d, known_t known, uint64_t now_ms,
                        int rule) noexcept nogil:
    """Is this destination usable by this rule (usable_rule)?  Who was tried and weights are not looked at."""
    cdef const cell_t *cell = &known.cells[d.cell]
    cdef uint64_t word
    check(d.set_index < table.set_count)
    if not within_limits(d, cell, now_ms):
        return False
    if rule == BY_LIMITS:
        return True
    word = load_acquire64(&cell.word)
    if word_health(word) != HEALTH_DOWN:
        return True
    return rule == BY_STATE and trial_due(&table.sets[d.set_index], d, cell, word, now_ms)
