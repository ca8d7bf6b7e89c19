"""Tells events, from a loop that nothing of it may keep: each goes into the record by a thread beside.

What could not be written is an event of its own, with how many there were, as soon as one can be.
"""

import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastsip.events.beside import Beside
from fastsip.events.file import EventFile, line_of
from fastsip.events.names import EVENTS, LOST

Told = dict[str, Any]


class Teller:
    """One for a process that writes into the record of this run_dir."""

    def __init__(self, run_dir: str | Path, node: Callable[[], str]):
        """node: the name of this one, now."""
        self.node = node
        self.file = EventFile(run_dir)
        self.beside: Beside[Told] = Beside(self._append, "events are not written down")
        self._said = 0      # of those that were lost

    def tell(self, event: str, at: float | None = None, **fields: Any) -> None:
        """at: seconds since 1970, None = now.  Fields that are empty are left out."""
        assert fields.keys() <= set(EVENTS[event]), (event, fields)
        self.beside.put(self._told(event, time.time() if at is None else at, fields))

    def _told(self, event: str, at: float, fields: Told) -> Told:
        kept = {name: value for name, value in fields.items() if value not in ("", None)}
        return {"at": round(at, 3), "event": event, "node": self.node(), **kept}

    def complete(self, told: Told) -> Told:
        """What is looked up in the thread; by those that know more."""
        return told

    def _append(self, batch: deque[Told]) -> None:
        lines = deque(line_of(self.complete(told)) for told in batch)
        lost = self.beside.lost
        if lost > self._said:
            self.file.append(deque([line_of(self._told(LOST, time.time(), {"count": lost - self._said}))]))
            self._said = lost
        try:
            self.file.append(lines)
        finally:
            while len(batch) > len(lines):
                batch.popleft()

    async def settle(self) -> None:
        """What was told is in the record, if that does not last."""
        await self.beside.settle()

    async def close(self) -> None:
        await self.beside.close()
