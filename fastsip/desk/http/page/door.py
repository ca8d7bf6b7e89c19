"""The way to the page for those who come by one socket: who may, what a form is, what is sent with each answer."""

import asyncio
from collections.abc import Callable
from typing import Any, Protocol
from urllib.parse import parse_qsl

import msgspec
from aiohttp import web

from fastsip.desk.http import limits
from fastsip.desk.http.access import NOBODY, ORDER, READ, Access
from fastsip.desk.http.page import entrance
from fastsip.desk.http.page.entrance import Attempts
from fastsip.desk.http.page.pages import Pages
from fastsip.desk.http.page.render import HEADERS
from fastsip.desk.http.problems import Problem, Wrong
from fastsip.desk.http.routes import Call, Route, Where
from fastsip.desk.http.workers import HERE, Served, Workers, response_of
from fastsip.log import Limited

FORM = "application/x-www-form-urlencoded"
MOST_FIELDS = 20
FOREIGN = "a page of somebody else has your browser ask this: open the page by its own address"


class Way(Protocol):
    """What the page needs of the application that it is a part of."""

    served: Served
    access: Access
    workers: Workers
    refused: Limited

    def found(self, request: web.Request, error: Exception) -> Problem:
        """What went wrong, in words; a fault of ours is logged."""


class Door:
    """One for a way; all of them show the same pages."""

    def __init__(self, pages: Pages, way: Way):
        self.pages, self.way = pages, way
        self.attempts = Attempts()
        self.viewers = 0        # of this way

    def add_to(self, app: web.Application) -> None:
        for route in self.pages.routes():
            if route.where is Where.READERS:
                route = msgspec.structs.replace(route, where=Where.PAGES)
            app.router.add_route(route.method, route.path, self._guarded(self._handler(route)))
        app.router.add_get("/page/stream", self._guarded(self.stream), allow_head=False)
        app.router.add_get("/page/assets/{name}", self.asset)
        app.router.add_get("/sign-in", self._guarded(self.to_sign_in))
        app.router.add_post("/sign-in", self._guarded(self.sign_in))
        app.router.add_post("/sign-out", self._guarded(self.sign_out))

    # ------------------------------------------------------------ any of them

    def _guarded(self, handler: Callable[[web.Request], Any]) -> Callable[[web.Request], Any]:
        """What goes wrong is said as HTML; whoever is not known is led to where he signs in."""
        async def handle(request: web.Request) -> web.StreamResponse:
            try:
                if entrance.is_foreign(request, local=self.way.access.local):
                    raise Wrong(403, FOREIGN)
                answer = await handler(request)
            except (asyncio.CancelledError, web.HTTPException, ConnectionError):
                raise
            except Exception as error:
                answer = self._problem(request, self.way.found(request, error))
            if not answer.prepared:
                answer.headers.update({name: value for name, value in HEADERS.items() if name not in answer.headers})
            return answer

        return handle

    def _problem(self, request: web.Request, found: Problem) -> web.Response:
        part = is_part(request)
        if found.status != 401:
            return response_of(self.pages.problem(found.status, found.detail, part=part))
        if part:
            return web.Response(status=401, headers={"HX-Redirect": "/sign-in"})
        return response_of(self.pages.sign_in(status=401))

    def _check(self, request: web.Request, needs: int) -> int:
        """What whoever asks may.  The first one who is let in has the looks begin, where no [api] has."""
        may = self.may(request)
        if may == NOBODY:
            raise Wrong(401, "sign in")
        entrance.note_known(request)
        if may < needs:
            raise Wrong(403, "this token is for those who only look")
        if needs == ORDER and not entrance.is_from_page(request):
            raise Wrong(403, FOREIGN)
        self.pages.stream.start()
        return may

    def may(self, request: web.Request) -> int:
        return entrance.may_here(request, self.way.access)

    def _handler(self, route: Route) -> Callable[[web.Request], Any]:
        async def handle(request: web.Request) -> web.StreamResponse:
            may = self._check(request, route.needs)
            parts = {"part": "yes"} if is_part(request) else {}
            parts |= {} if self.way.access.local else {"session": "yes"}
            posted = route.method == "POST"
            call = Call(run_dir=self.way.served.run_dir, file=self.way.served.file, parts=parts,
                        query={name: request.query.getall(name) for name in request.query},
                        may=may,
                        body=await form_of(request, limits.MOST_FORM, limits.BODY_S) if posted else b"")  # fmt: skip
            return await self.way.workers.answer(route, call, request.method, request.path, request.remote or HERE)

        return handle

    # ------------------------------------------------------------ what is no page

    async def asset(self, request: web.Request) -> web.StreamResponse:
        """For whoever comes, also who signs in.  With another content its name has another version."""
        asset = self.pages.render.assets.get(request.match_info["name"])
        if asset is None:
            raise web.HTTPNotFound
        packed = "gzip" in request.headers.get("Accept-Encoding", "")
        headers = {**HEADERS, "Content-Type": asset.content_type, "Vary": "Accept-Encoding",
                   "Cache-Control": "public, max-age=31536000, immutable"}  # fmt: skip
        if packed:
            headers["Content-Encoding"] = "gzip"
        return web.Response(body=asset.packed if packed else asset.content, headers=headers)

    async def stream(self, request: web.Request) -> web.StreamResponse:
        self._check(request, READ)
        most = limits.MOST_LOCAL_VIEWERS if self.way.access.local else limits.MOST_REMOTE_VIEWERS
        if self.viewers >= most:
            raise Wrong(503, f"{most} others watch already: load the page again to see what is new")
        self.viewers += 1
        try:
            return await self.pages.stream.show(request, lambda: self.may(request) != NOBODY)
        finally:
            self.viewers -= 1

    # ------------------------------------------------------------ signing in

    async def to_sign_in(self, request: web.Request) -> web.StreamResponse:
        if self.may(request) != NOBODY:
            return web.Response(status=303, headers={"Location": "/"})
        return response_of(self.pages.sign_in())

    async def sign_in(self, request: web.Request) -> web.StreamResponse:
        """Whoever he is: so his form is small and comes soon, and until it is there he gives way to others."""
        if not entrance.is_from_page(request):
            raise Wrong(403, FOREIGN)
        form, access = await form_of(request, limits.MOST_SIGN_IN, limits.SIGN_IN_S), self.way.access
        may = access.of(f"Bearer {form.get('token', '').strip()}")
        if may == NOBODY:
            return self._refused(request.remote or HERE)
        entrance.note_known(request)
        answer = web.Response(status=303, headers={"Location": "/"})
        if not access.local:
            session = await self.way.workers.work(Where.PAGES, lambda: entrance.session_for(may, access))
            answer.set_cookie(entrance.cookie_name(request), session, max_age=entrance.life_of(may),
                              httponly=True, samesite="Strict", secure=request.secure, path="/")  # fmt: skip
        return answer

    def _refused(self, by: str) -> web.Response:
        """A token that is not known."""
        self.way.refused.info("refused to sign in", {"by": by})
        if not self.attempts.may(by):
            return response_of(self.pages.sign_in("Too many tokens that are not known: wait a little.", 429))
        self.attempts.wrong(by)
        return response_of(self.pages.sign_in("This token is not known here.", 401))

    async def sign_out(self, request: web.Request) -> web.StreamResponse:
        if not entrance.is_from_page(request):
            raise Wrong(403, FOREIGN)
        answer = web.Response(status=303, headers={"Location": "/sign-in"})
        answer.set_cookie(entrance.cookie_name(request), "", max_age=0, httponly=True, samesite="Strict",
                          secure=request.secure, path="/")  # fmt: skip
        return answer


def is_part(request: web.Request) -> bool:
    """As htmx asks, for a part of the page."""
    return request.headers.get("HX-Request") == "true"


async def form_of(request: web.Request, most: int, limit_s: float) -> dict[str, str]:
    """Of fields that stand there twice the last one counts.  most: bytes; of more none is kept."""
    if request.content_type != FORM:
        raise Wrong(415, f"a form is {FORM}")
    try:
        async with asyncio.timeout(limit_s):
            raw = await body_of(request, most)
    except TimeoutError:
        raise Wrong(408, f"the form did not come within {limit_s:.0f} s") from None
    try:
        return dict(parse_qsl(raw.decode("ascii"), keep_blank_values=True, max_num_fields=MOST_FIELDS, errors="strict"))
    except ValueError:
        raise Wrong(400, "the form cannot be read") from None


async def body_of(request: web.Request, most: int) -> bytes:
    raw = bytearray()
    if (request.content_length or 0) <= most:
        async for piece in request.content.iter_any():
            raw += piece
            if len(raw) > most:
                break
        else:
            return bytes(raw)
    raise Wrong(413, f"this form has at most {most} bytes")
