# One hierarchical timing wheel per shard (docs/core.md#clocks-and-timers).  See wheel.pyx.

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

cdef enum:
    TICK_MS = 8
    WHEEL_BITS = 8
    WHEEL_SIZE = 256        # places of a level
    WHEEL_LEVELS = 4        # 8 ms, 2 s, 9 min, 37 h a place
    LONGEST_MS = 0x7F0000000  # 394 days; longer timers fire then
    NOT_ARMED = 0xFFFF
    NO_TIMER = 0xFFFFFFFF   # no slot reference

# One per slot, private memory.  Linked into the list of its place.
cdef struct timer_node_t:
    uint32_t next           # slot reference
    uint32_t prev           # slot reference, or NO_TIMER at the list's head
    uint64_t tick           # when it fires
    uint16_t place          # level * WHEEL_SIZE + index, or NOT_ARMED
    uint16_t reserve[3]

# `nodes[partition][index]` belong to the caller and must outlive the wheel.
cdef struct wheel_t:
    uint64_t start_ms       # tick 0
    uint64_t now_tick       # every earlier tick has fired
    uint32_t armed
    timer_node_t **nodes
    uint32_t head[WHEEL_LEVELS * WHEEL_SIZE]
    uint64_t full[WHEEL_LEVELS * WHEEL_SIZE >> 6]  # [level * 4 + index / 64]: bit = the place is not empty

cdef void init_wheel(wheel_t *w, timer_node_t **nodes, uint64_t now_ms) noexcept nogil
# (Re)arms to an absolute time; a time that has passed fires at the next advance.
cdef void arm_timer(wheel_t *w, uint32_t ref, uint64_t at_ms) noexcept nogil
cdef void disarm_timer(wheel_t *w, uint32_t ref) noexcept nogil
# Moves the clock on; due timers are then taken one by one (they may rearm).
cdef void advance_wheel(wheel_t *w, uint64_t now_ms) noexcept nogil
# The next due timer, or NO_TIMER.
cdef uint32_t take_expired(wheel_t *w) noexcept nogil
# Ms until the wheel needs advance_wheel again: 0 = now, -1 = nothing is armed.
cdef int wheel_wait_ms(const wheel_t *w, uint64_t now_ms) noexcept nogil
