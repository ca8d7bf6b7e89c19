# cython: boundscheck=True, wraparound=True
"""Owner of what is measured of destinations: for each shard a line of 448 bytes for each cell, in a file of run_dir.

Anonymous (tests, one shard), or a file that goes on over routers as the cells do: numbers only grow, until the machine
boots.  A cell and its line have the same index.  Of very many cells those behind the first MOST_MEASURED share the last
line, whose owner is THE_REST, since a line costs seven times what a cell does.

Layout: a page of header, then the lines of shard 0, of shard 1 and so on.  A file of other sizes (more destinations,
another number of shards) is made anew beside the old one, as base/mapped says, with all that the old one knew: what
shards counted that are no more goes to others, so sums stay.  Nobody else may count meanwhile, so a router opens it
when the one before is gone.

Must never: give a line away that a table in use names, or write a number that a shard writes but at such times.
The control plane alone assigns lines; kernels get `measures`.
"""

import errno
import os
from pathlib import Path

cimport cython
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset
from posix.mman cimport munmap

from fastsip._core.base.atomics cimport store_release32
from fastsip._core.base.types cimport MAX_SHARDS
from fastsip._core.base.buckets cimport BUCKET_COUNT, times_t
from fastsip._core.base.mapped cimport map_file

from fastsip._core.base.files import keep_aside, open_file
from fastsip._core.base.mapped import Damaged, HEAD_BYTES, begin_beside, closing, free_bytes
from fastsip._core.dispatcher.lines import boot_bytes

cdef enum:
    HEADER_BYTES = 4096
    LAYOUT_MAJOR = 1
    LAYOUT_MINOR = 0

MOST_MEASURED = 16_384      # of each shard 7 MB
THE_REST = 0xFFFFFFFF       # whose line the last one is

cdef uint64_t MAGIC = 0x31524941454D5346    # "FSMEAIR1", least significant byte first

cdef struct file_head_t:
    uint64_t magic
    uint16_t major
    uint16_t minor
    uint32_t line_bytes
    uint32_t lines
    uint32_t shards
    uint8_t boot_id[16]

assert sizeof(measure_t) == 448 and HEADER_BYTES == HEAD_BYTES

# In the order of answer_id, silence_id and probe_end.
ANSWER_NAMES = ("2xx", "3xx", "challenge", "408", "480", "486", "487", "4xx", "500", "503", "504", "5xx", "600", "603",
                "6xx")
SILENCE_NAMES = ("timeout", "progress", "ring", "transport", "cancelled")
PROBE_NAMES = ("alive", "refused", "silent", "unreachable")

assert (len(ANSWER_NAMES), len(SILENCE_NAMES), len(PROBE_NAMES)) == (ANSWER_COUNT, SILENCE_COUNT, PROBE_END_COUNT)


class MeasuresError(Exception):
    """There is no room for what is measured."""


def lines_of(cells) -> int:
    """How many lines of a shard so many cells have: one more is that of the rest."""
    return min(cells, MOST_MEASURED) + 1


def fields() -> dict:
    """Name -> (numpy format, offset) of a line's fields; "bytes" is the size of a line."""
    cdef measure_t line
    cdef char *base = <char *>&line
    found = {
        "bytes": ("", sizeof(measure_t)),
        "destination_id": ("<u4", <char *>&line.destination_id - base),
        "attempts": ("<u8", <char *>&line.attempts - base),
        "failovers": ("<u8", <char *>&line.failovers - base),
        "answers": (f"({ANSWER_COUNT},)<u8", <char *>&line.answers[0] - base),
        "silences": (f"({SILENCE_COUNT},)<u8", <char *>&line.silences[0] - base),
        "probes": (f"({PROBE_END_COUNT},)<u8", <char *>&line.probes[0] - base),
    }
    for name, offset in (("reply", <char *>&line.reply - base), ("answer", <char *>&line.answer - base),
                         ("probe", <char *>&line.probe - base)):
        found[f"{name}.sum_ms"] = ("<u8", offset)
        found[f"{name}.counts"] = (f"({BUCKET_COUNT},)<u4", offset + sizeof(uint64_t))
    return found


def read_head(bytes content not None) -> dict:
    """Lines and shards of a file, {} of another boot; Damaged when it is none that can be read."""
    cdef file_head_t head
    memset(&head, 0, sizeof(head))
    memcpy(&head, <const char *>content, min(<size_t>len(content), sizeof(head)))
    if head.magic != MAGIC:
        raise Damaged("not a file of what was measured")
    if head.major > LAYOUT_MAJOR:
        raise Damaged(f"of a newer version: layout {head.major}, known is {LAYOUT_MAJOR}")
    size = HEADER_BYTES + <size_t>head.lines * head.shards * sizeof(measure_t)
    if head.lines > MOST_MEASURED + 1 or head.shards > MAX_SHARDS:
        raise Damaged(f"{head.shards} times {head.lines} lines")
    if head.line_bytes != sizeof(measure_t) or head.lines < 2 or head.shards < 1 or len(content) < size:
        raise Damaged(f"{head.shards} times {head.lines} lines of {head.line_bytes} bytes in {len(content)} bytes")
    if head.boot_id[:16] != boot_bytes():
        return {}
    return {"lines": head.lines, "shards": head.shards}


cdef void add_times(times_t *into, const times_t *more) noexcept:
    cdef int i
    into.sum_ms += more.sum_ms
    for i in range(<int>BUCKET_COUNT):
        into.counts[i] += more.counts[i]


cdef void add_line(measure_t *into, const measure_t *more) noexcept:
    """All numbers of one line to those of another, of which the destination is the same."""
    cdef int i
    into.destination_id = more.destination_id
    into.attempts += more.attempts
    into.failovers += more.failovers
    for i in range(<int>ANSWER_COUNT):
        into.answers[i] += more.answers[i]
    for i in range(<int>SILENCE_COUNT):
        into.silences[i] += more.silences[i]
    for i in range(<int>PROBE_END_COUNT):
        into.probes[i] += more.probes[i]
    add_times(&into.reply, &more.reply)
    add_times(&into.answer, &more.answer)
    add_times(&into.probe, &more.probe)


@cython.final
cdef class Measures:
    """Measures(cells) anonymous, of one shard; Measures(path, cells, shards) in a file: made if absent, else taken up.

    One that cannot be read is kept under another name, and `notes` says so, for the log.  MeasuresError: no room.
    """

    def __init__(self, *where):
        path, cells, self.shards = where if len(where) == 3 else ("", *where, 1)
        if self.mapping != NULL:
            raise RuntimeError("already mapped")
        self.lines = lines_of(cells)
        self.path = os.fspath(path)
        self.notes = []
        if not self.path:
            self.attach(-1)
            return
        try:
            self.take_up()
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            free = free_bytes(os.path.dirname(self.path) or ".")
            raise MeasuresError(f"{self.path}: {self.file_bytes()} bytes wanted, {free} free") from None

    def __dealloc__(self):
        if self.mapping != NULL:
            munmap(self.mapping, self.mapping_bytes)

    def file_bytes(self) -> int:
        return HEADER_BYTES + <size_t>self.lines * self.shards * sizeof(measure_t)

    def head(self) -> bytes:
        cdef file_head_t head
        boot = boot_bytes()
        memset(&head, 0, sizeof(head))
        head.magic, head.major, head.minor = MAGIC, LAYOUT_MAJOR, LAYOUT_MINOR
        head.line_bytes, head.lines, head.shards = sizeof(measure_t), self.lines, self.shards
        memcpy(head.boot_id, <const char *>boot, 16)
        return (<char *>&head)[:sizeof(head)]

    def take_up(self) -> None:
        """A file of just these sizes and of this boot is mapped as it is; any other is made anew."""
        wanted = self.head()
        try:
            with closing(open_file(self.path, os.O_RDWR)) as fd:
                if os.pread(fd, len(wanted), 0) == wanted and os.fstat(fd).st_size == self.file_bytes():
                    self.attach(fd)
                    return
        except FileNotFoundError:
            pass
        self.make(self.kept())

    def kept(self) -> bytes:
        """What the file holds, if it is of this boot."""
        try:
            with closing(open_file(self.path, os.O_RDONLY)) as fd:
                content = os.pread(fd, os.fstat(fd).st_size, 0)
                return content if read_head(content) else b""
        except FileNotFoundError:
            return b""
        except Damaged as damage:
            self.notes.append(keep_aside(Path(self.path), str(damage)))
            return b""

    def make(self, bytes kept not None) -> None:
        with begin_beside(self.path, self.file_bytes()) as fd:
            self.attach(fd)
            if kept:
                self.carry(kept)
            os.pwrite(fd, self.head(), 0)

    def carry(self, bytes kept not None) -> None:
        """Into zeros: a line goes where its index is, and that of a shard that is no more to one that is."""
        cdef const char *at = kept
        cdef measure_t *into
        cdef measure_t line
        cdef uint32_t shard, index
        found = read_head(kept)
        cdef uint32_t shards = found["shards"]
        cdef uint32_t lines = found["lines"]
        at += HEADER_BYTES
        for shard in range(shards):
            for index in range(lines):
                memcpy(&line, at, sizeof(line))
                at += sizeof(line)
                if line.destination_id == 0:
                    continue
                if line.destination_id == THE_REST or index >= self.lines:
                    line.destination_id = THE_REST
                    into = &self.of_shard(shard % self.shards)[self.lines - 1]
                else:
                    into = &self.of_shard(shard % self.shards)[index]
                add_line(into, &line)

    cdef int attach(self, int fd) except -1:
        """Maps the lines, of a file or, with fd < 0, anonymous."""
        cdef size_t size = HEADER_BYTES + <size_t>self.lines * self.shards * sizeof(measure_t)
        self.mapping = map_file(fd, size)
        if self.mapping == NULL:
            raise MemoryError(f"no mapping of {size} bytes for what is measured of destinations")
        self.mapping_bytes = size
        self.measures = <measure_t *>(<char *>self.mapping + HEADER_BYTES)
        return 0

    cdef measure_t *of_shard(self, uint32_t shard) noexcept:
        return &self.measures[<size_t>shard * self.lines]

    def follow(self, dict assigned not None) -> None:
        """Before a table that names them is used: whose lines these are (Cells.assigned).

        A line that changes hands begins at 0 again: whoever had it is in no table that is in use.
        """
        cdef uint32_t shard, index, owner
        cdef measure_t *line
        owners = {*assigned, THE_REST}
        for shard in range(self.shards):
            for index in range(self.lines):
                line = &self.of_shard(shard)[index]
                if line.destination_id and line.destination_id not in owners:
                    store_release32(&line.destination_id, 0)    # it may come back elsewhere
        for destination_id, place in [*assigned.items(), (THE_REST, self.lines - 1)]:
            owner, index = destination_id, place
            if index >= self.lines or (index == self.lines - 1) != (owner == THE_REST):
                continue
            for shard in range(self.shards):
                line = &self.of_shard(shard)[index]
                if line.destination_id != owner:
                    store_release32(&line.destination_id, 0)
                    memset(line, 0, sizeof(measure_t))
                    store_release32(&line.destination_id, owner)

    def read(self, index) -> dict:
        """The sums over all shards of a cell's line; those of the rest, if it has none of its own.

        attempts, failovers; answers, silences and probes by their names; reply, answer and probe are
        (sum in ms, counts of the buckets).
        """
        cdef measure_t found
        cdef uint32_t shard, at = min(index, self.lines - 1)
        memset(&found, 0, sizeof(found))
        for shard in range(self.shards):
            add_line(&found, &self.of_shard(shard)[at])
        return {
            "attempts": found.attempts, "failovers": found.failovers,
            "answers": {name: found.answers[<int>i] for i, name in enumerate(ANSWER_NAMES)},
            "silences": {name: found.silences[<int>i] for i, name in enumerate(SILENCE_NAMES)},
            "probes": {name: found.probes[<int>i] for i, name in enumerate(PROBE_NAMES)},
            "reply": (found.reply.sum_ms, [found.reply.counts[<int>i] for i in range(<int>BUCKET_COUNT)]),
            "answer": (found.answer.sum_ms, [found.answer.counts[<int>i] for i in range(<int>BUCKET_COUNT)]),
            "probe": (found.probe.sum_ms, [found.probe.counts[<int>i] for i in range(<int>BUCKET_COUNT)]),
        }


# ---------------------------------------------------------------- at import

for _status in range(200, 700):
    ANSWERS[<int>_status] = ANSWER_NAMES.index(
        "challenge" if _status in (401, 402, 407) else str(_status) if str(_status) in ANSWER_NAMES
        else f"{_status // 100}xx")
