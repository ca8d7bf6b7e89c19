"""The transaction store's slots and message blocks, in 64 mapped partitions (partitions opens the files).

Slots and blocks are the truth (R3, docs/design.md#shape); free lists, the hash index and the lists
of children live in private memory and are rebuilt by one scan.  A slot's
changing part is one 64-byte record held twice: the idle copy is written, then
one release store of the commit word makes it the current one.  Blocks are
written before the commit that names them and reused only after the one that
drops them (and after the batch that points into them was sent).

Never: a pointer in the mapping, a store to the mapping outside the functions
under "writing", a lock.  One thread owns a partition at a time.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, memcpy, memset
from posix.unistd cimport _exit

from fastsip._core.base.types cimport MAX_ATTEMPTS
from fastsip._core.base.check cimport check
from fastsip._core.base.atomics cimport store_release32, store_release64
from fastsip._core.base.scarcity cimport SCARCE_BLOCK, SCARCE_SLOT, runs_short
from fastsip._core.base.hashing cimport hash_text
from fastsip._core.store.records cimport KIND_FREE, block_t, is_server, record_t
from fastsip._core.store.kinds cimport (
    KIND_ROWS, NO_FAMILY, RECORD_WORDS, all_kinds, block_in, find_row, kind_row_t, kind_t, list_kinds,
)
from fastsip._core.store.blocks cimport NO_UNIT, ORDERS, give_units, order_of, rebuild_buddy, take_units

CRASH_STATUS = 77

cdef const kind_t *kinds = all_kinds()

# ---------------------------------------------------------------- crash points

# Tests let the process die at the k-th store to the mapping, or look at the mapping then; -1 = never.
cdef int64_t stores_left = -1
cdef at_store_t at_store = NULL
cdef void *at_store_what = NULL


cdef inline void crash_point() noexcept nogil:
    global stores_left
    if stores_left < 0:
        return
    if stores_left == 0:
        if at_store == NULL:
            _exit(77)
        at_store(at_store_what)
    stores_left -= 1


cdef void at_crash_point() noexcept nogil:
    crash_point()


def die_at_store(long long k):
    """Ends the process (status 77) at the k-th store to the mapping from now; negative: never."""
    call_at_store(k, NULL, NULL)


cdef void call_at_store(int64_t k, at_store_t call, void *what) noexcept nogil:
    global stores_left, at_store, at_store_what
    stores_left, at_store, at_store_what = k, call, what


# ---------------------------------------------------------------- reading

cdef uint64_t hash_call(const store_t *s, const char *call_id, uint32_t len) noexcept nogil:
    """What partition_of_hash and share_of_hash read."""
    return hash_text(s.hash_key, call_id, len)


cdef uint32_t partition_of(const store_t *s, const char *call_id, uint32_t len) noexcept nogil:
    return partition_of_hash(hash_call(s, call_id, len))


cdef bint holds_too_much(const store_t *s, uint32_t partition, uint8_t share) noexcept nogil:
    """Of a memory that many use, no one holds more than is free: n who take what they can leave a part in n + 1
    (Choudhury and Hahne, Dynamic Queue Length Thresholds, 1998).
    """
    cdef const partition_t *p = &s.partitions[partition]
    cdef const held_t *held = &p.held[share]
    return share != 0 and (held.slots > p.free_count or held.units > p.buddy.unit_count - p.buddy.used_units)


cdef bint is_later(const partition_header_t *header, int kind, int state) noexcept nogil:
    cdef const kind_row_t *row = find_row(header.kinds, kind) if header.layout_minor > LAYOUT_MINOR else NULL
    return row != NULL and state <= row.last_state and (kinds[kind].family == NO_FAMILY
                                                        or state > kinds[kind].last_state)


cdef uint32_t blocks_of(const partition_t *p, uint32_t idx) noexcept nogil:
    cdef int kind = word_kind(p.slots[idx].commit)
    cdef const kind_row_t *row = find_row(p.header.kinds, kind) if p.header.layout_minor > LAYOUT_MINOR else NULL
    check(idx < p.slot_count)
    return kinds[kind].blocks | (row.blocks if row != NULL else 0)


# ---------------------------------------------------------------- writing

cdef inline uint64_t make_word(uint32_t generation, int kind, int state, int owes, uint64_t copy) noexcept nogil:
    return (<uint64_t>generation << 32 | <uint64_t>kind << 24 | <uint64_t>state << 16 | <uint64_t>owes << 8
            | copy)


cdef inline void end_life(slot_t *slot) noexcept nogil:
    store_release64(&slot.commit, make_word(word_generation(slot.commit), KIND_FREE, 0, 0, slot.commit & 1))


cdef uint32_t take_slot(store_t *s, uint32_t partition, uint8_t share, bint reserved) noexcept nogil:
    """A free slot's reference, or NO_SLOT.  Only `reserved` requests (in-dialog, CANCEL) may use the last tenth."""
    cdef partition_t *p = &s.partitions[partition]
    cdef uint32_t idx
    if p.free_count == 0 or (not reserved and p.free_count <= p.reserved_slots) or runs_short(SCARCE_SLOT):
        return NO_SLOT
    p.free_count -= 1
    idx = p.free_slots[p.free_count]
    if idx >= p.header.high_water:
        if word_kind(p.slots[idx].commit) != KIND_FREE:     # damage: this mark was higher once
            end_life(&p.slots[idx])
        crash_point()
        p.header.high_water = idx + 1
    check(idx < p.slot_count)
    check(word_kind(p.slots[idx].commit) == KIND_FREE)
    check(p.newer[idx] == NO_SLOT)      # whoever had it before does not linger here any more
    p.first_child[idx] = NO_SLOT
    p.next_sibling[idx] = NO_SLOT
    p.share[idx] = share
    p.held[share].slots += 1
    return (partition << SLOT_BITS) | idx


cdef inline uint32_t published(const slot_t *slot) noexcept nogil:
    """For a check: how many branches a commit has published; of a branch none may be asked for."""
    if word_kind(slot.commit) == KIND_FREE:
        return 0
    return record_of(slot).server.attempt_count if is_server(word_kind(slot.commit)) else MAX_ATTEMPTS + 1


cdef void write_identity(store_t *s, uint32_t ref, const slot_t *identity) noexcept nogil:
    """All of a free slot but its commit word and records."""
    cdef slot_t *slot = slot_at(s, ref)
    check(published(slot) == 0)
    crash_point()
    memcpy(&slot.key, &identity.key, 56)
    slot.share = share_of(s, ref)
    memcpy(&slot.identity, &identity.identity, sizeof(slot.identity))
    crash_point()


cdef void write_tried(store_t *s, uint32_t ref, uint32_t attempt, uint32_t destination_id) noexcept nogil:
    """Before the commit that raises attempt_count over `attempt`."""
    check(attempt < MAX_ATTEMPTS)
    check(attempt >= published(slot_at(s, ref)))
    crash_point()
    slot_at(s, ref).identity.server.tried[attempt] = destination_id


cdef inline bint is_taken(const partition_t *p, const block_t *block) noexcept nogil:
    """For a check: none, or a block of the partition that nobody else may take."""
    return block.len == 0 or (block.unit + <uint64_t>units_of(block.len) <= p.buddy.unit_count
                              and p.buddy.free_order[block.unit] == 0)


cdef void commit(store_t *s, uint32_t ref, int kind, int state, int owes, const record_t *record) noexcept nogil:
    """The slot is before this call or after it, whenever the process dies."""
    cdef slot_t *slot = slot_at(s, ref)
    cdef uint64_t word = slot.commit
    cdef uint64_t copy = 1 - (word & 1)
    cdef uint32_t generation = word_generation(word)
    if word_kind(word) == KIND_FREE:
        generation += 1
    check(kind != KIND_FREE)
    check(ref & SLOT_MASK < s.partitions[ref >> SLOT_BITS].header.high_water)   # the next scan looks no further
    check((word_kind(word) == KIND_FREE) | (word_kind(word) == kind))
    check((state | owes) & ~0xFF == 0)
    crash_point()
    memcpy(&slot.records[copy], record, sizeof(record_t))
    crash_point()
    store_release64(&slot.commit, make_word(generation, kind, state, owes, copy))
    crash_point()
    check(record_of(slot) == &slot.records[copy])


cdef void clear_owes(store_t *s, uint32_t ref, uint32_t generation, int owes) noexcept nogil:
    """What was owed was sent; nothing happens if the slot has another life now."""
    cdef slot_t *slot = slot_at(s, ref)
    cdef uint64_t word = slot.commit
    check(owes & ~0xFF == 0)            # a higher bit would take something off the state
    if word_generation(word) != generation or not word_owes(word) & owes:
        return
    crash_point()
    store_release64(&slot.commit, word & ~(<uint64_t>owes << 8))


cdef void give_slot(store_t *s, uint32_t ref) noexcept nogil:
    """Ends the slot's life; its blocks must be dropped after this."""
    cdef partition_t *p = &s.partitions[ref >> SLOT_BITS]
    check(p.free_count < p.slot_count)
    check(p.held[share_of(s, ref)].slots > 0)
    crash_point()
    end_life(slot_at(s, ref))
    crash_point()
    leave_lingering(s, ref)
    p.free_slots[p.free_count] = ref & SLOT_MASK
    p.free_count += 1
    p.held[share_of(s, ref)].slots -= 1


cdef char *begin_block(store_t *s, uint32_t ref, uint32_t len, block_t *block) noexcept nogil:
    """Room for len bytes in the slot's partition, or NULL; call end_block when written."""
    cdef int order = order_of(len)
    cdef uint32_t unit
    if order >= ORDERS or runs_short(SCARCE_BLOCK):
        return NULL
    unit = take_units(&s.partitions[ref >> SLOT_BITS].buddy, order)
    if unit == NO_UNIT:
        return NULL
    block.unit = unit
    block.len = len
    check(is_taken(&s.partitions[ref >> SLOT_BITS], block))
    s.partitions[ref >> SLOT_BITS].held[share_of(s, ref)].units += units_of(len)
    crash_point()
    return block_at(s, ref, unit)


cdef void end_block() noexcept nogil:
    crash_point()


cdef void name_kinds(store_t *s, uint32_t partition) noexcept nogil:
    """The head of a file says which kinds may be in it; that of a later minor layout says more than we know."""
    cdef partition_header_t *header = s.partitions[partition].header
    cdef kind_row_t rows[KIND_ROWS]
    list_kinds(rows)
    if header.layout_minor > LAYOUT_MINOR or (header.layout_minor == LAYOUT_MINOR
                                              and memcmp(header.kinds, rows, sizeof(rows)) == 0):
        return
    crash_point()
    memcpy(header.kinds, rows, sizeof(rows))
    crash_point()
    store_release32(&header.layout_minor, LAYOUT_MINOR)


cdef void write_clock_pair(store_t *s, uint32_t partition, uint64_t realtime_ms, uint64_t boottime_ms) noexcept nogil:
    cdef partition_header_t *header = s.partitions[partition].header
    # Nobody relies on the pair being of one moment: a second later there is another one, so this is no commit.
    check(header.partition == partition)
    header.realtime_ms = realtime_ms
    header.boottime_ms = boottime_ms


# ---------------------------------------------------------------- derived state

cdef inline uint32_t units_of(uint32_t len) noexcept nogil:
    """That a block takes of its partition; none, if it has no bytes."""
    return <uint32_t>1 << order_of(len) if len else 0


cdef inline void give_back(partition_t *p, uint8_t share, uint32_t unit, uint32_t len) noexcept nogil:
    check(p.held[share].units >= units_of(len))
    give_units(&p.buddy, unit, order_of(len))
    p.held[share].units -= units_of(len)


cdef void drop_block(const store_t *s, pending_t *pending, uint32_t ref, const block_t *block) noexcept nogil:
    """Gives a block back after the batch is sent; no longer named by any commit.

    The caller keeps room in `pending` (see shard.needs_flush); a block that found
    none would be lost until the next scan.
    """
    cdef pending_block_t *item
    check(is_taken(&s.partitions[ref >> SLOT_BITS], block))
    if block.len == 0 or pending.count >= PENDING_BLOCKS:
        return
    item = &pending.items[pending.count]
    item.partition = <uint16_t>(ref >> SLOT_BITS)
    item.share = share_of(s, ref)
    item.unit = block.unit
    item.len = block.len
    pending.count += 1


cdef void give_pending(store_t *s, pending_t *pending) noexcept nogil:
    cdef const pending_block_t *item
    cdef uint32_t i
    check(pending.count <= PENDING_BLOCKS)
    for i in range(pending.count):
        item = &pending.items[i]
        give_back(&s.partitions[item.partition], <uint8_t>item.share, item.unit, item.len)
    pending.count = 0


cdef void give_block(store_t *s, uint32_t ref, const block_t *block) noexcept nogil:
    check(is_taken(&s.partitions[ref >> SLOT_BITS], block))
    if block.len:
        give_back(&s.partitions[ref >> SLOT_BITS], share_of(s, ref), block.unit, block.len)


cdef void add_lingering(store_t *s, uint32_t ref) noexcept nogil:
    cdef partition_t *p = &s.partitions[ref >> SLOT_BITS]
    cdef uint32_t idx = ref & SLOT_MASK
    cdef uint32_t head = p.slot_count
    # The ring has a place of its own as head, so that neither end is a case of its own.
    check(idx < p.slot_count)
    check(p.newer[idx] == NO_SLOT)      # nobody stands in it twice: the ring would lose all between
    check(p.newer[p.older[head]] == head)
    p.newer[idx] = head
    p.older[idx] = p.older[head]
    p.newer[p.older[head]] = idx
    p.older[head] = idx


cdef uint32_t oldest_lingering(const store_t *s, uint32_t partition) noexcept nogil:
    """NO_SLOT: there is none."""
    cdef const partition_t *p = &s.partitions[partition]
    cdef uint32_t idx = p.newer[p.slot_count]
    check(idx <= p.slot_count)
    check(p.older[idx] == p.slot_count)     # nobody is older
    return NO_SLOT if idx == p.slot_count else (partition << SLOT_BITS) | idx


cdef void leave_lingering(store_t *s, uint32_t ref) noexcept nogil:
    cdef partition_t *p = &s.partitions[ref >> SLOT_BITS]
    cdef uint32_t idx = ref & SLOT_MASK
    if p.newer[idx] == NO_SLOT:
        return
    check(p.newer[p.older[idx]] == idx)
    check(p.older[p.newer[idx]] == idx)
    p.newer[p.older[idx]] = p.newer[idx]
    p.older[p.newer[idx]] = p.older[idx]
    p.newer[idx] = NO_SLOT


cdef inline bint is_indexed(const partition_t *p, uint32_t idx) noexcept nogil:
    """For a check: is there a way from the slot's key to the slot?"""
    cdef uint32_t at = <uint32_t>p.slots[idx].key & p.index_mask
    while p.index[at].slot:
        if p.index[at].slot == idx + 1:
            return True
        at = (at + 1) & p.index_mask
    return False


cdef void index_insert(store_t *s, uint32_t ref) noexcept nogil:
    """The table has two places for each slot, so a free one is found, and near."""
    cdef partition_t *p = &s.partitions[ref >> SLOT_BITS]
    cdef uint32_t tag = <uint32_t>slot_at(s, ref).key
    cdef uint32_t at = tag & p.index_mask
    check(not is_indexed(p, ref & SLOT_MASK))
    while p.index[at].slot:
        at = (at + 1) & p.index_mask
    p.index[at].tag = tag
    p.index[at].slot = (ref & SLOT_MASK) + 1


cdef void index_remove(store_t *s, uint32_t ref) noexcept nogil:
    """Removes and closes the gap, so that a look-up never meets tombstones."""
    cdef partition_t *p = &s.partitions[ref >> SLOT_BITS]
    cdef uint32_t mask = p.index_mask
    cdef uint32_t wanted = (ref & SLOT_MASK) + 1
    cdef uint32_t at = <uint32_t>slot_at(s, ref).key & mask
    cdef uint32_t hole, home
    while p.index[at].slot != wanted:
        if p.index[at].slot == 0:
            return
        at = (at + 1) & mask
    hole = at
    while True:
        at = (at + 1) & mask
        if p.index[at].slot == 0:
            break
        home = p.index[at].tag & mask
        if ((at - home) & mask) >= ((at - hole) & mask):
            p.index[hole] = p.index[at]
            hole = at
    p.index[hole].slot = 0
    check(not is_indexed(p, ref & SLOT_MASK))


cdef uint32_t index_find(const store_t *s, uint32_t partition, uint64_t key, int kind) noexcept nogil:
    """The live slot of this key and kind, or NO_SLOT."""
    cdef const partition_t *p = &s.partitions[partition]
    cdef uint32_t tag = <uint32_t>key
    cdef uint32_t at = tag & p.index_mask
    cdef const slot_t *slot
    while p.index[at].slot:
        # An entry goes before its slot gets another key: the tag is of the key that stands there.
        check(p.index[at].slot <= p.slot_count)
        check(p.index[at].tag == <uint32_t>p.slots[p.index[at].slot - 1].key)
        if p.index[at].tag == tag:
            slot = &p.slots[p.index[at].slot - 1]
            if slot.key == key and word_kind(slot.commit) == kind:
                return (partition << SLOT_BITS) | (p.index[at].slot - 1)
        at = (at + 1) & p.index_mask
    return NO_SLOT


cdef void link_child(store_t *s, uint32_t ref) noexcept nogil:
    cdef partition_t *p = &s.partitions[ref >> SLOT_BITS]
    cdef uint32_t parent = slot_at(s, ref).parent & SLOT_MASK
    check(slot_at(s, ref).parent >> SLOT_BITS == ref >> SLOT_BITS)
    check(p.next_sibling[ref & SLOT_MASK] == NO_SLOT)
    check(parent != ref & SLOT_MASK)    # the list would not end
    p.next_sibling[ref & SLOT_MASK] = p.first_child[parent]
    p.first_child[parent] = ref & SLOT_MASK


cdef void unlink_child(store_t *s, uint32_t ref) noexcept nogil:
    cdef partition_t *p = &s.partitions[ref >> SLOT_BITS]
    cdef uint32_t idx = ref & SLOT_MASK
    cdef uint32_t *link = &p.first_child[slot_at(s, ref).parent & SLOT_MASK]
    while link[0] != NO_SLOT:
        check(link[0] < p.slot_count)
        if link[0] == idx:
            link[0] = p.next_sibling[idx]
            return
        link = &p.next_sibling[link[0]]


# ---------------------------------------------------------------- the scan

cdef bint is_published(const partition_t *p, const slot_t *child) noexcept nogil:
    """Does its parent live, in the life the child was made for, and count it?"""
    cdef const slot_t *parent
    cdef uint32_t idx = child.parent & SLOT_MASK
    if child.parent == NO_SLOT or child.parent >> SLOT_BITS != p.header.partition or idx >= p.slot_count:
        return False
    parent = &p.slots[idx]
    return (is_server(word_kind(parent.commit)) and not p.later[idx]
            and word_generation(parent.commit) == child.parent_generation
            and child.attempt < record_of(parent).server.attempt_count)


cdef int mark_block(const partition_t *p, uint8_t *used, const block_t *block) noexcept nogil:
    """Marks the block's units; -1 when no block can lie there, or another one does."""
    cdef uint32_t i, size
    cdef int order
    if block.len == 0:
        return 0
    order = order_of(block.len)
    if order >= ORDERS:
        return -1
    size = <uint32_t>1 << order
    if block.unit + <uint64_t>size > p.buddy.unit_count or block.unit & (size - 1):
        return -1
    for i in range(size):
        if used[block.unit + i]:
            return -1
        used[block.unit + i] = 1
    return 0


cdef int mark_slot_blocks(const partition_t *p, uint8_t *used, uint32_t idx) noexcept nogil:
    cdef const slot_t *slot = &p.slots[idx]
    cdef const record_t *record = record_of(slot)
    cdef uint32_t blocks = blocks_of(p, idx)
    cdef int word
    cdef int bad = 0
    if not p.later[idx] and kinds[word_kind(slot.commit)].contradicts(record, &slot.identity):
        return -1
    for word in range(<int>RECORD_WORDS):
        if blocks >> word & 1:
            bad |= mark_block(p, used, block_in(record, word))
    return bad


cdef void count_held(partition_t *p, uint32_t idx) noexcept nogil:
    """What a slot that lives holds, by its share."""
    cdef const slot_t *slot = &p.slots[idx]
    cdef held_t *held = &p.held[slot.share]
    cdef uint32_t blocks = blocks_of(p, idx)
    cdef int word
    p.share[idx] = slot.share
    held.slots += 1
    for word in range(<int>RECORD_WORDS):
        if blocks >> word & 1:
            held.units += units_of(block_in(record_of(slot), word).len)


cdef inline uint32_t all_held(const partition_t *p) noexcept nogil:
    """For a check: units that all shares hold together."""
    cdef uint32_t share
    cdef uint32_t units = 0
    for share in range(<uint32_t>SHARES):
        units += p.held[share].units
    return units


cdef bint goes_with_parent(const partition_t *p, const slot_t *child) noexcept nogil:
    """Is it of a kind of ours, and its parent not?  They stay together."""
    cdef uint32_t idx = child.parent & SLOT_MASK
    return (kinds[word_kind(child.commit)].is_child and child.parent >> SLOT_BITS == p.header.partition
            and idx < p.header.high_water and p.later[idx]
            and word_generation(p.slots[idx].commit) == child.parent_generation)


cdef void sort_out(partition_t *p) noexcept nogil:
    """What a later release began is left alone; what no table names is damage and goes, as what is not published."""
    cdef uint32_t idx
    cdef slot_t *slot
    cdef const kind_t *kind
    memset(p.later, 0, p.slot_count)
    p.later_count = 0
    for idx in range(p.header.high_water):
        slot = &p.slots[idx]
        kind = &kinds[word_kind(slot.commit)]
        if word_kind(slot.commit) == KIND_FREE or (kind.family != NO_FAMILY
                                                   and word_state(slot.commit) <= kind.last_state):
            continue
        if is_later(p.header, word_kind(slot.commit), word_state(slot.commit)):
            p.later[idx] = 1
            p.later_count += 1
        else:
            end_life(slot)
    for idx in range(p.header.high_water):
        slot = &p.slots[idx]
        if p.later[idx] or not kinds[word_kind(slot.commit)].is_child:
            continue
        if p.later_count and goes_with_parent(p, slot):
            p.later[idx] = 1
            p.later_count += 1
        elif not is_published(p, slot):
            end_life(slot)


cdef int scan_partition(store_t *s, uint32_t partition) noexcept nogil:
    """Rebuilds all derived state of a partition; sweeps children that no commit published.

    Returns how many slots live, or -1 when a block is named twice, lies
    outside, or has no room for what it holds, or branches are more than can be: the file is damaged.
    """
    cdef partition_t *p = &s.partitions[partition]
    cdef uint8_t *used = <uint8_t *>calloc(p.buddy.unit_count, 1)
    cdef uint32_t idx
    cdef int live = 0
    cdef int bad = 0
    if used == NULL:
        return -1
    memset(p.index, 0, (<uint64_t>p.index_mask + 1) * sizeof(index_entry_t))
    memset(p.first_child, 0xFF, <uint64_t>p.slot_count * 4)
    memset(p.next_sibling, 0xFF, <uint64_t>p.slot_count * 4)
    memset(p.newer, 0xFF, <uint64_t>p.slot_count * 4)
    p.newer[p.slot_count] = p.older[p.slot_count] = p.slot_count
    memset(p.held, 0, SHARES * sizeof(held_t))
    p.free_count = 0
    sort_out(p)
    # From the last one down: free slots lie on a stack, so the lowest are taken first and the mark stays low.
    idx = p.slot_count
    while idx > 0:
        idx -= 1
        if idx >= p.header.high_water or word_kind(p.slots[idx].commit) == KIND_FREE:
            p.free_slots[p.free_count] = idx
            p.free_count += 1
            continue
        live += 1
        bad |= mark_slot_blocks(p, used, idx)
        count_held(p, idx)
        if p.later[idx]:
            continue
        index_insert(s, (partition << SLOT_BITS) | idx)
        if kinds[word_kind(p.slots[idx].commit)].is_child:
            link_child(s, (partition << SLOT_BITS) | idx)
    # A hint could lead to what a later release began, which nothing here may touch: then the index alone is asked.
    s.hinted[partition] = 0 if p.later_count else p.slot_count
    rebuild_buddy(&p.buddy, used)
    check((bad != 0) | (all_held(p) == p.buddy.used_units))     # two counts of the same, by slots and by units
    free(used)
    return -1 if bad else live
