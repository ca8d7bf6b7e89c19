"""Files of state_dir that people may read, too: JSON of a known layout, or they are kept under another name."""

from pathlib import Path
from typing import TypeVar

import msgspec

from fastsip._core.base.files import keep_aside, read_file
from fastsip.base.plain import reason


class Laid(msgspec.Struct, frozen=True, kw_only=True):
    """What such a file holds, and more."""

    layout: int


T = TypeVar("T", bound=Laid)


def read_json_file(place: Path, kind: type[T], layout: int) -> tuple[T | None, str]:
    """What it holds, None when it is not there or cannot be read; and what there is to say about that, "" mostly.

    One that is damaged, or of another layout, is kept under another name.  OSError: nobody knows what it holds.
    """
    try:
        found = msgspec.json.decode(read_file(place), type=kind)
        if found.layout == layout:
            return found, ""
        why = f"of another version: layout {found.layout}, known is {layout}"
    except FileNotFoundError:
        return None, ""
    except OSError as error:
        raise OSError(error.errno, f"{place} cannot be read: {reason(error)}") from None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        why = str(error)
    try:
        return None, keep_aside(place, why)
    except OSError as error:
        return None, f"{place}: {why}; it cannot be moved: {reason(error)}"
