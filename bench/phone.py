"""A user agent of a few calls: what needs to see or repeat exact datagrams, not to load.

Messages come from fastsip.ua.message, which the router itself never uses.  Nothing
is repeated by itself: whoever runs phones decides.  Used by order and rounds.
"""

import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from fastsip.ua.message import (
    Address,
    Dialog,
    Message,
    NotSip,
    callee_dialog,
    caller_dialog,
    make_request,
    make_response,
    new_tag,
    new_via,
    read_message,
)

BUFFER_BYTES = 8 << 20
SO_SNDBUFFORCE, SO_RCVBUFFORCE = 32, 33  # Linux; the socket module does not name them
REPEAT_S = 0.5  # T1
SDP = (
    b"v=0\r\no=phone 1 1 IN IP4 127.0.0.1\r\ns=call\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
    b"m=audio 40000 RTP/AVP 8\r\na=rtpmap:8 PCMA/8000\r\n"
)
SDP_TYPE = ("Content-Type", "application/sdp")


def widen(sock: socket.socket) -> None:
    """Room for bursts; beyond the system's limit only where that is allowed."""
    for plain, forced in ((socket.SO_RCVBUF, SO_RCVBUFFORCE), (socket.SO_SNDBUF, SO_SNDBUFFORCE)):
        sock.setsockopt(socket.SOL_SOCKET, plain, BUFFER_BYTES)
        with suppress(PermissionError):
            sock.setsockopt(socket.SOL_SOCKET, forced, BUFFER_BYTES)


class Phone:
    """One UDP socket of the loopback; port 0 takes any free one."""

    def __init__(self, port: int = 0):
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        widen(self.sock)
        self.sock.bind(("127.0.0.1", port))
        self.address: Address = self.sock.getsockname()
        self.contact = ("Contact", f"<sip:phone@127.0.0.1:{self.address[1]}>")

    def close(self) -> None:
        self.sock.close()

    def receive(self) -> list[tuple[bytes, Address]]:
        """All datagrams that wait, in the order of their arrival."""
        found = []
        with suppress(BlockingIOError):
            while True:
                found.append(self.sock.recvfrom(65535))
        return found

    def make_invite(self, call_id: str, router: Address) -> Message:
        uri = f"sip:8001@{router[0]}:{router[1]}"
        return make_request(
            "INVITE",
            uri,
            via=new_via(self.address),
            sender=f"<sip:phone@127.0.0.1:{self.address[1]}>;tag={new_tag()}",
            recipient=f"<{uri}>",
            call_id=call_id,
            cseq=1,
            headers=[self.contact, SDP_TYPE],
            body=SDP,
        )

    def answer(self, invite: Message) -> tuple[bytes, Dialog]:
        """A 200 and the dialog that it makes."""
        tag = new_tag()
        ok = make_response(invite, 200, to_tag=tag, headers=[self.contact, SDP_TYPE], body=SDP)
        return ok.to_bytes(), callee_dialog(invite, tag)

    def ask(self, request: bytes, to: Address, wanted: Callable[[Message], bool], seconds: float) -> Message:
        """Sends until the wanted response comes; TimeoutError when it does not."""
        end = time.monotonic() + seconds
        self.sock.settimeout(REPEAT_S)
        try:
            while time.monotonic() < end:
                self.sock.sendto(request, to)
                with suppress(TimeoutError, NotSip):
                    while time.monotonic() < end:
                        message = read_message(self.sock.recv(65535))
                        if wanted(message):
                            return message
        finally:
            self.sock.setblocking(False)
        raise TimeoutError(request.partition(b"\r\n")[0].decode())


@dataclass
class PastCall:
    """A call that is over, and what its caller sent, byte by byte."""

    phone: Phone
    router: Address
    invite: bytes
    bye: bytes

    def repeat(self) -> None:
        """As a network may that had the two datagrams in a loop."""
        for each in (self.invite, self.bye):
            self.phone.sock.sendto(each, self.router)


def whole_call(phone: Phone, router: Address, call_id: str, seconds: float) -> PastCall:
    """INVITE, 200, ACK, BYE, 200; TimeoutError when an answer stays away."""
    invite = phone.make_invite(call_id, router)

    def final_to(method: str) -> Callable[[Message], bool]:
        return lambda m: m.status >= 200 and m.call_id == call_id and m.cseq_method == method

    ok = phone.ask(invite.to_bytes(), router, final_to("INVITE"), seconds)
    dialog = caller_dialog(invite, ok)
    phone.sock.sendto(dialog.request("ACK", phone.address, cseq=1).to_bytes(), dialog.next_hop)
    bye = dialog.request("BYE", phone.address).to_bytes()
    phone.ask(bye, dialog.next_hop, final_to("BYE"), seconds)
    return PastCall(phone, router, invite.to_bytes(), bye)
