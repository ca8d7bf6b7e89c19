"""Rings of run_dir/mirror, which hold what callers say: none has a name longer than somebody looks.

A router makes them (router/views) and takes them away, its own and those of the one before it.  Of a router that dies
the supervisor does, also of one that an earlier supervisor has left.
"""

import re
from os import PathLike
from pathlib import Path

from fastsip._core.base.files import remove_files
from fastsip.base.plain import reason
from fastsip.base.run_dir import MIRROR
from fastsip.log import log

OUR_NAMES = re.compile(r"\d{2,3}\.(?:ring|new)")     # and what mapped.begin_beside calls one that is not whole yet


def clear_rings(run_dir: str | PathLike[str]) -> None:
    """Whoever has one mapped may go on reading it.  What cannot be taken away is said and stays: no router lives or
    dies by it.
    """
    try:
        remove_files(Path(run_dir) / MIRROR, OUR_NAMES.fullmatch)
    except OSError as error:
        log.warning("rings of messages are left", extra={"fields": {"why": reason(error)}})
