# What a store held at one moment, to be put back later.  See image.pyx.

from libc.stdint cimport uint32_t, uint64_t
from fastsip._core.store.slots cimport store_t

# A growing row of pieces, each a place in a partition and its bytes.
cdef struct image_t:
    char *pieces
    uint64_t used
    uint64_t room
    bint taken
    bint incomplete         # there was no memory for it

# Of the partitions of this shard: heads, slots and the blocks that these name.
cdef void take_image(image_t *image, const store_t *store, uint32_t shard, uint32_t shard_count) noexcept nogil
# Slots that were first used after the image was taken become new again.
cdef void put_back(image_t *image, store_t *store, uint32_t shard, uint32_t shard_count) noexcept nogil
cdef void forget_image(image_t *image) noexcept nogil
