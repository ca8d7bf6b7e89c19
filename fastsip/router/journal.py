"""Writes down what becomes of destinations, for those who look back (dispatcher/history) and for those who follow
(events), each in a thread of its own: no disk is in a call's way, nor one of them in the way of the other.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable

from fastsip._core.base.clock import now_ms
from fastsip._core.state.events import Event
from fastsip.config import Config
from fastsip.dispatcher.history import Change, History
from fastsip.events.beside import Beside
from fastsip.events.teller import Teller, Told


class Destinations(Teller):
    """Tells of each where it stands, too."""

    def __init__(self, config: Callable[[], Config]):
        """config: the one that is in force."""
        super().__init__(config().router.run_dir, lambda: config().router.name)
        self.config = config
        self._of: Config | None = None
        self._places: dict[str, tuple[str, str]] = {}

    def complete(self, told: Told) -> Told:
        config = self.config()
        if config is not self._of:
            self._places = {one.id: (one.uri, group.name) for group in config.sets for one in group.destinations}
            self._of = config
        place = self._places.get(told.get("destination", ""))
        return {**told, "uri": place[0], "set": place[1]} if place else told


class Journal:
    """One for a router, on its loop."""

    def __init__(self, config: Callable[[], Config]):
        self.history = History(config().router.state_dir)
        self.beside: Beside[Change] = Beside(self._append, "changes of destinations are not written down")
        self.events = Destinations(config)

    def note_health(self, identity: str, event: Event) -> None:
        at = time.time() - (now_ms() - event.at_ms) / 1000
        self.note(Change(at=round(at, 3), id=identity, now=event.reason, by=event.cause, code=event.status))

    def note_admin(self, changed: Iterable[tuple[str, str]], by: str, why: str = "") -> None:
        """Ids, and the states that count from now on; by: operator or configuration."""
        at = round(time.time(), 3)
        for identity, state in changed:
            self.note(Change(at=at, id=identity, now=state, by=by, why=why))

    def note(self, change: Change) -> None:
        self.beside.put(change)
        self.events.tell(f"destination.{change.now}", at=change.at, destination=change.id, state=change.now,
                         cause=change.by, code=change.code or None, why=change.why)

    def _append(self, batch: deque[Change]) -> None:
        self.history.append(batch)
        batch.clear()

    async def close(self) -> None:
        """What waits is written, if that does not last."""
        await asyncio.gather(self.beside.close(), self.events.close())
