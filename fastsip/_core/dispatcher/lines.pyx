# cython: boundscheck=True, wraparound=True
"""Files of lines: what is learned of each destination, in a mapping that all may see.

Anonymous (tests, one process), or a file in run_dir that outlives the router.  It is made as base/mapped says, in
place, for another router may have it mapped.

Layout: a page of header, then the lines.  Lines of another boot are dropped, as their times are of a clock that
began anew.

Must never: move the mapping, shrink the file, or know what a line means.
"""

import errno
import mmap
import os

cimport cython
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset
from posix.mman cimport munmap

from fastsip._core.base.mapped cimport map_file

from fastsip._core.base.files import boot_id
from fastsip._core.base.mapped import Damaged, free_bytes, open_in_place, seal

cdef enum:
    HEADER_BYTES = 4096
    LAYOUT_MAJOR = 1
    LAYOUT_MINOR = 0

cdef struct file_head_t:
    uint64_t magic
    uint16_t major
    uint16_t minor
    uint32_t line_bytes
    uint32_t count
    uint32_t reserve
    uint8_t boot_id[16]

MOST_LINES = 2**24


class CellsError(Exception):
    """There is no room for cells."""


def boot_bytes() -> bytes:
    return bytes.fromhex(boot_id().decode().replace("-", ""))


cdef file_head_t read_head(bytes head, uint64_t magic, uint32_t line_bytes, str what, size) except *:
    """Damaged says why it is not that of a file of these lines, of so many bytes."""
    cdef file_head_t found
    head = head[:sizeof(found)].ljust(sizeof(found), b"\0")
    memcpy(&found, <const char *>head, sizeof(found))
    if found.magic != magic:
        raise Damaged(f"not a file of {what}")
    if found.major > LAYOUT_MAJOR:
        raise Damaged(f"of a newer version: layout {found.major}, known is {LAYOUT_MAJOR}")
    if (found.line_bytes != line_bytes or found.count > MOST_LINES
            or size < HEADER_BYTES + <size_t>found.count * found.line_bytes):
        raise Damaged(f"lines of {found.line_bytes} bytes, {found.count} of them in {size} bytes")
    return found


def content_of(bytes content not None, magic, line_bytes, what) -> bytes:
    """All lines of a file's content, for who only looks; b"" of another boot.  Damaged as a file of them would be."""
    cdef file_head_t head = read_head(content, magic, line_bytes, what, len(content))
    if head.boot_id[:16] != boot_bytes():
        return b""
    return content[HEADER_BYTES : HEADER_BYTES + head.count * line_bytes]


@cython.final
cdef class Lines:
    """Lines(path, count, line_bytes, magic, what): made if absent, else attached with what it knows.

    path "" = anonymous.  A file with more lines than asked for keeps them; one with fewer grows.  One that cannot
    be read is kept under another name, and `notes` says so, for the log.  CellsError: no room.
    """

    def __init__(self, path, count, line_bytes, magic, what):
        if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= MOST_LINES:
            raise ValueError(f"count is a number of lines from 1 to {MOST_LINES}, not {count!r}")
        if self.mapping != NULL:
            raise RuntimeError("already mapped")
        self.count, self.line_bytes, self.magic, self.what = count, line_bytes, magic, what
        self.path = os.fspath(path)
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
        if head:
            self.count = max(self.count, read_head(head, self.magic, self.line_bytes, self.what, size).count)
        return self.file_bytes()

    def file_bytes(self) -> int:
        return HEADER_BYTES + <size_t>self.count * self.line_bytes

    def take_up(self, fd) -> None:
        """What the mapped file knows, if it is of this boot."""
        cdef file_head_t head = (<file_head_t *>self.mapping)[0]
        boot = boot_bytes()
        if memcmp(head.boot_id, <const char *>boot, 16) != 0:
            # Before the head says that it is of this boot: whoever dies here leaves lines that the next one drops.
            memset(self.first, 0, <size_t>self.count * self.line_bytes)
            memcpy(head.boot_id, <const char *>boot, 16)
        head.magic = self.magic
        head.major, head.minor, head.line_bytes, head.count = LAYOUT_MAJOR, LAYOUT_MINOR, self.line_bytes, self.count
        seal(fd, (<char *>&head)[:sizeof(head)])

    cdef int attach(self, int fd) except -1:
        """Maps the lines, of a file or, with fd < 0, anonymous."""
        cdef size_t size = HEADER_BYTES + <size_t>self.count * self.line_bytes
        # Whole pages, as munmap counts.
        size = (size + mmap.PAGESIZE - 1) // mmap.PAGESIZE * mmap.PAGESIZE
        self.mapping = map_file(fd, size)
        if self.mapping == NULL:
            raise MemoryError(f"no mapping of {size} bytes for {self.count} {self.what}")
        self.mapping_bytes = size
        self.first = <char *>self.mapping + HEADER_BYTES
        return 0
