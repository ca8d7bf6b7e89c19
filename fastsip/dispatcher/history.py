"""The last changes of each destination, with time and reason: who went down when, seen by what, ordered by whom.

    state_dir/history   JSON lines, oldest first; the router appends, anybody may read

Bounds: KEPT_EACH changes of a destination, MOST_KEPT of all.  When the file has MOST_LINES it is written anew with what
these leave.  A line that cannot be read is passed over: it was cut by a full disk or by a death.
"""

import errno
import os
from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from fastsip._core.base.files import look_at, open_file, replace_file
from fastsip.base.run_dir import HISTORY

KEPT_EACH = 100
MOST_KEPT = 50_000
MOST_LINES = 100_000


class Change(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One of a destination's health or admin state.

    at        seconds since 1970
    now       up, trying, down; enabled, draining, disabled
    by        probe; response, timeout, progress, ring, transport of a call; operator, configuration
    code      of the response, 408 for silence; 0 = none
    why       what the operator gave as the reason
    """

    at: float
    id: str
    now: str
    by: str
    code: int = 0
    why: str = ""


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Change)


class History:
    """The file, for its one writer."""

    def __init__(self, state_dir: str | Path):
        self.place = Path(state_dir) / HISTORY
        self.lines = -1     # not counted yet

    def append(self, changes: Sequence[Change]) -> None:
        """OSError: nothing is written, or a part of it, as when a disk is full."""
        if self.lines < 0:
            self.lines = look_at(self.place).count(b"\n") if self.place.exists() else 0
        if self.lines >= MOST_LINES:
            self.shorten()  # or it raises, and the file grows no more
        # A newline first: a line that a death has cut must not swallow the next one.
        content = b"\n" + lines_of(changes)
        fd = open_file(self.place, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        try:
            written = os.write(fd, content)
        finally:
            os.close(fd)
        self.lines += 1 + len(changes)
        if written < len(content):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.place))

    def shorten(self) -> None:
        """Writes it anew with what the bounds leave."""
        kept = bounded(parse(look_at(self.place)))
        replace_file(self.place, lines_of(kept))
        self.lines = len(kept)


def lines_of(changes: Iterable[Change]) -> bytes:
    return b"".join(_encoder.encode(change) + b"\n" for change in changes)


def bounded(changes: list[Change]) -> list[Change]:
    """The last of each destination, of these the last, in order."""
    each: dict[str, int] = defaultdict(int)
    kept: deque[Change] = deque()
    for change in reversed(changes):
        each[change.id] += 1
        if each[change.id] <= KEPT_EACH and len(kept) < MOST_KEPT:
            kept.appendleft(change)
    return list(kept)


def parse(content: bytes) -> list[Change]:
    found = []
    for line in content.split(b"\n"):
        try:
            if line:
                found.append(_decoder.decode(line))
        except msgspec.MsgspecError:
            continue
    return found


def facts(change: Change) -> dict[str, Any]:
    return msgspec.to_builtins(change)


def read(state_dir: str | Path) -> list[Change]:
    """The last changes of all destinations, oldest first; [] when there is no file.  OSError: it cannot be read."""
    try:
        return bounded(parse(look_at(Path(state_dir) / HISTORY)))
    except FileNotFoundError:
        return []
