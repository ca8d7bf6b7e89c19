"""The files of the transaction store: made, checked, mapped, and set aside when they cannot be read.

64 partition files under run_dir/transactions, each a header, slots and blocks (slots), made as base/mapped says:
beside, for nobody has one of them before all are there.  What another boot left is worth nothing.
A file that is damaged or of an unknown layout is kept under another name, and an empty one takes its place: the calls
of the other partitions go on.  Another max_transactions moves what lives into files of another size, one after the
other (resize): each has its own, and a store whose files differ is whole.

Must never: write a slot or a block, which only the functions of slots do.
"""

import contextlib
import errno
import os
import secrets
import struct
from collections import Counter
from pathlib import Path

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset
from posix.mman cimport munmap

from fastsip._core.base.types cimport PARTITIONS
from fastsip._core.base.check cimport check
from fastsip._core.base.atomics cimport load_acquire64
from fastsip._core.base.clock cimport clock_ms
from fastsip._core.base.mapped cimport map_file
from fastsip._core.store.records cimport KIND_FREE, is_searching, is_server, is_under_way, record_t
from fastsip._core.store.blocks cimport UNIT_BYTES, free_buddy, init_buddy
from fastsip._core.store.slots cimport (
    HEADER_BYTES, LAYOUT_MAJOR, LAYOUT_MINOR, NO_SLOT, SHARES, SLOT_BITS, SLOT_MASK, first_child_of, give_slot, held_t,
    index_entry_t, is_later, is_ours, name_kinds, next_child_of, partition_header_t, partition_t, record_of,
    scan_partition, slot_at, slot_t, word_generation, word_kind, word_state,
)
from fastsip._core.store.resize cimport fits, replace_partition, room_t

from fastsip._core.base.files import ASIDE, boot_id, keep_aside, look_into, make_folder, open_file
from fastsip._core.base.mapped import begin_beside, free_bytes

FOLDER = "transactions"     # of run_dir
MAGIC = b"fastsip\x01"
TRANSACTION_BYTES = 3072    # of blocks per transaction: a ringing INVITE and its 180
EPOCH_BITS = 16             # of it that a hint has room for
HEADER = struct.Struct("=8sIIIIIIII16s40sQQII")


class StoreError(Exception):
    """The store cannot be opened; the text says why and what would help."""


# ---------------------------------------------------------------- what is kept

cdef inline bint is_open(int kind, int state) noexcept nogil:
    """Does it wait for more than its own end?"""
    return is_searching(state) if is_server(kind) else is_under_way(state)


cdef inline bint is_needed(const slot_t *slot, uint64_t now_ms) noexcept nogil:
    """That, or does it still absorb repetitions?"""
    cdef const record_t *record = record_of(slot)
    cdef int kind = word_kind(slot.commit)
    return is_open(kind, word_state(slot.commit)) or now_ms < (record.server.expire_ms if is_server(kind)
                                                               else record.client.expire_ms)


# ---------------------------------------------------------------- sizes

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


# ---------------------------------------------------------------- headers and files

def partition_name(partition: int) -> str:
    return f"{partition:02d}.slots"


def read_header(path):
    """The header of a partition file as a dict, or None when there is no file; {} when it is none of ours."""
    try:
        with open(look_into(path), "rb") as file:
            raw = file.read(HEADER.size)
            size = os.fstat(file.fileno()).st_size
    except FileNotFoundError:
        return None
    if len(raw) < HEADER.size:
        return {}
    (magic, major, minor, slot_bytes, slots, unit_bytes, units, partition, epoch, key, boot, _, boottime_ms, high_water,
     _) = HEADER.unpack(raw)
    if (magic != MAGIC or major != LAYOUT_MAJOR or slot_bytes != sizeof(slot_t) or unit_bytes != UNIT_BYTES
            or not 0 < slots < SLOT_MASK or units == 0 or size != file_bytes(slots, units) or high_water > slots):
        return {}
    return {"sizes": (slots, units), "minor": minor, "partition": partition, "epoch": epoch, "key": key,
            "boot_id": boot.rstrip(b"\0"), "boottime_ms": boottime_ms, "high_water": high_water}


def making_of(header):
    """What is the same in all files of one store, and in no other; None for what is no file of this boot."""
    if not header or header["boot_id"] != boot_id():
        return None
    return header["epoch"], header["key"]


def shared_making(headers):
    """(sizes, epoch, key) of the store that these are files of, by most of them; None when none is of this boot.
    Files of another size are of it, too (resize)."""
    made = Counter(filter(None, map(making_of, headers)))
    if not made:
        return None
    making = made.most_common(1)[0][0]
    sizes = Counter(header["sizes"] for header in headers if making_of(header) == making)
    return sizes.most_common(1)[0][0], *making


def strangers(headers, making) -> list[int]:
    """The partitions whose file is missing, or none of the store that was made so."""
    return [p for p, header in enumerate(headers) if making_of(header) != making[1:] or header["partition"] != p]


def is_of_another_boot(headers) -> bool:
    """There is something, and all of it is."""
    present = [header for header in headers if header is not None]
    return bool(present) and all(header.get("boot_id") not in (None, boot_id()) for header in present)


def read_headers(folder) -> list:
    return [read_header(folder / partition_name(p)) for p in range(PARTITIONS)]


def unreadable(run_dir) -> str:
    """Why a router of this code would not take up all of what the files there hold; "" = it would."""
    folder = Path(run_dir) / FOLDER
    headers = read_headers(folder)
    making = shared_making(headers)
    if making is None:
        readable = is_of_another_boot(headers) or all(header is None for header in headers)
    else:
        readable = not strangers(headers, making)
    if not readable:
        return f"the transactions in {run_dir} are damaged, or of a layout other than {LAYOUT_MAJOR}"
    later = sum(count_later(folder / partition_name(p)) for p, header in enumerate(headers)
                if making and header["minor"] > LAYOUT_MINOR)
    if later:
        return (f"{later} slots of the transactions in {run_dir} are of kinds that a later release began "
                f"(layout {LAYOUT_MAJOR}.{LAYOUT_MINOR} does not know them): nobody would serve them")
    return ""


def count_later(path) -> int:
    """Slots in use that a router of this code would keep, and not touch."""
    cdef const partition_header_t *header
    cdef const slot_t *slots
    cdef bytes raw
    cdef uint32_t i
    cdef int found = 0
    with open(look_into(path), "rb") as file:
        raw = file.read()
    if <uint64_t>len(raw) < HEADER_BYTES:
        return 0
    header = <const partition_header_t *><const char *>raw
    slots = <const slot_t *>(<const char *>raw + HEADER_BYTES)
    for i in range(min(header.high_water, (<uint64_t>len(raw) - HEADER_BYTES) // sizeof(slot_t))):
        found += (word_kind(slots[i].commit) != KIND_FREE
                  and is_later(header, word_kind(slots[i].commit), word_state(slots[i].commit)))
    return found


def no_room(folder, wanted: int):
    return StoreError(f"{folder}: the store needs {wanted:,} bytes and {free_bytes(folder):,} are free; "
                      "lower limits.max_transactions or give run_dir more room")


def check_room(folder, partitions, size: int):
    """StoreError: so many files of that size cannot be made."""
    if free_bytes(folder) < len(partitions) * size:    # on a tmpfs, trying would take everybody's memory
        raise no_room(folder, len(partitions) * size)


def lack_of_room(run_dir, max_transactions: int) -> str:
    """Why a router cannot make the store that large, beside the one that is there; "" = it can."""
    folder = Path(run_dir) / FOLDER
    wanted = partition_sizes(max_transactions)
    smaller = [p for p, header in enumerate(read_headers(folder))
               if header and file_bytes(*header["sizes"]) < file_bytes(*wanted)]
    try:
        check_room(folder, smaller, file_bytes(*wanted))
    except StoreError as error:
        return str(error)
    return ""


def create_files(folder, making, partitions):
    """Makes empty files for these; there is room for all of them, or they leave none."""
    size = file_bytes(*making[0])
    paths = [folder / partition_name(p) for p in partitions]
    for path in paths:
        path.unlink(missing_ok=True)
    check_room(folder, paths, size)
    try:
        for p, path in zip(partitions, paths):
            create_file(path, p, size, *making)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        for path in paths:
            path.unlink(missing_ok=True)
        raise no_room(folder, len(paths) * size) from None


def fresh_epoch(used) -> int:
    """One that none of these is, and no one can guess."""
    free_ones = [epoch for epoch in range(1, 1 << EPOCH_BITS) if epoch not in used]
    return secrets.choice(free_ones or range(1, 1 << EPOCH_BITS))


def create_file(path, partition: int, size: int, sizes, epoch: int, key: bytes):
    with begin_beside(path, size) as fd:
        os.pwrite(fd, HEADER.pack(MAGIC, LAYOUT_MAJOR, LAYOUT_MINOR, sizeof(slot_t), sizes[0], UNIT_BYTES, sizes[1],
                                  partition, epoch, key, boot_id(), 0, 0, 0, 0), 0)


# ---------------------------------------------------------------- the store

cdef class Store:
    """The 64 partition files under run_dir/transactions, created or attached.

    `used_epochs`: of stores whose hints may still be about, which another one must not take for its own.
    `key`, 16 bytes: what an empty store places calls by, None = at random; one with calls keeps its own.
    `notes` lists what was set aside while opening, for the log.  Raises
    StoreError when there is no room (sizes wanted and free are named).
    """

    def __cinit__(self):
        self.store = <store_t *>calloc(1, sizeof(store_t))
        if self.store == NULL:
            raise MemoryError

    def __init__(self, run_dir, int max_transactions, used_epochs=(), key=None):
        self.run_dir = str(run_dir)
        self.notes = []
        self.folder = Path(run_dir) / FOLDER
        self.used_epochs = frozenset(used_epochs)
        self.key = key
        make_folder(self.folder)
        for piece in self.folder.glob("*.new"):     # of files that somebody died in the making of
            with contextlib.suppress(OSError):
                piece.unlink()
        wanted = partition_sizes(max_transactions)
        headers = read_headers(self.folder)
        making = shared_making(headers)
        if making is None:
            self.begin(headers, wanted)
            return
        damaged = {p: "missing, damaged, or of an unknown layout" for p in strangers(headers, making)}
        self.begin_anew(damaged, making)
        damaged = {p: "a block is named twice or lies where none can" for p in range(PARTITIONS)
                   if self.map_partition(p) < 0}
        # Only the scan of what is mapped tells these, so they are made and mapped once more.
        self.begin_anew(damaged, making)
        for p in damaged:
            self.map_partition(p)
        self.resize(wanted)

    def begin(self, headers, wanted):
        """No file is of this boot.  Those of another hold nothing of worth; anything else is kept for study."""
        if is_of_another_boot(headers):
            self.notes.append("the store was of another boot: started empty")
        else:
            self.keep_aside({p: "damaged, or of an unknown layout"
                             for p, header in enumerate(headers) if header is not None})
        self.used_epochs |= {header["epoch"] for header in headers if header}
        # Another store's hints lead into slots of this one otherwise, where they name somebody else's call.
        making = wanted, fresh_epoch(self.used_epochs), self.key or secrets.token_bytes(16)
        self.make_files(making, range(PARTITIONS))
        for p in range(PARTITIONS):
            self.map_partition(p)

    def resize(self, wanted):
        """Partitions of another size get this one, if what lives in them fits; else they are as large as before."""
        cdef room_t room
        cdef uint32_t p
        todo = [p for p in range(PARTITIONS) if self.sizes_of(p) != wanted]
        room.slots, room.units = wanted
        room.blocks_at, room.bytes = block_offset(room.slots), file_bytes(*wanted)
        left = {}
        try:
            check_room(self.folder, [p for p in todo if self.store.partitions[p].bytes < room.bytes], room.bytes)
            for p in todo:
                why = self.resize_partition(p, &room)
                if why:
                    left[p] = why
        except (OSError, StoreError) as error:
            left |= {p: str(error) for p in todo if self.sizes_of(p) != wanted}
        self.store.slot_count = max(self.sizes_of(p)[0] for p in range(PARTITIONS))
        if left:
            self.notes.append(f"limits.max_transactions was changed, but {len(left)} of {PARTITIONS} files of the "
                              f"store are as large as before, until another start: {left[min(left)]}")

    cdef tuple sizes_of(self, uint32_t number):
        return self.store.partitions[number].slot_count, self.store.partitions[number].buddy.unit_count

    cdef str resize_partition(self, uint32_t number, const room_t *room):
        """"" = done, else why not; OSError, StoreError: it is as it was."""
        cdef partition_t *p = &self.store.partitions[number]
        if p.later_count:
            return "what a later release began is there"
        if not fits(p, room):
            self.sweep_over(number, clock_ms())
        if not fits(p, room):
            return "what lives there does not fit into fewer"
        check_room(self.folder, [number], room.bytes)
        replace_partition(p, self.folder / partition_name(number), room)
        self.unmap_partition(number)
        if self.map_partition(number) < 0:
            raise StoreError(f"{self.folder / partition_name(number)}: another one than was written")
        return ""

    cdef void sweep_over(self, uint32_t number, uint64_t now_ms) noexcept:
        """Frees the transactions of which no part waits for anything or absorbs repetitions any more."""
        cdef partition_t *p = &self.store.partitions[number]
        cdef uint32_t idx, ref, child
        cdef bint needed
        for idx in range(p.header.high_water):
            ref = number << SLOT_BITS | idx
            if not is_ours(self.store, ref) or not is_server(word_kind(p.slots[idx].commit)):
                continue
            needed = is_needed(&p.slots[idx], now_ms)
            child = first_child_of(self.store, ref)
            while child != NO_SLOT and not needed:
                needed = is_needed(slot_at(self.store, child), now_ms)
                child = next_child_of(self.store, child)
            if not needed:
                give_slot(self.store, ref)
        scan_partition(self.store, number)

    def begin_anew(self, damaged, making):
        """Empty files in the place of these; nothing else of the store knows of it."""
        if not damaged:
            return
        for p in damaged:
            self.unmap_partition(p)
        self.keep_aside(damaged)
        self.make_files(making, list(damaged))

    def keep_aside(self, damaged):
        """Partition -> why; one note about all of them."""
        places = {p: self.folder / partition_name(p) for p in damaged}
        notes = [keep_aside(place, damaged[p]) for p, place in places.items() if place.exists()]
        if damaged:
            note = notes[0] if notes else f"{places[min(places)]} is missing: started empty"
            self.notes.append(f"{len(damaged)} of {PARTITIONS} files of the store are lost: {note}")

    def make_files(self, making, partitions):
        """What was kept for study gives way when there is no room for it and for calls."""
        try:
            create_files(self.folder, making, partitions)
        except StoreError:
            kept = list(self.folder.glob(f"*{ASIDE}*"))
            if not kept:
                raise
            for place in kept:
                place.unlink()
            self.notes.append(f"no room for what was kept of a damaged store: {len(kept)} files removed")
            create_files(self.folder, making, partitions)

    def drop(self, uint32_t ref, uint32_t generation) -> bytes:
        """Before any shard has it: frees a slot in this life, whatever it holds; its bytes, b"" when it is gone."""
        cdef slot_t *slot
        cdef bytes raw
        if ref & SLOT_MASK >= self.store.partitions[ref >> SLOT_BITS].slot_count:
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

    @property
    def epoch(self) -> int:
        """What tells its hints from those of other stores: 16 bits of it are in each."""
        return self.store.epoch

    cdef void unmap(self) noexcept:
        cdef int i
        for i in range(PARTITIONS):
            self.unmap_partition(i)

    cdef void unmap_partition(self, uint32_t number) noexcept:
        cdef partition_t *p = &self.store.partitions[number]
        if p.base != NULL:
            munmap(p.base, p.bytes)
        free(p.free_slots)
        free(p.index)
        free(p.first_child)
        free(p.next_sibling)
        free(p.share)
        free(p.later)
        free(p.held)
        free(p.newer)
        free(p.older)
        free_buddy(&p.buddy)
        memset(p, 0, sizeof(partition_t))

    cdef int map_partition(self, uint32_t number) except -2:
        """As scan_partition: -1 when what it holds contradicts itself."""
        cdef partition_t *p = &self.store.partitions[number]
        path = self.folder / partition_name(number)
        fd = open_file(path, os.O_RDWR)
        try:
            p.bytes = os.fstat(fd).st_size
            p.base = map_file(fd, p.bytes)
        finally:
            os.close(fd)
        if p.base == NULL:
            raise StoreError(f"{path}: cannot be mapped")
        p.header = <partition_header_t *>p.base
        p.slot_count = p.header.slot_count
        p.slots = <slot_t *>(p.base + HEADER_BYTES)
        p.blocks = p.base + <uint64_t>block_offset(p.slot_count)
        # A store that is full for new calls still takes what ends calls.
        p.reserved_slots = p.slot_count // 10
        self.store.slot_count = max(self.store.slot_count, p.slot_count)
        self.store.epoch = p.header.epoch
        memcpy(self.store.hash_key, p.header.hash_key, 16)
        # Never more than half full, so that a look-up ends soon.
        size = 1
        while size < 2 * p.slot_count:
            size *= 2
        p.index_mask = size - 1
        p.index = <index_entry_t *>calloc(size, sizeof(index_entry_t))
        p.free_slots = <uint32_t *>calloc(p.slot_count, 4)
        p.first_child = <uint32_t *>calloc(p.slot_count, 4)
        p.next_sibling = <uint32_t *>calloc(p.slot_count, 4)
        p.share = <uint8_t *>calloc(p.slot_count, 1)
        p.later = <uint8_t *>calloc(p.slot_count, 1)
        p.held = <held_t *>calloc(SHARES, sizeof(held_t))
        p.newer = <uint32_t *>calloc(p.slot_count + 1, 4)
        p.older = <uint32_t *>calloc(p.slot_count + 1, 4)
        if (p.index == NULL or p.free_slots == NULL or p.first_child == NULL or p.next_sibling == NULL
                or p.share == NULL or p.later == NULL or p.held == NULL or p.newer == NULL or p.older == NULL
                or init_buddy(&p.buddy, p.header.unit_count) < 0):
            raise MemoryError
        live = scan_partition(self.store, number)
        if live >= 0:
            name_kinds(self.store, number)
        return live

    def count_open(self) -> int:
        """Transactions that wait for more than their own end, themselves or in a branch; read while shards work,
        so a moment old."""
        cdef partition_t *p
        cdef uint64_t word
        cdef uint32_t number, i, count, server
        cdef int found = 0
        memory = bytearray(self.store.slot_count)
        cdef char *counted = memory     # [slot of a partition]
        with nogil:
            for number in range(PARTITIONS):
                p = &self.store.partitions[number]
                count = p.header.high_water
                check(count <= p.slot_count)    # as read_header has asked of the file
                memset(counted, 0, count)
                for i in range(count):
                    word = load_acquire64(&p.slots[i].commit)
                    if word_kind(word) == KIND_FREE or p.later[i] or not is_open(word_kind(word), word_state(word)):
                        continue
                    server = i if is_server(word_kind(word)) else p.slots[i].parent & SLOT_MASK
                    if server >= count:
                        server = i      # a branch of nobody
                    found += not counted[server]
                    counted[server] = 1
        return found

    def in_use(self) -> dict:
        """Slots and bytes of blocks in use, and what there is of both; read while shards work, so a moment old."""
        cdef partition_t *p
        cdef uint64_t slots = 0
        cdef uint64_t units = 0
        cdef uint64_t mapped = 0
        cdef uint64_t places = 0
        cdef int i
        for i in range(PARTITIONS):
            p = &self.store.partitions[i]
            slots += p.slot_count - p.free_count
            units += p.buddy.used_units
            mapped += p.bytes
            places += p.slot_count
        return {"slots": slots, "slot_bytes": slots * sizeof(slot_t), "block_bytes": units * UNIT_BYTES,
                "store_bytes": mapped, "slot_places": places}
