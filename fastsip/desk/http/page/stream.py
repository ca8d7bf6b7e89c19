"""One look a second for all who watch, and server-sent events (HTML Living Standard 9.2) that bring them what it found.

Events: `history`, first, with the numbers that are kept; `now` with those of each look.  Whoever takes his too slowly
misses some, and is let go when he takes none.  What the kernels keep for him is small, but his own machine may take for
him what it likes: so a stream ends after a while, and whoever is really there comes again.
"""

import asyncio
import contextlib
import socket
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
from fastsip.log import Limited, log

NO_DESTINATIONS = (Refused, NotRunning, Unreadable, TimeoutError)
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
        self._faults = Limited(per_second=1)
        self._failed: tuple[Exception, float] | None = None     # the last look at the destinations, and until when

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
        """As long as this process lives, whatever happens at one of the looks."""
        while True:
            try:
                pause_s = await self._go_once()
            except Exception as error:
                self._faults.error("the page has no new numbers, by a fault of fastsip", {}, error)
                pause_s = limits.TICK_S
            await asyncio.sleep(pause_s)

    async def _go_once(self) -> float:
        """A look, for all who watch; gives the seconds until the next one."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        point, cost_s = await loop.run_in_executor(self._pool, self._look)
        if self.viewers and (self._looking is None or self._looking.done()):
            self._looking = loop.create_task(self._look_at_destinations())
        self._tick = Tick(self._tick.number + 1, event("now", self._now(point)) if self.viewers else b"")
        self._turn.set()
        self._turn = asyncio.Event()
        return max(began + limits.TICK_S - loop.time(), limits.IDLE_SHARE * cost_s)

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
        """In a thread; raises what api.answers raises, and for a while the same again to whoever asks next: a
        supervisor that is silent is not waited for by one after the other.
        """
        if self._failed and time.monotonic() < self._failed[1]:
            raise self._failed[0].with_traceback(None)
        try:
            self.overview = self.destinations.look(self.served.run_dir, self.watch.rates)
        except NO_DESTINATIONS as error:
            self._failed = error, time.monotonic() + limits.FAILED_S
            raise
        self._failed = None
        return self.overview

    async def _look_at_destinations(self) -> None:
        """A supervisor that is busy keeps no numbers waiting."""
        try:
            await asyncio.get_running_loop().run_in_executor(self._pool, self.look_at_destinations)
        except NO_DESTINATIONS:
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
        """Until he leaves, does not read, or may no longer see it, or for STREAM_S."""
        answer, end = web.StreamResponse(headers=HEADERS), time.monotonic() + limits.STREAM_S
        answer.force_close()        # its buffers are those of a stream
        self.viewers += 1
        try:
            keep_little(request)
            await answer.prepare(request)
            await self._send(request, answer, event("history", columns_of([*self.watch.points])))
            while not self.is_over and still_may() and time.monotonic() < end:
                turn = self._turn
                await turn.wait()
                if self._tick.message:
                    await self._send(request, answer, self._tick.message)
        finally:
            self.viewers -= 1
        return answer

    @staticmethod
    async def _send(request: web.Request, answer: web.StreamResponse, message: bytes) -> None:
        """The kernel has all of it then, or he is let go."""
        try:
            async with asyncio.timeout(limits.VIEW_S):
                await answer.write(message)
                await request.writer.drain()      # write itself waits for nothing below 64 KiB
        except TimeoutError:
            if request.transport:
                request.transport.abort()
            raise ConnectionResetError("the stream was not taken") from None


def keep_little(request: web.Request) -> None:
    """For whoever does not read: in this process nothing, in the kernel STREAM_BUFFER; and over TCP it gives up when
    his machine has taken nothing for GONE_S, be it gone or full (TCP_USER_TIMEOUT, RFC 5482).
    """
    transport = request.transport
    sock = transport.get_extra_info("socket") if transport else None
    if transport is None or sock is None:
        return      # he has left
    transport.set_write_buffer_limits(high=1, low=0)     # 0 would stop TLS, which compares with >=
    with contextlib.suppress(OSError):      # gone meanwhile
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, limits.STREAM_BUFFER)
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(limits.GONE_S * 1000))
