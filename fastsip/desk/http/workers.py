"""Answers are made in threads, some of each kind, within the limit of their kind."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
from aiohttp import web

from fastsip.base.plain import json_text
from fastsip.desk.http import limits
from fastsip.desk.http.access import ORDER
from fastsip.desk.http.routes import Call, Route, Text, Where
from fastsip.log import log

SIZES = {Where.READERS: limits.READERS, Where.ORDERERS: limits.ORDERERS, Where.EXPLAINERS: limits.EXPLAINERS,
         Where.PAGES: limits.PAGES}  # fmt: skip
LIMITS = {Where.READERS: limits.READ_S, Where.ORDERERS: limits.ORDER_S, Where.EXPLAINERS: limits.EXPLAIN_S,
          Where.PAGES: limits.READ_S}  # fmt: skip
HERE = "control.sock"       # who has no address


class Served(msgspec.Struct):
    """What is the same for all who come, until the supervisor says another thing."""

    file: str = ""
    run_dir: str = ""


class Workers:
    """Threads of each kind, begun when they are needed."""

    def __init__(self) -> None:
        self._pools = {kind: ThreadPoolExecutor(most, kind.value) for kind, most in SIZES.items()}

    async def work(self, kind: Where, job: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._pools[kind], job)

    async def answer(self, route: Route, call: Call, method: str, path: str, by: str) -> web.Response:
        """What is ordered is done, also when nobody waits for it any more."""
        where = route.where if isinstance(route.where, Where) else route.where(call)
        if where is Where.LOOP:
            return answered(route, call)
        if where is not Where.ORDERERS:
            return await self._worked(route, call, where)
        return await asyncio.shield(self._ordered(route, call, {"method": method, "path": path, "by": by}))

    async def _ordered(self, route: Route, call: Call, facts: dict[str, str]) -> web.Response:
        answer = await self._worked(route, call, Where.ORDERERS)
        if route.needs == ORDER:    # else it says itself what of it was an order
            log.info("ordered over HTTP", extra={"fields": facts})
        return answer

    async def _worked(self, route: Route, call: Call, where: Where) -> web.Response:
        """Whoever leaves gives up the place."""
        try:
            async with asyncio.timeout(LIMITS[where]):
                return await self.work(where, lambda: answered(route, call))
        except (TimeoutError, asyncio.CancelledError):
            call.departure.note()
            raise


def answered(route: Route, call: Call) -> web.Response:
    """In a thread, but for what takes no time: what is large takes its time there, too."""
    found = route.answer(call)
    if isinstance(found, Text):
        return response_of(found)
    return web.Response(body=f"{json_text(found)}\n".encode(), status=route.status, content_type="application/json")


def response_of(found: Text) -> web.Response:
    headers = {**found.headers, **({"Content-Type": found.content_type} if found.body else {})}
    return web.Response(body=found.body.encode("utf-8", "replace"), status=found.status, headers=headers)
