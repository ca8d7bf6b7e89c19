"""What a destination was during the last hour, as pieces of a line that a browser draws, each with its reason."""

import time
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from fastsip.dispatcher.history import Change

WINDOW_S = 3600.0
WIDTH = 600                     # units of the line
LEAST = 6                       # of a piece that is to be seen
HEALTH = ("unknown", "up", "trying", "down")
TAKEN = ("draining", "disabled")


class Piece(msgspec.Struct, frozen=True, kw_only=True):
    """From x on, so wide, in units of the line; state: a word of health or of an operator."""

    x: float
    width: float
    state: str
    words: str


def pieces(changes: Iterable[Change], words: Iterable[str], now: float) -> Iterator[Piece]:
    """Of changes of one destination, oldest first, those that led to one of these states; gaps are not known."""
    begin, state, since, told = now - WINDOW_S, "", now - WINDOW_S, ""
    known = {*words}
    for change in changes:
        at = min(max(change.at, begin), now)
        if state in known and at > since:
            yield _piece(state, since, at, begin, told)
        state, since, told = change.now, at, in_words(change)
    if state in known and now > since:
        yield _piece(state, since, now, begin, told)


def _piece(state: str, since: float, until: float, begin: float, told: str) -> Piece:
    unit = WIDTH / WINDOW_S
    width = max((until - since) * unit, LEAST)
    return Piece(x=round(min((since - begin) * unit, WIDTH - width), 1), width=round(width, 1), state=state, words=told)


def of_health(changes: Iterable[Change], now: float) -> list[Piece]:
    return [*pieces((one for one in changes if one.now in HEALTH), HEALTH, now)]


def of_operators(changes: Iterable[Change], now: float) -> list[Piece]:
    return [*pieces((one for one in changes if one.now not in HEALTH), TAKEN, now)]


def in_words(change: Change) -> str:
    """down since 16:02:11: timeout 408"""
    return f"{change.now} since {clock(change.at)}: {reason_of(change)}"


def reason_of(change: Change) -> str:
    code = f" {change.code}" if change.code else ""
    why = f" \u201c{change.why}\u201d" if change.why else ""
    return f"{change.by}{code}{why}"


def clock(at: float | None) -> str:
    """Of this day the time, else the day, too."""
    if at is None:
        return ""
    found = time.localtime(at)
    today = found[:3] == time.localtime()[:3]
    return time.strftime("%H:%M:%S" if today else "%Y-%m-%d %H:%M:%S", found)


def zone() -> dict[str, Any]:
    """That of all times that are shown, the charts' too: its name, seconds and hours east of Greenwich."""
    now = time.localtime()
    minutes = abs(now.tm_gmtoff) // 60
    hours = f"{'-' if now.tm_gmtoff < 0 else '+'}{minutes // 60:02}:{minutes % 60:02}"
    return {"name": now.tm_zone, "offset": now.tm_gmtoff, "hours": hours}


def facts(change: Change) -> dict[str, Any]:
    return {"id": change.id, "at": change.at, "now": change.now, "reason": reason_of(change)}
