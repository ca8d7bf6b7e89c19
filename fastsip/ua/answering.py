"""Built-in answering machines: SIP user agents that take every call and echo its sound.

For trying things out on a laptop: a set with `answering = true` is served by
these instead of real media servers.  One machine is one UDP socket; it answers
an INVITE with 180 and 200 and sends received RTP back to where it came from.

They never touch the packet path: they are asyncio endpoints on the control
plane's loop, talk to the router over loopback like any outsider, and know
nothing of it.  What they keep is bounded (DIALOGS, TRANSACTIONS); the oldest
goes first, so that calls whose BYE never came cannot fill a machine.

Implements the user agent's side of RFC 3261 sections 8.2, 9.2, 12, 13.3, 14.2,
15.1.2 and 17.2, RFC 3581 (rport), RFC 3311 (UPDATE), RFC 3264 (answers).
"""

import asyncio
import contextlib
import ipaddress
import socket
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field

from fastsip.base.plain import reason
from fastsip.ua.message import (
    COOKIE,
    Address,
    Dialog,
    Message,
    NotSip,
    callee_dialog,
    host_text,
    make_response,
    new_tag,
    param,
    read_message,
    response_address,
    uri_of,
)
from fastsip.ua.sdp import answer_sdp, offer_sdp

DIALOGS = 1_000  # per machine
TRANSACTIONS = 4_000  # per machine; answers kept for repeated requests
ALLOW = "INVITE, ACK, BYE, CANCEL, OPTIONS, INFO, UPDATE"
SDP_TYPE = ("Content-Type", "application/sdp")


class Repeater:
    """Sends a datagram at once, then at T1, 2·T1, ... at most T2 apart, until stopped.

    After 64·T1 it stops by itself and calls `on_give_up` (timers G, H and those of 13.3.1.4).
    """

    def __init__(self, send: Callable[[], None], t1_s: float, t2_s: float, on_give_up: Callable[[], object]):
        self._send, self._t2_s, self._on_give_up = send, t2_s, on_give_up
        self._loop = asyncio.get_running_loop()
        self._end = self._loop.time() + 64 * t1_s
        self._timer: asyncio.TimerHandle | None = None
        self._fire(t1_s)

    def _fire(self, wait_s: float) -> None:
        left_s = self._end - self._loop.time()
        if left_s <= 0.001:
            self._timer = None
            self._on_give_up()
            return
        self._send()
        self._timer = self._loop.call_later(min(wait_s, left_s), self._fire, min(2 * wait_s, self._t2_s))

    def stop(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None


@dataclass(slots=True)
class ServerTransaction:
    """A request that was taken, and the last thing said about it."""

    request: Message
    answer: Message | None = None
    repeater: Repeater | None = None
    leg: "Leg | None" = None  # INVITE only

    @property
    def final(self) -> bool:
        return self.answer is not None and self.answer.status >= 200

    def stop(self) -> None:
        if self.repeater:
            self.repeater.stop()
            self.repeater = None


@dataclass(slots=True)
class Leg:
    """One call at one machine, from the first 180 to the BYE."""

    tag: str
    dialog: Dialog
    remote_cseq: int
    first_key: tuple = ()
    ringing: asyncio.TimerHandle | None = None
    unacked: "OrderedDict[int, ServerTransaction]" = field(default_factory=OrderedDict)  # by CSeq
    sdp_version: int = 0


@dataclass(slots=True)
class Counts:
    """What a machine saw since it started."""

    calls: int = 0
    answered: int = 0
    ended: int = 0  # by BYE, from either side
    cancelled: int = 0
    unacked: int = 0  # 200 never acknowledged
    dropped: int = 0  # oldest dialogs given up for new ones
    unreadable: int = 0
    echoed: int = 0  # RTP packets


class Echo(asyncio.DatagramProtocol):
    """Sends RTP and RTCP (version 2) back to its source; anything else is dropped."""

    def __init__(self, counts: Counts):
        self._counts = counts
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport):
        self._transport = transport

    def datagram_received(self, datagram: bytes, source: Address) -> None:
        if self._transport and len(datagram) >= 8 and datagram[0] >> 6 == 2:
            self._counts.echoed += 1
            self._transport.sendto(datagram, source)

    def error_received(self, error: Exception) -> None:
        """A caller that closed its port; RTP has no answer to that."""


class Machine(asyncio.DatagramProtocol):
    """One answering machine: one SIP socket, one echo socket, its calls.

    `methods` is the table of what is done with which method; everything that is
    not in it gets 405.  Repeated requests are absorbed before it is asked.
    """

    def __init__(self, ring_ms: int, t1_ms: int, t2_ms: int):
        self.counts = Counts()
        self.address: Address = ("", 0)
        self.wanted: Address = ("", 0)  # as it was asked for: port 0 takes any
        self.echo_address: Address = ("", 0)
        self._ring_s, self._t1_s, self._t2_s = ring_ms / 1000, t1_ms / 1000, t2_ms / 1000
        self._transport: asyncio.DatagramTransport | None = None
        self._echo: asyncio.DatagramTransport | None = None
        self._legs: OrderedDict[tuple[str, str], Leg] = OrderedDict()  # by Call-ID and our tag
        self._first: dict[tuple, Leg] = {}  # by Call-ID, From tag, CSeq of the first INVITE
        self._transactions: OrderedDict[tuple, ServerTransaction] = OrderedDict()
        self._own: OrderedDict[str, Repeater] = OrderedDict()  # our BYEs, by branch
        self._methods: dict[str, Callable[..., None]] = {  # each takes (transaction, leg or None)
            "INVITE": self._take_invite,
            "BYE": self._take_bye,
            "CANCEL": self._take_cancel,
            "OPTIONS": self._take_options,
            "INFO": self._take_info,
            "UPDATE": self._take_update,
        }

    # ------------------------------------------------------------ life

    async def open(self, address: Address) -> None:
        """Binds both sockets; OSError when the address cannot be had."""
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(lambda: self, sock=bound(address))
        self.address = self._transport.get_extra_info("sockname")[:2]
        self._echo, _ = await loop.create_datagram_endpoint(lambda: Echo(self.counts), sock=bound((address[0], 0)))
        self.echo_address = self._echo.get_extra_info("sockname")[:2]

    def close(self) -> None:
        """Stops all timers and closes the sockets; calls end without a BYE."""
        for leg in self._legs.values():
            if leg.ringing:
                leg.ringing.cancel()
        for transaction in self._transactions.values():
            transaction.stop()
        for repeater in self._own.values():
            repeater.stop()
        for store in (self._legs, self._first, self._transactions, self._own):
            store.clear()
        for transport in (self._transport, self._echo):
            if transport:
                transport.close()
        self._transport = self._echo = None

    @property
    def active(self) -> int:
        """Calls now held, ringing ones included."""
        return len(self._legs)

    def error_received(self, error: Exception) -> None:
        """A peer that closed its port; the retransmission timers repair what was lost."""

    # ------------------------------------------------------------ receiving

    def datagram_received(self, datagram: bytes, source: tuple) -> None:
        if not datagram.strip(b"\r\n\0 "):
            return  # keep-alive
        try:
            message = read_message(datagram, source[:2])
            message.cseq  # noqa: B018 - an absurd number must fail here, not later
        except (NotSip, ValueError):
            self.counts.unreadable += 1
            return
        if message.status:
            self._take_response(message)
        elif message.method == "ACK":
            self._take_ack(message)
        else:
            self._take_request(message)

    def _take_request(self, request: Message) -> None:
        key = transaction_key(request, request.method)
        known = self._transactions.get(key)
        if known:  # a repetition: the last answer again (17.2.1, 17.2.2)
            if known.answer:
                self._send(known.answer, known.request)
            return
        transaction = self._transactions[key] = ServerTransaction(request)
        while len(self._transactions) > TRANSACTIONS:
            self._transactions.popitem(last=False)[1].stop()
        refusal = self._inspect(request)
        if refusal:
            self._answer(transaction, *refusal)
            return
        leg = self._legs.get((request.call_id, request.to_tag)) if request.to_tag else None
        if request.method != "CANCEL" and leg:
            if request.cseq < leg.remote_cseq:  # 12.2.2
                self._answer(transaction, 500)
                return
            leg.remote_cseq = request.cseq
        self._methods[request.method](transaction, leg)

    def _inspect(self, request: Message) -> tuple | None:
        """Why a request cannot be served (8.2.1 to 8.2.3, 12.2.2): status, reason, headers."""
        if request.cseq_method != request.method:
            return 400, "CSeq method differs"
        if request.method not in self._methods:
            return 405, "", [("Allow", ALLOW)]
        if request.method == "CANCEL":
            return None
        if request.lines("Require"):
            return 420, "", [("Unsupported", ", ".join(request.values("Require")))]
        if request.to_tag and (request.call_id, request.to_tag) not in self._legs:
            return 481, ""
        if not request.to_tag and request.method in ("BYE", "INFO", "UPDATE"):
            return 481, ""
        return None

    def _take_response(self, response: Message) -> None:
        repeater = self._own.get(response.branch)
        if repeater and response.status >= 200:
            repeater.stop()
            del self._own[response.branch]

    # ------------------------------------------------------------ methods

    def _take_invite(self, transaction: ServerTransaction, leg: Leg | None) -> None:
        request = transaction.request
        if leg:
            self._take_reinvite(transaction, leg)
            return
        first_key = (request.call_id, request.from_tag, request.cseq)
        if first_key in self._first:  # the same request on a second way (8.2.2.2)
            self._answer(transaction, 482)
            return
        if request.body and not self._sdp(request):
            self._answer(transaction, 488)
            return
        tag = new_tag()
        leg = Leg(tag, callee_dialog(request, tag), request.cseq, first_key)
        transaction.leg = leg
        self._keep(leg)
        self.counts.calls += 1
        self._answer(transaction, 180, headers=[self._contact])
        if self._ring_s:
            loop = asyncio.get_running_loop()
            leg.ringing = loop.call_later(self._ring_s, self._accept, transaction, leg)
        else:
            self._accept(transaction, leg)

    def _take_reinvite(self, transaction: ServerTransaction, leg: Leg) -> None:
        request = transaction.request
        transaction.leg = leg
        if leg.ringing:  # an INVITE on top of an unanswered one (14.2)
            self._answer(transaction, 500, headers=[("Retry-After", "2")])
        elif request.body and not self._sdp(request):
            self._answer(transaction, 488)
        else:
            # A target refresh (12.2.2): what we send from now on goes to the new Contact.
            leg.dialog.target = uri_of(request.get("Contact")) or leg.dialog.target
            self._accept(transaction, leg)

    def _accept(self, transaction: ServerTransaction, leg: Leg) -> None:
        """Sends the 200 and repeats it until the ACK (13.3.1.4)."""
        request = transaction.request
        leg.ringing = None
        if leg.first_key == (request.call_id, request.from_tag, request.cseq):
            self.counts.answered += 1  # a re-INVITE is no new call
        leg.sdp_version += 1
        body = self._sdp(request, leg.sdp_version)
        answer = transaction.answer = self._response(
            request, 200, leg.tag, [self._contact, ("Allow", ALLOW), SDP_TYPE], body
        )
        leg.unacked[request.cseq] = transaction
        transaction.repeater = Repeater(
            lambda: self._send(answer, request),
            self._t1_s,
            self._t2_s,
            lambda: self._miss_ack(leg),
        )

    def _take_ack(self, ack: Message) -> None:
        """Ends the repeating of a 200 (by dialog and CSeq) or of another final answer (by branch)."""
        leg = self._legs.get((ack.call_id, ack.to_tag))
        answered = leg.unacked.pop(ack.cseq, None) if leg else None
        refused = self._transactions.get(transaction_key(ack, "INVITE"))
        for transaction in (answered, refused):
            if transaction:
                transaction.stop()

    def _take_bye(self, transaction: ServerTransaction, leg: Leg) -> None:
        self._forget(leg)
        self.counts.ended += 1
        self._answer(transaction, 200)

    def _take_cancel(self, transaction: ServerTransaction, _: Leg | None) -> None:
        invite = self._transactions.get(transaction_key(transaction.request, "INVITE"))
        if not invite:
            self._answer(transaction, 481)
            return
        tag = invite.answer.to_tag if invite.answer else ""
        self._answer(transaction, 200, tag=tag)
        if invite.final or not invite.leg:
            return  # too late: nothing changes (9.2)
        self._forget(invite.leg)
        self.counts.cancelled += 1
        self._answer(invite, 487, tag=tag)

    def _take_options(self, transaction: ServerTransaction, _: Leg | None) -> None:
        accept = [("Allow", ALLOW), ("Accept", "application/sdp"), ("Supported", ""), self._contact]
        self._answer(transaction, 200, headers=accept)

    def _take_info(self, transaction: ServerTransaction, _: Leg | None) -> None:
        self._answer(transaction, 200)

    def _take_update(self, transaction: ServerTransaction, leg: Leg) -> None:
        request = transaction.request
        if not request.body:
            self._answer(transaction, 200, headers=[self._contact])
            return
        body = self._sdp(request, leg.sdp_version + 1)
        if not body:
            self._answer(transaction, 488)
            return
        leg.sdp_version += 1
        leg.dialog.target = uri_of(request.get("Contact")) or leg.dialog.target
        self._answer(transaction, 200, headers=[self._contact, SDP_TYPE], body=body)

    # ------------------------------------------------------------ calls

    def _keep(self, leg: Leg) -> None:
        self._legs[leg.dialog.call_id, leg.tag] = leg
        self._first[leg.first_key] = leg
        while len(self._legs) > DIALOGS:
            self._forget(next(iter(self._legs.values())))
            self.counts.dropped += 1

    def _forget(self, leg: Leg) -> None:
        if leg.ringing:
            leg.ringing.cancel()
            leg.ringing = None
        for transaction in leg.unacked.values():
            transaction.stop()
        leg.unacked.clear()
        self._legs.pop((leg.dialog.call_id, leg.tag), None)
        self._first.pop(leg.first_key, None)

    def _miss_ack(self, leg: Leg) -> None:
        """No ACK for 64·T1: the call is ended with a BYE of our own (13.3.1.4)."""
        self._forget(leg)
        self.counts.unacked += 1
        bye = leg.dialog.request("BYE", self.address)
        branch, wire, address = bye.branch, bye.to_bytes(), leg.dialog.next_hop
        self._own[branch] = Repeater(
            lambda: self._send_bytes(wire, address),
            self._t1_s,
            self._t2_s,
            lambda: self._own.pop(branch, None),
        )

    # ------------------------------------------------------------ answering

    @property
    def _contact(self) -> tuple[str, str]:
        host, port = self.address
        return "Contact", f"<sip:answering@{host_text(host)}:{port}>"

    def _sdp(self, request: Message, version: int = 1) -> bytes:
        """An answer to the request's offer, an offer without one; b"" when no codec fits."""
        if not request.body:
            return offer_sdp(self.echo_address, version)
        if not request.get("Content-Type").lower().startswith("application/sdp"):
            return b""
        return answer_sdp(request.body, self.echo_address, version)

    def _answer(self, transaction, status, reason="", headers=(), body=b"", tag="") -> None:
        """Answers and keeps the answer; a refused INVITE is repeated until its ACK (timer G)."""
        request = transaction.request
        tag = tag or (transaction.leg.tag if transaction.leg else new_tag())
        transaction.answer = self._response(request, status, tag, headers, body, reason)
        transaction.stop()
        if request.method == "INVITE" and status >= 300:
            transaction.repeater = Repeater(
                lambda: self._send(transaction.answer, request), self._t1_s, self._t2_s, lambda: None
            )
        else:
            self._send(transaction.answer, request)

    def _response(self, request, status, tag, headers=(), body=b"", reason="") -> Message:
        return make_response(request, status, reason, to_tag=tag, headers=headers, body=body)

    def _send(self, answer: Message, request: Message) -> None:
        self._send_bytes(answer.to_bytes(), response_address(request.via, request.source))

    def _send_bytes(self, wire: bytes, address: Address) -> None:
        """Sends, or counts an address that cannot be one.

        Vias and Contacts are the peer's text, and asyncio closes an endpoint for
        good when it is given a port or host that the socket refuses.
        """
        if not self._transport:
            return
        if is_sendable(address, self.address):
            self._transport.sendto(wire, address)
        else:
            self.counts.unreadable += 1


class AnsweringMachines:
    """Answering machines at `addresses`, a list of (numeric host, port); port 0 takes any.

    They run on the loop that calls `start`.  `ring_ms` passes between 180 and
    200; 0 answers at once.  `t1_ms` and `t2_ms` are RFC 3261's T1 and T2.
    """

    def __init__(self, addresses: Iterable[Address], *, ring_ms=0, t1_ms=500, t2_ms=4000):
        self._wanted = list(addresses)
        self._times = (ring_ms, t1_ms, t2_ms)
        self.machines: list[Machine] = []

    async def start(self) -> None:
        """Opens every machine, or none: OSError names the address that cannot be had."""
        async with self.moving_to(self._wanted):
            pass

    @contextlib.asynccontextmanager
    async def moving_to(self, addresses: Iterable[Address]) -> AsyncIterator[None]:
        """Machines are at these addresses from the end of the block on, and at those of before if it raises.

        What is missing is opened before the block; OSError names the address that cannot be had.
        """
        wanted = list(addresses)
        before = list(self.machines)
        there = {machine.wanted for machine in before}
        missing = [address for address in wanted if address not in there]
        try:
            for address in missing:
                await self._open(address)
            yield
        except BaseException:
            await self._close(self.machines[len(before) :])
            raise
        await self._close([machine for machine in before if machine.wanted not in wanted])

    async def _open(self, address: Address) -> None:
        machine = Machine(*self._times)
        machine.wanted = address
        self.machines.append(machine)
        try:
            await machine.open(address)
        except OSError as error:
            place = f"{host_text(address[0])}:{address[1]}"
            raise OSError(error.errno, f"answering machine at {place}: {reason(error)}") from error

    async def close(self) -> None:
        """Closes what is open; may be called more than once."""
        await self._close(list(self.machines))

    async def _close(self, machines: list[Machine]) -> None:
        for machine in machines:
            machine.close()
            self.machines.remove(machine)
        await asyncio.sleep(0)  # transports close in the loop's next turn

    @property
    def addresses(self) -> list[Address]:
        """Where the machines listen, with the ports they were given."""
        return [machine.address for machine in self.machines]


def bound(address: Address) -> socket.socket:
    """A socket at a numeric address; OSError says why there is none, which that of uvloop's endpoints does not."""
    sock = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        sock.bind(address)
    except OSError:
        sock.close()
        raise
    return sock


def is_sendable(address: Address, own: Address) -> bool:
    """True for a numeric host of the family of `own` and a port that can be one."""
    host, port = address
    try:
        version = ipaddress.ip_address(host).version
    except ValueError:
        return False
    return version == ipaddress.ip_address(own[0]).version and 0 < port < 65_536


def transaction_key(request: Message, method: str) -> tuple:
    """What tells server transactions apart (17.2.3): branch, sent-by and method.

    Branches without the cookie (RFC 2543) are told apart by the fields that such
    a client keeps constant.
    """
    via = request.via
    branch = param(via, "branch") or ""
    by = via.partition(";")[0].split()[-1].lower() if via.split() else ""
    if branch[: len(COOKIE)].lower() == COOKIE.lower():
        return method, branch.lower(), by
    return method, branch, by, request.call_id, request.from_tag, request.cseq
