# The mapped store: slots and message blocks are the truth (R3, docs/design.md#shape).  See slots.pyx.

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from fastsip._core.base.types cimport PARTITIONS
from fastsip._core.base.check cimport check
from fastsip._core.store.records cimport KIND_FREE, block_t, identity_t, record_t
from fastsip._core.store.kinds cimport KIND_ROWS, kind_row_t
from fastsip._core.store.blocks cimport buddy_t

cdef enum:
    LAYOUT_MAJOR = 1
    LAYOUT_MINOR = 1        # 1: the head names the kinds
    HEADER_BYTES = 4096
    PENDING_BLOCKS = 1024
    SLOT_BITS = 26          # a slot's reference is partition << SLOT_BITS | index
    SLOT_MASK = 0x3FFFFFF
    NO_SLOT = 0xFFFFFFFF
    SHARES = 256            # that the calls of a partition fall into; 0 = of a store that did not know them

# What the calls of one share hold of their partition.
cdef struct held_t:
    uint32_t slots
    uint32_t units

# Written before the first commit and never changed while the slot lives,
# except server.tried[n] for n >= attempt_count, and the choices of a server
# transaction (policy, set, rule, key of the call) until its first branch.
cdef struct slot_t:
    uint64_t commit         # generation 32 | kind 8 | state 8 | owes 8 | copy 8
    uint64_t key            # server: hash of its matching key; client: its branch
    uint32_t parent         # client: its server transaction; else NO_SLOT
    uint32_t parent_generation
    uint64_t created_ms
    uint64_t budget_ms      # server: absolute end of the search; 0 = none
    uint64_t call_key       # server: what the choice of a destination hashes
    uint32_t cseq
    uint8_t method          # method_id
    uint8_t attempt         # client: its number
    uint8_t in_dialog       # server: the request had a To tag
    uint8_t record_routed   # client: the request carries our Record-Route
    uint8_t share           # of the partition: by Call-ID, as the partition itself
    uint8_t reserve0[7]
    record_t records[2]
    identity_t identity
    uint8_t reserve[64]

cdef struct partition_header_t:
    char magic[8]
    uint32_t layout_major
    uint32_t layout_minor
    uint32_t slot_bytes
    uint32_t slot_count
    uint32_t unit_bytes
    uint32_t unit_count
    uint32_t partition
    uint32_t epoch          # of the store: hints of another store do not lead here
    uint64_t hash_key[2]    # of the store: partitions and matching keys
    char boot_id[40]
    uint64_t realtime_ms    # a pair, written every second
    uint64_t boottime_ms
    uint32_t high_water     # slots ever used
    uint32_t owner_node     # later
    kind_row_t kinds[12]    # those that whoever wrote this minor knew; KIND_ROWS
    uint8_t reserve[32]

cdef struct index_entry_t:
    uint32_t tag            # low half of the key
    uint32_t slot           # index + 1; 0 = empty

# One partition: the mapping and what is derived from it (private memory).
cdef struct partition_t:
    char *base
    uint64_t bytes
    partition_header_t *header
    slot_t *slots
    char *blocks
    uint32_t slot_count
    uint32_t reserved_slots  # left for in-dialog requests and CANCEL
    uint32_t free_count
    uint32_t *free_slots    # a stack
    buddy_t buddy
    uint32_t index_mask
    index_entry_t *index
    uint32_t *first_child   # [slot] reference's index, NO_SLOT ends
    uint32_t *next_sibling
    uint32_t *newer         # [slot] a ring of those that only linger (lingering); NO_SLOT = not in it
    uint8_t *share          # [slot]
    uint8_t *later          # [slot] of a later release, which knows what it is: never touched here
    uint32_t later_count
    held_t *held            # [share]
    uint32_t *older         # place slot_count of both is its head: behind the newest, before the oldest

cdef struct pending_block_t:
    uint16_t partition
    uint16_t share
    uint32_t unit
    uint32_t len

cdef struct store_t:
    uint64_t hash_key[2]
    uint32_t epoch
    uint32_t slot_count     # of the partition that has most
    uint32_t hinted[64]     # below which slots of a partition a hint may lead; 0: none, the index finds them
    partition_t partitions[PARTITIONS]

# Frees wait until the batch is sent: the outbox points into the blocks.
cdef struct pending_t:
    uint32_t count
    pending_block_t items[PENDING_BLOCKS]

# ---- reading
cdef inline slot_t *slot_at(store_t *s, uint32_t ref) noexcept nogil:
    check(ref >> SLOT_BITS < PARTITIONS)
    check(ref & SLOT_MASK < s.partitions[ref >> SLOT_BITS].slot_count)
    return &s.partitions[ref >> SLOT_BITS].slots[ref & SLOT_MASK]

cdef inline uint32_t word_generation(uint64_t word) noexcept nogil:
    return <uint32_t>(word >> 32)

cdef inline int word_kind(uint64_t word) noexcept nogil:
    return <int>((word >> 24) & 0xFF)

cdef inline int word_state(uint64_t word) noexcept nogil:
    return <int>((word >> 16) & 0xFF)

cdef inline int word_owes(uint64_t word) noexcept nogil:
    return <int>((word >> 8) & 0xFF)

# The committed record: read it, copy it, never write through it.
cdef inline const record_t *record_of(const slot_t *slot) noexcept nogil:
    return &slot.records[slot.commit & 1]

cdef inline char *block_at(store_t *s, uint32_t ref, uint32_t unit) noexcept nogil:
    check(unit < s.partitions[ref >> SLOT_BITS].buddy.unit_count)
    return s.partitions[ref >> SLOT_BITS].blocks + <uint64_t>unit * 256

cdef uint64_t hash_call(const store_t *s, const char *call_id, uint32_t len) noexcept nogil
cdef uint32_t partition_of(const store_t *s, const char *call_id, uint32_t len) noexcept nogil

cdef inline uint32_t partition_of_hash(uint64_t hashed) noexcept nogil:
    return <uint32_t>(hashed % PARTITIONS)

cdef inline uint8_t share_of_hash(uint64_t hashed) noexcept nogil:
    return <uint8_t>(1 + hashed // PARTITIONS % (SHARES - 1))

cdef inline uint8_t share_of(const store_t *s, uint32_t ref) noexcept nogil:
    return s.partitions[ref >> SLOT_BITS].share[ref & SLOT_MASK]

# More than is left for all others?
cdef bint holds_too_much(const store_t *s, uint32_t partition, uint8_t share) noexcept nogil

# Does something live there that these kernels serve?
cdef inline bint is_ours(const store_t *s, uint32_t ref) noexcept nogil:
    cdef const partition_t *p = &s.partitions[ref >> SLOT_BITS]
    return word_kind(p.slots[ref & SLOT_MASK].commit) != KIND_FREE and not p.later[ref & SLOT_MASK]

# Which words of the record of a slot in use name blocks, by our table and by that of the file.
cdef uint32_t blocks_of(const partition_t *p, uint32_t idx) noexcept nogil
# Does the head of a file name this kind and state, and our table not?
cdef bint is_later(const partition_header_t *header, int kind, int state) noexcept nogil

# ---- writing: every store to the mapping is one of these
cdef uint32_t take_slot(store_t *s, uint32_t partition, uint8_t share, bint reserved) noexcept nogil
cdef void write_identity(store_t *s, uint32_t ref, const slot_t *identity) noexcept nogil
cdef void write_tried(store_t *s, uint32_t ref, uint32_t attempt, uint32_t destination_id) noexcept nogil
cdef void commit(store_t *s, uint32_t ref, int kind, int state, int owes, const record_t *record) noexcept nogil
cdef void clear_owes(store_t *s, uint32_t ref, uint32_t generation, int owes) noexcept nogil
cdef void give_slot(store_t *s, uint32_t ref) noexcept nogil
cdef char *begin_block(store_t *s, uint32_t ref, uint32_t len, block_t *block) noexcept nogil
cdef void end_block() noexcept nogil
# Before the first commit.
cdef void name_kinds(store_t *s, uint32_t partition) noexcept nogil
cdef void write_clock_pair(store_t *s, uint32_t partition, uint64_t realtime_ms, uint64_t boottime_ms) noexcept nogil

# ---- derived state
cdef void drop_block(const store_t *s, pending_t *pending, uint32_t ref, const block_t *block) noexcept nogil
cdef void give_pending(store_t *s, pending_t *pending) noexcept nogil
# At once: nothing that waits to be sent points into it, and no commit names it.
cdef void give_block(store_t *s, uint32_t ref, const block_t *block) noexcept nogil
# As the newest of those that only linger; a slot leaves them with its life.
cdef void add_lingering(store_t *s, uint32_t ref) noexcept nogil
cdef uint32_t oldest_lingering(const store_t *s, uint32_t partition) noexcept nogil
cdef inline uint32_t newer_lingering(const store_t *s, uint32_t ref) noexcept nogil:
    cdef const partition_t *p = &s.partitions[ref >> SLOT_BITS]
    cdef uint32_t idx = p.newer[ref & SLOT_MASK]
    return NO_SLOT if idx == p.slot_count else (ref & ~<uint32_t>SLOT_MASK) | idx
cdef void leave_lingering(store_t *s, uint32_t ref) noexcept nogil
cdef void index_insert(store_t *s, uint32_t ref) noexcept nogil
cdef void index_remove(store_t *s, uint32_t ref) noexcept nogil
cdef uint32_t index_find(const store_t *s, uint32_t partition, uint64_t key, int kind) noexcept nogil
cdef void link_child(store_t *s, uint32_t ref) noexcept nogil
cdef void unlink_child(store_t *s, uint32_t ref) noexcept nogil
cdef inline uint32_t first_child_of(const store_t *s, uint32_t ref) noexcept nogil:
    cdef uint32_t idx = s.partitions[ref >> SLOT_BITS].first_child[ref & SLOT_MASK]
    return NO_SLOT if idx == NO_SLOT else (ref & ~<uint32_t>SLOT_MASK) | idx

cdef inline uint32_t next_child_of(const store_t *s, uint32_t ref) noexcept nogil:
    cdef uint32_t idx = s.partitions[ref >> SLOT_BITS].next_sibling[ref & SLOT_MASK]
    return NO_SLOT if idx == NO_SLOT else (ref & ~<uint32_t>SLOT_MASK) | idx

# ---- crash points
ctypedef void (*at_store_t)(void *what) noexcept nogil

# A place to die at, for whoever writes a file of the store that is not mapped by it.
cdef void at_crash_point() noexcept nogil
# Calls, before the k-th store to the mapping from now, once; k < 0: never.  call NULL: the process ends there.
cdef void call_at_store(int64_t k, at_store_t call, void *what) noexcept nogil

# ---- start
cdef int scan_partition(store_t *s, uint32_t partition) noexcept nogil
