"""Responses that a router must bear, each made for the request that it sent on.

An Answer turns a forwarded request into a response; what of it goes up is the same octets without
our Via. `sound` makes a response that is unremarkable but for what an Answer says.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from .case import DROP, FORWARD, octets
from .wanted import first, name_of, split

SDP = "v=0\r\no=- 1 1 IN IP4 10.0.1.1\r\n"


def sound(
    request: bytes,
    line: str = "SIP/2.0 486 Busy Here",
    *,
    vias: Callable[[list[bytes]], list[bytes]] = lambda vias: vias,
    replace: dict[str, str | None] | None = None,
    more: tuple | list = (),
    body: str = "",
    end: bytes = b"\r\n",
) -> bytes:
    """`replace` names lines by their header; None leaves one out."""
    _, headers, _ = split(request)
    lines = vias([header for header in headers if name_of(header) == b"via"])
    own = {name: first(headers, octets(name.lower())) for name in ("From", "To", "Call-ID", "CSeq")}
    own["To"] = own["To"].rstrip() + b";tag=b1\r\n"
    for name, text in (replace or {}).items():
        own[name] = b"" if text is None else octets(f"{name}: {text}\r\n")
    lines += [*own.values(), *(octets(each) + b"\r\n" for each in more)]
    return octets(line) + b"\r\n" + b"".join(lines) + end + octets(body)


@dataclass(frozen=True)
class Answer:
    """outcome: FORWARD or DROP; `cut` is how many octets at its end are not part of the response."""

    name: str
    section: str
    make: Callable[[bytes], bytes]
    outcome: str = FORWARD
    cut: int = 0

    @property
    def id(self) -> str:
        return f"{self.section}: {self.name}"


def answer(name: str, section: str, outcome: str = FORWARD, cut: int = 0, **parts) -> Answer:
    return Answer(name, section, lambda request: sound(request, **parts), outcome, cut)


def line(text: str, outcome: str = FORWARD, section: str = "7.2") -> Answer:
    return answer(f"line {text[:40]!r}", section, outcome, line=text)


def via(name: str, section: str, change: Callable[[list[bytes]], list[bytes]], outcome: str = FORWARD) -> Answer:
    return answer(name, section, outcome, vias=change)


def in_one(vias: list[bytes]) -> list[bytes]:
    return [b"v:" + b" ,\r\n ".join(each.partition(b": ")[2].rstrip() for each in vias) + b"\r\n"]


def change_branch(text: bytes) -> bytes:
    """One letter of our branch is another one."""
    at = text.index(b"z9hG4bK") + 8
    return text[:at] + (b"a" if text[at : at + 1] != b"a" else b"b") + text[at + 1 :]


LINES = [
    line("SIP/2.0 486 = 2**3 * 5**2 \xd0\xbd\xd0\xbe", section="RFC 4475 3.1.1.12"),
    line("SIP/2.0 486 ", section="RFC 4475 3.1.1.13"),
    line("SIP/2.0 4294967301 better not break", DROP, "RFC 4475 3.1.2.19"),
    line("SIP/2.0 486"),
    line("SIP/2.0 486 \xff\xfe\x80\0 no UTF-8"),
    line("SIP/2.0 486  two blanks\t"),
    line("SIP/2.0 486 " + "long " * 2000),
    line("sip/2.0 486 Busy"),
    line("SIP/2.0 299 Unheard"),
    line("SIP/2.0 699 Unheard"),
    line("SIP/2.0 700 High", DROP),
    line("SIP/2.0 99 Low", DROP),
    line("SIP/2.0 099 Low", DROP),
    line("SIP/2.0 1000 Long", DROP),
    line("SIP/2.0 2OO Letters", DROP),
    line("SIP/2.0 -200 Sign", DROP),
    line("SIP/2.0 486Busy", DROP),
    line("SIP/2.0", DROP),
    line("SIP/2.0 ", DROP),
    line("SIP/2.0  486 Busy"),
    line("SIP/3.0 486 Busy", DROP),
    line("SIP/2.0 486 Busy\r\n folded", DROP),
    line("HTTP/1.1 200 OK", DROP),
    line("\r\nSIP/2.0 486 Busy"),
]

VIAS = [
    via("somebody's Via on top of ours", "18.1.2",
        lambda vias: [b"Via: SIP/2.0/UDP 10.0.1.1;branch=z9hG4bKx\r\n", *vias], DROP),
    via("only somebody's", "18.1.2", lambda vias: vias[1:], DROP),
    via("none", "8.1.3.3", lambda vias: [], DROP),
    via("another branch", "18.1.2", lambda vias: [change_branch(vias[0]), *vias[1:]], DROP),
    via("a shorter branch", "18.1.2", lambda vias: [re.sub(rb"(K.{12})[^;]*", rb"\1", vias[0]), *vias[1:]], DROP),
    via("our branch in capitals", "7.3.1", lambda vias: [vias[0].upper(), *vias[1:]]),
    via("without our hint", "wire 2", lambda vias: [re.sub(rb";fs=\w+", b"", vias[0]), *vias[1:]]),
    via("a hint that leads nowhere", "wire 2",
        lambda vias: [re.sub(rb"fs=\w+", b"fs=" + b"7" * 16, vias[0]), *vias[1:]]),
    via("a hint of other octets", "wire 2", lambda vias: [re.sub(rb"fs=\w+", b"fs=\xff\xfe=/", vias[0]), *vias[1:]]),
    via("received and rport in ours", "RFC 3581 4",
        lambda vias: [vias[0].rstrip() + b";received=10.0.0.254;rport=5060\r\n", *vias[1:]]),
    via("in one line", "7.3.1", in_one),
    via("folded and compact", "7.3.1",
        lambda vias: [vias[0].replace(b"Via: SIP/2.0/UDP ", b"V :\r\n SIP / 2.0/ UDP\r\n\t"), *vias[1:]]),
    via("nonsense below ours", "16.7 item 3", lambda vias: [vias[0], b"Via: ;;,\r\n"]),
    # Where it goes is known from the request; the Via below decides only when nothing is (RFC 4475 3.3.10).
    via("a broadcast address below ours", "RFC 4475 3.3.10",
        lambda vias: [vias[0], b"Via: SIP/2.0/UDP 255.255.255.255;branch=z9hG4bK1\r\n"]),
    via("65 of them", "limits", lambda vias: vias + [b"Via: SIP/2.0/UDP a.example\r\n"] * 64),
]  # fmt: skip

HEADERS = [
    answer("a body that does not come", "18.3", DROP, more=["Content-Length: 9999"], body="v=0"),
    answer("a negative length", "18.3", DROP, more=["Content-Length: -1"]),
    answer("a length that is none", "18.3", DROP, more=["Content-Length: x"]),
    answer("two lengths", "18.3", DROP, more=["l: 2", "Content-Length: 3"], body="abc"),
    answer("octets behind the body", "18.3", cut=4, more=["Content-Length: 3"], body="abcdefg"),
    answer("no length", "18.3", more=["Content-Type: application/sdp"], body=SDP),
    answer("a binary body", "18.3", more=["Content-Length: 6"], body="\0\r\n\r\n\xff"),
    answer("no empty line", "7", end=b""),
    answer("the last line breaks off", "7", DROP, end=b"X: y"),
    answer("an empty tag", "7.3.1", DROP, replace={"To": "<sip:bob@example.net>;tag="}),
    answer("a long tag", "limits", replace={"To": f"<sip:bob@example.net>;tag={'t' * 512}"}),
    answer("a tag too long", "limits", DROP, replace={"To": f"<sip:bob@example.net>;tag={'t' * 513}"}),
    answer("commas in a display name", "16.3 item 1", replace={"To": "Mueller, Hans <sip:b@e.example>;tag=b1"}),
    answer("quotes that quote nothing", "16.3 item 1", replace={"To": '""x"" <sip:b@e.example>;tag=b1'}),
    answer("a CSeq beyond its range", "RFC 4475 3.1.2.5", DROP, line="SIP/2.0 503 Later",
           more=["Retry-After: 1" + "0" * 30], replace={"CSeq": "9292394834772304023312 INVITE"}),
    answer("a Retry-After beyond its range", "RFC 4475 3.1.2.5", more=["Retry-After: 1" + "0" * 30]),
    answer("CSeq of another method", "17.1.3", DROP, replace={"CSeq": "1 BYE"}),
    answer("CSeq of an unknown method", "17.1.3", DROP, replace={"CSeq": "1 invite"}),
    answer("no CSeq", "8.2.6", DROP, replace={"CSeq": None}),
    answer("no From", "8.2.6", DROP, replace={"From": None}),
    answer("no To", "8.2.6", DROP, replace={"To": None}),
    answer("no Call-ID", "8.2.6", DROP, replace={"Call-ID": None}),
    answer("two To", "7.3.1", DROP, more=["t: <sip:bob@example.net>;tag=b2"]),
    answer("an open quote in To", "20.39", DROP, replace={"To": '"Bob <sip:bob@example.net>;tag=b1'}),
    answer("no tag in To", "12.1.1", replace={"To": "<sip:bob@example.net>"}),
    answer("an odd To", "17.1.1.3", replace={
        "To": '"B\\"o,b" < sip:bob@example.net >\r\n ;x=";tag=no" ; Tag = "q,\xff"'}),
    answer("a Max-Forwards that is none", "20.22", more=["Max-Forwards: none", "Max-Forwards: 0"]),
    answer("a line without a colon", "16.3 item 1", more=["this is no header", "X Trunk Group: 7"]),
    Answer("bare line feeds", "7.3.3", lambda request: sound(request).replace(b"\r\n", b"\n")),
    answer("all headers there may be", "limits", more=["X: y"] * (128 - 7)),
    answer("one header too many", "limits", DROP, more=["X: y"] * (129 - 7)),
    answer("as long as a datagram may be", "limits", more=["X: " + "y" * 65_000]),
]  # fmt: skip

ANSWERS = LINES + VIAS + HEADERS
