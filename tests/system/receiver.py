"""A receiver of webhooks: a real HTTP server that answers as it is told, and keeps what it was sent."""

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable

from aiohttp import web

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def taken(_: web.Request) -> web.StreamResponse:
    return web.Response(status=204)


def status(code: int, **headers: str) -> Answer:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(status=code, headers=headers)

    return answer


async def reset(request: web.Request) -> web.StreamResponse:
    """No answer, but the end of the connection."""
    assert request.transport
    request.transport.abort()
    return web.Response()


async def hang(_: web.Request) -> web.StreamResponse:
    """No answer as long as anybody waits for one."""
    await asyncio.Event().wait()
    raise AssertionError("unreachable")


class Receiver:
    """`asked`: each request with its headers and body; `events`: of those that were taken, in order."""

    def __init__(self) -> None:
        self.asked: list[tuple[dict[str, str], bytes]] = []
        self.events: list[dict] = []
        self.answers: list[Answer] = []     # of the next ones, then `last`
        self.last: Answer = taken
        self._changed = asyncio.Condition()

    async def __aenter__(self) -> "Receiver":
        application = web.Application()
        application.router.add_route("*", "/{rest:.*}", self._handle)
        self._runner = web.AppRunner(application, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    def url(self, path: str = "/hook") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.asked.append((dict(request.headers), body))
        answer = self.answers.pop(0) if self.answers else self.last
        with contextlib.suppress(ConnectionError):
            if answer is taken:
                self.events.append(json.loads(body))
            async with self._changed:
                self._changed.notify_all()
        return await answer(request)

    async def until(self, found: Callable[["Receiver"], bool]) -> None:
        """The test's own limit ends it."""
        async with self._changed:
            await self._changed.wait_for(lambda: found(self))

    async def event(self, name: str, **fields: object) -> dict:
        """The first event of that name that was taken, with these fields."""
        def fits(event: dict) -> bool:
            return event["event"] == name and all(event.get(key) == value for key, value in fields.items())

        await self.until(lambda _: any(map(fits, self.events)))
        return next(filter(fits, self.events))

    def names(self) -> list[str]:
        return [event["event"] for event in self.events]
