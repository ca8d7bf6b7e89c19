"""Session descriptions of the answering machines and the demonstration's caller.

One audio stream, one codec, by offer and answer (RFC 3264); the grammar is
RFC 8866's.  The router never reads or writes a session description with this.
"""

import secrets
from dataclasses import dataclass, field

Address = tuple[str, int]

STATIC = {"0": "PCMU/8000", "8": "PCMA/8000"}  # RFC 3551: these need no rtpmap
PREFERRED = ("PCMU", "PCMA")
NO_SPEECH = ("TELEPHONE-EVENT", "CN", "RED")
REVERSED = {"sendonly": "recvonly", "recvonly": "sendonly", "inactive": "inactive"}
SESSION = secrets.randbits(31)  # o= wants a number that differs between processes


@dataclass(slots=True)
class Stream:
    """One m= section of an offer."""

    media: str
    port: str
    proto: str
    formats: list[str]
    attributes: list[str] = field(default_factory=list)  # values of a=

    def codec(self, fmt: str) -> str:
        """Upper-case encoding name of a payload type, "" when the offer does not say."""
        for attribute in self.attributes:
            kind, _, rest = attribute.partition(":")
            number, _, encoding = rest.partition(" ")
            if kind == "rtpmap" and number == fmt:
                return encoding.strip().partition("/")[0].upper()
        return STATIC.get(fmt, "").partition("/")[0]

    def choose(self) -> str | None:
        """The payload type to answer with: PCMU, else PCMA, else the first that carries speech."""
        by_name = {self.codec(fmt): fmt for fmt in reversed(self.formats)}
        for name in PREFERRED:
            if name in by_name:
                return by_name[name]
        return next((fmt for fmt in self.formats if self.codec(fmt) not in NO_SPEECH), None)


def read_streams(body: bytes) -> tuple[list[Stream], str]:
    """The m= sections of a description and the session's own direction ("" without)."""
    streams: list[Stream] = []
    direction = ""
    for line in body.decode("utf-8", "replace").splitlines():
        kind, _, value = line.partition("=")
        words = value.split()
        if kind == "m" and len(words) >= 4:
            streams.append(Stream(words[0], words[1], words[2], words[3:]))
        elif kind == "a" and streams:
            streams[-1].attributes.append(value.strip())
        elif kind == "a" and value.strip() in REVERSED:
            direction = value.strip()
    return streams, direction


def head_lines(address: Address, version: int) -> list[str]:
    host = address[0]
    net = f"IN {'IP6' if ':' in host else 'IP4'} {host}"
    return ["v=0", f"o=fastsip {SESSION} {version} {net}", "s=-", f"c={net}", "t=0 0"]


def offer_sdp(address: Address, version: int = 1) -> bytes:
    """An offer of PCMU and PCMA at `address`."""
    lines = [*head_lines(address, version), f"m=audio {address[1]} RTP/AVP 0 8"]
    lines += [f"a=rtpmap:{fmt} {codec}" for fmt, codec in STATIC.items()]
    return ("\r\n".join(lines) + "\r\n").encode()


def answer_sdp(offer: bytes, address: Address, version: int = 1) -> bytes:
    """The answer to an offer: the first usable audio stream at `address`, all others refused.

    b"" when no stream can be used (the call gets 488).
    """
    streams, session_direction = read_streams(offer)
    lines = head_lines(address, version)
    taken = False
    for stream in streams:
        usable = (stream.media, stream.proto) == ("audio", "RTP/AVP") and stream.port != "0"
        fmt = stream.choose() if usable and not taken else None
        if fmt is None:  # refused by port 0, with a format because the grammar wants one
            lines.append(f"m={stream.media} 0 {stream.proto} {stream.formats[0]}")
            continue
        taken = True
        lines.append(f"m=audio {address[1]} RTP/AVP {fmt}")
        lines += answer_attributes(stream, fmt, session_direction)
    return ("\r\n".join(lines) + "\r\n").encode() if taken else b""


def answer_attributes(stream: Stream, fmt: str, session_direction: str) -> list[str]:
    """The chosen format's own lines as offered, and the direction turned round."""
    described = [a for a in stream.attributes if a.startswith((f"rtpmap:{fmt} ", f"fmtp:{fmt} "))]
    if not any(a.startswith("rtpmap:") for a in described) and fmt in STATIC:
        described.insert(0, f"rtpmap:{fmt} {STATIC[fmt]}")
    own = next((a for a in stream.attributes if a in REVERSED or a == "sendrecv"), session_direction)
    if own in REVERSED:
        described.append(REVERSED[own])
    return [f"a={attribute}" for attribute in described]
