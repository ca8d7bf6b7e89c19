"""One request: who may, how large it may be and how long it may take, and what is said when it cannot be.

The loop does nothing itself but that; answers are made in threads.  Whoever takes his answer too slowly loses it.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

import msgspec
from aiohttp import web
from aiohttp.typedefs import Middleware

from fastsip import log as logs
from fastsip.base.plain import json_text
from fastsip.desk.http import limits
from fastsip.desk.http.access import NOBODY, Access
from fastsip.desk.http.page.door import Door
from fastsip.desk.http.page.entrance import is_foreign, is_own_name, note_known
from fastsip.desk.http.page.pages import Pages
from fastsip.desk.http.problems import CONTENT_TYPE, Problem, Wrong, problem, problem_of
from fastsip.desk.http.routes import Call, Route
from fastsip.desk.http.table import all_routes
from fastsip.desk.http.workers import HERE, Served, Workers

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

# What aiohttp says of requests that are none is said to whoever sent them: nobody fills our log by that.
silent = logging.getLogger("fastsip.desk.http")
silent.disabled = True
NO_NAME_OF_OURS = "over control.sock one comes by localhost, by a loopback address or by a name without a dot"


class Application:
    """The paths for those who come by one way.  `access` may be another one from one request to the next."""

    def __init__(self, served: Served, access: Access, workers: Workers, pages: Pages):
        self.served, self.access, self.workers = served, access, workers
        self.refused, self.faults = logs.Limited(per_second=1), logs.Limited(per_second=1)
        self.routes, self.page = all_routes(), Door(pages, self)

    def build(self, *around: Middleware) -> web.Application:
        """Whoever is `around` a request sees it first and last."""
        middlewares = [middleware(each) for each in (*around, self.guarded)]
        app = web.Application(middlewares=middlewares, client_max_size=limits.MOST_BODY, logger=silent)
        for route in self.routes:
            pattern = route.path.replace("{id}", "{id:.+}")     # ids have slashes
            app.router.add_route(route.method, pattern, self.handler(route))
            if route.method == "GET":
                app.router.add_route("HEAD", pattern, self.handler(route))
        self.page.add_to(app)
        return app

    # ------------------------------------------------------------ any request

    async def guarded(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Whatever happens, it ends, and whoever asked hears how."""
        try:
            if self.access.local and not is_own_name(request.headers.get("Host", "")):
                raise Wrong(403, NO_NAME_OF_OURS)
            answer = await handler(request)
        except asyncio.CancelledError:
            raise
        except web.HTTPException as error:   # of aiohttp: no such path or method, a body that is too large
            answer = self.as_problem(error.status, error.reason)
            answer.headers.extend({key: value for key, value in error.headers.items() if key == "Allow"})
        except Exception as error:
            answer = self.explained(request, error)
        return await self.sent(request, answer)

    async def sent(self, request: web.Request, answer: web.StreamResponse) -> web.StreamResponse:
        """When all of it is with the kernel."""
        answer.headers["Server"] = "fastsip"    # and no word of releases
        try:
            async with asyncio.timeout(limits.SEND_S):
                await answer.prepare(request)
                await answer.write_eof()
        except TimeoutError:
            if request.transport:
                request.transport.abort()
            raise ConnectionResetError("the answer was not taken") from None
        return answer

    def found(self, request: web.Request, error: Exception) -> Problem:
        """What went wrong, in words; a fault of ours is logged."""
        found = problem_of(error)
        if found is None:
            self.faults.error("a request failed, by a fault of fastsip",
                              {"method": request.method, "path": request.path}, error)
            found = problem(500, f"{type(error).__name__}; this is a fault of fastsip, its log has the traceback")
        return found

    def explained(self, request: web.Request, error: Exception) -> web.Response:
        found = self.found(request, error)
        answer = self.as_problem(found.status, found.detail)
        if found.status == HTTPStatus.UNAUTHORIZED:
            answer.headers["WWW-Authenticate"] = 'Bearer realm="fastsip"'
        return answer

    @staticmethod
    def as_problem(status: int, detail: str) -> web.Response:
        body = msgspec.to_builtins(problem(status, detail))
        return web.Response(body=f"{json_text(body)}\n".encode(), status=status, content_type=CONTENT_TYPE)

    # ------------------------------------------------------------ one of ours

    def handler(self, route: Route) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            may = self.check(request, route)
            call = Call(
                run_dir=self.served.run_dir, file=self.served.file, parts=dict(request.match_info),
                query=query_of(request, route), accept=request.headers.get("Accept", ""),
                body=await self.body(request, route), may=may,
            )  # fmt: skip
            return await self.workers.answer(route, call, request.method, request.path, request.remote or HERE)

        return handle

    def check(self, request: web.Request, route: Route) -> int:
        """What whoever asks may; Wrong: not this."""
        if route.needs == NOBODY:
            return NOBODY
        if self.access.local and is_foreign(request, local=True):
            raise Wrong(403, "a page of somebody else has a browser ask this")
        may = self.access.of(request.headers.get("Authorization", ""))
        if may != NOBODY:
            note_known(request)
        if may >= route.needs:
            return may
        self.refused.info("refused over HTTP", {"path": request.path, "by": request.remote})
        if may == NOBODY:
            raise Wrong(401, "a token is needed: Authorization: Bearer TOKEN")
        raise Wrong(403, "this token is for those who only look")

    async def body(self, request: web.Request, route: Route) -> Any:
        """Of the route's type."""
        if route.body is None:
            return b""
        try:
            async with asyncio.timeout(limits.BODY_S):
                raw = await request.read()
        except TimeoutError:
            raise Wrong(408, f"the body did not come within {limits.BODY_S:.0f} s") from None
        try:
            return raw if route.raw else msgspec.json.decode(raw, type=route.body)
        except UnicodeDecodeError:
            raise Wrong(400, "the body is no text in UTF-8") from None


def middleware(work: Middleware) -> Middleware:
    """aiohttp marks those that it is to call so, and a method cannot be marked."""
    @web.middleware
    async def marked(request: web.Request, handler: Handler) -> web.StreamResponse:
        return await work(request, handler)

    return marked


def query_of(request: web.Request, route: Route) -> dict[str, list[str]]:
    """What is not known there is refused: it would be taken for something that counts."""
    known = {one.name: one for one in route.query}
    for name in request.query:
        if name not in known:
            raise Wrong(422, f"{name} is no parameter here" + (f"; known: {', '.join(known)}" if known else ""))
        if len(request.query.getall(name)) > 1 and not known[name].many:
            raise Wrong(422, f"{name} may stand there once")
    return {name: request.query.getall(name) for name in request.query}
