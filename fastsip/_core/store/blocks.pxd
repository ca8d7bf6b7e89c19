# Who owns which unit of a partition's message blocks.  See blocks.pyx.

from libc.stdint cimport uint8_t, uint32_t

cdef enum:
    UNIT_BYTES = 256
    ORDERS = 9              # 256 bytes ... BLOCK_BYTES
    BLOCK_BYTES = 65536
    NO_UNIT = 0xFFFFFFFF

# Private memory, derived: rebuilt from the slots at each start.
cdef struct buddy_t:
    uint32_t unit_count
    uint32_t used_units
    uint32_t head[ORDERS]   # [order] first free block
    uint32_t *next          # [unit], meaningful at the head of a free block
    uint32_t *prev
    uint8_t *free_order     # [unit]: order + 1 at the head of a free block, else 0

cdef int init_buddy(buddy_t *b, uint32_t unit_count) noexcept nogil
cdef void free_buddy(buddy_t *b) noexcept nogil
# All units free but those with used[unit] != 0.
cdef void rebuild_buddy(buddy_t *b, const uint8_t *used) noexcept nogil

cdef int order_of(uint32_t len) noexcept nogil
cdef uint32_t take_units(buddy_t *b, int order) noexcept nogil
cdef void give_units(buddy_t *b, uint32_t unit, int order) noexcept nogil
