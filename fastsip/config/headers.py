"""The tables `headers`: what rules, listeners and sets change in the headers of a request.

A value is checked here as one text; routing/compile takes it apart with `pieces`.
"""

import re

from fastsip.config import values
from fastsip.config.errors import Wrong, did_you_mean, shown
from fastsip.config.language import (
    HEADER_FIELDS,
    MAX_HEADER_BYTES,
    MAX_HEADER_EDITS,
    MAX_PROBE_HEADER_BYTES,
    MAX_PROBE_HEADERS,
)
from fastsip.config.model import HeaderEdits
from fastsip.config.reader import Section

# What branches and dialogs hang on, and the way back.
PROTECTED = (
    "Via", "From", "To", "Call-ID", "CSeq", "Max-Forwards", "Max-Breadth", "Content-Length", "Route",
    "Record-Route", "Contact",
)  # fmt: skip

_PIECE = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|([^{}]+)|[{}]")


def pieces(value: str) -> list[tuple[str, str]]:
    """A value as (field, text): ("text", "from ") or ("source", ""); "{{" and "}}" are braces.  Wrong for others."""
    found: list[tuple[str, str]] = []
    for match in _PIECE.finditer(value):
        field, text = match[1], match[2]
        if field is not None and field not in HEADER_FIELDS:
            fields = ", ".join(f"{{{name}}}" for name in HEADER_FIELDS)
            raise Wrong(f"{{{field}}} is no field; allowed: {fields}", did_you_mean(field, HEADER_FIELDS))
        if match[0] in ("{", "}"):
            raise Wrong(f"a brace that is not of a field is written {match[0] * 2}")
        found.append((field, "") if field is not None else ("text", text or match[0][0]))
    return found


def _name(raw: object) -> str:
    """The long name of a header that is not the router's own."""
    name = values.token(raw)
    if len(name) == 1:
        raise Wrong("allowed: the long name; the compact form goes with it")
    _refuse([known for known in PROTECTED if known.lower() == name.lower()])
    return name


def _beginning(raw: object) -> str:
    """A name, or the beginning of names and a final *."""
    if not isinstance(raw, str) or not raw.endswith("*"):
        return _name(raw)
    beginning = values.token(raw[:-1])
    _refuse([known for known in PROTECTED if known.lower().startswith(beginning.lower())])
    return raw


def _refuse(protected: list[str]) -> None:
    if protected:
        raise Wrong(f"the router itself lives by {', '.join(protected)}; allowed: any other header")


def _value(raw: object) -> str:
    text = values.text(raw)
    pieces(text)
    return text


def read_ways(owner: Section, *ways: str) -> list[HeaderEdits]:
    """`headers = { in = {...}, out = {...} }` of a listener or a set, by these ways; empty where nothing is said."""
    section = owner.section("headers", f"{owner.kind}.headers")
    if "headers" in owner and not section.raw and not section.report.touches(*section.path):
        allowed = "allowed: " + ", ".join(f"{way} = {{ ... }}" for way in ways)
        section.report.add(section.path, "nothing to change", allowed)
    return [read_headers(section, way) for way in ways]


def read_headers(owner: Section, key: str = "headers") -> HeaderEdits:
    """The edits under a key; empty when it is absent."""
    section = owner.section(key, "headers")
    removed = section.take_list("remove", _beginning)
    given = section.raw.get("set", {})
    path = (*section.path, "set")
    if not isinstance(given, dict):
        section.report.add(path, shown(given), 'allowed: a table { Name = "value" }')
        given = {}
    if key in owner and not removed and not given and not section.report.touches(*section.path):
        section.report.add(section.path, "nothing to change", 'allowed: set = { Name = "value" }, remove = ["Name"]')
    assigned = []
    for name, raw in given.items():
        here = (*path, name)
        section.read(here, name, _name, "")
        assigned.append((name, section.read(here, raw, _value, "")))
        first = next(other for other, _ in assigned if other.lower() == name.lower())
        if first != name:
            section.report.add(here, f'"{name}"', f'"{first}" is the same header; allowed: each once')
    if len(removed) + len(assigned) > MAX_HEADER_EDITS:
        allowed = f"allowed: at most {MAX_HEADER_EDITS} in `set` and `remove` together"
        section.report.add(section.path, f"{len(removed) + len(assigned)} names", allowed)
    written = sum(len(name) + len(": \r\n") + _most_bytes(value) for name, value in assigned)
    if written > MAX_HEADER_BYTES:
        fields = ", ".join(f"{{{field}}} with {most}" for field, most in HEADER_FIELDS.items())
        allowed = f"allowed: at most {MAX_HEADER_BYTES} bytes together, counting {fields}"
        section.report.add(path, f"up to {written} bytes", allowed)
    return HeaderEdits(remove=removed, set=tuple(assigned))


def probe_headers(raw: object) -> tuple[tuple[str, str], ...]:
    """Headers of a probe, each once; with no Accept among them that of the default, which 11.1 of RFC 3261 wants."""
    if not isinstance(raw, dict):
        raise Wrong('allowed: a table { Name = "value" }')
    found = {_probe_header(name): values.text(value) for name, value in raw.items()}
    if len({name.lower() for name in found}) < len(found):
        raise Wrong("allowed: each header once")
    if len(found) > MAX_PROBE_HEADERS:
        raise Wrong(f"allowed: at most {MAX_PROBE_HEADERS} headers")
    if not any(name.lower() == "accept" for name in found):
        found = {"Accept": "application/sdp", **found}
    if sum(len(f"{name}: {value}\r\n".encode()) for name, value in found.items()) > MAX_PROBE_HEADER_BYTES:
        raise Wrong(f"allowed: at most {MAX_PROBE_HEADER_BYTES} bytes together")
    return tuple(found.items())


def _probe_header(raw: object) -> str:
    name = values.token(raw)
    if len(name) == 1:
        raise Wrong(f"{name}: allowed is the long name")
    _refuse([known for known in PROTECTED if known.lower() == name.lower() and known != "Contact"])
    return name


def _most_bytes(value: str) -> int:
    """Of a value as it may be written; of one that is wrong, none."""
    try:
        return sum(HEADER_FIELDS.get(field, 0) + len(text.encode()) for field, text in pieces(value))
    except Wrong:
        return 0
