"""The transaction store: 64 mapped files of slots and message blocks.

Slots and blocks are the truth (R3); free lists, the hash index and the lists
of children live in private memory and are rebuilt by one scan.  A slot's
changing part is one 64-byte record held twice: the idle copy is written, then
one release store of the commit word makes it the current one.  Blocks are
written before the commit that names them and reused only after the one that
drops them (and after the batch that points into them was sent).

Never: a pointer in the mapping, a store to the mapping outside the functions
under "writing", a lock.  One thread owns a partition at a time.
Used by transactions, the proxy files and shard; opened by router.
"""

import errno
import os
import secrets
import struct
import time
from pathlib import Path

from libc.stdint cimport uint8_t, uint32_t, uint64_t, int64_t, uintptr_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset
from posix.unistd cimport _exit

from fastsip._core.atomics cimport store_release64
from fastsip._core.blocks cimport (NO_UNIT, ORDERS, UNIT_BYTES, free_buddy, give_units, init_buddy,
                                   order_of, rebuild_buddy, take_units)
from fastsip._core.hashing cimport hash_text
from fastsip._core.types cimport PARTITIONS

MAGIC = b"fastsip\x01"
TRANSACTION_BYTES = 3072    # of blocks per transaction: a ringing INVITE and its 180
CRASH_STATUS = 77

# ---------------------------------------------------------------- crash points

# Tests let the process die at the k-th store to the mapping; -1 = never.
cdef int64_t stores_left = -1


cdef inline void crash_point() noexcept nogil:
    global stores_left
    if stores_left < 0:
        return
    if stores_left == 0:
        _exit(77)
    stores_left -= 1


def die_at_store(long long k):
    """Ends the process (status 77) at the k-th store to the mapping from now; negative: never."""
    global stores_left
    stores_left = k


# ---------------------------------------------------------------- reading

cdef uint32_t partition_of(const store_t *s, const char *call_id, uint32_t len) noexcept nogil:
    return <uint32_t>(hash_text(s.hash_key, call_id, len) & (PARTITIONS - 1))


# ---------------------------------------------------------------- writing

cdef inline uint64_t make_word(uint32_t generation, int kind, int state, int owes, uint64_t copy) noexcept nogil:
    return (<uint64_t>generation << 32 | <uint64_t>kind << 24 | <uint64_t>state << 16 | <uint64_t>owes << 8
            | copy)


cdef uint32_t take_slot(store_t *s, uint32_t partition, bint reserved) noexcept nogil:
    """A free slot's reference, or NO_SLOT.  Only `reserved` requests (in-dialog, CANCEL) may use the last tenth."""
    cdef partition_t *p = &s.partitions[partition]
    cdef uint32_t idx
    if p.free_count == 0 or (not reserved and p.free_count <= p.reserved_slots):
        return NO_SLOT
    p.free_count -= 1
    idx = p.free_slots[p.free_count]
    if idx >= p.header.high_water:
        crash_point()
        p.header.high_water = idx + 1
    p.first_child[idx] = NO_SLOT
    p.next_sibling[idx] = NO_SLOT
    return (partition << SLOT_BITS) | idx


cdef void write_identity(store_t *s, uint32_t ref, const slot_t *identity) noexcept nogil:
    """All of a free slot but its commit word and records."""
    cdef slot_t *slot = slot_at(s, ref)
    crash_point()
    memcpy(&slot.key, &identity.key, 56)
    memcpy(&slot.identity, &identity.identity, sizeof(slot.identity))
    crash_point()


cdef void write_tried(store_t *s, uint32_t ref, uint32_t attempt, uint32_t destination_id) noexcept nogil:
    """Before the commit that raises attempt_count over `attempt`."""
    crash_point()
    slot_at(s, ref).identity.server.tried[attempt] = destination_id


cdef void commit(store_t *s, uint32_t ref, int kind, int state, int owes, const record_t *record) noexcept nogil:
    """The slot is before this call or after it, whenever the process dies."""
    cdef slot_t *slot = slot_at(s, ref)
    cdef uint64_t word = slot.commit
    cdef uint64_t copy = 1 - (word & 1)
    cdef uint32_t generation = word_generation(word)
    if word_kind(word) == KIND_FREE:
        generation += 1
    crash_point()
    memcpy(&slot.records[copy], record, sizeof(record_t))
    crash_point()
    store_release64(&slot.commit, make_word(generation, kind, state, owes, copy))
    crash_point()


cdef void clear_owes(store_t *s, uint32_t ref, uint32_t generation, int owes) noexcept nogil:
    """What was owed was sent; nothing happens if the slot has another life now."""
    cdef slot_t *slot = slot_at(s, ref)
    cdef uint64_t word = slot.commit
    if word_generation(word) != generation or not word_owes(word) & owes:
        return
    crash_point()
    store_release64(&slot.commit, word & ~(<uint64_t>owes << 8))


cdef void give_slot(store_t *s, uint32_t ref) noexcept nogil:
    """Ends the slot's life; its blocks must be dropped after this."""
    cdef partition_t *p = &s.partitions[ref >> SLOT_BITS]
    cdef slot_t *slot = slot_at(s, ref)
    crash_point()
    store_release64(&slot.commit, make_word(word_generation(slot.commit), KIND_FREE, 0, 0, slot.commit & 1))
    crash_point()
    p.free_slots[p.free_count] = ref & SLOT_MASK
    p.free_count += 1


cdef char *begin_block(store_t *s, uint32_t ref, uint32_t len, block_t *block) noexcept nogil:
    """Room for len bytes in the slot's partition, or NULL; call end_block when written."""
    cdef int order = order_of(len)
    cdef uint32_t unit
    if order >= ORDERS:
        return NULL
    unit = take_units(&s.partitions[ref >> SLOT_BITS].buddy, order)
    if unit == NO_UNIT:
        return NULL
    block.unit = unit
    block.len = len
    crash_point()
    return block_at(s, ref, unit)


cdef void end_block() noexcept nogil:
    crash_point()


cdef void write_clock_pair(store_t *s, uint32_t partition, uint64_t realtime_ms, uint64_t boottime_ms) noexcept nogil:
    cdef partition_header_t *header = s.partitions[partition].header
    header.realtime_ms = realtime_ms
    header.boottime_ms = boottime_ms


# ---------------------------------------------------------------- derived state

cdef void drop_block(pending_t *pending, uint32_t ref, block_t *block) noexcept nogil:
    """Gives a block back after the batch is sent; no longer named by any commit.

    The caller keeps room in `pending` (see core.make_room); a block that found
    none would be lost until the next scan.
    """
    cdef pending_block_t *item
    if block.len == 0 or pending.count >= PENDING_BLOCKS:
        return
    item = &pending.items[pending.count]
    item.partition = ref >> SLOT_BITS
    item.unit = block.unit
    item.len = block.len
    pending.count += 1


cdef void give_pending(store_t *s, pending_t *pending) noexcept nogil:
    cdef uint32_t i
    for i in range(pending.count):
        give_units(&s.partitions[pending.items[i].partition].buddy, pending.items[i].unit,
                   order_of(pending.items[i].len))
    pending.count = 0


cdef void index_insert(store_t *s, uint32_t ref) noexcept nogil:
    cdef partition_t *p = &s.partitions[ref >> SLOT_BITS]
    cdef uint32_t tag = <uint32_t>slot_at(s, ref).key
    cdef uint32_t at = tag & p.index_mask
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


cdef uint32_t index_find(const store_t *s, uint32_t partition, uint64_t key, int kind) noexcept nogil:
    """The live slot of this key and kind, or NO_SLOT."""
    cdef const partition_t *p = &s.partitions[partition]
    cdef uint32_t tag = <uint32_t>key
    cdef uint32_t at = tag & p.index_mask
    cdef const slot_t *slot
    while p.index[at].slot:
        if p.index[at].tag == tag:
            slot = &p.slots[p.index[at].slot - 1]
            if slot.key == key and word_kind(slot.commit) == kind:
                return (partition << SLOT_BITS) | (p.index[at].slot - 1)
        at = (at + 1) & p.index_mask
    return NO_SLOT


cdef void link_child(store_t *s, uint32_t ref) noexcept nogil:
    cdef partition_t *p = &s.partitions[ref >> SLOT_BITS]
    cdef uint32_t parent = slot_at(s, ref).parent & SLOT_MASK
    p.next_sibling[ref & SLOT_MASK] = p.first_child[parent]
    p.first_child[parent] = ref & SLOT_MASK


cdef void unlink_child(store_t *s, uint32_t ref) noexcept nogil:
    cdef partition_t *p = &s.partitions[ref >> SLOT_BITS]
    cdef uint32_t idx = ref & SLOT_MASK
    cdef uint32_t *link = &p.first_child[slot_at(s, ref).parent & SLOT_MASK]
    while link[0] != NO_SLOT:
        if link[0] == idx:
            link[0] = p.next_sibling[idx]
            return
        link = &p.next_sibling[link[0]]


# ---------------------------------------------------------------- the scan

cdef bint is_published(const partition_t *p, const slot_t *child) noexcept nogil:
    """Does its parent live, in the life the child was made for, and count it?"""
    cdef const slot_t *parent
    cdef uint32_t idx = child.parent & SLOT_MASK
    if child.parent == NO_SLOT or idx >= p.slot_count:
        return False
    parent = &p.slots[idx]
    return (is_server(word_kind(parent.commit)) and word_generation(parent.commit) == child.parent_generation
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


cdef int mark_slot_blocks(const partition_t *p, uint8_t *used, const slot_t *slot) noexcept nogil:
    cdef const record_t *record = record_of(slot)
    if is_server(word_kind(slot.commit)):
        return (mark_block(p, used, &record.server.kept) | mark_block(p, used, &record.server.response)
                | mark_block(p, used, &record.server.best))
    return mark_block(p, used, &record.client.request)


cdef int scan_partition(store_t *s, uint32_t partition) noexcept nogil:
    """Rebuilds all derived state of a partition; sweeps children that no commit published.

    Returns how many slots live, or -1 when a block is named twice or lies
    outside: the file is damaged.
    """
    cdef partition_t *p = &s.partitions[partition]
    cdef uint8_t *used = <uint8_t *>calloc(p.buddy.unit_count, 1)
    cdef uint32_t idx
    cdef int live = 0
    cdef int bad = 0
    cdef slot_t *slot
    if used == NULL:
        return -1
    memset(p.index, 0, (<uint64_t>p.index_mask + 1) * sizeof(index_entry_t))
    memset(p.first_child, 0xFF, <uint64_t>p.slot_count * 4)
    memset(p.next_sibling, 0xFF, <uint64_t>p.slot_count * 4)
    p.free_count = 0
    for idx in range(p.header.high_water):
        slot = &p.slots[idx]
        if word_kind(slot.commit) != KIND_FREE and not is_server(word_kind(slot.commit)) and not is_published(p, slot):
            store_release64(&slot.commit, make_word(word_generation(slot.commit), KIND_FREE, 0, 0, slot.commit & 1))
    idx = p.slot_count
    while idx > 0:
        idx -= 1
        slot = &p.slots[idx]
        if idx >= p.header.high_water or word_kind(slot.commit) == KIND_FREE:
            p.free_slots[p.free_count] = idx
            p.free_count += 1
            continue
        live += 1
        bad |= mark_slot_blocks(p, used, slot)
        index_insert(s, (partition << SLOT_BITS) | idx)
        if not is_server(word_kind(slot.commit)):
            link_child(s, (partition << SLOT_BITS) | idx)
    rebuild_buddy(&p.buddy, used)
    free(used)
    return -1 if bad else live


# ---------------------------------------------------------------- files

def partition_share(max_transactions: int) -> int:
    """Transactions a partition must hold so that an even hash seldom fills one early (six sigma)."""
    share = -(-max_transactions // PARTITIONS)
    return share + int(6 * share ** 0.5) + 8


def partition_sizes(max_transactions: int) -> tuple[int, int]:
    """(slots, units) of a partition: two slots and 3 KiB of blocks for each transaction."""
    share = partition_share(max_transactions)
    return 2 * share, max(share * TRANSACTION_BYTES // UNIT_BYTES, 1024)


def store_bytes(max_transactions: int) -> int:
    """Bytes of run_dir that the store takes, all of them allocated at start."""
    slots, units = partition_sizes(max_transactions)
    return PARTITIONS * file_bytes(slots, units)


def file_bytes(slots: int, units: int) -> int:
    return block_offset(slots) + units * UNIT_BYTES


def block_offset(slots: int) -> int:
    return -(-(HEADER_BYTES + slots * sizeof(slot_t)) // 4096) * 4096


def boot_id() -> bytes:
    return Path("/proc/sys/kernel/random/boot_id").read_bytes().strip()


class StoreError(Exception):
    """The store cannot be opened; the text says why and what would help."""


class DamagedStore(StoreError):
    """What the files hold contradicts itself; the text says where."""


cdef class Store:
    """The 64 partition files under run_dir/transactions, created or attached.

    `notes` lists what was set aside while opening, for the log.  Raises
    StoreError when there is no room (sizes wanted and free are named).
    """

    def __cinit__(self):
        self.store = <store_t *>calloc(1, sizeof(store_t))
        if self.store == NULL:
            raise MemoryError

    def __init__(self, run_dir, int max_transactions):
        self.run_dir = str(run_dir)
        self.notes = []
        folder = Path(run_dir) / "transactions"
        folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        wanted = partition_sizes(max_transactions)
        headers = [read_header(folder / partition_name(p)) for p in range(PARTITIONS)]
        if not is_one_store(headers):
            self.set_aside(folder, headers)
            create_files(folder, *wanted)
        try:
            self.map_files(folder)
            if (self.store.slot_count, self.store.partitions[0].buddy.unit_count) == wanted:
                return
            if self.in_use()["slots"]:
                self.notes.append("max_transactions changed: it takes effect at a start at which none is kept")
                return
        except DamagedStore as damage:
            self.keep_aside(folder, str(damage))
        self.unmap()
        create_files(folder, *wanted)
        self.map_files(folder)

    def drop(self, uint32_t ref, uint32_t generation) -> bytes:
        """Before any shard has it: frees a slot in this life, whatever it holds; its bytes, b"" when it is gone."""
        cdef slot_t *slot
        cdef bytes raw
        if ref & SLOT_MASK >= self.store.slot_count:
            return b""
        slot = slot_at(self.store, ref)
        if word_generation(slot.commit) != generation or word_kind(slot.commit) == KIND_FREE:
            return b""
        raw = (<char *>slot)[:sizeof(slot_t)]
        give_slot(self.store, ref)
        scan_partition(self.store, ref >> SLOT_BITS)
        return raw

    def __dealloc__(self):
        if self.store != NULL:
            self.unmap()
        free(self.store)

    cdef void unmap(self) noexcept:
        cdef partition_t *p
        cdef int i
        for i in range(PARTITIONS):
            p = &self.store.partitions[i]
            if p.base != NULL:
                munmap(p.base, p.bytes)
            free(p.free_slots)
            free(p.index)
            free(p.first_child)
            free(p.next_sibling)
            free_buddy(&p.buddy)
            memset(p, 0, sizeof(partition_t))

    def set_aside(self, folder, headers):
        """Files of another boot hold nothing of worth; anything else is kept for study."""
        present = [h for h in headers if h is not None]
        if not present:
            return
        stale = all(h.get("boot_id") not in (None, boot_id()) for h in present)
        if stale:
            self.notes.append("the store was of another boot: started empty")
            return
        self.keep_aside(folder, "damaged, or of an unknown layout")

    def keep_aside(self, folder, why: str):
        aside = folder.with_name(f"transactions.damaged-{time.time_ns()}")
        folder.rename(aside)
        folder.mkdir(mode=0o750)
        self.notes.append(f"the store could not be read ({why}): kept as {aside}, started empty")

    def map_files(self, folder):
        for p in range(PARTITIONS):
            self.map_partition(p, folder / partition_name(p))

    cdef map_partition(self, uint32_t number, path):
        cdef partition_t *p = &self.store.partitions[number]
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            p.bytes = os.fstat(fd).st_size
            p.base = <char *>mmap(NULL, p.bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)
        finally:
            os.close(fd)
        if <uintptr_t>p.base == <uintptr_t>-1:
            p.base = NULL
            raise StoreError(f"{path}: cannot be mapped")
        madvise(p.base, p.bytes, MADV_DONTDUMP)
        p.header = <partition_header_t *>p.base
        p.slot_count = p.header.slot_count
        p.slots = <slot_t *>(p.base + HEADER_BYTES)
        p.blocks = p.base + <uint64_t>block_offset(p.slot_count)
        p.reserved_slots = p.slot_count // 10
        self.store.slot_count = p.slot_count
        self.store.epoch = p.header.epoch
        memcpy(self.store.hash_key, p.header.hash_key, 16)
        size = 1
        while size < 2 * p.slot_count:
            size *= 2
        p.index_mask = size - 1
        p.index = <index_entry_t *>calloc(size, sizeof(index_entry_t))
        p.free_slots = <uint32_t *>calloc(p.slot_count, 4)
        p.first_child = <uint32_t *>calloc(p.slot_count, 4)
        p.next_sibling = <uint32_t *>calloc(p.slot_count, 4)
        if (p.index == NULL or p.free_slots == NULL or p.first_child == NULL or p.next_sibling == NULL
                or init_buddy(&p.buddy, p.header.unit_count) < 0):
            raise MemoryError
        if scan_partition(self.store, number) < 0:
            raise DamagedStore(f"{path.name}: a block is named twice or lies where none can")

    def in_use(self) -> dict:
        """Slots and bytes of blocks in use, and bytes of the files; read while shards work, so a moment old."""
        cdef partition_t *p
        cdef uint64_t slots = 0
        cdef uint64_t units = 0
        cdef uint64_t mapped = 0
        cdef int i
        for i in range(PARTITIONS):
            p = &self.store.partitions[i]
            slots += p.slot_count - p.free_count
            units += p.buddy.used_units
            mapped += p.bytes
        return {"slots": slots, "slot_bytes": slots * sizeof(slot_t), "block_bytes": units * UNIT_BYTES,
                "store_bytes": mapped}


cdef extern from "<sys/mman.h>" nogil:
    void *mmap(void *addr, size_t length, int prot, int flags, int fd, long offset)
    int munmap(void *addr, size_t length)
    int madvise(void *addr, size_t length, int advice)
    int PROT_READ, PROT_WRITE, MAP_SHARED, MADV_DONTDUMP


HEADER = struct.Struct("=8sIIIIIIII16s40sQQII")


def partition_name(partition: int) -> str:
    return f"{partition:02d}.slots"


def read_header(path):
    """The header of a partition file as a dict, or None when there is no file; {} when it is none of ours."""
    try:
        with open(path, "rb") as file:
            raw = file.read(HEADER.size)
            size = os.fstat(file.fileno()).st_size
    except FileNotFoundError:
        return None
    if len(raw) < HEADER.size:
        return {}
    (magic, major, _, slot_bytes, slots, unit_bytes, units, partition, epoch, key, boot, _, boottime_ms, high_water,
     _) = HEADER.unpack(raw)
    if (magic != MAGIC or major != LAYOUT_MAJOR or slot_bytes != sizeof(slot_t) or unit_bytes != UNIT_BYTES
            or size != file_bytes(slots, units) or high_water > slots):
        return {}
    return {"sizes": (slots, units), "partition": partition, "epoch": epoch, "key": key,
            "boot_id": boot.rstrip(b"\0"), "boottime_ms": boottime_ms, "high_water": high_water}


def is_one_store(headers) -> bool:
    """All 64 are there, of this boot, and made together."""
    if any(not header for header in headers):
        return False
    made = {(h["sizes"], h["epoch"], h["key"]) for h in headers}
    return (len(made) == 1 and headers[0]["boot_id"] == boot_id()
            and [h["partition"] for h in headers] == list(range(PARTITIONS)))


def unreadable(run_dir) -> str:
    """Why a router of this code would not take up what the files there hold; "" = it would."""
    headers = [read_header(Path(run_dir) / "transactions" / partition_name(p)) for p in range(PARTITIONS)]
    present = [header for header in headers if header is not None]
    if not present or is_one_store(headers) or all(h.get("boot_id") not in (None, boot_id()) for h in present):
        return ""
    return f"the transactions in {run_dir} are damaged, or of a layout other than {LAYOUT_MAJOR}"


def no_room(folder, wanted: int):
    return StoreError(f"{folder}: the store needs {wanted:,} bytes and {free_bytes(folder):,} are free; "
                      "lower limits.max_transactions or give run_dir more room")


def free_bytes(folder) -> int:
    space = os.statvfs(folder)
    return space.f_bavail * space.f_frsize


def create_files(folder, slots: int, units: int):
    """Writes 64 empty files, fully allocated: a hole on a full tmpfs would be a SIGBUS later."""
    size = file_bytes(slots, units)
    for made in folder.glob("*.slots"):
        made.unlink()
    if free_bytes(folder) < PARTITIONS * size:    # on a tmpfs, trying would take everybody's memory
        raise no_room(folder, PARTITIONS * size)
    epoch = secrets.randbelow(0xFFFF) + 1
    key = secrets.token_bytes(16)
    for p in range(PARTITIONS):
        path = folder / partition_name(p)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o640)
        try:
            os.posix_fallocate(fd, 0, size)
            os.pwrite(fd, HEADER.pack(MAGIC, LAYOUT_MAJOR, LAYOUT_MINOR, sizeof(slot_t), slots, UNIT_BYTES, units, p,
                                      epoch, key, boot_id(), 0, 0, 0, 0), 0)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            for made in folder.glob("*.slots"):
                made.unlink()
            raise no_room(folder, PARTITIONS * size) from None
        finally:
            os.close(fd)
