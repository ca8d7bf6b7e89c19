"""Files that are mapped: made, judged, allocated whole, and set aside when they cannot be read.

How a new mapped store is made:

1. Its name stands in base/run_dir, and its head (a page) begins with eight letters that nobody else's begins with, then
   its layout and what tells this boot of the machine from others (files.boot_id), if it is worth nothing after another.
2. One of three ways to a descriptor, whichever of them fits:

   begin_beside(path, size)       a file that nobody has yet: written under another name, then put in its place
   open_in_place(path, judge)     one that others may have mapped: kept, grown, and its head written again (seal)
   open_whole(path, size)         as that, without a head: any bytes mean something, and zeros mean nothing

3. map_file, of a kernel, or map_rows, of Python.  Both leave the file out of core dumps, since what callers said may
   stand there.
4. A line in tests/unit/test_mapped.py, which spoils the file in each way and dies between each two steps.

What a crash leaves.  A new name is an empty file, or one of zeros: there is no magic number, so it counts as not begun.
Beside: the old file or none, and a piece that ends in `.new`, which whoever makes the file next replaces.  In place:
a file that has grown is as good as before, for its head says how much of it counts; a head without its magic number,
which is written last, is no head.  A head that is written again says what it said, but for what grew: before or after,
both are true.

A file has all of its blocks before anybody maps it: a hole on a full tmpfs would be a SIGBUS later, and at each start
again (docs/core.md#fully-allocated-files).

Must never: shrink a file that begins with a magic number, which somebody may have mapped, or decide what is worth
keeping.
"""

import contextlib
import mmap
import os
from pathlib import Path

from libc.stdint cimport uint64_t
from posix.mman cimport MAP_ANONYMOUS, MAP_FAILED, MAP_SHARED, PROT_READ, PROT_WRITE, mmap as map_pages

from fastsip._core.base.files import keep_aside, open_file, open_fresh

cdef extern from "<sys/mman.h>" nogil:
    int madvise(void *addr, size_t length, int advice)
    int MADV_DONTDUMP

MAGIC_BYTES = 8
HEAD_BYTES = 4096


class Damaged(Exception):
    """What a file holds cannot be used; the text says why."""


def free_bytes(place) -> int:
    """That we may still write where a folder or an open file is."""
    space = os.statvfs(place)
    return space.f_bavail * space.f_frsize


# ---------------------------------------------------------------- a file that nobody has yet

def beside(path):
    """Under which name it is written."""
    return Path(path).with_suffix(".new")


@contextlib.contextmanager
def begin_beside(path, size, mode=0o640):
    """A descriptor of a new file, of zeros and whole, which has the name `path` when the block was left.

    Whoever opens `path` finds what was there before or all of the new file.  An error in the block or on the way, as
    that of a full disk, leaves what was there.
    """
    piece = beside(path)
    try:
        fd = open_fresh(piece, mode)
        try:
            os.posix_fallocate(fd, 0, size)
            yield fd
        finally:
            os.close(fd)
        os.replace(piece, path)
    except BaseException:
        with contextlib.suppress(OSError):      # whatever stands there: the first error is the one to tell
            piece.unlink()
        raise


# ---------------------------------------------------------------- a file that others may have mapped

@contextlib.contextmanager
def closing(fd):
    """A mapping outlives the descriptor that it was made by."""
    try:
        yield fd
    finally:
        os.close(fd)


@contextlib.contextmanager
def open_whole(path, size):
    """A descriptor of the file, made if it is not there, of at least so many bytes; what is new are zeros."""
    with closing(open_file(path, os.O_RDWR | os.O_CREAT)) as fd:
        os.posix_fallocate(fd, 0, size)
        yield fd


def judged(path, judge):
    """The descriptor of open_in_place, or Damaged."""
    fd = open_file(path, os.O_RDWR | os.O_CREAT)
    try:
        head = os.pread(fd, HEAD_BYTES, 0)
        if head[:MAGIC_BYTES].strip(b"\0") == b"":
            # Not begun, or its making was cut short: nobody has mapped it, and what stands there was never told.
            head = b""
            os.ftruncate(fd, 0)
        os.posix_fallocate(fd, 0, judge(head, os.fstat(fd).st_size))
    except BaseException:
        os.close(fd)
        raise
    return fd


@contextlib.contextmanager
def open_in_place(path, judge, notes):
    """A descriptor of the file as it is, or of an empty one; whole, and waiting for its head to be sealed.

    judge(head, size) says how many bytes the file must have, by its head (b"" for one that was not begun) and by those
    it has; Damaged: it cannot be used.  Then it is kept under another name, `notes` gets a line for the log, and an
    empty one takes its place.
    """
    try:
        fd = judged(path, judge)
    except Damaged as damage:
        notes.append(keep_aside(Path(path), str(damage)))
        fd = judged(path, judge)
    with closing(fd):
        yield fd


def seal(fd, bytes head not None):
    """Writes the head, its magic number last: without that there is no head."""
    os.pwrite(fd, head[MAGIC_BYTES:], MAGIC_BYTES)
    os.pwrite(fd, head[:MAGIC_BYTES], 0)


# ---------------------------------------------------------------- mapping

cdef char *map_file(int fd, uint64_t bytes_count) noexcept nogil:
    cdef void *at = map_pages(NULL, bytes_count, PROT_READ | PROT_WRITE,
                              MAP_SHARED if fd >= 0 else MAP_SHARED | MAP_ANONYMOUS, fd, 0)
    if at == MAP_FAILED:
        return NULL
    madvise(at, bytes_count, MADV_DONTDUMP)
    return <char *>at


def map_rows(fd, size):
    """The same for Python: a writable mapping, which is unmapped when nobody has it any more."""
    mapping = mmap.mmap(fd, size)
    mapping.madvise(mmap.MADV_DONTDUMP)
    return mapping
