"""What a source said last, in state_dir/sources: it counts while the source is away, over restarts and boots, too.

One file for each source, named by a hash of the source's name, for that may hold any letter.  The file is replaced
whole.  What cannot be read is as if it were not there: a source that is there will be read again.
"""

import hashlib
from pathlib import Path

import msgspec

from fastsip._core.base.files import make_folder, read_file, replace_file
from fastsip.base.run_dir import SOURCES
from fastsip.sources.rows import Reading, SourceAway

LAYOUT = 1


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """The file.  `origin` says what was read (a path, an address without its password): another one is not this."""

    layout: int
    source: str
    origin: str
    reading: Reading


def kept_file(state_dir: str | Path, source: str) -> Path:
    return Path(state_dir) / SOURCES / hashlib.blake2b(source.encode(), digest_size=8).hexdigest()


def is_news(kept: Reading | None, reading: Reading) -> bool:
    """Does a source say another thing than it said last?  SourceAway: nothing any more, which counts as away."""
    if kept and kept.rows and not reading.rows:
        raise SourceAway("there is no destination in it; remove its [[source]] if that is meant")
    return not kept or (kept.rows, kept.misfits) != (reading.rows, reading.misfits)


def write_kept(state_dir: str | Path, source: str, origin: str, reading: Reading) -> None:
    """OSError when there is no room; the file before stays then."""
    place = kept_file(state_dir, source)
    make_folder(state_dir)  # by itself, for the folders on the way are made for others to look into
    make_folder(place.parent)
    kept = Kept(layout=LAYOUT, source=source, origin=origin, reading=reading)
    replace_file(place, msgspec.msgpack.encode(kept))


def read_kept(state_dir: str | Path, source: str, origin: str) -> Reading | None:
    """None: nothing of this source is kept, or nothing that can be read."""
    try:
        kept = msgspec.msgpack.decode(read_file(kept_file(state_dir, source)), type=Kept)
    except (OSError, msgspec.MsgspecError):
        return None
    fits = (kept.layout, kept.source, kept.origin) == (LAYOUT, source, origin)
    return kept.reading if fits else None
