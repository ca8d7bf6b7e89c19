"""The files of the transaction store: made, checked, mapped, and set aside when they cannot be read.

64 partition files of one size under run_dir/transactions, each a header, slots and blocks (slots).  They are
fully allocated when they are made: a hole on a full tmpfs would be a SIGBUS later, and at each start again.
What another boot left is worth nothing; what is damaged or of an unknown layout is moved aside and kept.

Must never: write a slot or a block, which only the functions of slots do.
Called by router, inspection and the checks of the command line.
"""

import errno
import os
import secrets
import struct
import time
from pathlib import Path

from libc.stdint cimport uint32_t, uint64_t, uintptr_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from fastsip._core.blocks cimport UNIT_BYTES, free_buddy, init_buddy
from fastsip._core.slots cimport (HEADER_BYTES, KIND_FREE, LAYOUT_MAJOR, LAYOUT_MINOR, SLOT_BITS, SLOT_MASK,
                                  give_slot, index_entry_t, partition_header_t, partition_t, scan_partition, slot_at,
                                  slot_t, word_generation, word_kind)
from fastsip._core.types cimport PARTITIONS

MAGIC = b"fastsip\x01"
TRANSACTION_BYTES = 3072    # of blocks per transaction: a ringing INVITE and its 180
HEADER = struct.Struct("=8sIIIIIIII16s40sQQII")


cdef extern from "<sys/mman.h>" nogil:
    void *mmap(void *addr, size_t length, int prot, int flags, int fd, long offset)
    int munmap(void *addr, size_t length)
    int madvise(void *addr, size_t length, int advice)
    int PROT_READ, PROT_WRITE, MAP_SHARED, MADV_DONTDUMP


class StoreError(Exception):
    """The store cannot be opened; the text says why and what would help."""


class DamagedStore(StoreError):
    """What the files hold contradicts itself; the text says where."""


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


def boot_id() -> bytes:
    return Path("/proc/sys/kernel/random/boot_id").read_bytes().strip()


# ---------------------------------------------------------------- headers and files

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


# ---------------------------------------------------------------- the store

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
