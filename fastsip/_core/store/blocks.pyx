"""A buddy allocator over the units of one partition.

Message blocks are powers of two of 256 bytes, so that a freed request and a
stored response coalesce again whatever their order.  The allocator never
touches the blocks themselves: it is derived state in private memory, rebuilt
from the slots that name blocks.
"""

from libc.stdint cimport uint8_t, uint32_t
from libc.stdlib cimport calloc, free

from fastsip._core.base.check cimport check


cdef int init_buddy(buddy_t *b, uint32_t unit_count) noexcept nogil:
    """Everything used until rebuild_buddy; -1 when there is no memory."""
    cdef int order
    b.unit_count = unit_count
    b.used_units = unit_count
    for order in range(ORDERS):
        b.head[order] = NO_UNIT
    b.next = <uint32_t *>calloc(unit_count, sizeof(uint32_t))
    b.prev = <uint32_t *>calloc(unit_count, sizeof(uint32_t))
    b.free_order = <uint8_t *>calloc(unit_count, 1)
    if b.next == NULL or b.prev == NULL or b.free_order == NULL:
        free_buddy(b)
        return -1
    return 0


cdef void free_buddy(buddy_t *b) noexcept nogil:
    free(b.next)
    free(b.prev)
    free(b.free_order)
    b.next = NULL
    b.prev = NULL
    b.free_order = NULL


cdef inline void link_free(buddy_t *b, uint32_t unit, int order) noexcept nogil:
    cdef uint32_t old = b.head[order]
    check(b.free_order[unit] == 0)
    check(unit + (<uint32_t>1 << order) <= b.unit_count)
    check(unit & ((<uint32_t>1 << order) - 1) == 0)
    b.next[unit] = old
    b.prev[unit] = NO_UNIT
    if old != NO_UNIT:
        b.prev[old] = unit
    b.head[order] = unit
    b.free_order[unit] = <uint8_t>(order + 1)


cdef inline void unlink_free(buddy_t *b, uint32_t unit, int order) noexcept nogil:
    cdef uint32_t after = b.next[unit]
    cdef uint32_t before = b.prev[unit]
    check(b.free_order[unit] == order + 1)
    if before == NO_UNIT:
        b.head[order] = after
    else:
        b.next[before] = after
    if after != NO_UNIT:
        b.prev[after] = before
    b.free_order[unit] = 0


cdef void rebuild_buddy(buddy_t *b, const uint8_t *used) noexcept nogil:
    cdef uint32_t unit = 0
    cdef uint32_t run, size
    cdef int order
    for order in range(ORDERS):
        b.head[order] = NO_UNIT
    for unit in range(b.unit_count):
        b.free_order[unit] = 0
    b.used_units = 0
    unit = 0
    while unit < b.unit_count:
        if used[unit]:
            b.used_units += 1
            unit += 1
            continue
        # The largest block that begins here: it is doubled as long as it lies where such a one may, and is free.
        order = 0
        while order + 1 < ORDERS:
            size = <uint32_t>2 << order
            if unit & (size - 1) or unit + size > b.unit_count:
                break
            run = size >> 1
            while run < size and not used[unit + run]:
                run += 1
            if run < size:
                break
            order += 1
        link_free(b, unit, order)
        unit += <uint32_t>1 << order
    check(unit == b.unit_count)         # no block reaches over the end


cdef int order_of(uint32_t len) noexcept nogil:
    """The order that holds len bytes; ORDERS or more when none does."""
    cdef int order = 0
    cdef uint32_t room = UNIT_BYTES
    while room < len and order < ORDERS:
        room <<= 1
        order += 1
    return order


cdef uint32_t take_units(buddy_t *b, int order) noexcept nogil:
    """The first unit of a block of this order, or NO_UNIT."""
    cdef int found = order
    cdef uint32_t unit
    while found < ORDERS and b.head[found] == NO_UNIT:
        found += 1
    if found >= ORDERS:
        return NO_UNIT
    unit = b.head[found]
    check(unit < b.unit_count)
    unlink_free(b, unit, found)
    # The lower half is halved again, and each upper half is free: what was one block can be one again.
    while found > order:
        found -= 1
        link_free(b, unit + (<uint32_t>1 << found), found)
    b.used_units += <uint32_t>1 << order
    check(b.used_units <= b.unit_count)
    check(b.free_order[unit] == 0)
    return unit


cdef void give_units(buddy_t *b, uint32_t unit, int order) noexcept nogil:
    cdef uint32_t other, size
    check(unit < b.unit_count)
    check(b.used_units >= <uint32_t>1 << order)
    check(b.free_order[unit] == 0)      # nothing is given twice
    b.used_units -= <uint32_t>1 << order
    while order + 1 < ORDERS:
        # Of two halves the numbers differ in this bit alone; a half that is in parts again has another order.
        size = <uint32_t>1 << order
        other = unit ^ size
        if other + size > b.unit_count or b.free_order[other] != order + 1:
            break
        unlink_free(b, other, order)
        unit &= ~size
        order += 1
    link_free(b, unit, order)
