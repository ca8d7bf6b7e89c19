"""Pieces of what Python tells the routing table, checked: texts, keys, addresses, probes.

ValueError for what the kernels could not hold or rely on.  What an operator should be told, with file and line, is the
configuration's business before.

Must never: be used on the packet path.
"""

import functools
import ipaddress
import socket

from fastsip._core.base.address cimport T_UDP
from fastsip._core.routing.types cimport PROBE_ALL, PROBE_MARKED, PROBE_NONE, PROBE_ONLY_FAILED

from fastsip._core.routing.policies import number_in

MS = (0, 2**32 - 1)
MAX_PROBE_HEADERS = 1024    # bytes of its own headers
MOST_CALLS = 1_000_000      # a second
LONGEST_BURST_S = 10        # of calls at once, as many as come in so many seconds
PROBE_MODES = {"all": PROBE_ALL, "only-failed": PROBE_ONLY_FAILED, "marked": PROBE_MARKED, "none": PROBE_NONE}

# Any final response shows life, except those that say overload or death (docs/wire.md#probes).
REFUSED_CODES = frozenset((408, 500, 503, 504))
DEFAULT_ACCEPT = tuple(code for code in range(200, 700) if code not in REFUSED_CODES)
PROBE_DEFAULTS = {
    "interval_ms": 0, "timeout_ms": 2000, "rise": 1, "fall": 2, "mode": 0,
    "accept": DEFAULT_ACCEPT, "method": b"OPTIONS", "from_uri": b"", "headers": (("Accept", "application/sdp"),),
}


def line_text(name, value):
    """The bytes of a text without line ends, which would end a header it is written into."""
    if isinstance(value, str):
        value = value.encode("utf-8")
    if not isinstance(value, bytes) or b"\r" in value or b"\n" in value:
        raise ValueError(f"{name} is one line of text, not {value!r}")
    return value


def key_words(name, key):
    """Two 64-bit words of a key of 16 bytes."""
    if not isinstance(key, bytes) or len(key) != 16:
        raise ValueError(f"{name} has 16 bytes, not {key!r}")
    return int.from_bytes(key[:8], "little"), int.from_bytes(key[8:], "little")


def address_parts(text, port, transport=T_UDP):
    """(16 bytes, port, family 4 or 6, scope, transport_id) of a numeric address; "fe80::1%eth0" names its scope."""
    number_in("port", port, 1, 65535)
    try:
        address = ipaddress.ip_address(text)
    except ValueError as wrong:
        raise ValueError(f"address: {wrong}") from None
    if address.version == 6 and address.ipv4_mapped:
        address = address.ipv4_mapped
    if address.version == 4:
        return b"\0" * 10 + b"\xff\xff" + address.packed, port, 4, 0, transport
    scope = address.scope_id
    if scope is not None:
        scope = int(scope) if scope.isdigit() else socket.if_nametoindex(scope)
    return address.packed, port, 6, scope or 0, transport


def limit_parts(calls):
    """(interval, slack) in ns, as call_limit_t, of (calls a second, calls at once) or None.

    The clock counts whole milliseconds, so what falls due within one may come at its begin.
    """
    if calls is None:
        return 0, 0
    rate, burst = calls
    number_in("calls a second", rate, 1, MOST_CALLS)
    number_in("calls at once", burst, 1, LONGEST_BURST_S * rate)
    interval_ns = 10**9 // rate
    return interval_ns, max((burst - 1) * interval_ns, 10**6 - interval_ns)


@functools.lru_cache(maxsize=64)
def accept_words(codes):
    """The codes as bits, code - 100, of twelve words; thousands of destinations say the same ones."""
    words = [0] * 12
    for code in codes:
        bit = number_in("an accepted code", code, 200, 699) - 100
        words[bit >> 6] |= 1 << (bit & 63)
    return tuple(words)


def probe_parts(probe):
    """The probe's fields with defaults filled in, checked."""
    return checked_probe(dict(probe)) if probe else NO_PROBE


def checked_probe(given):
    """The fields of a probe, of which every other destination may have the same."""
    unknown = set(given) - set(PROBE_DEFAULTS)
    if unknown:
        raise ValueError(f"a probe has no {', '.join(sorted(unknown))}; possible are {', '.join(PROBE_DEFAULTS)}")
    parts = PROBE_DEFAULTS | given
    number_in("probe interval", parts["interval_ms"], *MS)
    number_in("probe timeout", parts["timeout_ms"], 1, 2**32 - 1)
    for name in ("rise", "fall"):
        # The streak of a cell is eight bits.
        number_in(f"probe {name}", parts[name], 1, 255)
    parts["mode"] = number_in("probe mode", PROBE_MODES.get(parts["mode"], parts["mode"]), PROBE_ALL, PROBE_NONE)
    if parts["mode"] == PROBE_NONE:
        parts["interval_ms"] = 0
    parts["accept"] = accept_words(tuple(parts["accept"]))
    parts["method"] = line_text("probe method", parts["method"])
    parts["from_uri"] = line_text("probe from", parts["from_uri"])
    lines = [(line_text("probe header", name), line_text("probe header", value)) for name, value in parts["headers"]]
    parts["headers"] = b"".join([name + b": " + value + b"\r\n" for name, value in lines])
    number_in("bytes of probe headers", len(parts["headers"]), 0, MAX_PROBE_HEADERS)
    parts["own_contact"] = any([name.lower() in (b"contact", b"m") for name, _ in lines])
    return parts


NO_PROBE = checked_probe({})
