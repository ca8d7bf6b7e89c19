"""[hep]: the collector that gets a copy of each message of a sample of calls (docs/hep.md)."""

from collections.abc import Callable, Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from fastsip.config import values
from fastsip.config.errors import Wrong
from fastsip.config.language import MAX_HEP_TEXT
from fastsip.config.model import Hep, Listener
from fastsip.config.reader import Section
from fastsip.config.secrets import text_or_secret

COLLECTOR_ALLOWED = 'allowed: "udp:HOST:PORT" with a name or a numeric address, IPv6 in brackets'
KEY_ALLOWED = f'allowed: "file:PATH" or "env:NAME", which hold 1 to {MAX_HEP_TEXT} bytes on one line'
LARGEST_AGENT = (1 << 32) - 1


def read_hep(root: Section, base: Path, node: str, listeners: Sequence[Listener]) -> Hep | None:
    """None when the table is not there: nothing is sent.  node: the router's name."""
    if "hep" not in root:
        return None
    section = root.section("hep", "hep")
    place = section.need("collector", _collector, None, 'for example "udp:192.0.2.9:9060"')
    sample = section.take("sample", values.share, 1.0)
    found = Hep(
        collector=section.raw["collector"] if place else "",
        host=place[0] if place else "",
        port=place[1] if place else 0,
        sample=sample,
        node=section.take("node", values.text, node),
        agent=section.take("agent", values.integer(0, LARGEST_AGENT), 0),
        key=section.take("key", _key(base), ""),
    )
    if place and _is_one_of(listeners, *place):
        section.report.wrong((*section.path, "collector"), found.collector, Wrong(
            "this is a listener of [[listen]], which would get copies of copies; allowed: where a collector listens"))
    return found if place else None


def _is_one_of(listeners: Sequence[Listener], host: str, port: int) -> bool:
    """However it is spelled.  What a name leads to is known to the router alone, which refuses the same."""
    try:
        ip = ip_address(host)
    except ValueError:
        return False
    return any(one.port == port and ip_address(one.host) == ip for one in listeners)


def _collector(raw: object) -> tuple[str, int]:
    """(host, port); the host is a numeric address without brackets, or a name in lower case."""
    scheme, _, rest = raw.partition(":") if isinstance(raw, str) else ("", "", "")
    if scheme != "udp":
        raise Wrong(COLLECTOR_ALLOWED)
    try:
        host, _, port = values.host_port(rest).rpartition(":")
    except Wrong:
        raise Wrong(COLLECTOR_ALLOWED) from None
    if not host or host.endswith(":") or not port.isdigit():
        raise Wrong(COLLECTOR_ALLOWED, "the port is missing; collectors mostly listen at 9060")
    if host in ("0.0.0.0", "[::]"):
        raise Wrong(f"a wildcard is no collector; {COLLECTOR_ALLOWED}")
    return host.removeprefix("[").removesuffix("]").removesuffix("."), int(port)


def _key(base: Path) -> Callable[[object], str]:
    def read(raw: Any) -> str:
        if not isinstance(raw, str) or not raw.startswith(("file:", "env:")):
            raise Wrong(KEY_ALLOWED)
        text = text_or_secret(base)(raw)
        if not 0 < len(text.encode()) <= MAX_HEP_TEXT or not text.isprintable():
            raise Wrong(KEY_ALLOWED)
        return text

    return read
