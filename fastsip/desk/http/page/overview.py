"""Destinations as they are at one moment, for all who look at the page: one look serves them all.

A look asks the supervisor which there are, and the files of run_dir for the rest; at 10,000 that takes a third of a
second of a CPU, so it is made again only when it is older than FRESH_S and ten times what it took.
"""

import contextlib
import threading
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import msgspec

from fastsip.api import answers
from fastsip.base.plain import printable
from fastsip.base.run_dir import HISTORY
from fastsip.desk.http.page.timeline import HEALTH, clock, reason_of
from fastsip.dispatcher import history
from fastsip.dispatcher.history import Change
from fastsip.observe.names import UNRESOLVED, in_order

FRESH_S = 0.9
PATIENCE_S, FIRST_S = 2.0, 20.0    # for a look of somebody else, when there is one before it, and when there is none
AT_MOST = 10                # of the time that a look takes, one part: the rest is for others
WORST_FIRST = ("down", UNRESOLVED, "trying", "disabled", "draining", "unknown", "up")
SILENT_S = 3.0              # a look that takes longer is said to all who watch
MOST_TOLD = 5               # changes that are read out
LONGEST_QUERY = 200         # letters of what is looked for

SORTS = {"": "order of the configuration", "state": "worst first", "rate": "most calls first"}
STATES = {"": "any state", "trouble": "not in order", "down": "down", "draining": "draining", "disabled": "disabled",
          "up": "up"}  # fmt: skip


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A destination.  state: the word that counts most of its health and of what operators say.  reason: of that."""

    id: str
    uri: str
    set: str
    state: str
    health: str
    admin: str
    reason: str
    since: float | None
    rate: float
    latency_ms: float | None
    chosen: int
    failed: int
    is_target: bool
    is_name: bool


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """Which destinations are wanted: with this text in id, URI or set, in such a state, in this order; the page of it,
    from 1.
    """

    text: str = ""
    state: str = ""
    sort: str = ""
    page: int = 1


class Overview(msgspec.Struct, frozen=True, kw_only=True):
    """number: of the look.  states: another one whenever a state or its reason is another than before.  told: what has
    changed, in words.
    """

    number: int
    at: float
    states: int
    told: list[str]
    status: dict[str, Any]
    rows: list[Row]
    sums: dict[str, int]
    changes: dict[str, list[Change]]


class Destinations:
    """Looks when somebody asks, one thread at a time; the others take what is there."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: Overview | None = None
        self._fresh_until = 0.0
        self._silent_since: float | None = None     # time.monotonic, since looks fail or hang
        self._why = ""                              # the last one failed
        self._changes: dict[str, list[Change]] = {}
        self._stamp: tuple[int, ...] | None = None

    def look(self, run_dir: str, rates: dict[str, float]) -> Overview:
        """Raises what answers raises.  While somebody else looks for long, as at a supervisor that is silent, the one
        before counts.
        """
        if not self._lock.acquire(timeout=PATIENCE_S if self._known else FIRST_S):
            if self._known is None:
                raise TimeoutError("nobody says which destinations there are")
            return self._known
        try:
            began = time.monotonic()
            if self._known is None or began >= self._fresh_until:
                self._known = self._noted_look(run_dir, rates, began)
                self._fresh_until = time.monotonic() + max(FRESH_S, AT_MOST * (time.monotonic() - began))
            return self._known
        finally:
            self._lock.release()

    def _noted_look(self, run_dir: str, rates: dict[str, float], began: float) -> Overview:
        if self._silent_since is None:
            self._silent_since = began
        try:
            known = self._look(run_dir, rates, self._known)
        except Exception as error:
            self._why = str(error) or "no answer in time"
            raise
        self._silent_since, self._why = None, ""
        return known

    def trouble(self) -> str:
        """Why what is shown of destinations is older than it should be; "" when nothing is wrong."""
        since, known = self._silent_since, self._known
        if since is None or time.monotonic() - since < SILENT_S:
            return ""
        last = f"since {clock(known.at)}" if known else "yet"
        return f"Destinations are not known {last}: {self._why or 'the supervisor does not answer'}"

    def stale(self) -> None:
        """Somebody has ordered something: the next one who asks sees it."""
        self._fresh_until = 0.0

    def _look(self, run_dir: str, rates: dict[str, float], before: Overview | None) -> Overview:
        status = answers.status(run_dir)
        self._read_changes(status["state_dir"])
        rows = [self._row(group["name"], one, rates) for group in answers.sets(run_dir) for one in in_order(group)]
        told = self._told(before.rows, rows) if before else []
        sums: dict[str, int] = {word: 0 for word in WORST_FIRST}
        for row in rows:
            sums[row.state] = sums.get(row.state, 0) + (not row.is_name or row.state == UNRESOLVED)
        sums["out"] = sums["down"] + sums[UNRESOLVED]       # as the tile has it
        number, states, last = (before.number, before.states, before.told) if before else (0, 0, [])
        return Overview(number=number + 1, at=time.time(), status=status, rows=rows, sums=sums,
                        states=states + bool(told), told=told or last, changes=self._changes)  # fmt: skip

    def _row(self, group: str, one: dict[str, Any], rates: dict[str, float]) -> Row:
        admin, health = one["admin"], one["health"]
        last = self._last(one, admin == "enabled")
        since = one["since"] if admin == "enabled" else one["said_at"]
        reason = reason_of(last) if last else ""
        if health == UNRESOLVED:
            reason = one.get("trouble", "")
        elif one["retry_after"] is not None:
            reason = f"{reason}, it asked for no calls".lstrip(", ")
        return Row(
            id=one["id"], uri=one["uri"], set=group, state=health if admin == "enabled" else admin, health=health,
            admin=admin, reason=reason, since=since, rate=rate_of(one, rates),
            latency_ms=one["latency_ms"], chosen=one["chosen"], failed=one["failed"], is_target=bool(one["parent"]),
            is_name="targets" in one,
        )  # fmt: skip

    def _last(self, one: dict[str, Any], of_health: bool) -> Change | None:
        """The change that its state stands on."""
        for change in reversed(self._changes.get(one["id"], ())):
            if (change.now in HEALTH) == of_health:
                return change
        return None

    def _read_changes(self, state_dir: str) -> None:
        """Again only when the file is another one than before."""
        stamp: tuple[int, ...] = ()
        with contextlib.suppress(FileNotFoundError):
            found = (Path(state_dir) / HISTORY).lstat()
            stamp = (found.st_ino, found.st_size, found.st_mtime_ns)
        if stamp == self._stamp:
            return
        with answers.readable("what is kept of changes"):
            kept = history.read(state_dir)
        changes: defaultdict[str, list[Change]] = defaultdict(list)
        for change in kept:
            changes[change.id].append(change)
        self._changes, self._stamp = changes, stamp

    @staticmethod
    def _told(before: list[Row], now: list[Row]) -> list[str]:
        """In words, the first ones; that there are others or other reasons is a change, too."""
        was = {row.id: (row.state, row.reason) for row in before}
        new = [row for row in now if was.get(row.id) != (row.state, row.reason)]
        told = [printable(f"{row.id} is {row.state}" + (f": {row.reason}" if row.reason else ""))
                for row in new[:MOST_TOLD]]  # fmt: skip
        if len(new) > MOST_TOLD:
            told.append(f"and {len(new) - MOST_TOLD} others")
        if not new and len(before) != len(now):
            told.append("destinations are gone")
        return told


def rate_of(one: dict[str, Any], rates: dict[str, float]) -> float:
    """Attempts a second; those of a name go to its targets."""
    return round(sum(rates.get(each, 0.0) for each in (one["id"], *one.get("targets", ()))), 2)


def found(overview: Overview, query: Query) -> list[Row]:
    text = query.text.lower()
    rows = [row for row in overview.rows if _fits(row, text, query.state)]
    if query.sort == "state":
        rows.sort(key=lambda row: WORST_FIRST.index(row.state) if row.state in WORST_FIRST else 0)
    elif query.sort == "rate":
        rows.sort(key=lambda row: -row.rate)
    return rows


def _fits(row: Row, text: str, state: str) -> bool:
    if state == "trouble" and row.state in ("up", "unknown"):
        return False
    if state not in ("", "trouble") and row.state != state:
        return False
    return not text or text in row.id.lower() or text in row.uri.lower() or text in row.set.lower()
