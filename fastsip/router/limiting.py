"""Says whom a limit of calls a second passes over: once when that begins, and once when it is over.

The shards count and tell nobody; this looks at what they counted.
"""

from collections.abc import Callable

from fastsip import log as logs
from fastsip._core.base.clock import now_ms
from fastsip._core.dispatcher.cells import Cells

QUIET_LOOKS = 10        # in which none was passed over, until it is said to be over
LATELY_MS = 600_000
WRAP = 1 << 32


class Limiting:
    """look() at an interval; name: (kind, name) of an id, or None; tell: an event and its fields."""

    def __init__(
        self, cells: Cells, name: Callable[[int], tuple[str, str] | None], tell: Callable[..., object]
    ) -> None:
        self.cells, self.name, self.tell = cells, name, tell
        self.counted = cells.limited()      # of the routers before this one
        # id -> what was counted when it began.  A router before this one may have said that, and not that it is over.
        lately = cells.limited_since(max(now_ms() - LATELY_MS, 1))
        self.begun = {number: self.counted.get(number, 0) for number in lately}
        self.quiet = dict.fromkeys(lately, 0)   # id -> looks since one was passed over
        self.begins, self.ends = logs.Limited(), logs.Limited()

    def look(self) -> None:
        now = self.cells.limited()
        for number, count in now.items():
            before = self.counted.get(number, 0)
            if count == before:
                continue
            self.quiet[number] = 0
            if number not in self.begun:
                self.begun[number] = before
                kind, name = self.named(number)
                self.begins.info("a limit of calls is reached", {kind: name})
                self.tell(f"{kind}.limit", **{kind: name}, state="limited")
        for number in list(self.begun):
            self.quiet[number] += 1
            if number not in now or self.quiet[number] > QUIET_LOOKS:
                self.end(number, (now.get(number, self.begun[number]) - self.begun[number]) % WRAP)
        self.counted = now

    def end(self, number: int, passed_over: int) -> None:
        kind, name = self.named(number)
        del self.begun[number], self.quiet[number]
        self.ends.info("a limit of calls is not reached any more", {kind: name, "passed_over": passed_over})
        self.tell(f"{kind}.limit", **{kind: name}, state="unlimited")

    def named(self, number: int) -> tuple[str, str]:
        return self.name(number) or ("destination", str(number))
