"""SIP messages as plain Python objects, for everything that is not the packet path.

The answering machines, the demonstration's caller and the tests read and write
messages with this; the router itself never does (its parser works on offsets,
without Python).  So this file prefers being obvious to being fast, and it must
never be imported from `fastsip/_core`.

Implements what its callers need of RFC 3261 sections 7 (messages), 8.2.6
(responses), 12 (dialogs), 18.2 (where a response goes), 20.5 ff. (headers) and
RFC 3581 (rport).  Header text is kept as it came: bytes that are no UTF-8
survive a read and a write unchanged.
"""

import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field

from fastsip.base import sip

COMPACT = {
    "a": "Accept-Contact", "b": "Referred-By", "c": "Content-Type", "e": "Content-Encoding",
    "f": "From", "i": "Call-ID", "k": "Supported", "l": "Content-Length", "m": "Contact",
    "o": "Event", "r": "Refer-To", "s": "Subject", "t": "To", "u": "Allow-Events", "v": "Via",
    "x": "Session-Expires",
}  # fmt: skip

REASONS = {
    100: "Trying", 180: "Ringing", 183: "Session Progress", 200: "OK", 202: "Accepted",
    302: "Moved Temporarily", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden",
    404: "Not Found", 405: "Method Not Allowed", 407: "Proxy Authentication Required",
    408: "Request Timeout", 416: "Unsupported URI Scheme", 420: "Bad Extension",
    480: "Temporarily Unavailable", 481: "Call/Transaction Does Not Exist", 482: "Loop Detected",
    483: "Too Many Hops", 486: "Busy Here", 487: "Request Terminated", 488: "Not Acceptable Here",
    491: "Request Pending", 500: "Server Internal Error", 503: "Service Unavailable",
    600: "Busy Everywhere", 603: "Decline",
}  # fmt: skip

COOKIE = "z9hG4bK"
MANDATORY = ("Via", "From", "To", "Call-ID", "CSeq")

Address = tuple[str, int]
Headers = list[tuple[str, str]]


class NotSip(ValueError):
    """The datagram is no SIP message that can be answered or matched."""


@dataclass(slots=True)
class Message:
    """A request (`method` and `uri` set) or a response (`status` and `reason` set).

    `headers` keeps order and spelling, compact names expanded; each entry is one
    header line, so that several values may stand in one entry (see `values`).
    """

    method: str = ""
    uri: str = ""
    status: int = 0
    reason: str = ""
    headers: Headers = field(default_factory=list)
    body: bytes = b""
    source: Address = ("", 0)  # who sent it; set by the receiver
    at: float = 0.0  # the receiver's clock, seconds

    @property
    def is_request(self) -> bool:
        return not self.status

    def get(self, name: str, default: str = "") -> str:
        """The first line of that header, `default` without one."""
        wanted = name.lower()
        return next((value for key, value in self.headers if key.lower() == wanted), default)

    def lines(self, name: str) -> list[str]:
        """All lines of that header, in order."""
        wanted = name.lower()
        return [value for key, value in self.headers if key.lower() == wanted]

    def values(self, name: str) -> list[str]:
        """All values of a header whose values are separated by commas, in order."""
        return [value for line in self.lines(name) for value in split_values(line)]

    def set(self, name: str, value: str) -> "Message":
        """Replaces the header's first line, or adds one at the end."""
        wanted = name.lower()
        for position, (key, _) in enumerate(self.headers):
            if key.lower() == wanted:
                self.headers[position] = (key, value)
                return self
        self.headers.append((name, value))
        return self

    def remove(self, name: str) -> "Message":
        wanted = name.lower()
        self.headers[:] = [entry for entry in self.headers if entry[0].lower() != wanted]
        return self

    @property
    def via(self) -> str:
        """The topmost Via value, "" without one."""
        return next(iter(self.values("Via")), "")

    @property
    def branch(self) -> str:
        return param(self.via, "branch") or ""

    @property
    def call_id(self) -> str:
        return self.get("Call-ID")

    @property
    def from_tag(self) -> str:
        return param(self.get("From"), "tag") or ""

    @property
    def to_tag(self) -> str:
        return param(self.get("To"), "tag") or ""

    @property
    def cseq(self) -> int:
        return int(self.get("CSeq", "0").split()[0])

    @property
    def cseq_method(self) -> str:
        return self.get("CSeq").split()[-1]

    @property
    def start_line(self) -> str:
        if self.status:
            return f"SIP/2.0 {self.status} {self.reason or REASONS.get(self.status, 'Unnamed')}"
        return f"{self.method} {self.uri} SIP/2.0"

    def to_bytes(self) -> bytes:
        """The message on the wire; Content-Length is added unless the headers bring one."""
        lines = [self.start_line, *(f"{name}: {value}" for name, value in self.headers)]
        if not self.lines("Content-Length"):
            lines.append(f"Content-Length: {len(self.body)}")
        return "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape") + self.body

    def __str__(self) -> str:
        return f"{self.start_line} (CSeq {self.get('CSeq')}, Call-ID {self.call_id})"


# ---------------------------------------------------------------- reading


def read_message(datagram: bytes, source: Address = ("", 0), at: float = 0.0) -> Message:
    """Reads one datagram; NotSip says why it cannot be read.

    All of Via, From, To, Call-ID and CSeq must be there and the CSeq must be
    readable: without them nobody can be answered and nothing be matched.
    """
    head, _, body = datagram.partition(b"\r\n\r\n")
    lines = unfold(head.decode("utf-8", "surrogateescape").split("\r\n"))
    if not lines or not lines[0]:
        raise NotSip("empty")
    message = read_start_line(lines[0])
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        name = name.strip()
        if not colon or not name:
            raise NotSip(f"no header line: {line[:60]!r}")
        message.headers.append((COMPACT.get(name.lower(), name), value.strip()))
    missing = [name for name in MANDATORY if not message.get(name)]
    if missing:
        raise NotSip(f"without {', '.join(missing)}")
    number, _, method = message.get("CSeq").partition(" ")
    if not (number.isascii() and number.isdigit() and method.strip()):
        raise NotSip("unreadable CSeq")
    length = message.get("Content-Length")
    # RFC 3261 18.3: what follows the body in a datagram is dropped.
    message.body = body[: int(length)] if length.isascii() and length.isdigit() else body
    message.source, message.at = source, at
    return message


def read_start_line(line: str) -> Message:
    words = line.split(" ", 2)
    if len(words) < 2:
        raise NotSip(f"no start line: {line[:60]!r}")
    if words[0] == "SIP/2.0":
        if len(words[1]) != 3 or not (words[1].isascii() and words[1].isdigit()):
            raise NotSip(f"no status code: {line[:60]!r}")
        return Message(status=int(words[1]), reason=words[2] if len(words) == 3 else "")
    if len(words) != 3 or words[2].strip() != "SIP/2.0":
        raise NotSip(f"no start line: {line[:60]!r}")
    return Message(method=words[0], uri=words[1])


def unfold(lines: Iterable[str]) -> list[str]:
    """Joins continuation lines (7.3.1) to the line they belong to."""
    joined: list[str] = []
    for line in lines:
        if line[:1] in (" ", "\t") and joined:
            joined[-1] += " " + line.strip()
        else:
            joined.append(line)
    return joined


def split_values(line: str) -> list[str]:
    """Splits at commas outside of quotes and angle brackets."""
    found, start, quoted, angle, position = [], 0, False, False, 0
    while position < len(line):
        letter = line[position]
        if quoted:
            position += letter == "\\"  # the next letter is escaped
            quoted = letter != '"'
        elif letter == '"':
            quoted = True
        elif letter in "<>":
            angle = letter == "<"
        elif letter == "," and not angle:
            found.append(line[start:position].strip())
            start = position + 1
        position += 1
    found.append(line[start:].strip())
    return [value for value in found if value]


def uri_of(value: str) -> str:
    """The URI in a From, To, Contact, Route or Record-Route value."""
    if "<" in value:
        return value[value.index("<") + 1 :].partition(">")[0]
    return value.partition(";")[0].strip()


def param(value: str, name: str) -> str | None:
    """A header parameter's text ("" for one without a value), None when absent."""
    tail = value.rpartition(">")[2] if "<" in value else value
    for piece in tail.split(";")[1:]:
        key, _, text = piece.partition("=")
        if key.strip().lower() == name:
            return text.strip().strip('"')
    return None


def split_host_port(text: str, default: int = sip.PORT) -> Address:
    """("::1", 5060) from "[::1]:5060"; the port is optional."""
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        port = rest.removeprefix(":")
    else:
        host, _, port = text.partition(":")
    return host, int(port) if port.isascii() and port.isdigit() else default


def uri_address(uri: str) -> Address:
    """Host and port of a SIP URI; 5060 without a port."""
    rest = uri.partition(":")[2].partition("?")[0]
    return split_host_port(rest.rpartition("@")[2].partition(";")[0])


def host_text(host: str) -> str:
    """As a host stands in URIs and Vias: IPv6 in brackets."""
    return f"[{host}]" if ":" in host else host


def sent_by(via: str) -> Address:
    return split_host_port(via.partition(" ")[2].partition(";")[0].strip())


# ---------------------------------------------------------------- writing


def new_branch() -> str:
    return COOKIE + secrets.token_hex(8)


def new_tag() -> str:
    return secrets.token_hex(5)


def new_via(address: Address, branch: str | None = None) -> str:
    """A Via value for UDP that asks for the answer at the source port (RFC 3581)."""
    host, port = address
    return f"SIP/2.0/UDP {host_text(host)}:{port};branch={branch or new_branch()};rport"


def stamp_via(via: str, source: Address) -> str:
    """What a server writes into the topmost Via: received, and rport if asked (18.2.1, RFC 3581)."""
    host, port = source
    asked = param(via, "rport")
    if asked == "":
        pieces = via.split(";")
        via = ";".join(f"rport={port}" if piece.strip().lower() == "rport" else piece for piece in pieces)
    if asked is not None or sent_by(via)[0] != host:
        via += f";received={host}"
    return via


def response_address(via: str, source: Address) -> Address:
    """Where a response goes over UDP (18.2.2, RFC 3581 section 4)."""
    return source if param(via, "rport") is not None else (source[0], sent_by(via)[1])


def make_response(
    request: Message,
    status: int,
    reason: str = "",
    *,
    to_tag: str = "",
    headers: Iterable[tuple[str, str]] = (),
    body: bytes = b"",
) -> Message:
    """A response by 8.2.6: Vias, From, To, Call-ID and CSeq of the request, then `headers`.

    The topmost Via is stamped when the request knows its source; a To without a
    tag gets `to_tag`; Record-Route is copied into responses that make a dialog.
    """
    answer = Message(status=status, reason=reason or REASONS.get(status, ""), body=body)
    vias = request.values("Via")
    if vias and request.source[0]:
        vias[0] = stamp_via(vias[0], request.source)
    answer.headers += [("Via", via) for via in vias]
    if request.method == "INVITE" and 100 < status < 300:
        answer.headers += [("Record-Route", value) for value in request.lines("Record-Route")]
    to = request.get("To")
    if to_tag and param(to, "tag") is None:
        to = f"{to};tag={to_tag}"
    answer.headers += [
        ("From", request.get("From")),
        ("To", to),
        ("Call-ID", request.call_id),
        ("CSeq", request.get("CSeq")),
        *headers,
    ]
    return answer


def make_request(
    method: str,
    uri: str,
    *,
    via: str,
    sender: str,
    recipient: str,
    call_id: str,
    cseq: int,
    headers: Iterable[tuple[str, str]] = (),
    body: bytes = b"",
) -> Message:
    """A request with the headers of 8.1.1; `sender` and `recipient` are From and To values."""
    return Message(
        method=method,
        uri=uri,
        headers=[
            ("Via", via),
            ("Max-Forwards", "70"),
            ("From", sender),
            ("To", recipient),
            ("Call-ID", call_id),
            ("CSeq", f"{cseq} {method}"),
            *headers,
        ],
        body=body,
    )


def make_ack(invite: Message, response: Message) -> Message:
    """The ACK of a final response other than 2xx: same branch, same way (17.1.1.3)."""
    routes = [("Route", value) for value in invite.lines("Route")]
    return make_request(
        "ACK", invite.uri, via=invite.via, sender=invite.get("From"), recipient=response.get("To"),
        call_id=invite.call_id, cseq=invite.cseq, headers=routes,
    )  # fmt: skip


def make_cancel(invite: Message) -> Message:
    """The CANCEL of an INVITE (9.1): its Request-URI, topmost Via, tags, CSeq number and Route."""
    routes = [("Route", value) for value in invite.lines("Route")]
    return make_request(
        "CANCEL", invite.uri, via=invite.via, sender=invite.get("From"), recipient=invite.get("To"),
        call_id=invite.call_id, cseq=invite.cseq, headers=routes,
    )  # fmt: skip


# ---------------------------------------------------------------- dialogs


@dataclass(slots=True)
class Dialog:
    """What a request inside a dialog is made of (section 12)."""

    call_id: str
    local: str  # From value of what we send, with our tag
    remote: str  # To value of what we send, with the other side's tag
    target: str  # Request-URI: the other side's Contact
    route_set: list[str]  # Route values, next hop first
    cseq: int  # of our last request

    def request(self, method: str, address: Address, *, cseq=0, headers=(), body=b"") -> Message:
        """The next request from `address`; `cseq` overrides the count (an ACK repeats its INVITE's)."""
        if not cseq:
            self.cseq += 1
        routes = [("Route", value) for value in self.route_set]
        return make_request(
            method, self.target, via=new_via(address), sender=self.local, recipient=self.remote,
            call_id=self.call_id, cseq=cseq or self.cseq, headers=[*routes, *headers], body=body,
        )  # fmt: skip

    @property
    def next_hop(self) -> Address:
        """The first Route (all routers are taken to be loose ones), else the target."""
        return uri_address(uri_of(self.route_set[0]) if self.route_set else self.target)


def caller_dialog(invite: Message, answer: Message) -> Dialog:
    """The caller's side (12.1.2): the route set is the Record-Route in reverse."""
    return Dialog(
        call_id=invite.call_id,
        local=invite.get("From"),
        remote=answer.get("To"),
        target=uri_of(answer.get("Contact")) or invite.uri,
        route_set=answer.values("Record-Route")[::-1],
        cseq=invite.cseq,
    )


def callee_dialog(invite: Message, to_tag: str) -> Dialog:
    """The callee's side (12.1.1): the route set is the Record-Route in order."""
    return Dialog(
        call_id=invite.call_id,
        local=f"{invite.get('To')};tag={to_tag}",
        remote=invite.get("From"),
        target=uri_of(invite.get("Contact")) or uri_of(invite.get("From")),
        route_set=invite.values("Record-Route"),
        cseq=0,
    )
