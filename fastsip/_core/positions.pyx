"""Where a shard begins among the members of each set, and goes on after a reload.

Round robin and smooth weights (select) move on by what was chosen before; a table of another
configuration takes over what is still there, by the ids of its destinations.

Must never: be called while its shard chooses.  Called by chooser.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from fastsip._core.hashing cimport mix
from fastsip._core.types cimport A_RELATIVE_WEIGHT, A_WEIGHT, set_t


cdef uint32_t find_member(const table_t *table, const set_t *of_set, uint32_t id) noexcept nogil:
    """Place within the set of a destination id; the set's count when it is not there."""
    cdef uint32_t low = of_set.first
    cdef uint32_t high = of_set.first + of_set.count
    cdef uint32_t middle
    while low < high:
        middle = (low + high) // 2
        if table.destinations[table.by_id[middle]].id < id:
            low = middle + 1
        else:
            high = middle
    if low < of_set.first + of_set.count and table.destinations[table.by_id[low]].id == id:
        return table.by_id[low] - of_set.first
    return of_set.count


cdef const set_t *find_set(const table_t *table, uint32_t id) noexcept nogil:
    """NULL for a set that is not there."""
    cdef uint32_t low = 0
    cdef uint32_t high = table.set_count
    cdef uint32_t middle
    while low < high:
        middle = (low + high) // 2
        if table.sets[table.sets_by_id[middle]].id < id:
            low = middle + 1
        else:
            high = middle
    if low < table.set_count and table.sets[table.sets_by_id[low]].id == id:
        return &table.sets[table.sets_by_id[low]]
    return NULL


cdef void start_positions(positions_t *positions, const table_t *table) noexcept nogil:
    """Apart from the other shards', so that not all begin with the same destination.

    A smooth weighted set is moved on by as many choices as there are shards before this one.
    """
    cdef const set_t *of_set
    cdef uint32_t i, k, _, best
    cdef int64_t total
    positions.random = mix(positions.shard + 1, <uint64_t>0x5851F42D4C957F2D) | 1
    for i in range(table.set_count):
        of_set = &table.sets[i]
        positions.next[of_set.position] = positions.shard % of_set.count if of_set.count else 0
        if of_set.algorithm != A_WEIGHT and of_set.algorithm != A_RELATIVE_WEIGHT:
            continue
        for _ in range(positions.shard):
            total = 0
            best = of_set.first
            for k in range(of_set.first, of_set.first + of_set.count):
                positions.current[k] += table.destinations[k].weight
                total += table.destinations[k].weight
                if positions.current[k] > positions.current[best]:
                    best = k
            if of_set.count:
                positions.current[best] -= total


cdef int64_t weight_sum(const table_t *table, const set_t *of_set) noexcept nogil:
    cdef uint32_t i
    cdef int64_t total = 0
    for i in range(of_set.first, of_set.first + of_set.count):
        total += table.destinations[i].weight if table.destinations[i].weight else 1
    return total


cdef void carry_set(positions_t *positions, const table_t *table, const set_t *now, const positions_t *old,
                    const table_t *old_table, const set_t *was) noexcept nogil:
    """One set's positions, by destination id.

    If the next one in turn is gone, the set goes on from its begin.  What the smooth weights
    have gained is scaled to the new sum: a gain of thousands among weights of one
    would keep the others waiting for thousands of calls.
    """
    cdef uint32_t at = was.first + old.next[was.position] % was.count
    cdef uint32_t place = find_member(table, now, old_table.destinations[at].id)
    cdef double scale = <double>weight_sum(table, now) / weight_sum(old_table, was)
    positions.next[now.position] = place % now.count
    if was.algorithm != now.algorithm:
        return
    for at in range(was.first, was.first + was.count):
        place = find_member(table, now, old_table.destinations[at].id)
        if place < now.count:
            positions.current[now.first + place] = <int64_t>(old.current[at] * scale)


cdef void carry_positions(positions_t *positions, const table_t *table, const positions_t *old,
                          const table_t *old_table) noexcept nogil:
    cdef const set_t *was
    cdef uint32_t i
    positions.random = old.random
    for i in range(table.set_count):
        was = find_set(old_table, table.sets[i].id)
        if was != NULL and table.sets[i].count and was.count:
            carry_set(positions, table, &table.sets[i], old, old_table, was)
