"""The numbers of the page: what the files of run_dir say once a second, the differences, and ten minutes of those.

All of it is lost with this process, and begins anew.  A look at a router of 10,000 destinations and four shards takes
17 ms of a CPU.
"""

import time
from collections import deque
from typing import Any

import msgspec
import numpy as np

from fastsip._core.dispatcher.measures import ANSWER_NAMES, SILENCE_NAMES, THE_REST
from fastsip.desk.http import limits
from fastsip.desk.http.page.failures import WORDS, Failures
from fastsip.observe import counters
from fastsip.observe.counters import COUNTER_HELP
from fastsip.observe.families import REFUSALS
from fastsip.observe.measures import LINE, added_up, quantile_ms, read_line_names, read_lines

COLUMNS = ("attempts", "answers", "silences", "reply.counts", "answer.counts")
CODES = (*ANSWER_NAMES, *SILENCE_NAMES)
# No failure of whoever was tried: answered, sent elsewhere, asked who it is, given up by the caller.
FINE = ("2xx", "3xx", "challenge", "487", "cancelled")
FAILED = np.array([name not in FINE for name in CODES])
RECENT = 10             # looks that rates and medians are of: of one alone they would jump
MINUTE = 60             # looks of the codes of the last minute
MOST_NEW = 100          # failures of one look, by destination and reason; the others are told together
NAMES_S = 10.0          # between two looks at the registry, for names that are not known
OTHERS = "(others)"


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """One look.  Rates are a second's; None: not known, as over a look that failed.

    at                  seconds since 1970
    calls               new INVITEs
    ok, failed          attempts that ended so
    reply, answer       median and 95 % of the time until the first reply and until the 2xx, of the last looks, in ms
    slots               transactions and branches in the store
    """

    at: float
    calls: float | None
    ok: float | None
    failed: float | None
    reply: tuple[float | None, float | None]
    answer: tuple[float | None, float | None]
    slots: int


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """What the files said.  at: seconds since 1970; tick: time.monotonic, which nobody sets.  codes: attempts by CODES,
    of each line; times: sums of the lines.
    """

    at: float
    tick: float
    counters: dict[str, int]
    owners: np.ndarray
    attempts: np.ndarray
    codes: np.ndarray
    reply: np.ndarray
    answer: np.ndarray


def read(run_dir: str) -> Reading:
    """OSError, counters.Damaged or mapped.Damaged: there is nothing, or nothing that can be read."""
    numbers, lines = counters.read(run_dir), read_lines(run_dir)
    if lines is None:
        lines = np.zeros((1, 0), LINE)
    owners, columns = added_up(lines, COLUMNS)
    columns = {name: column.astype(np.int64) for name, column in columns.items()}
    return Reading(at=time.time(), tick=time.monotonic(), counters=numbers, owners=owners, attempts=columns["attempts"],
                   codes=np.hstack((columns["answers"], columns["silences"])),
                   reply=columns["reply.counts"].sum(axis=0), answer=columns["answer.counts"].sum(axis=0))  # fmt: skip


def moved(now: dict[str, int], before: dict[str, int], name: str) -> int:
    """A counter that went down is another router's, which began at 0."""
    value, was = now.get(name, 0), before.get(name, 0)
    return value - was if value >= was else value


def grown(now: Reading, before: Reading, column: str) -> np.ndarray:
    """By line; 0 where the line is another one's than before."""
    found, was = getattr(now, column), getattr(before, column)
    if now.owners.shape != before.owners.shape:
        return np.zeros_like(found)
    same = (now.owners == before.owners).reshape(-1, *[1] * (found.ndim - 1))
    return np.where(same & (found >= was), found - was, 0)


class Watch:
    """Looks, and keeps what it has seen.  One thread looks at a time; others read meanwhile."""

    def __init__(self) -> None:
        self.began = time.time()
        self.points: deque[Point] = deque(maxlen=limits.MOST_POINTS)
        self.failures = Failures()
        self.rates: dict[str, float] = {}
        self.minute: dict[str, int] = {}
        self._readings: deque[Reading] = deque(maxlen=RECENT + 1)
        self._codes: deque[np.ndarray] = deque(maxlen=MINUTE)
        self._names: dict[int, str] = {}
        self._named_at = 0.0

    def forget(self) -> None:
        """What was looked at last cannot be compared with what comes."""
        self._readings.clear()

    def look(self, run_dir: str) -> Point:
        """Errors as of read; what was kept stays."""
        now = read(run_dir)
        before = self._readings[-1] if self._readings else None
        self._readings.append(now)
        codes = grown(now, before, "codes") if before else np.zeros_like(now.codes)
        self._codes.append(codes.sum(axis=0))
        if before:
            self._note_failures(now, before, codes, run_dir)
        self.minute = dict(zip(CODES, sum(self._codes, np.zeros(len(CODES), np.int64)).tolist(), strict=True))
        self.rates = self._rates(run_dir)
        point = self._point(now, before, codes)
        self.points.append(point)
        return point

    def _point(self, now: Reading, before: Reading | None, codes: np.ndarray) -> Point:
        oldest, total = self._readings[0], codes.sum(axis=0)
        fine = int(total[CODES.index("2xx")])
        seconds = max(now.tick - before.tick, 0.1) if before else None

        def rate(count: int) -> float | None:
            return round(count / seconds, 2) if seconds else None

        return Point(
            at=round(now.at, 3), calls=rate(moved(now.counters, before.counters, "invites")) if before else None,
            ok=rate(fine), failed=rate(int(total[FAILED].sum())), reply=_times(now.reply - oldest.reply),
            answer=_times(now.answer - oldest.answer), slots=now.counters.get("slots", 0),
        )  # fmt: skip

    def _rates(self, run_dir: str) -> dict[str, float]:
        """Attempts a second, of destinations that had any."""
        newest, oldest = self._readings[-1], self._readings[0]
        seconds = newest.tick - oldest.tick
        if seconds <= 0:
            return {}
        found = grown(newest, oldest, "attempts")
        rows = np.flatnonzero(found)
        self._know(newest.owners[rows], run_dir)
        return {self._name(int(newest.owners[row])): round(int(found[row]) / seconds, 2) for row in rows}

    # ------------------------------------------------------------ failures

    def _note_failures(self, now: Reading, before: Reading, codes: np.ndarray, run_dir: str) -> None:
        for name in REFUSALS:
            if count := moved(now.counters, before.counters, name):
                self.failures.add(now.at, "", COUNTER_HELP.get(name, name), count)
        failed = np.where(FAILED, codes, 0)
        rows, columns = np.nonzero(failed)
        order = np.argsort(failed[rows, columns])[::-1]
        self._know(now.owners[rows], run_dir)
        for at in order[:MOST_NEW]:
            reason, owner = CODES[columns[at]], int(now.owners[rows[at]])
            self.failures.add(now.at, self._name(owner), WORDS.get(reason, reason), int(failed[rows[at], columns[at]]))
        if rest := int(failed[rows[order[MOST_NEW:]], columns[order[MOST_NEW:]]].sum()):
            self.failures.add(now.at, OTHERS, "many at once", rest)

    def _know(self, owners: np.ndarray, run_dir: str) -> None:
        """An id is a hash of its name: names that are known stay so."""
        unknown = {*owners.tolist()} - self._names.keys() - {THE_REST}
        if unknown and time.monotonic() - self._named_at > NAMES_S:
            self._names, self._named_at = read_line_names(run_dir), time.monotonic()

    def _name(self, owner: int) -> str:
        return self._names.get(owner, OTHERS)


def _times(counts: np.ndarray) -> tuple[float | None, float | None]:
    """Median and 95 %; None: nothing was timed."""
    found = np.maximum(counts, 0).tolist()
    return quantile_ms(found, 0.5), quantile_ms(found, 0.95)


def columns_of(points: list[Point]) -> dict[str, list[Any]]:
    """For a chart: a list of each number."""
    return {
        "at": [one.at for one in points], "calls": [one.calls for one in points], "ok": [one.ok for one in points],
        "failed": [one.failed for one in points], "reply": [one.reply[0] for one in points],
        "reply95": [one.reply[1] for one in points], "answer": [one.answer[0] for one in points],
    }  # fmt: skip
