"""Readers of single values: a raw TOML value in, a checked one out, Wrong when it is not allowed.

Each reader takes one argument and is given to Section.take (reader.py).  Functions with a capital meaning
"makes a reader" are named after what they read: one_of, integer, duration, size, text.  None of them
knows where its value stands.  Sources: RFC 3261 section 25 for tokens and URIs, RFC 5952 for IPv6 text.
"""

import functools
import ipaddress
import re
from collections.abc import Callable
from http import HTTPStatus

from fastsip.base import sip
from fastsip.config.errors import Wrong, did_you_mean
from fastsip.config.language import ALGORITHMS, MAX_ID_BYTES, MAX_NAME_BYTES, METHODS
from fastsip.config.model import Reply

Reader = Callable[[object], object]

MAX_TEXT_BYTES = 255  # of a text, a token, a URI: what one line of a message bears

_DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)(ms|s|m|h)")
_DURATION_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000}
_SIZE = re.compile(r"(\d{1,15})(B|kB|KB|MB|GB|KiB|MiB|GiB)?")
_SIZE_BYTES = {
    None: 1, "B": 1, "kB": 1_000, "KB": 1_000, "MB": 1_000_000, "GB": 1_000_000_000,
    "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30,
}  # fmt: skip
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_TOKEN = re.compile(r"[A-Za-z0-9.!%*_+`'~-]+")
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_HOST_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?")
_HOST_PORT = re.compile(r"(\[[^\]]*\]|[^:\[\]]*)(?::(\d{1,5}))?")
_LISTEN = re.compile(r"(?:([A-Za-z]+):)?(\[[^\]]*\]|[^:\[\]]+)(?::(\d{1,5}))?")
_SIP_URI = re.compile(
    r"(sips?):(?:([^@\s<>]+)@)?(\[[^\]]*\]|[^:;?\[\]@\s<>]+)(?::(\d{1,5}))?((?:;[^?\s<>]*)?)"
)

# SIP's phrases where they differ from HTTP's, RFC 3261 section 21 and later ones.
_PHRASES = {
    400: "Bad Request", 480: "Temporarily Unavailable", 481: "Call/Transaction Does Not Exist",
    482: "Loop Detected", 483: "Too Many Hops", 484: "Address Incomplete", 485: "Ambiguous",
    486: "Busy Here", 487: "Request Terminated", 488: "Not Acceptable Here", 408: "Request Timeout",
    500: "Server Internal Error", 504: "Server Time-out", 600: "Busy Everywhere", 603: "Decline",
    604: "Does Not Exist Anywhere", 606: "Not Acceptable",
}  # fmt: skip


class Address:
    """A numeric transport address: text without brackets, port, family 4 or 6."""

    __slots__ = ("family", "host", "ip", "port")

    def __init__(self, ip: ipaddress.IPv4Address | ipaddress.IPv6Address, port: int) -> None:
        self.ip = ip
        self.host = str(ip)
        self.port = port
        self.family = ip.version

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if self.family == 6 else f"{self.host}:{self.port}"


def boolean(raw: object) -> bool:
    """true or false."""
    if not isinstance(raw, bool):
        raise Wrong("allowed: true, false")
    return raw


def one_of(*words: str) -> Callable[[object], str]:
    """Makes a reader of one of these words."""

    def read(raw: object) -> str:
        if not isinstance(raw, str) or raw not in words:
            allowed = ", ".join(f'"{word}"' for word in words)
            raise Wrong(f"allowed: {allowed}", did_you_mean(raw, words))
        return raw

    return read


def integer(low: int, high: int) -> Callable[[object], int]:
    """Makes a reader of a whole number within [low, high]."""

    def read(raw: object) -> int:
        if isinstance(raw, bool) or not isinstance(raw, int) or not low <= raw <= high:
            raise Wrong(f"allowed: a whole number from {low} to {high}")
        return raw

    return read


def share(raw: object) -> float:
    """A part of a whole, 0 to 1."""
    if isinstance(raw, bool) or not isinstance(raw, int | float) or not 0 <= raw <= 1:
        raise Wrong("allowed: a number from 0 to 1")
    return float(raw)


def ms_text(ms: int) -> str:
    """Milliseconds in the shortest spelling that the language reads back: 181000 -> "181s"."""
    for unit in ("h", "m", "s"):
        if ms and ms % _DURATION_MS[unit] == 0:
            return f"{ms // _DURATION_MS[unit]}{unit}"
    return f"{ms}ms"


def duration(low_ms: int, high_ms: int) -> Callable[[object], int]:
    """Makes a reader of a duration such as "500ms" or "2s", as ms within [low_ms, high_ms]."""
    allowed = f'allowed: a duration from "{ms_text(low_ms)}" to "{ms_text(high_ms)}"; units ms, s, m, h'

    def read(raw: object) -> int:
        if isinstance(raw, int | float) and not isinstance(raw, bool):
            raise Wrong(allowed, f'say the unit, for example "{raw}s"')
        found = _DURATION.fullmatch(raw) if isinstance(raw, str) else None
        if not found:
            raise Wrong(allowed)
        ms = float(found[1]) * _DURATION_MS[found[2]]
        if ms != int(ms) or not low_ms <= ms <= high_ms:
            raise Wrong(allowed)
        return int(ms)

    return read


def size(low: int, high: int) -> Callable[[object], int]:
    """Makes a reader of a size such as "8MiB", "64kB" or a number of bytes."""

    def read(raw: object) -> int:
        value = -1
        if isinstance(raw, int) and not isinstance(raw, bool):
            value = raw
        elif isinstance(raw, str) and (found := _SIZE.fullmatch(raw)):
            value = int(found[1]) * _SIZE_BYTES[found[2]]
        if not low <= value <= high:
            raise Wrong(f"allowed: a size from {low} to {high} bytes; units KiB, MiB, GiB, kB, MB, GB")
        return value

    return read


def name(raw: object) -> str:
    """A name given by the operator: of a node, tag, set, policy, rule or destination."""
    if not isinstance(raw, str) or not _NAME.fullmatch(raw):
        raise Wrong("allowed: 1 to 64 letters, digits, dots, dashes, underscores")
    return raw


def text(raw: object) -> str:
    """A line of text that is not empty and has no control characters."""
    if not isinstance(raw, str) or not raw or len(raw.encode()) > MAX_TEXT_BYTES or not raw.isprintable():
        raise Wrong(f"allowed: 1 to {MAX_TEXT_BYTES} bytes of text on one line")
    return raw


def identity(raw: object) -> str:
    """The id of a destination: a name, or what is made of its set, URI and listener."""
    if not isinstance(raw, str) or not raw or len(raw.encode()) > MAX_ID_BYTES or not raw.isprintable():
        raise Wrong(f"allowed: 1 to {MAX_ID_BYTES} bytes of text on one line")
    return raw


def token(raw: object) -> str:
    """RFC 3261 section 25.1 `token`, as in header names."""
    if not isinstance(raw, str) or not _TOKEN.fullmatch(raw) or len(raw) > MAX_TEXT_BYTES:
        raise Wrong(f"allowed: a SIP token (letters, digits, - . ! % * _ + ` ' ~) of at most {MAX_TEXT_BYTES} letters")
    return raw


def method(raw: object) -> str:
    """A method.  Unknown ones are allowed; a known one in the wrong case is a slip (methods have case)."""
    word = token(raw)
    if word not in METHODS and word.upper() in METHODS:
        raise Wrong("allowed: methods in capitals", f'did you mean "{word.upper()}"?')
    return word


def user(raw: object) -> str:
    """A user part or its beginning, as it stands in a Request-URI."""
    word = text(raw)
    if any(char in word for char in '@<>" '):
        raise Wrong('allowed: a user part without "@", quotes, blanks or angle brackets')
    return word


def port(raw: str | None, default: int = sip.PORT) -> int:
    """The port of an address, `default` when absent."""
    number = default if raw is None else int(raw)
    if not 1 <= number <= 65535:
        raise Wrong("allowed: ports 1 to 65535")
    return number


def _numeric(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """`host` as an address that a datagram can come from or go to; None when it is not numeric."""
    try:
        ip = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None
    if ip.version == 6 and (ip.scope_id or ip.is_link_local):
        raise Wrong("link-local addresses are not in this release; allowed: an address with a wider scope")
    if ip.version == 6 and ip.ipv4_mapped:
        raise Wrong("allowed: IPv4 in its own spelling", f"did you mean {ip.ipv4_mapped}?")
    if ip.is_multicast or str(ip) == "255.255.255.255":
        raise Wrong("allowed: the address of one host, not multicast or broadcast")
    return ip


def listen_address(raw: object) -> Address:
    """udp:ADDRESS:PORT with one address (why no wildcard: docs/core.md#one-address-per-listener)."""
    allowed = 'allowed: "udp:ADDRESS:PORT" with one numeric address, IPv6 in brackets'
    if not isinstance(raw, str):
        raise Wrong(allowed)
    found = _LISTEN.fullmatch(raw)
    if not found:
        bare = raw.removeprefix("udp:")
        try:
            ipaddress.IPv6Address(bare)
        except ValueError:
            raise Wrong(allowed, 'for example "udp:192.0.2.1:5060"') from None
        raise Wrong(allowed, f'did you mean "udp:[{bare}]:5060"?')
    if found[1] != "udp":
        scheme = found[1] or ""
        raise Wrong(allowed, did_you_mean(scheme, ("udp",)) if scheme else f'did you mean "udp:{raw}"?')
    if found[2] in ("*", "0.0.0.0", "[::]"):
        raise Wrong(
            "a wildcard is refused: messages must leave from the address that peers know, and with one "
            "the kernel picks the source address of each; allowed: one address, or one [[listen]] for each"
        )
    ip = _numeric(found[2])
    if ip is None:
        raise Wrong("names are refused: an address must not depend on DNS at start; " + allowed)
    if ip.is_unspecified:
        raise Wrong("a wildcard is refused; " + allowed)
    return Address(ip, port(found[3]))


DESTINATION_ALLOWED = 'allowed: "sip:HOST:PORT" with a name or a numeric address, IPv6 in brackets'


class SipUri:
    """A destination's URI, taken apart; nobody changes it.

    `address` is None when the host is a name; then `port` is 0 and `transport` "" when none is given.
    """

    __slots__ = ("address", "host", "port", "text", "transport")

    def __init__(self, text: str, address: Address | None, host: str, port: int, transport: str) -> None:
        self.text, self.address = text, address
        self.host, self.port, self.transport = host, port, transport


def _sip_uri(raw: str) -> re.Match[str] | None:
    """Taken apart; None for what is no SIP URI, or none that a request may carry."""
    found = _SIP_URI.fullmatch(raw)
    return found if found and len(raw.encode()) <= MAX_TEXT_BYTES and raw.isprintable() else None


def destination_uri(raw: object) -> SipUri:
    """sip:[USER@]HOST[:PORT][;PARAMS] with a name or a numeric address, over UDP."""
    if not isinstance(raw, str):
        raise Wrong(DESTINATION_ALLOWED)
    return _destination_uri(raw)


# A list of thousands is read again and again with one line changed.
@functools.lru_cache(maxsize=1 << 15)
def _destination_uri(raw: str) -> SipUri:
    allowed = DESTINATION_ALLOWED
    found = _sip_uri(raw)
    if not found:
        bare = _HOST_PORT.fullmatch(raw)
        hint = f'did you mean "sip:{raw}"?' if bare and _numeric(bare[1]) else ""
        raise Wrong(allowed, hint)
    if found[1] == "sips":
        raise Wrong("sips (TLS) is not in this release; " + allowed)
    transport = ""
    for parameter in found[5].lower().split(";")[1:]:
        key, _, value = parameter.partition("=")
        if key == "transport":
            if value != "udp":
                raise Wrong(f"transport={value} is not in this release; allowed: udp")
            transport = value
        if key == "maddr":
            raise Wrong("maddr is refused: the address stands in the host part; " + allowed)
    ip = _numeric(found[3])
    if ip is None:
        if not _is_host_name(found[3]):
            raise Wrong(allowed)
        return SipUri(raw, None, host_name(found[3]), port(found[4]) if found[4] else 0, transport)
    if ip.is_unspecified:
        raise Wrong(allowed)
    address = Address(ip, port(found[4]))
    return SipUri(raw, address, address.host, address.port, transport)


def from_uri(raw: object) -> str:
    """A sip URI for the From of probes; its host may be a name, nobody resolves it."""
    found = _sip_uri(raw) if isinstance(raw, str) else None
    if not found or not isinstance(raw, str):
        raise Wrong('allowed: a SIP URI such as "sip:edge1@example.net"')
    return raw


def host_port(raw: object) -> str:
    """host or host:port, a name or a numeric address, in lower case."""
    found = _HOST_PORT.fullmatch(raw) if isinstance(raw, str) else None
    if not found or not isinstance(raw, str) or not (_is_host_name(found[1]) or _numeric(found[1])):
        raise Wrong('allowed: "host" or "host:port", IPv6 in brackets')
    if len(found[1]) > MAX_NAME_BYTES:
        raise Wrong(f"allowed: a host name of at most {MAX_NAME_BYTES} letters")
    port(found[2])
    return raw.lower()


def host_name(raw: object) -> str:
    """A host name, in lower case and without its final dot."""
    if not isinstance(raw, str) or not _is_host_name(raw) or len(raw.removesuffix(".")) > MAX_NAME_BYTES:
        raise Wrong(f"allowed: a host name of at most {MAX_NAME_BYTES} letters")
    return raw.lower().removesuffix(".")


def place(raw: object) -> Address:
    """ADDRESS or ADDRESS:PORT with a numeric address; port 0 when none is given."""
    allowed = 'allowed: "ADDRESS" or "ADDRESS:PORT" with a numeric address, IPv6 in brackets'
    found = _HOST_PORT.fullmatch(raw) if isinstance(raw, str) else None
    if not found:
        bare = isinstance(raw, str) and _numeric(raw)
        raise Wrong(allowed, f'did you mean "[{raw}]"?' if bare else "")
    ip = _numeric(found[1])
    if ip is None or ip.is_unspecified or (ip.version == 6) != found[1].startswith("["):
        raise Wrong(allowed)
    return Address(ip, port(found[2]) if found[2] else 0)


def tcp_address(raw: object) -> Address:
    """ADDRESS:PORT with a numeric address, where connections are accepted; a wildcard is one."""
    allowed = 'allowed: "ADDRESS:PORT" with a numeric address, IPv6 in brackets'
    found = _HOST_PORT.fullmatch(raw) if isinstance(raw, str) else None
    ip = _numeric(found[1]) if found and found[2] else None
    if not found or ip is None or (ip.version == 6) != found[1].startswith("["):
        raise Wrong(allowed, 'for example "127.0.0.1:8060"')
    return Address(ip, port(found[2]))


def _is_host_name(host: str) -> bool:
    """A host name by RFC 3261 section 25.1: its last label begins with a letter, 10.0.0.256 is none."""
    return bool(_HOST_NAME.fullmatch(host)) and host.rstrip(".").rpartition(".")[2][0].isalpha()


def network(raw: object) -> str:
    """A network such as "10.0.0.0/8" or one address, in canonical text with its prefix length."""
    try:
        if not isinstance(raw, str):
            raise ValueError
        return str(ipaddress.ip_network(raw))
    except ValueError:
        hint = ""
        try:
            if isinstance(raw, str):
                hint = f'did you mean "{ipaddress.ip_network(raw, strict=False)}"?'
        except ValueError:
            hint = ""
        raise Wrong('allowed: a network such as "10.0.0.0/8" or one address', hint) from None


def algorithm(raw: object) -> str:
    """An algorithm by name or by Kamailio's number."""
    if isinstance(raw, str) and re.fullmatch("[0-9]{1,2}", raw):
        raw = int(raw)
    if isinstance(raw, int) and not isinstance(raw, bool):
        for word, number in ALGORITHMS.items():
            if number == raw:
                return word
    elif isinstance(raw, str) and raw in ALGORITHMS:
        return raw
    names = ", ".join(f"{word} ({number})" for word, number in ALGORITHMS.items())
    raise Wrong(f"allowed: {names}", did_you_mean(raw, ALGORITHMS))


def reply(raw: object) -> Reply:
    """A final code 400..699, alone or with its reason: 404 or "404 Not here"."""
    allowed = 'allowed: a code from 400 to 699, alone or with a reason: 404, "404 No destination"'
    if isinstance(raw, int) and not isinstance(raw, bool):
        code, phrase = raw, ""
    elif isinstance(raw, str) and (found := re.fullmatch(r"(\d{3})(?: (.+))?", raw)):
        code, phrase = int(found[1]), (found[2] or "").strip()
    else:
        raise Wrong(allowed)
    if not 400 <= code <= 699:
        raise Wrong(allowed)
    if phrase and (len(phrase.encode()) > 128 or not phrase.isprintable()):
        raise Wrong("allowed: a reason of at most 128 bytes without control characters")
    return Reply(code=code, reason=phrase or _phrase(code))


def _phrase(code: int) -> str:
    if code in _PHRASES:
        return _PHRASES[code]
    try:
        return HTTPStatus(code).phrase
    except ValueError:
        return {4: "Request Failure", 5: "Server Failure"}.get(code // 100, "Global Failure")


def codes(raw: object) -> range | tuple[int, ...]:
    """A final code or a class of them for `accept`: 404 -> (404,), "2xx" -> 200..299."""
    if isinstance(raw, str) and re.fullmatch(r"[2-6]xx", raw):
        return range(int(raw[0]) * 100, int(raw[0]) * 100 + 100)
    if isinstance(raw, str) and re.fullmatch(r"[2-6]\d\d", raw):
        return (int(raw),)
    if isinstance(raw, int) and not isinstance(raw, bool) and 200 <= raw <= 699:
        return (raw,)
    raise Wrong('allowed: final codes 200 to 699 and the classes "2xx" to "6xx"')
