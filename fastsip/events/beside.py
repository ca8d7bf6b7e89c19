"""Writes what waits in a thread of its own: no disk, and nobody who holds a file, is in the way of a loop.

What waits is bounded; what finds no room, or is not written, is counted and said.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

from fastsip import log as logs
from fastsip.base.plain import reason

MOST_WAITING = 20_000
CLOSE_LIMIT_S = 1.0     # a disk that hangs does not keep a process from leaving

T = TypeVar("T")


class Beside(Generic[T]):
    """One for each file, on a loop."""

    def __init__(self, append: Callable[[deque[T]], None], complaint: str):
        """append takes out of the batch what it has written, in the thread; OSError: the rest is lost."""
        self.append, self.complaint = append, complaint
        self.waiting: deque[T] = deque()
        self.lost = 0
        self.writer = ThreadPoolExecutor(1, "journal")
        self.underway: asyncio.Task[None] | None = None
        self.limited = logs.Limited()

    def put(self, one: T) -> None:
        if len(self.waiting) >= MOST_WAITING:
            self.lost += 1
            return
        self.waiting.append(one)
        if self.underway is None:
            self.underway = asyncio.get_running_loop().create_task(self.write())

    async def write(self) -> None:
        """Until nothing waits any more; what a full disk does not take is lost, and said."""
        loop = asyncio.get_running_loop()
        try:
            while self.waiting:
                batch, self.waiting = self.waiting, deque()
                try:
                    await loop.run_in_executor(self.writer, self.append, batch)
                except OSError as error:
                    self.lost += len(batch)
                    self.limited.info(self.complaint, {"lost": self.lost, "why": reason(error)})
        finally:
            self.underway = None

    async def settle(self) -> None:
        """What waits is written, if that does not last."""
        if self.underway:
            await asyncio.wait((self.underway,), timeout=CLOSE_LIMIT_S)

    async def close(self) -> None:
        await self.settle()
        self.writer.shutdown(wait=False, cancel_futures=True)
