"""Connections: who comes over TCP, and who is handed over from control.sock; how many at once, and how long.

A connection that asks for nothing is closed soon, and at once when somebody else wants its place.  So is one of
somebody who has not shown that he may anything, whatever he waits for or lets wait.
"""

import asyncio
import contextlib
import os
import socket
from typing import TYPE_CHECKING

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from fastsip.api.accept import Acceptor
from fastsip.config.api import tls_context
from fastsip.config.errors import Wrong
from fastsip.desk.http import limits
from fastsip.desk.http.access import Access
from fastsip.desk.http.application import Application, Handler, silent
from fastsip.desk.http.page.entrance import KNOWN
from fastsip.desk.http.page.pages import Pages
from fastsip.desk.http.page.stream import Stream
from fastsip.desk.http.workers import Served, Workers
from fastsip.log import log
from fastsip.process.messages import Serve

if TYPE_CHECKING:
    from ssl import SSLContext

LEAVE_S = 1.0           # at the end: for those who have just come, and for requests that are under way
LOOK_S = 0.02


class Connections:
    """Those who come by one way, at most `most` at once; a new one takes the place of whoever is idle longest."""

    def __init__(self, application: Application, most: int):
        self.most = most
        app = application.build(self._counted)
        self._runner = web.AppRunner(app, handle_signals=False, access_log=None, logger=silent, lingering_time=1.0,
                                     keepalive_timeout=limits.IDLE_S, auto_decompress=False, shutdown_timeout=LEAVE_S,
                                     handler_cancellation=True)
        self._idle: dict[RequestHandler, None] = {}     # whoever is longest idle first
        self._busy: dict[RequestHandler, web.Request] = {}  # whoever asked first is first
        self._new: set[RequestHandler] = set()          # who has not asked for anything yet
        self._coming: dict[asyncio.Task[None], None] = {}   # with their handshakes, in their order

    async def start(self) -> None:
        await self._runner.setup()

    @property
    def _server(self) -> web.Server:
        assert self._runner.server, "before start, or behind close"
        return self._runner.server

    async def close(self) -> None:
        """Who has come is answered once, and who is at it to the end; all of them within twice LEAVE_S."""
        end = asyncio.get_running_loop().time() + LEAVE_S
        while (self._coming or self._new) and asyncio.get_running_loop().time() < end:
            await asyncio.sleep(LOOK_S)
            self._forget_gone()
        for task in self._coming:
            task.cancel()
        await self._runner.cleanup()

    def take(self, connection: socket.socket, tls: "SSLContext | None" = None) -> None:
        """Serves whoever is there, or closes it when all others are busy."""
        if self._full() and not self._make_room():
            connection.close()
            return
        task = asyncio.get_running_loop().create_task(self._serve(connection, tls))
        self._coming[task] = None
        task.add_done_callback(lambda done: self._coming.pop(done, None))

    def _full(self) -> bool:
        return len(self._server.connections) + len(self._coming) >= self.most

    def _make_room(self) -> bool:
        living = set(self._server.connections)
        for protocol in list(self._idle):
            del self._idle[protocol]
            if protocol in living:
                let_go(protocol)
                return True
        for protocol in [each for each, request in self._busy.items() if KNOWN not in request]:
            del self._busy[protocol]
            if protocol in living:
                let_go(protocol)
                return True
        for task in self._coming:       # who has not even shown that he speaks TLS
            del self._coming[task]
            task.cancel()
            return True
        return False

    def drop_idle(self) -> None:
        """Of those who came while other tokens or certificates counted."""
        for protocol in list(self._idle):
            let_go(protocol)
        self._idle.clear()

    async def _serve(self, connection: socket.socket, tls: "SSLContext | None") -> None:
        loop = asyncio.get_running_loop()
        limit_s = limits.HANDSHAKE_S if tls else None
        try:
            _, protocol = await loop.connect_accepted_socket(self._server, sock=connection, ssl=tls,
                                                             ssl_handshake_timeout=limit_s)  # fmt: skip
        except OSError:     # TLS was not what came, or nothing came; its errors are OSErrors
            connection.close()
        except asyncio.CancelledError:
            connection.close()
        else:
            if protocol not in self._busy and protocol not in self._idle:   # else it was quick
                self._idle[protocol] = None
                self._new.add(protocol)
            if len(self._idle) > 2 * self.most:
                self._forget_gone()

    def _forget_gone(self) -> None:
        living = set(self._server.connections)
        self._idle = {protocol: None for protocol in self._idle if protocol in living}
        self._new &= living

    async def _counted(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        protocol = request.protocol
        self._idle.pop(protocol, None)
        self._new.discard(protocol)
        self._busy[protocol] = request
        try:
            return await handler(request)
        finally:
            self._busy.pop(protocol, None)
            if request.transport:
                self._idle[protocol] = None


def let_go(protocol: RequestHandler) -> None:
    """At once: one that does not read would keep its place for as long as it does not."""
    if protocol.transport:
        protocol.transport.abort()


class HttpServer:
    """All of it, for one desk."""

    def __init__(self) -> None:
        self.served, workers = Served(), Workers()
        self.stream = Stream(self.served)
        pages = Pages(self.stream)
        self.remote = Application(self.served, Access(), workers, pages)
        self.guests = Connections(self.remote, limits.MOST_REMOTE)
        self.visitors = Connections(Application(self.served, Access(local=True), workers, pages), limits.MOST_LOCAL)
        self._door: Acceptor | None = None
        self._shut_door: socket.socket | None = None    # where nobody is let in before there is a certificate
        self._look_again: asyncio.TimerHandle | None = None
        self._tls: SSLContext | None = None

    async def start(self) -> None:
        await self.guests.start()
        await self.visitors.start()

    async def close(self) -> None:
        self._shut()
        self.stream.close()
        await asyncio.gather(self.guests.close(), self.visitors.close())

    def serve(self, order: Serve, fds: list[int]) -> None:
        """As the supervisor says now; requests that are under way end as they began."""
        self._shut()
        self.served.file, self.served.run_dir = order.file, order.run_dir
        access = Access(token=order.token, read_token=order.read_token)
        if access != self.remote.access:
            self.guests.drop_idle()
        self.remote.access = access
        for fd in fds[1:]:
            os.close(fd)
        if not fds:
            return
        self.stream.start()
        self._shut_door = socket.socket(fileno=fds[0])
        self._let_in(order)

    def _let_in(self, order: Serve, again: bool = False) -> None:
        """Whoever comes, as soon as the certificate can be used; one that is just being written is looked at again.
        """
        usable = self._load(order, again)
        if (usable or self._tls) and self._shut_door:
            self._door, self._shut_door = Acceptor(self._shut_door, self._take, "the socket of [api]"), None
        if not usable:
            self._look_again = asyncio.get_running_loop().call_later(limits.CERTIFICATE_S, self._let_in, order, True)

    def _load(self, order: Serve, again: bool) -> bool:
        """Can the certificate be used as it is now?  If not the one before counts on, and without any nobody is served:
        what was to be secret is not sent in clear.  again: it could not before, and that was said.
        """
        if not order.certificate:
            self._tls = None
            return True
        try:
            self._tls = tls_context(order.certificate, order.key)
        except Wrong as wrong:
            if not again:
                log.error("the certificate of [api] cannot be used", extra={"fields": {
                    "why": wrong.allowed, "then": "the one before counts" if self._tls else "nobody is served over TCP",
                    "again_every_s": limits.CERTIFICATE_S}})
            return False
        if again:
            log.info("the certificate of [api] can be used now")
        return True

    def _shut(self) -> None:
        """Whoever comes waits for another one, or for us."""
        if self._look_again:
            self._look_again.cancel()
            self._look_again = None
        if self._door:
            self._door.close()
            self._door = None
        if self._shut_door:
            self._shut_door.close()
            self._shut_door = None

    def _take(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.guests.take(connection, self._tls)

    def visit(self, fds: list[int]) -> None:
        """Whoever came over control.sock."""
        for fd in fds:
            connection = socket.socket(fileno=fd)
            connection.setblocking(False)
            self.visitors.take(connection)
