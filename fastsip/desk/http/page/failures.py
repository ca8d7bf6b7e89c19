"""What failed last: where, by what, how often.  Alike ones of a minute are one entry: a flood leaves others room."""

from collections import deque

import msgspec

from fastsip.desk.http import limits

TOGETHER_S = 60.0

# How an attempt ended without an answer, for people.
WORDS = {
    "timeout": "no answer in time", "progress": "no progress in time", "ring": "rang too long",
    "transport": "cannot be reached (network)",
}  # fmt: skip


class Failure(msgspec.Struct, kw_only=True):
    """first, last: seconds since 1970.  destination: its id, "" = the router itself.  version: of Failures, when it
    was seen last.
    """

    first: float
    last: float
    destination: str
    reason: str
    count: int
    version: int


class Failures:
    """The last ones; `version` is another one whenever there is anything new."""

    def __init__(self) -> None:
        self._kept: deque[Failure] = deque(maxlen=limits.MOST_FAILURES)
        self._open: dict[tuple[str, str], Failure] = {}
        self.version = 0

    def add(self, at: float, destination: str, reason: str, count: int) -> None:
        self.version += 1
        key = destination, reason
        found = self._open.get(key)
        if found and 0 <= at - found.first < TOGETHER_S:    # a clock that was set back begins another one
            found.last, found.count, found.version = at, found.count + count, self.version
            return
        found = self._open[key] = Failure(first=at, last=at, destination=destination, reason=reason, count=count,
                                          version=self.version)  # fmt: skip
        self._kept.append(found)
        if len(self._open) > 2 * limits.MOST_FAILURES:
            self._open = {(one.destination, one.reason): one for one in self._kept}

    def last(self, count: int) -> list[Failure]:
        """Newest first."""
        return sorted(self._kept, key=lambda one: one.version, reverse=True)[:count]
