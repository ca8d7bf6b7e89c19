"""User agents: the transactions and dialogs of RFC 3261 at both ends, as lean as they can be.

An Agent stands at one address and is caller and callee alike.  It repeats what is not answered by
the clocks of section 17 and absorbs repetitions; what it says of its own accord is in callers and
callees.  Some agents are odd: they ask for rport or not, write compact names, put Routes into one line.
"""

from tests.simulate.message import Address, Msg, parameter, uri_of
from tests.simulate.world import DOMAIN, PRIVATE, SECRET

BODY = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 49170 RTP/AVP 8\r\n"
REASONS = {
    100: "Trying", 180: "Ringing", 181: "Forwarded", 183: "Progress", 200: "OK", 202: "Accepted", 302: "Moved",
    401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 407: "Proxy Authentication Required", 408: "Timeout",
    480: "Away", 481: "No Such Call", 482: "Loop", 484: "Incomplete", 486: "Busy", 487: "Terminated", 491: "Pending",
    500: "Failure", 502: "Bad Gateway", 503: "Unavailable", 504: "Time-out", 600: "Busy Everywhere", 603: "Decline",
}  # fmt: skip


SILENT = ("dead", "gone")


class Client:
    """A client transaction (17.1): repeats its request until it is answered, at most for 64 T1."""

    __slots__ = (
        "agent",
        "branch",
        "done",
        "heard",
        "interval",
        "method",
        "owner",
        "raw",
        "request",
        "started",
        "until",
    )

    def __init__(self, agent: "Agent", method: str, branch: str, raw: bytes, owner):
        self.agent, self.method, self.branch, self.raw, self.owner = agent, method, branch, raw, owner
        self.heard = 0  # the highest status
        self.done = False
        self.started = agent.sim.now
        self.interval = agent.sim.world.t1
        self.until = self.started + agent.sim.world.whole
        agent.sim.clients[branch, method] = self

    def fire(self, _) -> None:
        sim = self.agent.sim
        if self.done or (self.heard and self.method == "INVITE"):
            return
        if sim.now >= self.until:
            self.done = True
            self.owner.unanswered(self)
            return
        sim.send(self.agent, self.raw)
        sim.at(min(sim.now + self.interval, self.until), self.fire, None)
        self.interval *= 2
        if self.method != "INVITE" and self.interval > sim.world.t2:
            self.interval = sim.world.t2

    def receive(self, msg: Msg) -> None:
        first = not self.done
        if self.heard < msg.status:
            self.heard = msg.status
        if msg.status >= 200:
            self.done = True
            if self.method == "INVITE" and msg.status >= 300 and not self.owner.vanish:
                self.agent.acknowledge(self, msg)
        self.owner.answered(self, msg, first)


class Server:
    """A server transaction (17.2); `last` is the response that a repeated request gets."""

    __slots__ = ("acked", "agent", "canceled", "final", "interval", "last", "msg", "plan", "tag", "until")

    def __init__(self, agent: "Agent", msg: Msg):
        self.agent, self.msg = agent, msg
        self.last: bytes | None = None
        self.final = 0
        self.acked = self.canceled = False
        self.tag = msg.to_tag or agent.sim.new_tag()
        self.interval = self.until = 0
        self.plan = None

    def respond(self, status: int, extra: str = "", body: str = "", tag: str | None = None) -> None:
        if self.final:
            return
        agent, msg = self.agent, self.msg
        text = agent.response_text(msg, status, self.tag if tag is None else tag, extra, body)
        self.last = text
        if status < 200:
            agent.sim.send(agent, text)
            return
        self.final = status
        if msg.method != "INVITE":
            agent.sim.send(agent, text)
            return
        self.interval = agent.sim.world.t1
        self.until = agent.sim.now + agent.sim.world.whole
        self.fire(None)

    def fire(self, _) -> None:
        """Timer G; of a 2xx the user agent's own repetition (13.3.1.4)."""
        sim = self.agent.sim
        if self.acked or sim.now >= self.until:
            return
        sim.send(self.agent, self.last)
        sim.at(sim.now + self.interval, self.fire, None)
        self.interval = min(2 * self.interval, sim.world.t2)


class Dialog:
    """One end of a dialog (12)."""

    vanish = False  # who vanishes acknowledges nothing (callers)

    __slots__ = (
        "acks",
        "agent",
        "answered_by",
        "call_id",
        "cseq",
        "ended",
        "local",
        "pending",
        "remote",
        "routes",
        "target",
    )

    def __init__(
        self, agent: "Agent", call_id: str, local: str, remote: str, target: str, routes: list[str], cseq: int
    ):
        self.agent, self.call_id, self.local, self.remote = agent, call_id, local, remote
        self.target, self.routes, self.cseq = target, routes, cseq
        self.ended = False
        self.pending = 0
        self.acks: dict[int, bytes] = {}  # CSeq of an INVITE -> the ACK of its 2xx
        self.answered_by: Server | None = None

    def text(self, method: str, cseq: int, branch: str, extra: str = "", body: str = "") -> bytes:
        agent = self.agent
        target, values = self.target, self.routes
        if agent.strict and values and "10.0." in values[0]:
            # RFC 2543: the next hop goes into the Request-URI, the target behind the others.
            target, values = uri_of(values[0]), [*values[1:], f"<{target}>"]
        routes = "".join(f"Route: {route}\r\n" for route in values)
        if agent.one_line and values:
            routes = "Route: " + ", ".join(values) + "\r\n"
        return (
            f"{method} {target} SIP/2.0\r\nVia: {agent.via}{branch}\r\nMax-Forwards: 70\r\n{routes}"
            f"From: {self.local}\r\nTo: {self.remote}\r\nCall-ID: {self.call_id}\r\nCSeq: {cseq} {method}\r\n"
            f"Contact: {agent.contact}\r\n{agent.boasts()}{extra}Content-Length: {len(body)}\r\n\r\n{body}"
        ).encode("latin-1")

    def request(self, method: str, extra: str = "", body: str = "") -> None:
        if self.ended or (method == "INVITE" and self.pending):
            return
        self.cseq += 1
        self.pending += method == "INVITE"
        self.ended |= method == "BYE"
        branch = self.agent.sim.new_branch()
        raw = self.text(method, self.cseq, branch, extra, body)
        Client(self.agent, method, branch, raw, self).fire(None)

    def acknowledge(self, msg: Msg) -> None:
        """Of each 2xx, the same ACK (13.2.2.4)."""
        raw = self.acks.get(msg.cseq)
        if raw is None:
            raw = self.acks[msg.cseq] = self.text("ACK", msg.cseq, self.agent.sim.new_branch())
        self.agent.sim.send(self.agent, raw)

    # as the owner of a client transaction

    def answered(self, client: Client, msg: Msg, first: bool) -> None:
        if msg.status < 200:
            return
        if client.method == "INVITE":
            self.pending -= first
            if msg.status < 300:
                if msg.contact:
                    self.target = uri_of(msg.contact)
                self.acknowledge(msg)
        if msg.status in (408, 481) and first:
            self.ended = True

    def unanswered(self, client: Client) -> None:
        self.pending -= client.method == "INVITE"
        self.ended = True


class Agent:
    """At one address.  `answer` is asked for what a new request gets (callees)."""

    __slots__ = (
        "address",
        "compact",
        "contact",
        "dialogs",
        "listener",
        "mode",
        "one_line",
        "place",
        "plans",
        "servers",
        "sim",
        "sip_user",
        "spirals",
        "strict",
        "via",
    )

    def __init__(self, sim, address: Address, listener: int, user: str, odd: float):
        self.sim, self.address, self.listener, self.sip_user = sim, address, listener, user
        self.place = f"{address[0]}:{address[1]}"
        self.contact = f"<sip:{user}@{self.place}>"
        self.mode = "well"
        self.servers: dict[tuple[str, str], Server] = {}
        self.dialogs: dict[tuple[str, str], Dialog] = {}  # (Call-ID, local tag)
        rng = sim.rng
        self.compact = rng.random() < odd
        self.one_line = rng.random() < odd
        self.strict = rng.random() < odd / 3
        self.spirals: dict[str, str] = {}  # branch of a request that went back to the router -> the number it went to
        rport = ";rport" if rng.random() < 0.5 else ""
        self.via = f"SIP/2.0/UDP {self.place}{rport};branch="
        self.plans = None

    # ------------------------------------------------------------ texts

    def boasts(self) -> str:
        """Headers that somebody may have to keep from somebody."""
        rng = self.sim.rng
        text = f"{SECRET}: admin\r\n" if rng.random() < 0.2 else ""
        return text + f"{PRIVATE}: 17\r\n" if rng.random() < 0.2 else text

    def response_text(self, msg: Msg, status: int, tag: str, extra: str, body: str) -> bytes:
        parts = [f"SIP/2.0 {status} {REASONS.get(status, 'Whatever')}"]
        to = msg.to_line
        if tag and not msg.to_tag and status > 100:
            to += f";tag={tag}"
        for line, name in zip(msg.lines, msg.names, strict=True):
            if name in ("via", "from", "call-id", "cseq") or (name == "record-route" and 100 < status < 300):
                parts.append(line)
            elif name == "to":
                parts.append(to)
        if 100 < status < 400 and msg.method != "BYE":
            parts.append(f"Contact: {self.contact}")
        text = "\r\n".join(parts)
        return f"{text}\r\n{extra}Content-Length: {len(body)}\r\n\r\n{body}".encode("latin-1")

    def acknowledge(self, client: Client, msg: Msg) -> None:
        """Of a final response other than 2xx: the INVITE's Request-URI, Via, Route, From, Call-ID (17.1.1.3)."""
        asked = Msg(client.raw)
        routes = "".join(f"Route: {route}\r\n" for route in asked.routes)
        self.sim.send(
            self,
            (
                f"ACK {asked.ruri} SIP/2.0\r\nVia: {self.via}{client.branch}\r\nMax-Forwards: 70\r\n{routes}"
                f"{asked.from_line}\r\n{msg.to_line}\r\nCall-ID: {asked.call_id}\r\nCSeq: {asked.cseq} ACK\r\n"
                "Content-Length: 0\r\n\r\n"
            ).encode("latin-1"),
        )

    def cancel(self, client: Client, reason: str) -> None:
        asked = Msg(client.raw)
        routes = "".join(f"Route: {route}\r\n" for route in asked.routes)
        raw = (
            f"CANCEL {asked.ruri} SIP/2.0\r\nVia: {self.via}{client.branch}\r\nMax-Forwards: 70\r\n{routes}"
            f"{asked.from_line}\r\n{asked.to_line}\r\nCall-ID: {asked.call_id}\r\nCSeq: {asked.cseq} CANCEL\r\n"
            f"{reason}{self.boasts()}Content-Length: 0\r\n\r\n"
        ).encode("latin-1")
        Client(self, "CANCEL", client.branch, raw, client.owner).fire(None)

    # ------------------------------------------------------------ what arrives

    def receive(self, msg: Msg) -> None:
        if self.mode in SILENT:
            return
        if self.spirals and self.pass_on(msg):
            return
        if msg.status:
            client = self.sim.clients.get((msg.branch, msg.cseq_method))
            if client is not None and client.agent is self:
                client.receive(msg)
            return
        method = msg.method
        if method == "ACK":
            self.receive_ack(msg)
            return
        server = self.servers.get((msg.branch, method))
        if server is not None:
            if server.last is not None and (method != "INVITE" or not 200 <= server.final < 300):
                self.sim.send(self, server.last)
            return
        server = self.servers[msg.branch, method] = Server(self, msg)
        if method == "CANCEL":
            self.receive_cancel(server, msg)
        elif msg.to_tag:
            self.receive_inside(server, msg)
        else:
            self.plans.answer(server)

    def receive_ack(self, msg: Msg) -> None:
        server = self.servers.get((msg.branch, "INVITE"))
        if server is not None and server.final >= 300:
            server.acked = True
            return
        dialog = self.dialogs.get((msg.call_id, msg.to_tag))
        if dialog is not None and dialog.answered_by is not None and dialog.answered_by.msg.cseq == msg.cseq:
            dialog.answered_by.acked = True

    def receive_cancel(self, server: Server, msg: Msg) -> None:
        invite = self.servers.get((msg.branch, "INVITE"))
        server.respond(481 if invite is None else 200, tag=None if invite is None else invite.tag)
        if invite is not None and not invite.canceled:
            invite.canceled = True
            self.plans.canceled(invite)

    def receive_inside(self, server: Server, msg: Msg) -> None:
        dialog = self.dialogs.get((msg.call_id, msg.to_tag))
        if dialog is None:
            server.respond(481)
        elif msg.method == "BYE":
            dialog.ended = True
            server.respond(200)
        else:
            self.plans.answer_inside(server, dialog)

    # ------------------------------------------------------------ as a stateless proxy (16.11)

    def spiral(self, msg: Msg, user: str) -> None:
        """Back to the router, for another number."""
        self.spirals[msg.branch] = user
        self.pass_on(msg)

    def pass_on(self, msg: Msg) -> bool:
        mine = f"SIP/2.0/UDP {self.place};branch=z9hG4bKs"
        if msg.status:
            if not msg.vias[0].startswith(mine):
                return False
            self.sim.send(self, msg.raw.replace(b"Via: " + msg.vias[0].encode() + b"\r\n", b"", 1))
            return True
        user = self.spirals.get(msg.branch)
        if user is None:
            return False
        text = msg.raw.decode("latin-1").replace(msg.ruri, f"sip:{user}@{DOMAIN}", 1)
        text = text.replace(f"Max-Forwards: {msg.hops}\r\n", f"Max-Forwards: {msg.hops - 1}\r\n", 1)
        start, _, rest = text.partition("\r\n")
        own = f"{mine}{msg.branch[7:]}{parameter(msg.vias[0], 'fs')}"
        if msg.hops > 0:
            self.sim.send(self, f"{start}\r\nVia: {own}\r\n{rest}".encode("latin-1"))
        return True

    # ------------------------------------------------------------ dialogs

    def accept(self, server: Server) -> Dialog:
        """The callee's end of the dialog that this INVITE makes."""
        msg = server.msg
        key = msg.call_id, server.tag
        dialog = self.dialogs.get(key)
        if dialog is None:
            local = msg.to_line.partition(":")[2].strip()
            dialog = self.dialogs[key] = Dialog(
                self,
                msg.call_id,
                f"{local};tag={server.tag}",
                msg.from_line.partition(":")[2].strip(),
                uri_of(msg.contact),
                list(msg.record_routes),
                self.sim.rng.randrange(1, 1000),
            )
        dialog.answered_by = server
        return dialog

    def joined(self, msg: Msg, cseq: int) -> Dialog:
        """The caller's end, from the response that made it."""
        key = msg.call_id, msg.from_tag + "/" + msg.to_tag
        dialog = self.dialogs.get(key)
        if dialog is None:
            dialog = Dialog(
                self,
                msg.call_id,
                msg.from_line.partition(":")[2].strip(),
                msg.to_line.partition(":")[2].strip(),
                uri_of(msg.contact),
                msg.record_routes[::-1],
                cseq,
            )
            self.dialogs[key] = dialog
            # requests of the callee name our tag; several dialogs share it when the call was forked
            self.dialogs[msg.call_id, msg.from_tag] = dialog
        return dialog

