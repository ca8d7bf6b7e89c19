"""run_dir/events: what happened, one JSON object on a line, written by router and supervisor, read by anybody.

    events      {"events":1,"first":N,"life":L}, then a line for each event, the first of which has the number N
    events.1    the file before it, complete: nothing is written there any more

The number of an event, its `id`, is not in the line: it is `first` and how many lines stand before it.  So two writers
need not agree on numbers, and a line costs one write.  A new run_dir begins with the milliseconds since 1970, or with
the highest number that anybody remembers: no number comes twice, over restarts and boots.  `life` is the first number
of a run_dir: between two numbers of one life none is missing.

A writer holds a lock on the file as long as it writes, so that nobody renames it meanwhile, and looks first whether the
last line is whole: what a death has cut off ends there, and counts as one event that nobody can read.  The supervisor
alone makes the files and renames them.

Bounds: a line has at most LONGEST_LINE bytes, so that it is written at once; a file of MOST_BYTES is followed by
another one, and nobody writes into one of FULL_BYTES, as when there is no supervisor that would do so.
"""

import contextlib
import errno
import fcntl
import os
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from fastsip._core.base.files import keep_aside, look_into, open_file, open_fresh
from fastsip.base.plain import json_text
from fastsip.base.run_dir import EVENTS, EVENTS_BEFORE
from fastsip.log import log

LAYOUT = 1
LONGEST_LINE = 4_095        # bytes, its end included
LONGEST_HEAD = 200
MOST_BYTES = 4 << 20
FULL_BYTES = 2 * MOST_BYTES
LOCK_LIMIT_S = 1.0
LOCK_LOOK_S = 0.005
CUT = " ..."


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """The first line of a file."""

    events: int
    first: int
    life: int


_heads = msgspec.json.Decoder(Head)


def line_of(fields: dict[str, Any]) -> bytes:
    """One line; of an event that is too long the longest texts are cut."""
    fields = dict(fields)
    while True:
        line = json_text(fields).encode() + b"\n"
        if len(line) <= LONGEST_LINE:
            return line
        texts = {name: value for name, value in fields.items() if isinstance(value, str)}
        name = max(texts, key=lambda name: len(texts[name]))
        text = texts[name].removesuffix(CUT)
        fields[name] = text[: len(text) // 2] + CUT


def read_head(fd: int) -> tuple[Head, int] | None:
    """What the file says of itself, and where its first event stands; None: it is damaged, or another's."""
    line, end, _ = os.pread(fd, LONGEST_HEAD, 0).partition(b"\n")
    try:
        head = _heads.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return (head, len(line) + 1) if end and head.events == LAYOUT else None


def count_lines(fd: int) -> int:
    """Of the events of a file, the last one also when it is cut off."""
    found, at, last = -1, 0, b"\n"  # without the head
    while chunk := os.pread(fd, 1 << 20, at):
        found, at, last = found + chunk.count(b"\n"), at + len(chunk), chunk[-1:]
    return max(found + (last != b"\n"), 0)


def is_ours(place: Path) -> bool:
    """Is there a file of events that can be read?"""
    try:
        fd = look_into(place)
    except FileNotFoundError:
        return False
    try:
        return read_head(fd) is not None
    finally:
        os.close(fd)


def end_of(place: Path) -> tuple[int, int] | None:
    """The number that comes behind all events of a file, and its life; None: it is not there, or damaged."""
    try:
        fd = look_into(place)
    except FileNotFoundError:
        return None
    try:
        known = read_head(fd)
        return (known[0].first + count_lines(fd), known[0].life) if known else None
    finally:
        os.close(fd)


class EventFile:
    """For whoever writes into it."""

    def __init__(self, run_dir: str | Path):
        self.place, self.before = Path(run_dir) / EVENTS, Path(run_dir) / EVENTS_BEFORE

    def append(self, lines: deque[bytes]) -> None:
        """Takes out of `lines` what it has written.  OSError: of the rest nothing is written."""
        with self._locked() as fd:
            size = os.fstat(fd).st_size
            if size and os.pread(fd, 1, size - 1) != b"\n":
                size += os.write(fd, b"\n")
            while lines:
                if size + len(lines[0]) > FULL_BYTES:
                    raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(self.place))
                written = os.write(fd, lines[0])
                if written < len(lines[0]):
                    os.ftruncate(fd, size)
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.place))
                size += written
                lines.popleft()

    # ------------------------------------------------------------ for the supervisor alone

    def begin(self, least: int = 0) -> None:
        """Makes it if it is not there; one that cannot be read is kept under another name.

        least: a number that has been given away already, as far as others remember.
        """
        if is_ours(self.place):
            return
        first, life = end_of(self.before) or (0, 0)
        if os.path.lexists(self.place):
            log.warning(keep_aside(self.place, "no events of this release"))
            life = 0    # how many numbers it gave away nobody knows: fewer than milliseconds went by
        if not life:
            first = life = max(least, first, int(time.time() * 1000))
        self._make(first, life)
        os.rename(self.place.with_suffix(".new"), self.place)

    def follow_on(self) -> bool:
        """Another file, if this one is full: is it?"""
        if os.stat(self.place).st_size < MOST_BYTES:
            return False
        with self._locked() as fd:
            if os.fstat(fd).st_size < MOST_BYTES:
                return False
            known = read_head(fd)
            life = known[0].life if known else int(time.time() * 1000)
            self._make(known[0].first + count_lines(fd) if known else life, life)
            os.rename(self.place, self.before)
            os.rename(self.place.with_suffix(".new"), self.place)
            return True

    def _make(self, first: int, life: int) -> None:
        """Beside the one that is there."""
        with open(open_fresh(self.place.with_suffix(".new")), "wb") as file:
            file.write(msgspec.json.encode(Head(events=LAYOUT, first=first, life=life)) + b"\n")

    # ------------------------------------------------------------ the lock

    @contextlib.contextmanager
    def _locked(self) -> Iterator[int]:
        """A descriptor of the file that has the name now, and keeps it meanwhile.  OSError: it is not there, or
        somebody else holds it for too long."""
        end = time.monotonic() + LOCK_LIMIT_S
        while (fd := self._try_lock(time.monotonic() > end)) < 0:
            time.sleep(LOCK_LOOK_S)
        try:
            yield fd
        finally:
            os.close(fd)

    def _try_lock(self, late: bool) -> int:
        """-1: not yet.  Between the two names that the supervisor gives there may be a moment without a file."""
        with contextlib.ExitStack() as stack:
            try:
                fd = open_file(self.place, os.O_RDWR | os.O_APPEND)
                stack.callback(os.close, fd)
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except (BlockingIOError, FileNotFoundError):
                if late:
                    raise
                return -1
            if is_named(fd, self.place):
                stack.pop_all()
                return fd
        if late:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN), str(self.place))
        return -1


def is_named(fd: int, place: Path) -> bool:
    """Is it this file that has this name?"""
    try:
        found, ours = os.stat(place, follow_symlinks=False), os.fstat(fd)
    except FileNotFoundError:
        return False
    return (found.st_dev, found.st_ino) == (ours.st_dev, ours.st_ino)
