"""Where a shard begins among the members of each set, and goes on after a reload.

Round robin and turns by weight (choose) move on by what was chosen before; a table of another
configuration takes over what is still there, by the ids of its destinations.

Must never: be called while its shard chooses.
"""

from libc.stdint cimport uint32_t, uint64_t

from fastsip._core.base.check cimport check
from fastsip._core.base.hashing cimport mix
from fastsip._core.routing.types cimport set_t, tier_t
from fastsip._core.routing.index cimport ID_DESTINATION, ID_SET, find_id


cdef void start_positions(positions_t *positions, const table_t *table) noexcept nogil:
    """Apart from the other shards', so that not all begin with the same destination.

    Where weights share it begins behind as many choices as there are shards before this one.
    """
    cdef const set_t *of_set
    cdef const tier_t *tier
    cdef uint32_t i, _
    check(positions.set_count == table.set_count)
    positions.random = mix(positions.shard + 1, <uint64_t>0x5851F42D4C957F2D) | 1
    for i in range(table.set_count):
        of_set = &table.sets[i]
        if of_set.count == 0:
            continue
        check(of_set.position < positions.set_count)
        positions.next[of_set.position] = positions.shard % of_set.count
        tier = &of_set.tier_list[0]
        for _ in range(positions.shard if tier.share_sum else 0):
            positions.turn[of_set.position] = (positions.turn[of_set.position] + tier.stride) % tier.share_sum


cdef void carry_set(positions_t *positions, const table_t *table, const set_t *now, const positions_t *old,
                    const table_t *old_table, const set_t *was) noexcept nogil:
    """One set's positions: who is next, by destination id, and the turn of its weights.

    If the next one in turn is gone, the set goes on from its begin.  Any turn will do for other weights: each
    round of them is fair, wherever it begins.
    """
    cdef uint32_t at = was.first + old.next[was.position] % was.count
    cdef int place = find_id(table, ID_DESTINATION, old_table.destinations[at].id)
    check(old.next[was.position] < was.count)
    if <int>now.first <= place < <int>(now.first + now.count):
        positions.next[now.position] = <uint32_t>place - now.first
    else:
        positions.next[now.position] = 0
    if was.algorithm == now.algorithm:
        positions.turn[now.position] = old.turn[was.position]


cdef void carry_positions(positions_t *positions, const table_t *table, const positions_t *old,
                          const table_t *old_table) noexcept nogil:
    cdef uint32_t i
    cdef int was
    check(old.set_count == old_table.set_count)
    positions.random = old.random
    for i in range(table.set_count):
        was = find_id(old_table, ID_SET, table.sets[i].id)
        if was >= 0 and table.sets[i].count and old_table.sets[was].count:
            carry_set(positions, table, &table.sets[i], old, old_table, &old_table.sets[was])
