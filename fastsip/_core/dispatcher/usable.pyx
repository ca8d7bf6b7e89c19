"""May a destination be used: by admin state, limits, Retry-After and health (docs/wire.md#usable-destinations).

State is read when it is asked for; what must be quick stands in the .pxd, for whoever picks.

Must never: write a line.
"""

from libc.stdint cimport uint32_t, uint64_t

from fastsip._core.base.atomics cimport load_acquire32
from fastsip._core.base.check cimport check
from fastsip._core.routing.types cimport set_t, table_t
from fastsip._core.dispatcher.cells cimport ADMIN_DISABLED, HEALTH_DOWN, cell_health, cell_t, known_t


cdef bint is_usable(const table_t *table, uint32_t destination, known_t known, uint64_t now_ms) noexcept nogil:
    check(destination < table.destination_count)
    return passes(table, &table.destinations[destination], known, now_ms, BY_STATE)


cdef uint32_t count_usable(const table_t *table, uint32_t set_index, known_t known, uint64_t now_ms,
                           uint32_t most) noexcept nogil:
    """Who is down does not count, trial or not: whoever asks wants to know whether the set lives."""
    cdef const set_t *of_set = &table.sets[set_index]
    cdef uint32_t i
    cdef uint32_t count = 0
    check(set_index < table.set_count)
    check(of_set.first + of_set.count <= table.destination_count)
    for i in range(of_set.first, of_set.first + of_set.count):
        count += passes(table, &table.destinations[i], known, now_ms, NO_TRIALS)
        if count == most:
            break
    return count


cdef bint is_reachable(const table_t *table, uint32_t destination, known_t known) noexcept nogil:
    cdef const cell_t *cell
    check(destination < table.destination_count)
    cell = &known.cells[table.destinations[destination].cell]
    return cell_health(cell) != HEALTH_DOWN and load_acquire32(&cell.admin) != ADMIN_DISABLED
