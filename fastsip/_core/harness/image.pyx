"""What a store held at one moment: taken between two stores to the mapping, put back later.

A simulated process can so die in the middle of a batch without a process to
end: the batch is finished, then the mapping becomes what it was.  Copied are
the heads, all slots that were ever used and the blocks that a committed record names; what
stands in other blocks no recovery reads.

Must never: be part of a running router.
"""

from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy, memset

from fastsip._core.base.types cimport PARTITIONS
from fastsip._core.store.records cimport KIND_FREE, block_t
from fastsip._core.store.kinds cimport RECORD_WORDS, block_in
from fastsip._core.store.blocks cimport ORDERS, UNIT_BYTES, order_of
from fastsip._core.store.slots cimport HEADER_BYTES, blocks_of, partition_t, record_of, slot_t, word_kind

cdef struct piece_t:
    uint32_t partition
    uint32_t len
    uint64_t off


cdef void copy_piece(image_t *image, const store_t *store, uint32_t partition, uint64_t off,
                     uint32_t len) noexcept nogil:
    cdef piece_t piece
    cdef uint64_t needed = image.used + sizeof(piece_t) + len
    cdef void *more
    if needed > image.room:
        more = realloc(image.pieces, 2 * needed)
        if more == NULL:
            image.incomplete = True
            return
        image.pieces, image.room = <char *>more, 2 * needed
    piece.partition, piece.off, piece.len = partition, off, len
    memcpy(image.pieces + image.used, &piece, sizeof(piece_t))
    memcpy(image.pieces + image.used + sizeof(piece_t), store.partitions[partition].base + off, len)
    image.used = needed


cdef void copy_block(image_t *image, const store_t *store, uint32_t partition, const block_t *block) noexcept nogil:
    cdef const partition_t *p = &store.partitions[partition]
    cdef uint64_t off
    if block.len == 0 or order_of(block.len) >= ORDERS:
        return
    off = <uint64_t>(p.blocks - p.base) + <uint64_t>block.unit * UNIT_BYTES
    if off + block.len <= p.bytes:
        copy_piece(image, store, partition, off, block.len)


cdef void copy_blocks(image_t *image, const store_t *store, uint32_t partition, uint32_t idx) noexcept nogil:
    cdef const partition_t *p = &store.partitions[partition]
    cdef uint32_t blocks = blocks_of(p, idx)
    cdef int word
    for word in range(<int>RECORD_WORDS):
        if blocks >> word & 1:
            copy_block(image, store, partition, block_in(record_of(&p.slots[idx]), word))


cdef void take_image(image_t *image, const store_t *store, uint32_t shard, uint32_t shard_count) noexcept nogil:
    cdef const partition_t *p
    cdef uint32_t number, i
    image.used = 0
    image.taken = True
    image.incomplete = False
    for number in range(PARTITIONS):
        if number % shard_count != shard:
            continue
        p = &store.partitions[number]
        copy_piece(image, store, number, 0, HEADER_BYTES + p.header.high_water * <uint32_t>sizeof(slot_t))
        for i in range(p.header.high_water):
            if word_kind(p.slots[i].commit) != KIND_FREE:
                copy_blocks(image, store, number, i)


cdef void put_back(image_t *image, store_t *store, uint32_t shard, uint32_t shard_count) noexcept nogil:
    cdef piece_t piece
    cdef uint64_t at = 0
    cdef uint32_t number
    for number in range(PARTITIONS):
        if number % shard_count == shard:
            memset(store.partitions[number].slots, 0,
                   <uint64_t>store.partitions[number].header.high_water * sizeof(slot_t))
    while at < image.used:
        memcpy(&piece, image.pieces + at, sizeof(piece_t))
        memcpy(store.partitions[piece.partition].base + piece.off, image.pieces + at + sizeof(piece_t), piece.len)
        at += sizeof(piece_t) + piece.len
    image.taken = False


cdef void forget_image(image_t *image) noexcept nogil:
    free(image.pieces)
    memset(image, 0, sizeof(image_t))
