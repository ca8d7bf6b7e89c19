"""A partition file of another size: written beside the old one, whole, then put in its place.

Slots keep their places, since hints, parents and marks name them; free ones keep their generation.  Blocks lie
anew, the largest first and so without a gap: nobody but the committed records names them.  Nothing that lives is
looked at: what a slot holds is copied as it stands.

Whoever dies on the way leaves the old file or the new one, and perhaps a piece beside it, which the next start
removes (partitions).  Whoever still has the old file mapped, as `fastsip transactions` or a router that has left,
reads what was there at that moment; nobody else may write then.

Must never: write the file that is mapped, or one that has the name of a partition.
It works before any shard has the store.
"""

from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcpy
from posix.mman cimport munmap

from fastsip._core.base.check cimport check
from fastsip._core.base.mapped cimport map_file
from fastsip._core.store.records cimport KIND_FREE, block_t, record_t
from fastsip._core.store.kinds cimport RECORD_WORDS, block_in
from fastsip._core.store.blocks cimport ORDERS, UNIT_BYTES, order_of
from fastsip._core.store.slots cimport (
    HEADER_BYTES, at_crash_point, blocks_of, partition_header_t, partition_t, record_of, slot_t, word_kind,
)

from fastsip._core.base.mapped import begin_beside, beside


cdef bint fits(const partition_t *p, const room_t *room) noexcept nogil:
    cdef const record_t *record
    cdef uint32_t idx, blocks
    cdef uint64_t units = 0
    cdef int word
    for idx in range(p.header.high_water):
        if word_kind(p.slots[idx].commit) == KIND_FREE:
            continue
        if idx >= room.slots:
            return False
        record, blocks = record_of(&p.slots[idx]), blocks_of(p, idx)
        for word in range(<int>RECORD_WORDS):
            if blocks >> word & 1 and block_in(record, word).len:
                units += <uint64_t>1 << order_of(block_in(record, word).len)
    return units <= room.units


cdef void copy_blocks(const partition_t *p, char *to, const room_t *room, uint32_t idx, int order,
                      uint32_t *next_unit) noexcept nogil:
    """Those of one slot that have this order; the record there names the places they get."""
    cdef slot_t *slot = &(<slot_t *>(to + HEADER_BYTES))[idx]
    cdef record_t *record = &slot.records[slot.commit & 1]
    cdef uint32_t blocks = blocks_of(p, idx)
    cdef block_t *block
    cdef int word
    for word in range(<int>RECORD_WORDS):
        block = <block_t *>block_in(record, word)
        if not blocks >> word & 1 or block.len == 0 or order_of(block.len) != order:
            continue
        check(next_unit[0] & ((<uint32_t>1 << order) - 1) == 0)     # the largest first: no gap before any
        check(next_unit[0] + (<uint32_t>1 << order) <= room.units)
        memcpy(to + room.blocks_at + <uint64_t>next_unit[0] * UNIT_BYTES,
               p.blocks + <uint64_t>block.unit * UNIT_BYTES, block.len)
        block.unit = next_unit[0]
        next_unit[0] += <uint32_t>1 << order
        at_crash_point()


cdef void lay_out(const partition_t *p, char *to, const room_t *room) noexcept nogil:
    """All of a partition that fits; `to` has nothing but zeros."""
    cdef partition_header_t *header = <partition_header_t *>to
    cdef uint32_t used = min(p.header.high_water, room.slots)
    cdef uint32_t next_unit = 0
    cdef uint32_t idx
    cdef int order = ORDERS
    check(fits(p, room))
    memcpy(to, p.base, HEADER_BYTES)
    header.slot_count, header.unit_count, header.high_water = room.slots, room.units, used
    at_crash_point()
    memcpy(to + HEADER_BYTES, p.slots, used * sizeof(slot_t))
    at_crash_point()
    while order > 0:
        order -= 1
        for idx in range(used):
            if word_kind(p.slots[idx].commit) != KIND_FREE:
                copy_blocks(p, to, room, idx, order, &next_unit)


cdef int replace_partition(const partition_t *p, path, const room_t *room) except -1:
    cdef char *to
    with begin_beside(path, room.bytes) as fd:
        at_crash_point()
        to = map_file(fd, room.bytes)
        if to == NULL:
            raise OSError(f"{beside(path)} cannot be mapped")
        with nogil:
            lay_out(p, to, room)
            munmap(to, room.bytes)
        at_crash_point()
    at_crash_point()
    return 0
