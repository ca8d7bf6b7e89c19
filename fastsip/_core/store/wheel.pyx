"""A hierarchical timing wheel: O(1) to arm and to disarm, any duration.

Four levels of 256 places; a place of level n spans 256**n ticks of 8 ms.  A
timer stands in the lowest level that can tell it from now, and moves down
when its place comes up.  A timer never fires early; it fires at most one tick
late plus the time the shard takes to come round.

Timers are derived state: nothing here is in the mapping (RFC 3261 section 17
timers are absolute deadlines in the slots).  A wheel is its shard's alone.
"""

from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memset

from fastsip._core.base.check cimport check
from fastsip._core.store.slots cimport SLOT_BITS, SLOT_MASK

cdef extern from *:
    int __builtin_ctzll(unsigned long long word) nogil

cdef enum:
    TOP_SHIFT = 24          # WHEEL_BITS * (WHEEL_LEVELS - 1)
    LONGEST_WAIT_MS = 0x7FFFFFFF


cdef inline timer_node_t *node_at(const wheel_t *w, uint32_t ref) noexcept nogil:
    return &w.nodes[ref >> SLOT_BITS][ref & SLOT_MASK]


cdef void init_wheel(wheel_t *w, timer_node_t **nodes, uint64_t now_ms) noexcept nogil:
    """All nodes must have place == NOT_ARMED."""
    memset(w.head, 0xFF, sizeof(w.head))
    memset(w.full, 0, sizeof(w.full))
    w.nodes = nodes
    w.start_ms = now_ms
    w.now_tick = 0
    w.armed = 0


cdef inline int place_of(const wheel_t *w, uint64_t tick) noexcept nogil:
    """The lowest level whose places still tell this tick from now."""
    cdef uint64_t differing = tick ^ w.now_tick
    cdef int level = 0
    check(tick >= w.now_tick)           # what has passed would stand where nothing comes by for a whole turn
    while level < WHEEL_LEVELS - 1 and differing >> (WHEEL_BITS * (level + 1)):
        level += 1
    return level * WHEEL_SIZE + <int>((tick >> (WHEEL_BITS * level)) & (WHEEL_SIZE - 1))


cdef inline void link_timer(wheel_t *w, uint32_t ref, timer_node_t *node) noexcept nogil:
    cdef int place = place_of(w, node.tick)
    check(node.place == NOT_ARMED)
    check(place < WHEEL_LEVELS * WHEEL_SIZE)
    node.place = <uint16_t>place
    node.prev = NO_TIMER
    node.next = w.head[place]
    if node.next != NO_TIMER:
        node_at(w, node.next).prev = ref
    w.head[place] = ref
    w.full[place >> 6] |= <uint64_t>1 << (place & 63)


cdef inline void unlink_timer(wheel_t *w, uint32_t ref, timer_node_t *node) noexcept nogil:
    cdef int place = node.place
    check(place < WHEEL_LEVELS * WHEEL_SIZE)
    check((node.prev == NO_TIMER) == (w.head[place] == ref))
    if node.prev != NO_TIMER:
        node_at(w, node.prev).next = node.next
    else:
        w.head[place] = node.next
        if node.next == NO_TIMER:
            w.full[place >> 6] &= ~(<uint64_t>1 << (place & 63))
    if node.next != NO_TIMER:
        node_at(w, node.next).prev = node.prev
    node.place = NOT_ARMED


cdef void arm_timer(wheel_t *w, uint32_t ref, uint64_t at_ms) noexcept nogil:
    cdef timer_node_t *node = node_at(w, ref)
    cdef uint64_t tick = 0
    # No deadline of ours is that far off: this keeps a broken one within the places that there are.
    if at_ms > w.start_ms + w.now_tick * TICK_MS + LONGEST_MS:
        at_ms = w.start_ms + w.now_tick * TICK_MS + LONGEST_MS
    if at_ms > w.start_ms:
        tick = (at_ms - w.start_ms + TICK_MS - 1) // TICK_MS
    # The place of this tick may be in the middle of being emptied: what is due now comes up with the next one.
    if tick <= w.now_tick:
        tick = w.now_tick + 1
    if node.place != NOT_ARMED:
        if node.tick == tick:
            return
        unlink_timer(w, ref, node)
    else:
        w.armed += 1
    node.tick = tick
    check(node.tick > w.now_tick)
    link_timer(w, ref, node)


cdef void disarm_timer(wheel_t *w, uint32_t ref) noexcept nogil:
    cdef timer_node_t *node = node_at(w, ref)
    if node.place == NOT_ARMED:
        return
    check(w.armed > 0)
    unlink_timer(w, ref, node)
    w.armed -= 1


cdef inline int next_full(const wheel_t *w, int level, int after) noexcept nogil:
    """The first non-empty place of the level above `after`, or -1."""
    cdef int at = after + 1
    cdef uint64_t word
    check(after < WHEEL_SIZE)
    while at < WHEEL_SIZE:
        word = w.full[level * 4 + (at >> 6)] >> (at & 63)
        if word:
            return at + __builtin_ctzll(word)
        at = (at | 63) + 1
    return -1


cdef uint64_t next_tick(const wheel_t *w) noexcept nogil:
    """The first tick at which a place comes up (a timer is due or moves down); 0 = none."""
    cdef int level, index, found
    for level in range(WHEEL_LEVELS):
        index = <int>((w.now_tick >> (WHEEL_BITS * level)) & (WHEEL_SIZE - 1))
        found = next_full(w, level, index)
        if found >= 0:
            return ((w.now_tick >> (WHEEL_BITS * level)) - index + found) << (WHEEL_BITS * level)
    # Only the highest level wraps round: what stands at or before now is of the next turn.
    found = next_full(w, WHEEL_LEVELS - 1, -1)
    if found >= 0:
        return ((w.now_tick >> TOP_SHIFT) - index + WHEEL_SIZE + found) << TOP_SHIFT
    return 0


cdef inline void empty_place(wheel_t *w, int place) noexcept nogil:
    """Its timers are due, or move to a lower level."""
    cdef uint32_t ref
    cdef timer_node_t *node
    while w.head[place] != NO_TIMER:
        ref = w.head[place]
        node = node_at(w, ref)
        unlink_timer(w, ref, node)
        check(place_of(w, node.tick) != place)  # it moves, or this would not end
        link_timer(w, ref, node)


cdef void advance_wheel(wheel_t *w, uint64_t now_ms) noexcept nogil:
    """Stops at the first tick with due timers: take them all, then call again until wheel_wait_ms is not 0."""
    cdef uint64_t target = 0
    cdef uint64_t tick
    cdef int level
    if now_ms > w.start_ms:
        target = (now_ms - w.start_ms) // TICK_MS
    while True:
        if w.head[w.now_tick & (WHEEL_SIZE - 1)] != NO_TIMER:
            return
        tick = next_tick(w)
        if tick == 0 or tick > target:
            if target > w.now_tick:
                w.now_tick = target
            return
        check(tick > w.now_tick)
        w.now_tick = tick
        # The highest level first: what moves down from it may stand in the next one's place, which comes up, too.
        for level in range(WHEEL_LEVELS - 1, 0, -1):
            if tick & ((<uint64_t>1 << (WHEEL_BITS * level)) - 1) == 0:
                empty_place(w, level * WHEEL_SIZE + <int>((tick >> (WHEEL_BITS * level)) & (WHEEL_SIZE - 1)))


cdef uint32_t take_expired(wheel_t *w) noexcept nogil:
    cdef uint32_t ref = w.head[w.now_tick & (WHEEL_SIZE - 1)]
    if ref != NO_TIMER:
        check(node_at(w, ref).tick <= w.now_tick)       # never early
        check(w.armed > 0)
        unlink_timer(w, ref, node_at(w, ref))
        w.armed -= 1
    return ref


cdef int wheel_wait_ms(const wheel_t *w, uint64_t now_ms) noexcept nogil:
    cdef uint64_t tick, at_ms
    if w.head[w.now_tick & (WHEEL_SIZE - 1)] != NO_TIMER:
        return 0
    tick = next_tick(w)
    check((tick == 0) == (w.armed == 0))    # the places and the count agree: nobody waits for a wheel that sleeps
    if tick == 0:
        return -1
    at_ms = w.start_ms + tick * TICK_MS
    if at_ms <= now_ms:
        return 0
    # A wait of more than 24 days does not fit; whoever waits looks again before.
    return <int>(at_ms - now_ms) if at_ms - now_ms < LONGEST_WAIT_MS else LONGEST_WAIT_MS
