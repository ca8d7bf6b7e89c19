"""The table [names]: addresses of next hops that are host names, known before DNS is asked.

The names are the operator's, so they are read here and not compared with a list of keys.
See docs/names.md#targets-and-their-order.
"""

from fastsip.config import values
from fastsip.config.errors import Path, Wrong, shown
from fastsip.config.language import MAX_ADDRESSES, MAX_NAMES
from fastsip.config.model import Listener, Name
from fastsip.config.reader import Section

ANY = "*"


def read_names(root: Section, listeners: tuple[Listener, ...]) -> tuple[Name, ...]:
    """All names in the order of the file."""
    raw = root.raw.get("names", {})
    if not isinstance(raw, dict):
        root.report.add(("names",), shown(raw), "allowed: a table, [names]")
        return ()
    if len(raw) > MAX_NAMES:
        root.report.add(("names",), f"{len(raw)} names", f"allowed: at most {MAX_NAMES}")
    found: dict[str, Name] = {}
    for key, item in raw.items():
        name = root.read(("names", key), key, _name, None)
        addresses = _addresses(root, ("names", key), item, listeners)
        if name in found:
            root.report.add(("names", key), f'"{name}" twice', "allowed: once; case and a final dot do not count")
        elif name:
            found[name] = Name(name=name, addresses=addresses)
    return tuple(found.values())


def _name(raw: object) -> str:
    try:
        return ANY if raw == ANY else values.host_name(raw)
    except Wrong as wrong:
        raise Wrong(f'{wrong.allowed}, or "{ANY}" for every other name', wrong.hint) from None


def _addresses(root: Section, path: Path, raw: object, listeners: tuple[Listener, ...]) -> tuple[tuple[str, int], ...]:
    allowed = f'allowed: 1 to {MAX_ADDRESSES} addresses, such as ["192.0.2.1:5060"]'
    if isinstance(raw, dict):
        root.report.add(path, shown(raw), allowed, 'a name with dots stands in quotes: "pbx.example.net" = [...]')
        return ()
    items = raw if isinstance(raw, list) else [raw]
    if not 1 <= len(items) <= MAX_ADDRESSES:
        root.report.add(path, f"{len(items)} addresses" if items else "an empty list", allowed)
    found = []
    for index, item in enumerate(items):
        here = (*path, index) if isinstance(raw, list) else path
        place = root.read(here, item, values.place, None)
        if place and listeners and place.family not in {listener.family for listener in listeners}:
            missing = f"no [[listen]] has an IPv{place.family} address to send from"
            root.report.add(here, shown(item), missing)
        elif place:
            found.append((place.host, place.port))
    return tuple(found)
