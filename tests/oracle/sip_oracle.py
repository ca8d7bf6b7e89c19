"""The slow, obvious reader of SIP messages that the kernels are compared with.

Written from the grammar of RFC 3261 section 25.1 and the decisions in the heads
of parser.pyx and values.pyx; shares no code and no method with the kernels:
lines are split, folds are joined, values are matched by regular expressions.
It returns texts where the kernels return offsets.

parse(text) gives the index, routing(found) the values a router needs of it,
read_via, read_name_addr and count_values one value's parts.  Called by tests.
"""

import re
from ipaddress import AddressValueError, IPv4Address

CODES = {
    "OK": 0, "NOT_SIP": -2, "EMPTY": -3, "START_LINE": -4, "VERSION": -5, "HEADER": -6,
    "TOO_MANY_HEADERS": -7, "TOO_MANY_VIAS": -8, "TOO_LARGE": -9, "VIA": -10, "FROM": -11, "TO": -12,
    "CALL_ID": -13, "CSEQ": -14, "MAX_FORWARDS": -15, "CONTENT_LENGTH": -16, "NONE": -22, "BAD": -23,
    "DUPLICATE": -24, "URI": -17, "SCHEME": -18, "LONG_HEAD": -30,
}

# In the order of header_id.
NAMES = [
    b"", b"via", b"from", b"to", b"call-id", b"cseq", b"max-forwards", b"content-length", b"route",
    b"record-route", b"contact", b"content-type", b"require", b"proxy-require", b"supported",
    b"authorization", b"proxy-authorization", b"www-authenticate", b"proxy-authenticate", b"retry-after",
    b"reason", b"expires", b"session-expires", b"replaces", b"join", b"target-dialog", b"max-breadth",
    b"timestamp",
]
COMPACT = {
    b"v": b"via", b"f": b"from", b"t": b"to", b"i": b"call-id", b"m": b"contact", b"l": b"content-length",
    b"c": b"content-type", b"k": b"supported", b"x": b"session-expires",
}
METHODS = [
    b"", b"INVITE", b"ACK", b"BYE", b"CANCEL", b"OPTIONS", b"REGISTER", b"PRACK", b"SUBSCRIBE", b"NOTIFY",
    b"PUBLISH", b"INFO", b"REFER", b"MESSAGE", b"UPDATE",
]
TRANSPORTS = [None, b"udp", b"tcp", b"tls", b"ws", b"wss", b"sctp"]

TOKEN = rb"[A-Za-z0-9\-.!%*_+`'~]+"
WS = rb"[ \t\r\n]*"
QUOTED = rb'"(?:\\[\x00-\xff]|[^"\\])*"'
PLAIN = rb"[^<>\",;\x00-\x08\x0b\x0c\x0e-\x1f\x7f]*"
VALUE = rb'[^\x00-\x20\x7f;,"<>]*'
PARAM = re.compile(
    rb"%s(?:(%s)%s(?:=%s(%s|%s)%s)?)?(?=[;,]|\Z)" % (WS, TOKEN, WS, WS, QUOTED, VALUE, WS), re.S
)


class Refused(Exception):
    """A value that cannot be read; args[0] is the word of its code."""


def header_id(name: bytes) -> int:
    lower = name.lower()
    lower = COMPACT.get(lower, lower)
    return NAMES.index(lower) if lower in NAMES else 0


def method_id(name: bytes) -> int:
    return METHODS.index(name) if name in METHODS else 0


def number(text: bytes, limit: int, word: str) -> int:
    if not re.fullmatch(rb"[0-9]{1,18}", text) or int(text) > limit:
        raise Refused(word)
    return int(text)


# ---------------------------------------------------------------- start line

def judge_version(text: bytes) -> str:
    if re.fullmatch(rb"(?i)SIP/2\.0", text):
        return "OK"
    return "VERSION" if re.fullmatch(rb"(?i)SIP/[0-9]+\.[0-9]+", text) else "START_LINE"


def read_start_line(line: bytes, found: dict) -> str:
    if line[:4].lower() == b"sip/":
        version, blank, rest = line.partition(b" ")
        judged = judge_version(version)
        if judged != "OK":
            return judged
        match = re.fullmatch(rb" *([1-6][0-9]{2})(?: (.*))?", rest, re.S) if blank else None
        if not match:
            return "START_LINE"
        found["status"], found["reason"] = int(match[1]), match[2] or b""
        return "OK"
    bare = line.rstrip(b" \t\r\n")
    words = re.split(rb"[ \t]", bare)
    if len(words) < 2 or words[-1][:4].lower() != b"sip/":
        return "NOT_SIP"
    found["is_request"] = True
    before = bare[: len(bare) - len(words[-1])]
    found["method_name"] = re.match(rb"(?:%s)?" % TOKEN, before)[0]
    target = before[len(found["method_name"]):].strip(b" \t\r\n")
    found["ruri"] = bare_ruri(target)
    judged = judge_version(words[-1])
    if judged != "OK":
        return judged
    whole = re.fullmatch(rb"(%s)[ \t\r]+([^\x00-\x20\x7f<>]+)[ \t\r]+[Ss][Ii][Pp]/2\.0" % TOKEN, bare)
    return "OK" if whole else "START_LINE"


def bare_ruri(target: bytes) -> bytes:
    """Without headers behind "?" (19.1.1); before "@" that is a letter of the user."""
    if target[:3].lower() != b"sip":
        return target
    user, mark, rest = target.rpartition(b"@") if target.count(b"@") == 1 else target.partition(b"@")
    if not mark:
        return target.partition(b"?")[0]
    return user + mark + rest.partition(b"?")[0]


# ---------------------------------------------------------------- headers

def split_lines(text: bytes) -> list[bytes]:
    """Lines with their LF; the last one may lack it."""
    return re.findall(rb"[^\n]*\n|[^\n]+", text)


def parse(text: bytes) -> dict:
    found = {
        "code": 0, "is_request": False, "status": 0, "method_name": b"", "ruri": b"", "reason": b"",
        "headers": [], "body": b"",
    }
    errors = []
    found["code"] = CODES[walk(text, found, errors)]
    return found


def walk(text: bytes, found: dict, errors: list) -> str:
    if len(text) > 65535:
        return "TOO_LARGE"
    begin = len(text) - len(text.lstrip(b"\r\n"))
    if not text.strip(b" \t\r\n\0"):
        return "EMPTY"
    lines = split_lines(text[begin:])
    first = lines.pop(0)
    complete = first.endswith(b"\n")
    line = first[:-1].removesuffix(b"\r") if complete else first
    judged = read_start_line(line, found)
    if judged == "NOT_SIP":
        return judged
    errors.append(judged)
    if not complete:
        errors.append("HEADER")
        return first_of(errors)
    while lines and lines[0][:1] in (b" ", b"\t"):
        errors.append("START_LINE")
        lines.pop(0)
    body = read_headers(lines, found, errors)
    read_body(body, found, errors)
    return first_of(errors)


def first_of(errors: list) -> str:
    return next((word for word in errors if word != "OK"), "OK")


def read_headers(lines: list, found: dict, errors: list) -> bytes | None:
    """Returns the body's bytes; None when the headers did not end."""
    while lines:
        if lines[0] in (b"\n", b"\r\n"):
            return b"".join(lines[1:])
        header = [lines.pop(0)]
        while lines and lines[0][:1] in (b" ", b"\t"):
            header.append(lines.pop(0))
        if not header[-1].endswith(b"\n"):
            errors.append("HEADER")
            return None
        if len(found["headers"]) == 128:
            errors.append("TOO_MANY_HEADERS")
            return None
        found["headers"] += read_header(header, errors)
    return None


def read_header(lines: list, errors: list) -> list:
    """[(id, name, value)]; without a name when it is no header, nothing when it is nothing at all."""
    whole = b"".join(lines)
    match = re.fullmatch(rb"(%s)[ \t\r]*(?:\n[ \t][ \t\r\n]*)?:(.*)" % TOKEN, whole, re.S)
    if b":" in lines[0]:
        match = re.fullmatch(rb"(%s)[ \t\r]*:(.*)" % TOKEN, whole, re.S)
    if match:
        name, value = match[1], match[2].strip(b" \t\r\n")
        if header_id(name) != NAMES.index(b"route") or value.strip(b" \t\r\n,"):
            return [(header_id(name), name, value)]
    value = whole.rstrip(b" \t\r\n")
    if not value:
        errors.append("HEADER")
    return [(0, b"", value)] if value else []


def read_body(body: bytes | None, found: dict, errors: list) -> None:
    rest = body or b""
    found["body"] = rest
    seen = None
    for _, _, value in (h for h in found["headers"] if h[0] == 7):
        readable = re.fullmatch(rb"[0-9]{1,18}", value) and int(value) <= len(rest)
        if not readable or seen not in (None, int(value)):
            errors.append("CONTENT_LENGTH")
            return
        seen = int(value)
    if seen is not None:
        found["body"] = rest[:seen]


# ---------------------------------------------------------------- values

def read_params(text: bytes, may_be_empty: bool, word: str) -> tuple[list, bytes]:
    """([(name, value or None)], what is left, beginning with a comma or empty)."""
    params = []
    while text[:1] == b";":
        match = PARAM.match(text, 1)
        if not match or (match[1] is None and not may_be_empty):
            raise Refused(word)
        params.append((match[1] or b"", match[2]))
        text = text[match.end():]
    if text and text[:1] != b",":
        raise Refused(word)
    return params, text


def first_param(params: list, name: bytes) -> bytes | None:
    """The value of the first parameter of that name that has one; b"" when none has."""
    values = [value or b"" for key, value in params if key.lower() == name]
    return next((value for value in values if value), b"" if values else None)


def host_kind(host: bytes) -> int:
    if host.startswith(b"["):
        zone = rb"(%[A-Za-z0-9._~%-]+)?"
        return 3 if re.fullmatch(rb"\[[0-9A-Fa-f:.]*" + zone + rb"\]", host) and host.count(b":") >= 2 else 0
    if not re.fullmatch(rb"[A-Za-z0-9._-]+", host) or host.startswith(b".") or b".." in host:
        return 0
    if re.fullmatch(rb"[0-9.]+", host):
        try:
            IPv4Address(host.decode())
        except (AddressValueError, ValueError):
            return 0
        return 2
    return 1


def read_via(text: bytes) -> dict:
    """The first value of `text`; Refused("VIA")."""
    text = text.lstrip(b" \t\r\n")
    head = re.match(
        rb"(%s)%s/%s(%s)%s/%s(%s)[ \t\r\n]+(\[[^\]]*\]|[A-Za-z0-9._-]+)%s(?::%s([0-9]+)%s)?"
        % (TOKEN, WS, WS, TOKEN, WS, WS, TOKEN, WS, WS, WS),
        text,
    )
    if not head or not host_kind(head[4]):
        raise Refused("VIA")
    port = 0
    if head[5] is not None:
        port = number(head[5], 65535, "VIA")
        if port == 0:
            raise Refused("VIA")
    params, left = read_params(text[head.end():], False, "VIA")
    transport = head[3].lower()
    found = {
        "host": head[4].strip(b"[]"), "host_kind": host_kind(head[4]), "port": port,
        "transport": TRANSPORTS.index(transport) if transport in TRANSPORTS else 7,
        "branch": first_param(params, b"branch") or b"", "hint": first_param(params, b"fs") or b"",
        "last": not left, "left": left[1:],
    }
    received = next((value or b"" for key, value in params if key.lower() == b"received"), b"")
    if len(received) >= 2 and received[:1] == b"[":
        received = received[1:].removesuffix(b"]")
    found["received"] = received
    rports = [value for key, value in params if key.lower() == b"rport"]
    found["has_rport"] = bool(rports)
    found["rport"] = 0
    if rports and rports[0]:
        found["rport"] = number(rports[0], 65535, "VIA")
        if found["rport"] == 0:
            raise Refused("VIA")
    found["magic"] = found["branch"][:7].lower() == b"z9hg4bk"
    return found


def read_name_addr(text: bytes) -> dict:
    """The first value of `text`; Refused("BAD")."""
    text = text.lstrip(b" \t\r\n,")
    head = re.match(rb"(%s|%s)%s<([^>]*)>" % (QUOTED, PLAIN, WS), text, re.S)
    if head:
        display = head[1] if head[1][:1] == b'"' else head[1].rstrip(b" \t\r\n")
        uri, bracketed = head[2].strip(b" \t\r\n"), True
    else:
        head = re.match(PLAIN, text)
        display, uri, bracketed = b"", head[0].rstrip(b" \t\r\n"), False
        if re.search(rb"[\x00-\x20\x7f]", uri):
            raise Refused("BAD")
    if not uri:
        raise Refused("BAD")
    rest = text[head.end():].lstrip(b" \t\r\n")
    params, left = read_params(rest, True, "BAD")
    return {
        "display": display, "uri": uri, "bracketed": bracketed, "last": not left.strip(b" \t\r\n,"),
        "whole": not left, "left": left[1:],
        "tags": [value or b"" for key, value in params if key.lower() == b"tag"],
    }


def read_single(text: bytes, commas: bool) -> list[bytes]:
    """The tags of From or To, which hold one value; their display name may be odd."""
    try:
        value = read_name_addr(text)
        if value["whole"]:
            return value["tags"]
    except Refused:
        pass
    display, bracket, rest = text.partition(b"<")
    bare = re.sub(rb"\\[\x00-\xff]|\\\Z", b"x", display)
    parts = bare.split(b'"')
    loose = b"".join(parts[::2])
    if not bracket or len(parts) % 2 == 0 or b":" in loose or (b"," in loose and not commas):
        raise Refused("BAD")
    value = read_name_addr(b"<" + rest)
    if not value["whole"]:
        raise Refused("BAD")
    return value["tags"]


def count_values(text: bytes) -> int:
    bare = re.sub(QUOTED, b"", text, flags=re.S)
    return bare.split(b'"')[0].count(b",") + 1


# ---------------------------------------------------------------- routing

def routing(found: dict) -> dict:
    """What parse_routing reads of a parsed message."""
    result = {
        "via": None, "from_tag": b"", "to_tag": b"", "call_id": b"", "cseq": 0, "cseq_method_name": b"",
        "max_forwards": -1,
    }
    errors = []
    steps = [read_topmost, read_from, read_to, read_call_id, read_cseq]
    if found["is_request"]:
        steps.append(read_max_forwards)
    for step in steps:
        try:
            step(found, result)
        except Refused as refused:
            errors.append(refused.args[0])
    result["routing_code"] = CODES[errors[0]] if errors else 0
    return result


def values_of(found: dict, name: bytes) -> list[bytes]:
    return [value for id_, _, value in found["headers"] if id_ == NAMES.index(name)]


def single(found: dict, name: bytes, word: str) -> bytes:
    values = values_of(found, name)
    if not values:
        raise Refused(word)
    return values[0]


def refuse_second(found: dict, name: bytes) -> None:
    if len(values_of(found, name)) > 1:
        raise Refused("DUPLICATE")


def read_topmost(found: dict, result: dict) -> None:
    result["via"] = read_via(single(found, b"via", "VIA"))
    if len(result["via"]["branch"]) > 512:
        raise Refused("VIA")


def read_tag(found: dict, result: dict, name: bytes, word: str) -> None:
    try:
        tags = read_single(single(found, name, word), not found["is_request"])
    except Refused:
        raise Refused(word) from None
    result[name.decode() + "_tag"] = tags[0] if tags else b""
    if tags and not 1 <= len(tags[0]) <= 512:
        raise Refused(word)
    refuse_second(found, name)


def read_from(found: dict, result: dict) -> None:
    read_tag(found, result, b"from", "FROM")


def read_to(found: dict, result: dict) -> None:
    read_tag(found, result, b"to", "TO")


def read_call_id(found: dict, result: dict) -> None:
    value = single(found, b"call-id", "CALL_ID")
    if not re.fullmatch(rb"[^\x00-\x20\x7f]{1,512}", value):
        raise Refused("CALL_ID")
    result["call_id"] = value
    refuse_second(found, b"call-id")


def read_cseq(found: dict, result: dict) -> None:
    match = re.fullmatch(rb"([0-9]+)[ \t\r\n]+(%s)" % TOKEN, single(found, b"cseq", "CSEQ"))
    if not match:
        raise Refused("CSEQ")
    result["cseq"] = number(match[1], 2**32 - 1, "CSEQ")
    result["cseq_method_name"] = match[2]
    if found["is_request"] and match[2] != found["method_name"]:
        raise Refused("CSEQ")
    refuse_second(found, b"cseq")


def read_max_forwards(found: dict, result: dict) -> None:
    if not values_of(found, b"max-forwards"):
        return
    result["max_forwards"] = number(single(found, b"max-forwards", "MAX_FORWARDS"), 255, "MAX_FORWARDS")
    refuse_second(found, b"max-forwards")
