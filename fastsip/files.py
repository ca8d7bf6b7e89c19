"""Small files that others may read at any moment.

Called by name_file and quarantine.
"""

import os
from pathlib import Path


def replace_file(place: Path, content: bytes) -> None:
    """A reader finds the old file or the new one, whole; OSError: the old one is as it was."""
    fresh = place.with_suffix(".new")
    fresh.write_bytes(content)
    os.replace(fresh, place)
