"""What shall leave for a message that came: the same octets, but for what a proxy has to change.

Slow and obvious, by lines and regular expressions; shares nothing with the kernels.
Each function returns a pattern for re.fullmatch, as branches and tags are not known before.
"""

import re

from .case import SOURCE

OURS = rb"Via: SIP/2\.0/UDP 10\.0\.0\.254:5060;branch=z9hG4bK[a-z2-7]{13}\.[a-z2-7]{6};fs=[a-z2-7]{22}\r\n"
RECORD_ROUTE = rb"Record-Route: <sip:[a-z2-7]{36}@10\.0\.0\.254:5060;lr>\r\n"
TAG = rb";tag=[a-z2-7]{13}"
DIALOGS = {b"INVITE", b"SUBSCRIBE", b"REFER"}
KNOWN = DIALOGS | {
    b"ACK", b"BYE", b"CANCEL", b"OPTIONS", b"REGISTER", b"PRACK", b"NOTIFY", b"PUBLISH", b"INFO", b"MESSAGE", b"UPDATE",
}  # fmt: skip
COMPACT = {b"v": b"via", b"f": b"from", b"t": b"to", b"i": b"call-id", b"l": b"content-length"}


def split(raw: bytes) -> tuple[bytes, list[bytes], bytes]:
    """Start line with blank lines before it, headers with their folds, and the empty line with the body."""
    start = re.match(rb"[\r\n]*[^\n]*\n", raw)[0]
    rest, headers = raw[len(start) :], []
    while rest and not re.match(rb"\r?\n", rest):
        headers.append(re.match(rb"[^\n]*(?:\n|\Z)(?:[ \t][^\n]*(?:\n|\Z))*", rest)[0])
        rest = rest[len(headers[-1]) :]
    return start, headers, rest


def name_of(header: bytes) -> bytes:
    name = header.partition(b":")[0].strip().lower()
    return COMPACT.get(name, name)


def value_of(header: bytes) -> bytes:
    return header.partition(b":")[2].strip()


def first(headers: list[bytes], name: bytes) -> bytes:
    return next((header for header in headers if name_of(header) == name), b"")


def stamped(via: bytes) -> bytes:
    """The first Via header with received and rport as we saw them (18.2.1, RFC 3581 section 4)."""
    quotes = rb'"(?:\\.|[^"\\])*"'
    value = re.match(rb"[^:]*:(?:%s|[^,\"])*" % quotes, via, re.S)[0]
    bare = re.sub(quotes, lambda found: b"q" * len(found[0]), value, flags=re.S)
    rport = re.search(rb"(?i);\s*rport(\s*=\s*[^;,\s]*)?(?=\s*(?:;|\Z))", bare)
    received = re.search(rb"(?i);\s*received(\s*=\s*[^;,\s]*)?(?=\s*(?:;|\Z))", bare)
    host = re.search(rb"/\s*[A-Za-z-]+\s+(\[[^\]]*\]|[^;:,\s]+)", bare)[1]
    changes = {}
    if rport:
        changes[rport.end(0) if not rport[1] else rport.start(1), rport.end(0)] = b"=%d" % SOURCE[1]
    address = SOURCE[0].encode()
    if received:
        changes[received.end(0) if not received[1] else received.start(1), received.end(0)] = b"=" + address
    elif rport:
        changes = {place: text + b";received=" + address for place, text in changes.items()}
    elif host != address:
        semicolon = bare.find(b";")
        place = semicolon if semicolon >= 0 else len(bare.rstrip())
        changes[place, place] = b";received=" + address
    for (begin, end), text in sorted(changes.items(), reverse=True):
        via = via[:begin] + text + via[end:]
    return via


def body_of(headers: list[bytes], rest: bytes) -> bytes:
    """The empty line, and the body by Content-Length (18.3)."""
    empty = re.match(rb"\r?\n|\Z", rest)[0] or b"\r\n"
    length = value_of(first(headers, b"content-length"))
    body = rest[len(empty) :] if rest else b""
    return empty + (body[: int(length)] if length else body)


def forwarded(raw: bytes) -> bytes:
    """16.6: one hop less, our Via and Record-Route on top; Routes of others from somebody unknown are gone."""
    start, headers, rest = split(raw)
    method = start.split()[0]
    tagged = b"tag" in first(headers, b"to").lower().rpartition(b">")[2]
    top = OURS
    if method not in KNOWN - DIALOGS and not tagged:
        top += RECORD_ROUTE
    if not first(headers, b"max-forwards"):
        top += rb"Max-Forwards: 70\r\n"
    kept, via_seen = [], False
    for header in headers:
        name = name_of(header)
        if name == b"via" and not via_seen:
            header, via_seen = stamped(header), True
        elif name == b"max-forwards":
            hops = b"%d" % (int(value_of(header)) - 1)
            begin = header.index(value_of(header), header.index(b":"))
            header = header[:begin] + hops + header[begin + len(value_of(header)) :]
        if name != b"route" or not value_of(header).strip(b" \t\r\n,"):
            kept.append(header)
    return re.escape(mended(start)) + top + re.escape(b"".join(kept) + body_of(headers, rest))


def mended(start: bytes) -> bytes:
    """RFC 4475 sections 3.1.2.9 to 3.1.2.11: single blanks, and no headers behind a Request-URI of SIP."""
    found = re.fullmatch(rb"([\r\n]*)(\S+)[ \t]+(\S+)[ \t]+(\S+)[ \t\r]*?(\r?\n)", start)
    before, method, uri, version, end = found.groups()
    user, mark, host = uri.partition(b"@")
    if uri[:3].lower() == b"sip":
        uri = user + mark + host.partition(b"?")[0] if mark else uri.partition(b"?")[0]
    return before + b" ".join((method, uri, version)) + end


def answered(raw: bytes, status: int, reason: bytes, more: bytes = b"") -> bytes:
    """8.2.6: Vias, From, To, Call-ID and CSeq as they came, a tag to a To that had none."""
    _, headers, _ = split(raw)
    vias = [header for header in headers if name_of(header) == b"via"]
    pattern = rb"SIP/2\.0 %d %s\r\n" % (status, re.escape(reason))
    if b";" in vias[0] or status == 100 or b"/UDP" in vias[0]:
        vias[0] = stamped(vias[0])
    pattern += re.escape(b"".join(vias)) + re.escape(first(headers, b"from"))
    to = first(headers, b"to")
    empty = re.search(rb"(?i);\s*tag(\s*=\s*|)(?=\s*(?:;|\Z))", to)
    tag = re.search(rb"(?i);\s*tag\s*=", to.rpartition(b">")[2])
    if empty and status != 100:
        equals = b"" if empty[1] else b"="
        head = to[: empty.end(1)] if empty.end() < len(to.rstrip()) else to.rstrip()
        rest = to[len(head) :] if empty.end() < len(to.rstrip()) else b""
        pattern += re.escape(head) + equals + TAG[5:] + re.escape(rest.rstrip()) + rb"\r\n"
    elif tag or status == 100:
        pattern += re.escape(to)
    else:
        pattern += re.escape(to.rstrip()) + TAG + rb"\r\n"
    for name in (b"call-id", b"cseq"):
        pattern += re.escape(first(headers, name))
    return pattern + more + rb"Content-Length: 0\r\n\r\n"
