"""state_dir/away: which sources were told to be away, so that each that comes back is told to be, over upgrades,
restarts and boots.

The supervisor alone writes it, whole, when that has changed.
"""

from collections.abc import Mapping
from pathlib import Path

import msgspec

from fastsip.base.json_file import Laid, read_json_file, write_json_file
from fastsip.base.run_dir import AWAY
from fastsip.log import log

LAYOUT = 1


class _Source(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    origin: str
    why: str


class _File(Laid, frozen=True, kw_only=True):
    sources: tuple[_Source, ...]


def read_away(state_dir: str | Path) -> dict[tuple[str, str], str]:
    """Name and origin of a source -> why it could not be read.  What cannot be read is as if it were not there, and
    said."""
    found, words = read_json_file(Path(state_dir) / AWAY, _File, LAYOUT, needed=False)
    if words:
        log.error("which sources were away is not known any more", extra={"fields": {"why": words}})
    return {(one.name, one.origin): one.why for one in found.sources} if found else {}


def write_away(state_dir: str | Path, away: Mapping[tuple[str, str], str]) -> None:
    """OSError: there is no room, and what stood there before stands."""
    sources = tuple(_Source(name=name, origin=origin, why=why) for (name, origin), why in away.items())
    write_json_file(Path(state_dir) / AWAY, _File(layout=LAYOUT, sources=sources))
