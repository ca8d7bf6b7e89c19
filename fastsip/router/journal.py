"""Writes down what becomes of destinations (dispatcher/history), in a thread of its own: no disk is in a call's way.

What waits to be written is bounded, as is the file; what finds no room is counted and said.
"""

import asyncio
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from fastsip import log as logs
from fastsip._core.base.clock import now_ms
from fastsip._core.state.events import Event
from fastsip.base.plain import reason
from fastsip.dispatcher.history import Change, History

MOST_WAITING = 20_000
CLOSE_LIMIT_S = 1.0     # a disk that hangs does not keep a router from leaving


class Journal:
    """One for a router, on its loop."""

    def __init__(self, state_dir: str):
        self.history = History(state_dir)
        self.waiting: list[Change] = []
        self.lost = 0
        self.writer = ThreadPoolExecutor(1, "journal")
        self.underway: asyncio.Task[None] | None = None
        self.limited = logs.Limited()

    def note_health(self, identity: str, event: Event) -> None:
        at = time.time() - (now_ms() - event.at_ms) / 1000
        self.note(Change(at=round(at, 3), id=identity, now=event.reason, by=event.cause, code=event.status))

    def note_admin(self, changed: Iterable[tuple[str, str]], by: str, why: str = "") -> None:
        """Ids, and the states that count from now on; by: operator or configuration."""
        at = round(time.time(), 3)
        for identity, state in changed:
            self.note(Change(at=at, id=identity, now=state, by=by, why=why))

    def note(self, change: Change) -> None:
        if len(self.waiting) >= MOST_WAITING:
            self.lost += 1
            return
        self.waiting.append(change)
        if self.underway is None:
            self.underway = asyncio.get_running_loop().create_task(self.write())

    async def write(self) -> None:
        """Until nothing waits any more; what a full disk does not take is lost, and said."""
        loop = asyncio.get_running_loop()
        try:
            while self.waiting:
                batch, self.waiting = self.waiting, []
                try:
                    await loop.run_in_executor(self.writer, self.history.append, batch)
                except OSError as error:
                    self.lost += len(batch)
                    self.limited.info("changes of destinations are not written down",
                                      {"lost": self.lost, "why": reason(error)})
        finally:
            self.underway = None

    async def close(self) -> None:
        """What waits is written, if that does not last."""
        if self.underway:
            await asyncio.wait((self.underway,), timeout=CLOSE_LIMIT_S)
        self.writer.shutdown(wait=False, cancel_futures=True)
