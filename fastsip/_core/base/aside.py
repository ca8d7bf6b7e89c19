"""Files that cannot be read are renamed and kept, for a look at the fault (docs/design.md#bad-input-and-bounds).

Must never: remove anything.  Called by store, cells and the registry of names.
"""

import time
from pathlib import Path

MARK = ".damaged-"


def keep_aside(place: Path, why: str) -> str:
    """Renames it; the note for the log."""
    aside = place.with_name(f"{place.name}{MARK}{time.time_ns()}")
    place.rename(aside)
    return f"{place} could not be read ({why}): kept as {aside}, started empty"
