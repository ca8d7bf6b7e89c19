"""A SIP user agent that does nothing by itself: the tests are its transaction layer.

What arrives waits in `inbox` until a test expects it; nothing is answered,
acknowledged or repeated unless the test says so.  That makes every message on
the wire visible to the test that caused it, repeated ones included.

    async with UserAgent("127.0.0.1") as alice, UserAgent("127.0.0.1") as bob:
        call = alice.invite("sip:bob@example.net", to=router)
        invite = await bob.expect("INVITE")
        leg = bob.answer(invite)
        ok = await call.expect(200)
        call.ack(ok)
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterable

from fastsip.ua.message import (
    Address,
    Dialog,
    Message,
    NotSip,
    callee_dialog,
    caller_dialog,
    host_text,
    make_ack,
    make_cancel,
    make_request,
    make_response,
    new_tag,
    new_via,
    read_message,
    response_address,
)
from fastsip.ua.sdp import offer_sdp

WAIT_S = 3.0  # what an expected message may take; generous, for a busy machine
RECEIVE_BYTES = 4 << 20
SO_RCVBUFFORCE = 33  # Linux; the socket module does not name it
SDP_TYPE = ("Content-Type", "application/sdp")

Match = str | int | Callable[[Message], bool]


def widen(bound: socket.socket) -> None:
    """Bursts of a whole test must fit while the test itself is busy; beyond the limit only for root."""
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
    with contextlib.suppress(PermissionError):
        bound.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BYTES)


def matches(message: Message, wanted: Match) -> bool:
    """A method name fits requests, a number responses, a function decides itself."""
    if isinstance(wanted, str):
        return message.method == wanted
    if isinstance(wanted, int):
        return message.status == wanted
    return bool(wanted(message))


class UserAgent(asyncio.DatagramProtocol):
    """One UDP socket and what came in on it.  Port 0 takes any free one."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0, name: str = "test"):
        self.host, self.port, self.name = host, port, name
        self.inbox: list[Message] = []
        self.unreadable: list[bytes] = []
        self._news = asyncio.Event()
        self._transport: asyncio.DatagramTransport | None = None

    async def __aenter__(self) -> "UserAgent":
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        bound = socket.socket(family, socket.SOCK_DGRAM)
        widen(bound)
        bound.bind((self.host, self.port))
        self.port = bound.getsockname()[1]
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(lambda: self, sock=bound)
        return self

    async def __aexit__(self, *_) -> None:
        self.close()
        await asyncio.sleep(0)

    def close(self) -> None:
        """Stops listening: from now on the kernel answers with ICMP port unreachable."""
        if self._transport:
            self._transport.close()
            self._transport = None

    @property
    def address(self) -> Address:
        return self.host, self.port

    @property
    def uri(self) -> str:
        return f"sip:{self.name}@{host_text(self.host)}:{self.port}"

    @property
    def contact(self) -> tuple[str, str]:
        return "Contact", f"<{self.uri}>"

    # ------------------------------------------------------------ wire

    def datagram_received(self, datagram: bytes, source: tuple) -> None:
        try:
            message = read_message(datagram, source[:2], asyncio.get_running_loop().time())
        except NotSip:
            self.unreadable.append(datagram)
            return
        self.inbox.append(message)
        self._news.set()

    def error_received(self, error: OSError) -> None:
        """A closed port at the other side; a test that cares looks at what it got instead."""

    def send(self, message: Message | bytes, to: Address) -> None:
        wire = message if isinstance(message, bytes) else message.to_bytes()
        self._transport.sendto(wire, to)

    # ------------------------------------------------------------ expecting

    async def expect(self, wanted: Match, timeout: float = WAIT_S) -> Message:
        """The first waiting message that fits, taken out of the inbox; others stay.

        Fails with what is in the inbox when none comes within `timeout` seconds.
        """
        message = await self._next(wanted, timeout)
        if message is None:
            seen = "\n  ".join(map(str, self.inbox)) or "nothing"
            raise AssertionError(f"{self.name}: no {wanted!r} in {timeout:.2f} s; waiting:\n  {seen}")
        return message

    async def _next(self, wanted: Match, timeout: float) -> Message | None:
        loop = asyncio.get_running_loop()
        end = loop.time() + timeout
        while True:
            for position, message in enumerate(self.inbox):
                if matches(message, wanted):
                    return self.inbox.pop(position)
            left = end - loop.time()
            if left <= 0:
                return None
            self._news.clear()
            with contextlib.suppress(TimeoutError):  # one last look: it may come with the timer
                await asyncio.wait_for(self._news.wait(), left)

    async def expect_count(self, wanted: Match, count: int, timeout: float = WAIT_S) -> list[Message]:
        """The first `count` messages that fit, in order of arrival."""
        end = asyncio.get_running_loop().time() + timeout
        return [
            await self.expect(wanted, max(0.01, end - asyncio.get_running_loop().time()))
            for _ in range(count)
        ]

    async def quiet(self, wanted: Match, seconds: float) -> None:
        """Fails when a message that fits is waiting or comes within `seconds`."""
        message = await self._next(wanted, seconds)
        assert message is None, f"{self.name}: came unexpectedly: {message}"

    def waiting(self, wanted: Match) -> list[Message]:
        """What fits and has come so far; nothing is taken out."""
        return [message for message in self.inbox if matches(message, wanted)]

    # ------------------------------------------------------------ as a caller

    def make(
        self,
        method: str,
        uri: str,
        *,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
        call_id: str = "",
        cseq: int = 1,
        branch: str | None = None,
        from_tag: str = "",
        to_tag: str = "",
    ) -> Message:
        """A request outside of dialogs; what is not given is fresh."""
        return make_request(
            method,
            uri,
            via=new_via(self.address, branch),
            sender=f"<sip:{self.name}@example.net>;tag={from_tag or new_tag()}",
            recipient=f"<{uri}>" + (f";tag={to_tag}" if to_tag else ""),
            call_id=call_id or f"{new_tag()}@{self.name}",
            cseq=cseq,
            headers=[self.contact, *headers],
            body=body,
        )

    def request(self, method: str, uri: str, to: Address, **parts) -> Message:
        """Makes a request (see `make`) and sends it."""
        message = self.make(method, uri, **parts)
        self.send(message, to)
        return message

    def invite(self, uri: str, to: Address, *, headers=(), body=None, **parts) -> "OutgoingCall":
        """Sends an INVITE with an offer of PCMU and PCMA; `body=b""` for none."""
        if body is None:
            body = offer_sdp((self.host, 40_000))
        if body:
            headers = [*headers, SDP_TYPE]
        return OutgoingCall(self, self.request("INVITE", uri, to, headers=headers, body=body, **parts), to)

    # ------------------------------------------------------------ as a callee

    def reply(self, request: Message, status: int, reason: str = "", *, tag: str = "", **parts) -> Message:
        """Sends a response the way the request came (18.2.2); returns it."""
        if status > 100 and not tag:
            tag = f"{self.name}-{request.branch[-8:]}"
        response = make_response(request, status, reason, to_tag=tag, **parts)
        self.send_reply(response, request)
        return response

    def send_reply(self, response: Message, request: Message) -> None:
        self.send(response, response_address(request.via, request.source))

    def ring(self, invite: Message, status: int = 180, **parts) -> Message:
        return self.reply(invite, status, headers=[self.contact], **parts)

    def answer(self, invite: Message, **parts) -> "Leg":
        """Sends a 200 with a session description; the returned leg sends in-dialog requests."""
        ok = self.reply(
            invite, 200, headers=[self.contact, SDP_TYPE], body=offer_sdp((self.host, 40_002)), **parts
        )
        return Leg(self, callee_dialog(invite, ok.to_tag), ok)


class Leg:
    """One side of an established dialog."""

    def __init__(self, ua: UserAgent, dialog: Dialog, ok: Message):
        self.ua, self.dialog, self.ok = ua, dialog, ok

    def send(self, method: str, **parts) -> Message:
        """Sends the dialog's next request to its next hop; returns it."""
        message = self.dialog.request(method, self.ua.address, **parts)
        self.ua.send(message, self.dialog.next_hop)
        return message

    def bye(self) -> Message:
        return self.send("BYE")

    def again(self, message: Message) -> None:
        """Sends the same bytes once more, as a transaction layer repeats them."""
        self.ua.send(message, self.dialog.next_hop)

    async def expect(self, wanted: Match, timeout: float = WAIT_S) -> Message:
        """A message of this dialog (see `UserAgent.expect`)."""
        call_id = self.dialog.call_id
        return await self.ua.expect(lambda m: m.call_id == call_id and matches(m, wanted), timeout)


class OutgoingCall:
    """An INVITE that was sent, and what belongs to it."""

    def __init__(self, ua: UserAgent, request: Message, to: Address):
        self.ua, self.request, self.to = ua, request, to

    @property
    def call_id(self) -> str:
        return self.request.call_id

    async def expect(self, wanted: Match, timeout: float = WAIT_S) -> Message:
        """A message of this call (see `UserAgent.expect`)."""
        return await self.ua.expect(lambda m: m.call_id == self.call_id and matches(m, wanted), timeout)

    async def quiet(self, wanted: Match, seconds: float) -> None:
        await self.ua.quiet(lambda m: m.call_id == self.call_id and matches(m, wanted), seconds)

    def again(self) -> None:
        """Repeats the INVITE, byte for byte."""
        self.ua.send(self.request, self.to)

    def cancel(self, headers=()) -> Message:
        cancel = make_cancel(self.request)
        cancel.headers += headers
        self.ua.send(cancel, self.to)
        return cancel

    def ack(self, final: Message) -> Message:
        """Acknowledges: a 2xx by a request of the dialog, all else hop by hop (13.2.2.4, 17.1.1.3)."""
        if final.status < 300:
            dialog = caller_dialog(self.request, final)
            ack = dialog.request("ACK", self.ua.address, cseq=self.request.cseq)
            self.ua.send(ack, dialog.next_hop)
        else:
            ack = make_ack(self.request, final)
            self.ua.send(ack, self.to)
        return ack

    async def established(self, timeout: float = WAIT_S) -> Leg:
        """Expects the 200, acknowledges it and returns the caller's leg."""
        ok = await self.expect(200, timeout)
        self.ack(ok)
        return Leg(self.ua, caller_dialog(self.request, ok), ok)

    async def refused(self, status: int, timeout: float = WAIT_S) -> Message:
        """Expects that final response and acknowledges it."""
        final = await self.expect(status, timeout)
        self.ack(final)
        return final
