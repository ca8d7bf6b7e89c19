"""Reads the record of events from where its reader stands, over files that follow each other and over deaths.

    follower = Follower(run_dir, since=number)
    follower.read()         events that came since, each once; [] when there are none: it never waits
    follower.position       for whoever goes on later from there
    follower.take_lost()    how many were gone before they were read
    follower.take_anew()    was the record begun anew, so that nobody knows how many

A line is read when it is whole.  A file is left when another one has its name and it was read to its end after that:
whoever writes holds a lock until the line is there, and nobody writes into a file that was renamed.
"""

import os
from pathlib import Path
from typing import Any

import msgspec

from fastsip._core.base.files import look_into
from fastsip.base.run_dir import EVENTS, EVENTS_BEFORE
from fastsip.events.file import Head, end_of, is_named, read_head

CHUNK_BYTES = 256 << 10     # of one look; of lines that are longer there are none
LOOK_TRIES = 5              # to see both files as they stand at one moment

Event = dict[str, Any]


class Position(msgspec.Struct, frozen=True, kw_only=True):
    """Where a reader stands: `number` of the event that comes next, `offset` of its line in the file that begins with
    `first`, and the life that this was in."""

    number: int
    first: int = -1
    offset: int = 0
    life: int = -1


class Follower:
    """One reader."""

    def __init__(self, run_dir: str | Path, position: Position | None = None):
        """From there on; None: from the oldest event that is kept."""
        self.place, self.before = Path(run_dir) / EVENTS, Path(run_dir) / EVENTS_BEFORE
        self.position = position or Position(number=0)
        self._fd, self._lost, self._anew = -1, 0, False

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def take_lost(self) -> int:
        """Of what came since the last time it was asked."""
        lost, self._lost = self._lost, 0
        return lost

    def take_anew(self) -> bool:
        """Was the record begun anew since the last time it was asked, so that nobody knows how many are lost?"""
        anew, self._anew = self._anew, False
        return anew

    def read(self) -> list[Event]:
        """Some of those that are there, in order.  OSError: the record cannot be read."""
        while True:
            if self._fd < 0 and not self._open():
                return []
            found, moved = self._lines()
            if not moved:
                if is_named(self._fd, self.place):
                    return []
                found, moved = self._lines()    # what was written until it lost its name
            if found:
                return found
            if not moved and not self._leave():
                return []

    # ------------------------------------------------------------ one file

    def _lines(self) -> tuple[list[Event], bool]:
        """Events of the next whole lines, and whether there was any line."""
        here = self.position
        content = os.pread(self._fd, CHUNK_BYTES, here.offset)
        end = content.rfind(b"\n") + 1
        if not end:
            if len(content) < CHUNK_BYTES:
                return [], False
            self._move(here.number, here.offset + len(content))     # no line of ours is so long
            return [], True
        found, number = [], here.number
        for line in content[:end].split(b"\n")[:-1]:
            if event := read_event(line, number):
                found.append(event)
            number += 1
        self._move(number, here.offset + end)
        return found, True

    def _move(self, number: int, offset: int) -> None:
        self.position = msgspec.structs.replace(self.position, number=number, offset=offset)

    # ------------------------------------------------------------ from file to file

    def _leave(self) -> bool:
        """The file is complete: is there one that follows?"""
        here = self.position
        torn = os.fstat(self._fd).st_size > here.offset     # by a death, and nobody has written after it
        self.position = msgspec.structs.replace(here, number=here.number + torn, first=-1)
        fd, self._fd = self._fd, -1
        if self._open(behind=here.first):
            os.close(fd)
            return True
        self._fd, self.position = fd, here
        return False

    def _open(self, behind: int = -1) -> bool:
        """The file that has the event which comes next, or the first one behind it; none up to the one that begins so.
        """
        files = []
        for one in self._look():
            files.append(one) if one[1].first > behind else os.close(one[0])
        try:
            if not files:
                return False
            chosen = self._choose(files)
            self._fd = files.pop(chosen)[0]
            return True
        finally:
            for fd, _, _ in files:
                os.close(fd)

    def _look(self) -> list[tuple[int, Head, int]]:
        """The files, oldest first: descriptor, what it says of itself, where its events begin."""
        for _ in range(LOOK_TRIES):
            found: list[tuple[int, Head, int]] = []
            try:
                # The newer one first: if it is still the newer one afterwards, no other stood between the two.
                newest = look_into(self.place)
            except FileNotFoundError:
                return []
            for fd in (newest, self._older()):
                if fd >= 0 and (known := read_head(fd)):
                    found.insert(0, (fd, *known))
                elif fd >= 0:
                    os.close(fd)
            if not found or found[-1][0] != newest or is_named(newest, self.place):
                break
            for fd, _, _ in found:
                os.close(fd)
            found = []
        return found

    def _older(self) -> int:
        try:
            return look_into(self.before)
        except FileNotFoundError:
            return -1

    def _choose(self, files: list[tuple[int, Head, int]]) -> int:
        """Which of these, with our place in it."""
        here = self.position
        for place, (fd, head, begin) in enumerate(files):
            if head.first == here.first and begin <= here.offset <= os.fstat(fd).st_size:
                return place
        for place in range(len(files) - 1, -1, -1):
            fd, head, begin = files[place]
            if head.first <= here.number:
                offset, number = skip_lines(fd, begin, here.number - head.first)
                self.position = Position(number=head.first + number, first=head.first, offset=offset, life=head.life)
                return place
        _, head, begin = files[0]
        # The life of a number that somebody wrote down is not known, but no other life has such high ones.
        if here.number >= head.life:
            self._lost += head.first - here.number
        elif here.number:
            self._anew = True
        self.position = Position(number=head.first, first=head.first, offset=begin, life=head.life)
        return 0


def read_event(line: bytes, number: int) -> Event | None:
    """With its number as `id`; None for what is no event."""
    try:
        found = msgspec.json.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    if not isinstance(found, dict) or not isinstance(found.get("event"), str):
        return None
    if isinstance(found.get("at"), bool) or not isinstance(found.get("at"), int | float):
        return None
    return {"id": number, **found}


def skip_lines(fd: int, begin: int, count: int) -> tuple[int, int]:
    """Behind so many lines from there, or behind the last whole one: where, and how many these are."""
    offset, passed = begin, 0
    while passed < count:
        content = os.pread(fd, CHUNK_BYTES, offset)
        lines = content.split(b"\n")[:-1][: count - passed]
        if not lines:
            break
        offset, passed = offset + sum(map(len, lines)) + len(lines), passed + len(lines)
    return offset, passed


def position_at_end(run_dir: str | Path) -> Position:
    """For whoever wants what comes from now on alone.  OSError: the record cannot be read."""
    number, life = end_of(Path(run_dir) / EVENTS) or (0, -1)
    return Position(number=number, life=life)
