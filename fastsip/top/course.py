"""What a router that runs does now: two looks at what it has counted, and what lies between them.

A look reads the files of run_dir and asks the supervisor, as `fastsip metrics` does.  Counters begin anew with each
router; between the last look at one and the first at the next there is nothing to say.  What was counted of a
destination goes on over routers.
"""

import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from fastsip._core.base.buckets import BOUNDS_MS
from fastsip._core.state.counters import BUCKETS, STATUS_WORDS
from fastsip.api import answers
from fastsip.base.run_dir import REGISTRY
from fastsip.observe.destinations import takes_calls
from fastsip.observe.families import DROPS, REFUSALS
from fastsip.observe.measures import quantile_ms
from fastsip.observe.metrics import Known, summed
from fastsip.observe.names import UNRESOLVED, names_of
from fastsip.observe.transactions import count_open
from fastsip.routing.registry import read_names

Facts = dict[str, Any]

FADING_S = 60.0     # in so many seconds what a destination did falls to a third in its ratio of failures
FORGOTTEN = 0.001   # calls that have faded to less are none
CLASSES = tuple(f"{number}xx" for number in range(1, 7))
TIMED = ("reply", "answer")     # of observe.measures
SHARES = (0.5, 0.95)
LATE = 0.99         # of timers and rounds
ERRORS = (*REFUSALS, "malformed", "names_failed", "no_room", "parked_dropped")
assert len(BUCKETS) == len(BOUNDS_MS) + 1


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """One look.  at: seconds, of a clock that nobody sets; open: branches without a final response, by destination."""

    at: float
    known: Known
    open: dict[str, int]


def look(run_dir: str) -> Moment:
    """Raises what api.answers does: NotRunning, Refused, Unreadable."""
    known = answers.known(run_dir)
    with answers.readable("what is open at destinations"):
        found = count_open(run_dir, read_names(Path(run_dir) / REGISTRY))
    return Moment(at=time.monotonic(), known=known, open=found)


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One destination.

    rate, failing   calls and other requests a second, and those of them that failed there; None: not known yet
    failed          share of failures about the last minute; None: nobody was sent there
    """

    id: str
    uri: str
    group: str
    health: str
    admin: str
    open: int
    rate: float | None
    failing: float | None
    failed: float | None
    rtt_ms: float | None
    why: str


class Shard(msgspec.Struct, frozen=True, kw_only=True):
    """received: datagrams a second; handed_over: the share of them that belonged to another shard; late_ms, round_ms:
    so late at most were 99 timers of a hundred, and so long took as many rounds; waiting: bytes from other shards.
    """

    number: int
    received: float
    handed_over: float | None
    late_ms: float | None
    round_ms: float | None
    waiting: int


class Picture(msgspec.Struct, frozen=True, kw_only=True):
    """What there is to see at one moment.

    anew      another router routes than at the look before
    rates     of all counters, a second; {}: two looks are not there yet
    times     "reply" and "answer": milliseconds that half, and 95 of a hundred, were set up in
    states    "INVITE" and "other": server transactions in each state
    """

    status: Facts
    gauges: dict[str, int]
    anew: bool
    rates: dict[str, float]
    shards: list[Shard]
    times: dict[str, list[float | None]]
    states: dict[str, dict[str, int]]
    rows: list[Row]
    taking: int

    def classes(self, way: str) -> dict[str, float]:
        """Responses a second by class; way: "received" or "sent"."""
        found = dict.fromkeys(CLASSES, 0.0)
        for word in STATUS_WORDS:
            found[f"{word[0]}xx"] += self.rates.get(f"{way}_{word}", 0.0)
        return found

    def refused(self) -> dict[str, float]:
        return self._greatest({name: name for name in ERRORS})

    def dropped(self) -> dict[str, float]:
        return self._greatest(DROPS)

    def _greatest(self, names: dict[str, str]) -> dict[str, float]:
        """Those that there are, the greatest first."""
        found = [(self.rates.get(name, 0.0), word) for name, word in names.items()]
        return {word: rate for rate, word in sorted(found, reverse=True) if rate > 0}


class Course:
    """Takes one look after the other and says what there is to see."""

    def __init__(self) -> None:
        self._before: Moment | None = None
        self._faded: dict[str, tuple[float, float]] = {}    # id -> chosen, failed

    def take(self, moment: Moment) -> Picture:
        before, self._before = self._before, moment
        passed = moment.at - before.at if before else 0.0
        anew = before is not None and before.known.counted_by != moment.known.counted_by
        counters = before.known.shards if before and not anew and passed > 0 else None
        rows = self._rows(before, moment, passed)
        return Picture(
            status=moment.known.status,
            gauges=moment.known.gauges,
            anew=anew,
            rates=_rates(summed(counters), summed(moment.known.shards), passed) if counters else {},
            shards=_shards(counters, moment.known.shards, passed),
            times=_times(before, moment),
            states=_states(moment.known.transactions),
            rows=rows,
            taking=sum(takes_calls(one) for group in moment.known.sets for one in group["destinations"]),
        )

    def _rows(self, before: Moment | None, moment: Moment, passed: float) -> list[Row]:
        """Of names their targets; names without a target stand for themselves."""
        counted = {one["id"]: one for group in before.known.sets for one in group["destinations"]} if before else {}
        keeps, faded, rows = math.exp(-passed / FADING_S), {}, []
        for group in moment.known.sets:
            names = [one for one in names_of(group).values() if one["health"] == UNRESOLVED]
            for one in (*group["destinations"], *names):
                chosen, failed = _gone_by(counted.get(one["id"]), one)
                old_chosen, old_failed = self._faded.get(one["id"], (0.0, 0.0))
                recent = old_chosen * keeps + chosen, old_failed * keeps + failed
                if recent[0] > FORGOTTEN:
                    faded[one["id"]] = recent
                known = passed > 0 and one["id"] in counted
                rows.append(Row(
                    id=one["id"], uri=one["uri"], group=group["name"], admin=one["admin"],
                    health=one["health"], open=moment.open.get(one["id"], 0), rtt_ms=one["rtt_ms"], why=why(one),
                    rate=chosen / passed if known else None, failing=failed / passed if known else None,
                    failed=min(1.0, recent[1] / recent[0]) if recent[0] > FORGOTTEN else None,
                ))  # fmt: skip
        self._faded = faded     # of those that are there; who goes is forgotten
        return rows


def _gone_by(before: Facts | None, now: Facts) -> tuple[int, int]:
    """Chosen and failed since then; a file that was made anew begins at 0."""
    if before is None:
        return 0, 0
    return max(0, now["chosen"] - before["chosen"]), max(0, now["failed"] - before["failed"])


def why(one: Facts) -> str:
    """Why a destination takes no calls, or might not for long; "" when there is nothing to say."""
    said = []
    if one["admin"] != "enabled":
        said.append(one["why"] or "by configuration" if one["admin"] == one["configured"] else one["why"])
    if one.get("trouble"):
        said.append(one["trouble"])
    if one["retry_after"] is not None:
        said.append(f"asked for no calls until {time.strftime('%H:%M:%S', time.localtime(one['retry_after']))}")
    if one["health"] in ("down", "trying"):
        said.append(f"by {one['last_code']}" if one["last_code"] else "")
        said.append(f"down {one['downs']} times" if one["downs"] > 1 else "")
    return ", ".join(filter(None, said))


def _rates(before: dict[str, int], now: dict[str, int], passed: float) -> dict[str, float]:
    return {name: max(0, value - before.get(name, 0)) / passed for name, value in now.items()}


def _shards(before: list[dict[str, int]] | None, now: list[dict[str, int]], passed: float) -> list[Shard]:
    """Before the second look: what was counted since the router began, of what is no rate."""
    found = []
    for number, row in enumerate(now):
        old = before[number] if before and number < len(before) else {}
        grown = {name: max(0, value - old.get(name, 0)) for name, value in row.items()}
        received = grown.get("received", 0)
        found.append(Shard(
            number=number,
            received=received / passed if before else 0.0,
            handed_over=min(1.0, grown.get("handed_over", 0) / received) if received else None,
            late_ms=_quantile(grown, "timer_lag"),
            round_ms=_quantile(grown, "round"),
            waiting=row.get("lane_bytes", 0),
        ))  # fmt: skip
    return found


def _quantile(grown: dict[str, int], begin: str) -> float | None:
    """Of counters that are a histogram; None: nothing was timed, or a router of another release has none."""
    return quantile_ms([grown.get(f"{begin}_{most}", 0) for most in BUCKETS], LATE)


def _times(before: Moment | None, moment: Moment) -> dict[str, list[float | None]]:
    """Of all destinations together; between the looks when something was timed there, else since it is measured."""
    now = _timed(moment)
    old = _timed(before) if before else {}
    found = {}
    for name, counts in now.items():
        grown = np.maximum(counts - old[name], 0) if name in old else counts
        found[name] = _quantiles((grown if grown.any() else counts).tolist())
    return found


def _timed(moment: Moment) -> dict[str, np.ndarray]:
    if moment.known.measured is None:
        return {}
    numbers = moment.known.measured.numbers
    return {name: numbers[f"{name}.counts"].sum(axis=0).astype(np.int64) for name in TIMED}


def _quantiles(counts: Sequence[int]) -> list[float | None]:
    return [quantile_ms(counts, share) for share in SHARES]


def _states(transactions: list[Facts]) -> dict[str, dict[str, int]]:
    """Of the server's side; by the kinds of observe.transactions.count_states."""
    found: dict[str, dict[str, int]] = {"INVITE": {}, "other": {}}
    for one in transactions:
        side, _, what = one["kind"].partition("_")
        if side == "server":
            found["INVITE" if what == "invite" else "other"][one["state"]] = one["count"]
    return found
