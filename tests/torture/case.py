"""What a torture case is, and how its bytes are written down.

Texts stand for octets: a letter below 256 is that octet (latin-1), a line end is CR LF.
`sip` takes whole messages, `plain` makes one that is unremarkable but for what a case says.
"""

from dataclasses import dataclass

FORWARD = "forward"
DROP = "drop"

# Where the requests of the cases come from.  The port is none that a Via names by default.
SOURCE = ("10.0.0.1", 50600)


@dataclass(frozen=True)
class Case:
    """One message and what becomes of it.

    outcome     FORWARD, DROP, or the status of our answer
    code        the parser's verdict: "OK" or the word of a result code (see tests.oracle.sip_oracle.CODES)
    port        where an answer goes on the sender's address
    """

    name: str
    section: str
    raw: bytes
    outcome: str | int = FORWARD
    code: str = "OK"
    port: int = 5060

    @property
    def id(self) -> str:
        return f"{self.section}: {self.name}"


def octets(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode("latin-1")


def sip(text: str, body: str | bytes = b"") -> bytes:
    """A whole message, its first and last line end left out; the empty line is added."""
    return octets(text.strip("\n").replace("\n", "\r\n")) + b"\r\n\r\n" + octets(body)


def plain(
    name: str,
    method: str = "OPTIONS",
    uri: str = "sip:bob@example.net",
    *,
    start: str = "",
    via: str = "SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK.{name}",
    max_forwards: str | None = "70",
    sender: str | None = "<sip:anna@example.org>;tag=a1",
    to: str | None = "<sip:bob@example.net>",
    call_id: str | None = "{name}@10.0.0.1",
    cseq: str | None = "1 {method}",
    more: tuple | list = (),
    body: str | bytes = b"",
    end: bytes = b"\r\n",
) -> bytes:
    """A request; None leaves a header out, `more` are lines, `end` what closes the headers."""
    name = "".join(letter if letter.isalnum() else "-" for letter in name)
    headers = [("Via", via), ("Max-Forwards", max_forwards), ("From", sender), ("To", to)]
    headers += [("Call-ID", call_id), ("CSeq", cseq)]
    lines = [octets(start or f"{method} {uri} SIP/2.0")]
    for key, value in headers:
        if value is not None:
            lines.append(octets(f"{key}: " + value.replace("{name}", name).replace("{method}", method)))
    lines += [octets(line) for line in more]
    return b"\r\n".join(lines) + b"\r\n" + end + octets(body)
