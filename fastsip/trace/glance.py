"""What a look at one datagram says of it: no more than a line, an arrow or a span shows.

A message that cannot be read whole is shown, too, for it may be the reason of the trace: what is missing is "" or -1,
and nothing here raises.  Text is kept as it came, with bytes that are no UTF-8 as lone surrogates; who prints it cleans
it.

Reads of RFC 3261 sections 7 (messages), 8.1.1 (headers of a request) and 20, and of W3C Trace Context `traceparent`.
"""

import re

import msgspec

from fastsip.ua.message import COMPACT, NotSip, param, read_start_line, split_values, unfold

MOST_HEAD = 16 << 10    # bytes of a head that are looked at: twice what the router takes by itself
END_OF_HEAD = re.compile(rb"\r?\n\r?\n")
CSEQ = re.compile(r"(\d{1,10})\s+(\S+)", re.ASCII)
WANTED = frozenset({"via", "from", "to", "call-id", "cseq", "traceparent"})


class Glance(msgspec.Struct, frozen=True, kw_only=True):
    """method: of a request, else "".  status: of a response, else 0.  start: the first line as it came."""

    start: str
    method: str = ""
    uri: str = ""
    status: int = 0
    reason: str = ""
    call_id: str = ""
    cseq: int = -1
    cseq_method: str = ""
    sender: str = ""        # the value of From
    recipient: str = ""     # the value of To
    to_tag: str = ""
    branch: str = ""        # of the topmost Via
    below: str = ""         # of the Via below that
    traceparent: str = ""


def glance(datagram: bytes) -> Glance:
    """datagram: a message as it was on the wire, or the first of it."""
    head = END_OF_HEAD.split(datagram[:MOST_HEAD].lstrip(b"\r\n"), maxsplit=1)[0]
    lines = unfold(head.decode("utf-8", "surrogateescape").replace("\r\n", "\n").split("\n"))
    headers = _wanted_of(lines[1:])
    method, uri, status, reason = _start(lines[0])
    cseq = CSEQ.match(headers.get("cseq", ""))
    branches = [param(via, "branch") or "" for via in split_values(headers.get("via", ""))[:2]]
    return Glance(
        start=lines[0],
        method=method,
        uri=uri,
        status=status,
        reason=reason,
        call_id=headers.get("call-id", ""),
        cseq=int(cseq[1]) if cseq else -1,
        cseq_method=cseq[2] if cseq else "",
        sender=headers.get("from", ""),
        recipient=headers.get("to", ""),
        to_tag=param(headers.get("to", ""), "tag") or "",
        branch=branches[0] if branches else "",
        below=branches[1] if len(branches) > 1 else "",
        traceparent=headers.get("traceparent", ""),
    )


def _start(line: str) -> tuple[str, str, int, str]:
    """Method and URI, or status and reason; of what is no start line nothing."""
    try:
        found = read_start_line(line)
    except NotSip:
        return "", "", 0, ""
    return found.method, found.uri, found.status, found.reason


def _wanted_of(lines: list[str]) -> dict[str, str]:
    """The first line of each header that is wanted, by its long name in small letters; of Via the first two."""
    found: dict[str, str] = {}
    has_two = False
    for line in lines:
        name, colon, value = line.partition(":")
        key = name.strip().lower()
        key = COMPACT.get(key, key).lower()
        if not colon or key not in WANTED:
            continue
        if key == "via" and key in found and not has_two:
            found[key], has_two = f"{found[key]},{value}", True
        found.setdefault(key, value.strip())
    return found
