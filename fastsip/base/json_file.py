"""Files of state_dir that people may read, too: JSON of a known layout, or they are kept under another name."""

from pathlib import Path
from typing import TypeVar

import msgspec

from fastsip._core.base.files import keep_aside, read_file, replace_file
from fastsip.base.plain import reason


class Laid(msgspec.Struct, frozen=True, kw_only=True):
    """What such a file holds, and more."""

    layout: int


T = TypeVar("T", bound=Laid)


def read_json_file(place: Path, kind: type[T], layout: int, *, needed: bool) -> tuple[T | None, str]:
    """What it holds, None when it is not there or cannot be read; and what there is to say about that, "" mostly.

    One that is damaged, or of another layout, is kept under another name.  needed: OSError when nobody knows what it
    holds.
    """
    try:
        found = msgspec.json.decode(read_file(place), type=kind)
        if found.layout == layout:
            return found, ""
        why = f"of another version: layout {found.layout}, known is {layout}"
    except FileNotFoundError:
        return None, ""
    except OSError as error:
        words = f"{place} cannot be read: {reason(error)}"
        if needed:
            raise OSError(error.errno, words) from None
        return None, words
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        why = str(error)
    try:
        return None, keep_aside(place, why)
    except OSError as error:
        return None, f"{place}: {why}; it cannot be moved: {reason(error)}"


def write_json_file(place: Path, found: Laid) -> None:
    """OSError: there is no room, and what stood there before stands."""
    replace_file(place, msgspec.json.format(msgspec.json.encode(found), indent=1))
