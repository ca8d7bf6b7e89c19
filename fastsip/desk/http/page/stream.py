"""One look a second for all who watch, and server-sent events (HTML Living Standard 9.2) that bring them what it found.

Events: `history`, first, with the numbers that are kept; `now` with those of each look.  Whoever takes his too slowly
misses some, and is let go when he takes none.
"""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import orjson
from aiohttp import web

from fastsip.api.answers import Unreadable, readable
from fastsip.api.socket import NotRunning, Refused
from fastsip.desk.http import limits
from fastsip.desk.http.page.overview import Destinations, Overview
from fastsip.desk.http.page.watch import Point, Watch, columns_of
from fastsip.desk.http.workers import Served
from fastsip.log import log

HEADERS = {"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}


class Tick(msgspec.Struct, frozen=True):
    """What is sent to all."""

    number: int
    message: bytes


def event(name: str, value: Any) -> bytes:
    return b"event: %s\nretry: %d\ndata: %s\n\n" % (name.encode(), limits.RETRY_MS, orjson.dumps(value))


class Stream:
    """The looks of one desk, for both ways in."""

    def __init__(self, served: Served):
        self.served = served
        self.watch, self.destinations = Watch(), Destinations()
        self.trouble = ""               # why there are no new numbers
        self.overview: Overview | None = None
        self.viewers = 0
        self._pool = ThreadPoolExecutor(2, "page")
        self._tick = Tick(0, b"")
        self._turn = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._looking: asyncio.Task[None] | None = None
        self.is_over = False

    def start(self) -> None:
        """Once; and again it does nothing."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._go_round())

    def close(self) -> None:
        """Viewers are let go, and come again to another desk."""
        self.is_over = True
        self._turn.set()
        for task in filter(None, (self._task, self._looking)):
            task.cancel()
        self._pool.shutdown(wait=False, cancel_futures=True)

    # ------------------------------------------------------------ looks

    async def _go_round(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            point, cost_s = await loop.run_in_executor(self._pool, self._look)
            if self.viewers and (self._looking is None or self._looking.done()):
                self._looking = loop.create_task(self._look_at_destinations())
            self._tick = Tick(self._tick.number + 1, event("now", self._now(point)) if self.viewers else b"")
            self._turn.set()
            self._turn = asyncio.Event()
            await asyncio.sleep(max(began + limits.TICK_S - loop.time(), limits.IDLE_SHARE * cost_s))

    def _look(self) -> tuple[Point | None, float]:
        """In a thread: the numbers, None when there are none; and what they cost of a CPU."""
        began, point = time.thread_time(), None
        try:
            with readable("the numbers of the router"):
                point = self.watch.look(self.served.run_dir)
            self.trouble = ""
        except Unreadable as error:
            self.watch.forget()
            self.trouble = str(error)
        except Exception as error:
            if not self.trouble:
                log.error("the page has no numbers, by a fault of fastsip", exc_info=error)
            self.trouble = f"{type(error).__name__}, a fault of fastsip"
        return point, time.thread_time() - began

    def look_at_destinations(self) -> Overview:
        """In a thread; raises what api.answers raises."""
        self.overview = self.destinations.look(self.served.run_dir, self.watch.rates)
        return self.overview

    async def _look_at_destinations(self) -> None:
        """A supervisor that is busy keeps no numbers waiting."""
        try:
            await asyncio.get_running_loop().run_in_executor(self._pool, self.look_at_destinations)
        except (Refused, NotRunning, Unreadable, TimeoutError):
            return      # the list is as old as it says
        except Exception as error:
            log.error("the page has no destinations, by a fault of fastsip", exc_info=error)

    def _now(self, point: Point | None) -> dict[str, Any]:
        known = self.overview
        return {
            "point": columns_of([point]) if point else None, "slots": point.slots if point else None,
            "codes": [one for one in self.watch.minute.items() if one[1]],
            "sums": known.sums if known else None, "states": known.states if known else 0,
            "told": known.told if known else [], "failures": self.watch.failures.version,
            "trouble": self.trouble or self.destinations.trouble(), "clock": time.monotonic(),
        }  # fmt: skip

    # ------------------------------------------------------------ whoever watches

    async def show(self, request: web.Request, still_may: Callable[[], bool]) -> web.StreamResponse:
        """Until he leaves, does not read, or may no longer see it."""
        answer = web.StreamResponse(headers=HEADERS)
        self.viewers += 1
        try:
            await answer.prepare(request)
            await self._send(request, answer, event("history", columns_of([*self.watch.points])))
            while not self.is_over and still_may():
                turn = self._turn
                await turn.wait()
                if self._tick.message:
                    await self._send(request, answer, self._tick.message)
        finally:
            self.viewers -= 1
        return answer

    @staticmethod
    async def _send(request: web.Request, answer: web.StreamResponse, message: bytes) -> None:
        try:
            async with asyncio.timeout(limits.VIEW_S):
                await answer.write(message)
        except TimeoutError:
            if request.transport:
                request.transport.abort()
            raise ConnectionResetError("the stream was not taken") from None
