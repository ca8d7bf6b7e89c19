"""The epochs of the last stores of this node: another store has none of them.

A hint in a Via carries the epoch of the store that its slot is in (docs/core.md#epochs).  A boot takes the store
along, but not what peers still have of it, so what is remembered stands in `state_dir`.  When that file is damaged or
cannot be written, another store has one of theirs by chance, once in sixteen thousand times; even then no hint is
believed whose branch is not the slot's.
"""

from pathlib import Path

from fastsip._core.base.files import read_file, replace_file
from fastsip.base.plain import reason
from fastsip.base.run_dir import EPOCHS
from fastsip.log import log

REMEMBERED = 4
MOST_BYTES = 64


def read_epochs(state_dir: str | Path) -> list[int]:
    """The newest first; empty when nothing can be read."""
    try:
        words = read_file(Path(state_dir) / EPOCHS)[:MOST_BYTES].split()
    except OSError:
        return []
    return [int(word) for word in words if word.isdigit() and len(word) < 11][:REMEMBERED]


def note_epoch(state_dir: str | Path, epoch: int) -> None:
    """Of the store that is used from now on."""
    former = read_epochs(state_dir)
    if former[:1] == [epoch]:
        return
    now = [epoch, *(one for one in former if one != epoch)][:REMEMBERED]
    try:
        replace_file(Path(state_dir) / EPOCHS, b"%s\n" % " ".join(map(str, now)).encode())
    except OSError as error:
        log.warning("the epoch of the store is not remembered", extra={"fields": {"why": reason(error)}})
