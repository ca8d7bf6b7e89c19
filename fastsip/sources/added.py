"""Destinations that operators add to a running router, in state_dir/added: a source like any other, by the columns of
Kamailio's table.  The supervisor alone writes the file, whole.
"""

import time
from collections.abc import Sequence
from pathlib import Path

from fastsip.base.json_file import Laid, read_json_file, write_json_file
from fastsip.base.run_dir import ADDED
from fastsip.log import log
from fastsip.sources.columns import MOST_ROWS, Columns, Unfit, check_length, text_of
from fastsip.sources.kamailio import read_columns
from fastsip.sources.rows import Reading, Row

NAME = "added"      # of this source
LAYOUT = 1
WHERE = "added by an operator"


class _File(Laid, frozen=True, kw_only=True):
    rows: tuple[Row, ...]


def read_added(state_dir: str | Path, *, needed: bool = False) -> Reading:
    """What cannot be read is as if it were not there, and said; a damaged file is kept under another name.

    needed: OSError when it cannot be read, for whoever would write it anew or do without destinations that take calls.
    """
    found, words = read_json_file(Path(state_dir) / ADDED, _File, LAYOUT, needed=needed)
    if words:
        log.error("destinations that operators added are missing", extra={"fields": {"why": words}})
    return Reading(at=time.time(), rows=found.rows[:MOST_ROWS] if found else ())


def write_added(state_dir: str | Path, rows: Sequence[Row]) -> None:
    """OSError: there is no room, and what stood there before stands."""
    write_json_file(Path(state_dir) / ADDED, _File(layout=LAYOUT, rows=tuple(rows)))


def added_row(columns: Columns) -> Row:
    """ValueError says what is wrong with it.  Its bounds are those of a line of a list."""
    try:
        check_length(" ".join(str(value) for value in columns.values()))
        if not text_of(columns, "attrs").isprintable():
            raise Unfit("attrs: allowed is text that can be printed, on one line")
        return read_columns(columns, WHERE)
    except Unfit as unfit:
        raise ValueError(f"{unfit.why}{f', found {unfit.found}' if unfit.found else ''}") from None
