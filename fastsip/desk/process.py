"""The desk process: what its supervisor says to it, and what it does then.  It ends when the line between them does.

One loop hears and speaks; drivers of databases work in threads (reader), and what answers HTTP does, too.  So neither
waits for the other, and whatever hangs is ended with the process, which holds nothing.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import Awaitable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from fastsip import log as logs
from fastsip.base.plain import reason
from fastsip.config.api import NOT_THERE, has_http
from fastsip.desk.reader import MOST_AT_ONCE, answer, bound_memory
from fastsip.log import log
from fastsip.process.launch import LINE_FD
from fastsip.process.line import Line, Received, close_all, read_memory_file
from fastsip.process.messages import (
    AskName,
    ForeignProtocol,
    GoesRound,
    Leave,
    Look,
    ReadTable,
    Serve,
    TellWebhooks,
    Visitor,
)
from fastsip.process.webhooks import unpack

if TYPE_CHECKING:
    from fastsip.desk.http.server import HttpServer
    from fastsip.desk.names import Asker
    from fastsip.desk.spans import SpanTeller
    from fastsip.desk.webhooks import WebhookTeller

NO_HTTP = f"""HTTP/1.1 501 Not Implemented\r\nConnection: close\r\nContent-Type: text/plain\r\n\r\n{NOT_THERE}\n"""


def serve() -> int:
    """Until nobody is there any more who could ask, or it is sent away."""
    bound_memory()
    logs.set_up()
    os.dup2(2, 1)   # nothing that a driver writes is an answer
    line = Line(socket.socket(fileno=LINE_FD))
    line.sock.setblocking(False)
    asyncio.run(Desk(line).serve())
    return 0


class Desk:
    """One for a process."""

    def __init__(self, line: Line):
        self.line = line
        self.pool = ThreadPoolExecutor(MOST_AT_ONCE, "table")
        self.orders: asyncio.Queue[Received | None] = asyncio.Queue()
        self.http: HttpServer | None = None
        self.asker: Asker | None = None
        self.webhooks: WebhookTeller | None = None
        self.spans: SpanTeller | None = None

    async def serve(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_reader(self.line.fileno(), self.listen)
        while (received := await self.orders.get()) and not isinstance(received.message, Leave):
            await self.obey(received)
        loop.remove_reader(self.line.fileno())
        if received:
            await self.finish()

    async def finish(self) -> None:
        """Who waits for an answer gets it, and spans that wait are sent, while the supervisor has patience."""
        last: list[Awaitable[None]] = []
        if self.spans:
            last.append(asyncio.to_thread(self.spans.finish))
        if self.http:
            last.append(self.http.close())
        await asyncio.gather(*last)

    def listen(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                try:
                    received = self.line.receive()
                except ForeignProtocol:     # nothing of what it says, for that has URLs with passwords
                    log.error("the supervisor speaks another protocol")
                    continue
                self.orders.put_nowait(received)
                if received is None:
                    asyncio.get_running_loop().remove_reader(self.line.fileno())
                    return

    async def obey(self, received: Received) -> None:
        order, fds = received
        match order:
            case ReadTable():
                self.pool.submit(answer, self.line, order)
            case AskName():
                self.ask(order)
            case Look():
                self.say(GoesRound(number=order.number))
            case TellWebhooks() if fds:
                self.tell(fds.pop(0))   # whose it is from now on
            case Serve() if has_http():
                (await self.speaker()).serve(order, fds)
                return
            case Visitor() if has_http():
                (await self.speaker()).visit(fds)
                return
            case Visitor():
                self.apologize(fds)
        close_all(fds)

    def ask(self, order: AskName) -> None:
        """Loaded when somebody wants it: questions have a thread of their own."""
        if self.asker is None:
            from fastsip.desk.names import Asker

            self.asker = Asker(self.line)
        self.asker.ask(order)

    def tell(self, fd: int) -> None:
        """Each loaded when there is something to tell: webhooks and spans have threads of their own."""
        order = unpack(read_memory_file(fd))
        if self.webhooks is None and order.webhooks:
            from fastsip.desk.webhooks import WebhookTeller

            self.webhooks = WebhookTeller()
        if self.spans is None and order.otel:
            from fastsip.desk.spans import SpanTeller

            self.spans = SpanTeller()
        if self.webhooks:
            self.webhooks.take(order)
        if self.spans:
            self.spans.take(order)

    async def speaker(self) -> "HttpServer":
        """Loaded when somebody wants it: who only reads databases needs no server."""
        if self.http is None:
            from fastsip.desk.http.server import HttpServer

            self.http = HttpServer()
            await self.http.start()
        return self.http

    def say(self, message: GoesRound) -> None:
        try:
            self.line.send(message)
        except OSError as error:
            log.error("the supervisor does not hear", extra={"fields": {"why": reason(error)}})

    @staticmethod
    def apologize(fds: list[int]) -> None:
        for fd in fds:
            with socket.socket(fileno=os.dup(fd)) as connection, contextlib.suppress(OSError):
                connection.setblocking(False)
                connection.recv(1 << 16)    # what is left unread would take the answer away
                connection.send(NO_HTTP.encode())
