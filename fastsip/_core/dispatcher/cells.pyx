# cython: boundscheck=True, wraparound=True
"""Owner of the dispatcher's cells: one line of 64 bytes per destination, in a mapping that all may see.

Anonymous (tests, one process), or a file in run_dir that outlives the router:
a successor, or another number of shards, finds health, load and counters by
destination id.  Beside each cell stands a pace (paces), in a file of its own and at the same index.

Must never: move the mapping, shrink the file, or touch a word of a line that shards change
except by compare-and-set.
The control plane alone assigns lines; kernels get `known`.
"""

from collections import namedtuple

cimport cython
from libc.stdint cimport int32_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from fastsip._core.base.atomics cimport (
    cas64, fetch_add32, load_acquire32, load_acquire64, load_relaxed32, load_relaxed64, store_relaxed32,
    store_release32, store_release64,
)
from fastsip._core.base.check cimport check
from fastsip._core.dispatcher.lines cimport Lines
from fastsip._core.dispatcher.paces cimport begin_pace, pace_t, read_pace

from fastsip._core.dispatcher.lines import CellsError, content_of
from fastsip._core.dispatcher.paces import open_paces

cdef enum:
    STREAK_MAX = 255

cdef uint64_t MAGIC = 0x31534C4C45435346    # "FSCELLS1", least significant byte first

HEALTH_NAMES = ("unknown", "up", "trying", "down")
ADMIN_NAMES = ("enabled", "draining", "disabled")

Cell = namedtuple("Cell", (
    "destination_id", "health", "streak", "since_ms", "admin", "retry_after_ms", "load", "chosen", "failed",
    "probes_sent", "probes_failed", "rtt_us", "trial_ms", "last_code",
))


@cython.final
cdef class Cells:
    """Cells(count) anonymous, Cells(path, count) in a file: made if absent, else attached with what it knows.

    A file with more lines than asked for keeps them; one with fewer grows.  One that cannot
    be read is kept under another name, and `notes` says so, for the log.  CellsError: no room.
    """

    def __init__(self, *where):
        cdef uint32_t index
        path, count = where if len(where) == 2 else ("", *where)
        if self.cells != NULL:
            raise RuntimeError("already mapped")
        self.mapped = Lines(path, count, sizeof(cell_t), MAGIC, "cells")
        self.count, self.path = self.mapped.count, self.mapped.path
        self.cells = <cell_t *>self.mapped.first
        self.mapped_paces = open_paces(self.path, self.count)
        self.paces = <pace_t *>self.mapped_paces.first
        self.notes = self.mapped.notes + self.mapped_paces.notes
        self.lines = {}
        for index in range(self.count):
            if self.cells[index].destination_id:
                self.lines[self.cells[index].destination_id] = index
                # An older release frees a line and gives it away again without a word to its pace.
                if self.paces[index].destination_id != self.cells[index].destination_id:
                    begin_pace(&self.paces[index], self.cells[index].destination_id)

    cdef known_t known(self) noexcept nogil:
        cdef known_t known
        known.cells, known.paces = self.cells, self.paces
        return known

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
        begin_pace(&self.paces[index], destination_id)
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
        self.paces[index].destination_id = 0    # it is nobody's news any more
        store_release32(&self.cells[index].destination_id, 0)
        self.search_from = min(self.search_from, index)

    @property
    def assigned(self) -> dict:
        """destination id -> index, of all lines in use."""
        return dict(self.lines)

    def read(self, index) -> Cell:
        """A line's fields; health and admin as numbers (HEALTH_NAMES, ADMIN_NAMES), times in ms of CLOCK_BOOTTIME."""
        return read_cell(self.line(index))

    def pace(self, index, now_ms):
        """What stands beside a line: a Pace, as it counts now."""
        self.line(index)
        return read_pace(&self.paces[<uint32_t>index], now_ms)

    def limited(self) -> dict:
        """destination id -> how often a limit of calls a second passed it over, of those that it did; wraps around."""
        cdef uint32_t index
        return {self.paces[index].destination_id: load_relaxed32(&self.paces[index].limited)
                for index in range(self.count)
                if self.paces[index].destination_id and load_relaxed32(&self.paces[index].limited)}

    def limited_since(self, at_ms) -> list:
        """destination ids of those that a limit has passed over since then."""
        cdef uint32_t index
        return [self.paces[index].destination_id for index in range(self.count)
                if self.paces[index].destination_id and load_relaxed64(&self.paces[index].limited_ms) >= at_ms > 0]

    def begin_turns(self, index) -> None:
        """Its limit is another one from now on: what the old one has let in does not count."""
        self.line(index)
        store_release64(&self.paces[<uint32_t>index].next_call_ns, 0)

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
    cdef cell_t line
    cdef bytes lines = content_of(content, MAGIC, sizeof(cell_t), "cells")
    cdef const char *at = lines
    cdef uint32_t index
    found = []
    for index in range(len(lines) // sizeof(cell_t)):
        memcpy(&line, at + <size_t>index * sizeof(cell_t), sizeof(line))
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
