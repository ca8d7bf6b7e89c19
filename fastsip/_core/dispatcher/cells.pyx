# cython: boundscheck=True, wraparound=True
"""Owner of the dispatcher's cells: one line of 64 bytes per destination, in a mapping that all may see.

Anonymous (tests, one process), or a file in run_dir that outlives the router:
a successor, or another number of shards, finds health, load and counters by
destination id.  It is made as base/mapped says, in place, for another router may have it mapped.

Layout: a page of header, then the lines.  Lines of another boot are dropped, as their times are of a clock that
began anew.

Must never: move the mapping, shrink the file, or touch a word of a line that shards change
except by compare-and-set.
The control plane alone assigns lines; kernels get `cells`.
"""

import errno
import mmap
import os
from collections import namedtuple

cimport cython
from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset
from posix.mman cimport munmap

from fastsip._core.base.atomics cimport (
    cas64, fetch_add32, load_acquire32, load_acquire64, load_relaxed32, store_relaxed32, store_release32,
    store_release64,
)
from fastsip._core.base.check cimport check
from fastsip._core.base.mapped cimport map_file

from fastsip._core.base.files import boot_id
from fastsip._core.base.mapped import Damaged, free_bytes, open_in_place, seal

cdef enum:
    HEADER_BYTES = 4096
    LAYOUT_MAJOR = 1
    LAYOUT_MINOR = 0
    STREAK_MAX = 255

cdef uint64_t MAGIC = 0x31534C4C45435346    # "FSCELLS1", least significant byte first

cdef struct file_head_t:
    uint64_t magic
    uint16_t major
    uint16_t minor
    uint32_t line_bytes
    uint32_t count
    uint32_t reserve
    uint8_t boot_id[16]

HEALTH_NAMES = ("unknown", "up", "trying", "down")
ADMIN_NAMES = ("enabled", "draining", "disabled")

Cell = namedtuple("Cell", (
    "destination_id", "health", "streak", "since_ms", "admin", "retry_after_ms", "load", "chosen", "failed",
    "probes_sent", "probes_failed", "rtt_us", "trial_ms", "last_code",
))


class CellsError(Exception):
    """There is no room for cells."""


def check_head(ours, major, line_bytes, count, size):
    """Damaged says why this head is not that of a file of cells, of so many bytes."""
    if not ours:
        raise Damaged("not a file of cells")
    if major > LAYOUT_MAJOR:
        raise Damaged(f"of a newer version: layout {major}, known is {LAYOUT_MAJOR}")
    if line_bytes != sizeof(cell_t) or size < HEADER_BYTES + count * line_bytes:
        raise Damaged(f"lines of {line_bytes} bytes, {count} of them in {size} bytes")


def boot_bytes() -> bytes:
    return bytes.fromhex(boot_id().decode().replace("-", ""))


@cython.final
cdef class Cells:
    """Cells(count) anonymous, Cells(path, count) in a file: made if absent, else attached with what it knows.

    A file with more lines than asked for keeps them; one with fewer grows.  One that cannot
    be read is kept under another name, and `notes` says so, for the log.  CellsError: no room.
    """

    def __init__(self, *where):
        path, count = where if len(where) == 2 else ("", *where)
        if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= 2**24:
            raise ValueError(f"count is a number of lines from 1 to {2**24}, not {count!r}")
        if self.mapping != NULL:
            raise RuntimeError("already mapped")
        self.count = count
        self.path = os.fspath(path)
        self.lines = {}
        self.notes = []
        if not self.path:
            self.attach(-1)
            return
        try:
            with open_in_place(self.path, self.judge, self.notes) as fd:
                self.attach(fd)
                self.take_up(fd)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            free = free_bytes(os.path.dirname(self.path) or ".")
            raise CellsError(f"{self.path}: {self.file_bytes()} bytes wanted, {free} free") from None

    def __dealloc__(self):
        if self.mapping != NULL:
            munmap(self.mapping, self.mapping_bytes)

    def judge(self, bytes head, size) -> int:
        """Bytes of the file: lines that are there stay, whoever asks for fewer."""
        cdef file_head_t found
        if head:
            head = head.ljust(sizeof(found), b"\0")
            memcpy(&found, <const char *>head, sizeof(found))
            check_head(found.magic == MAGIC, found.major, found.line_bytes, found.count, size)
            self.count = max(self.count, found.count)
        return self.file_bytes()

    def file_bytes(self) -> int:
        return HEADER_BYTES + <size_t>self.count * sizeof(cell_t)

    def take_up(self, fd):
        """What the mapped file knows, if it is of this boot."""
        cdef file_head_t head = (<file_head_t *>self.mapping)[0]
        boot = boot_bytes()
        if memcmp(head.boot_id, <const char *>boot, 16) != 0:
            # Before the head says that it is of this boot: whoever dies here leaves lines that the next one drops.
            memset(self.cells, 0, self.count * sizeof(cell_t))
            memcpy(head.boot_id, <const char *>boot, 16)
        head.magic = MAGIC
        head.major, head.minor, head.line_bytes, head.count = LAYOUT_MAJOR, LAYOUT_MINOR, sizeof(cell_t), self.count
        seal(fd, (<char *>&head)[:sizeof(head)])
        for index in range(self.count):
            if self.cells[<uint32_t>index].destination_id:
                self.lines[self.cells[<uint32_t>index].destination_id] = index

    cdef int attach(self, int fd) except -1:
        """Maps the lines, of a file or, with fd < 0, anonymous."""
        cdef size_t size = HEADER_BYTES + <size_t>self.count * sizeof(cell_t)
        # Whole pages, as munmap counts.
        size = (size + mmap.PAGESIZE - 1) // mmap.PAGESIZE * mmap.PAGESIZE
        self.mapping = map_file(fd, size)
        if self.mapping == NULL:
            raise MemoryError(f"no mapping of {size} bytes for {self.count} cells")
        self.mapping_bytes = size
        self.cells = <cell_t *>(<char *>self.mapping + HEADER_BYTES)
        return 0

    cdef cell_t *line(self, index) except NULL:
        if not 0 <= index < self.count:
            raise IndexError(f"cell {index} of {self.count}")
        return &self.cells[<uint32_t>index]

    def __len__(self):
        return self.count

    def assign(self, destination_id, down_since_ms=None) -> int:
        """Index of the line of this id: the one it has, with all that was learned, or a free one.

        down_since_ms: one of which nothing is known counts as down since then (ms of CLOCK_BOOTTIME).
        """
        cdef uint32_t index
        if not 1 <= destination_id < 2**32:
            raise ValueError(f"a destination id is 1..{2**32 - 1}, not {destination_id!r}")
        known = self.lines.get(destination_id)
        if known is not None:
            return known
        for index in range(self.search_from, self.count):
            if self.cells[index].destination_id == 0:
                break
        else:
            raise CellsError(f"all {self.count} cells are taken")
        memset(&self.cells[index], 0, sizeof(cell_t))
        if down_since_ms is not None:
            self.cells[index].word = pack_word(HEALTH_DOWN, 0, down_since_ms)
        store_release32(&self.cells[index].destination_id, destination_id)
        self.search_from = index + 1
        self.lines[destination_id] = index
        return index

    def release(self, destination_id) -> None:
        """Frees the line of an id that no table in use names any more; nothing if it has none."""
        cdef uint32_t index
        if destination_id not in self.lines:
            return
        index = self.lines.pop(destination_id)
        store_release32(&self.cells[index].destination_id, 0)
        self.search_from = min(self.search_from, index)

    @property
    def assigned(self) -> dict:
        """destination id -> index, of all lines in use."""
        return dict(self.lines)

    def read(self, index) -> Cell:
        """A line's fields; health and admin as numbers (HEALTH_NAMES, ADMIN_NAMES), times in ms of CLOCK_BOOTTIME."""
        return read_cell(self.line(index))

    def set_admin(self, index, value) -> int:
        """0 enabled, 1 draining, 2 disabled; seen by the next choice of each shard.  Returns what it was."""
        cdef cell_t *cell = self.line(index)
        if not 0 <= value <= ADMIN_DISABLED:
            raise ValueError(f"admin is 0 enabled, 1 draining or 2 disabled, not {value!r}")
        before = cell.admin     # the control plane alone writes it
        store_release32(&cell.admin, value)
        return before

    def set_retry_after(self, index, until_ms) -> None:
        """No new calls before this time (ms of CLOCK_BOOTTIME); 0 = at once."""
        store_release64(&self.line(index).retry_after_ms, until_ms)

    def add_load(self, index, calls) -> int:
        """Adds to the calls in progress (negative: takes away); returns what it was."""
        cdef int32_t more = calls
        return <int32_t>fetch_add32(&self.line(index).load, <uint32_t>more)

    def load(self, index) -> int:
        """Calls in progress."""
        return <int32_t>load_relaxed32(&self.line(index).load)

    def owner(self, index) -> int:
        """Destination id of a line, 0 = free."""
        return load_acquire32(&self.line(index).destination_id)


cdef read_cell(const cell_t *cell):
    cdef cell_t copy
    memcpy(&copy, cell, sizeof(copy))
    # Health, streak and since belong together: one load.
    copy.word = load_acquire64(&cell.word)
    return Cell(
        copy.destination_id, cell_health(&copy), (copy.word >> 8) & 0xFF, cell_since_ms(&copy), copy.admin,
        copy.retry_after_ms, copy.load, copy.chosen, copy.failed, copy.probes_sent, copy.probes_failed,
        copy.rtt_us, copy.trial_ms, copy.last_code,
    )


def read_lines(bytes content not None) -> list:
    """A Cell for each line in use, of all that a file holds, for who only looks; [] of another boot.

    Damaged when it is no file of cells, or of another layout.
    """
    cdef file_head_t head
    cdef const char *at = content
    cdef cell_t line
    cdef uint32_t index
    memset(&head, 0, sizeof(head))
    memcpy(&head, at, min(<size_t>len(content), sizeof(head)))
    check_head(head.magic == MAGIC, head.major, head.line_bytes, head.count, len(content))
    if head.boot_id[:16] != boot_bytes():
        return []
    found = []
    for index in range(head.count):
        memcpy(&line, at + HEADER_BYTES + <size_t>index * sizeof(cell_t), sizeof(line))
        if line.destination_id:
            found.append(read_cell(&line))
    return found


cdef inline uint64_t pack_word(int health, uint32_t streak, uint64_t since_ms) noexcept nogil:
    check(streak <= STREAK_MAX)         # one more would be another `since`
    return <uint64_t>health | (<uint64_t>streak << 8) | (since_ms << 16)


cdef inline uint32_t word_streak(uint64_t word) noexcept nogil:
    return (word >> 8) & 0xFF


cdef uint64_t cell_since_ms(const cell_t *cell) noexcept nogil:
    return load_acquire64(&cell.word) >> 16


cdef int mark_failed(cell_t *cell, uint32_t fall, uint32_t code, uint64_t now_ms) noexcept nogil:
    """A failure: `trying`, or down at the `fall`-th in a row.  Of one that is down it ends the successes in a row."""
    cdef uint64_t word, wanted
    cdef uint32_t streak
    cdef int health, event
    fetch_add32(&cell.failed, 1)
    while True:
        word = load_acquire64(&cell.word)
        health, streak, event = word_health(word), word_streak(word), NO_CHANGE
        if health == HEALTH_DOWN:
            wanted = pack_word(HEALTH_DOWN, 0, word >> 16)
        else:
            streak = streak + 1 if health == HEALTH_TRYING else 1
            if streak >= fall:
                wanted, event = pack_word(HEALTH_DOWN, 0, now_ms), WENT_DOWN
            elif health == HEALTH_TRYING:
                wanted = pack_word(HEALTH_TRYING, streak if streak < STREAK_MAX else STREAK_MAX, word >> 16)
            else:
                wanted, event = pack_word(HEALTH_TRYING, streak, now_ms), WENT_TRYING
        if wanted == word:
            return NO_CHANGE
        if cas64(&cell.word, word, wanted):
            store_relaxed32(&cell.last_code, code)
            return event


cdef int mark_down(cell_t *cell, uint32_t code, uint64_t now_ms) noexcept nogil:
    """Down at once, whatever the streak."""
    return mark_failed(cell, 0, code, now_ms)


cdef int mark_succeeded(cell_t *cell, uint32_t rise, uint32_t code, uint64_t now_ms) noexcept nogil:
    """A success: up, or, of one that is down, up at the `rise`-th in a row.

    A line that says up already is only read, so that it need not move between the cores' caches.
    """
    cdef uint64_t word, wanted
    cdef uint32_t streak
    cdef int event
    while True:
        word = load_acquire64(&cell.word)
        if word_health(word) == HEALTH_UP:
            return NO_CHANGE
        wanted, event = pack_word(HEALTH_UP, 0, now_ms), WENT_UP
        streak = word_streak(word) + 1
        if word_health(word) == HEALTH_DOWN and streak < rise:
            wanted, event = pack_word(HEALTH_DOWN, streak if streak < STREAK_MAX else STREAK_MAX, word >> 16), NO_CHANGE
        if wanted == word:
            return NO_CHANGE
        if cas64(&cell.word, word, wanted):
            store_relaxed32(&cell.last_code, code)
            return event
