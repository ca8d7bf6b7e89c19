"""What two routers died of is not touched by a third: it is counted, and kept in state_dir/quarantine.

A file there is a datagram that is refused, or a slot that was dropped, for whoever looks for the fault.  Who
deletes a datagram's file lets it in again, from the next router on.

The supervisor counts deaths and keeps datagrams; the router keeps slots and refuses.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Iterable
from pathlib import Path

from fastsip._core.base.files import make_folder, read_file, replace_file
from fastsip._core.store.marks import MOST, Quarantine
from fastsip.base.plain import reason
from fastsip.base.run_dir import QUARANTINE
from fastsip.log import log
from fastsip.process.marks import Mark

POISON_AT = 2           # deaths with the same mark
REMEMBERED = 1000       # marks of deaths
ENDING = ".datagram"


class Deaths:
    """Counts what routers died at."""

    def __init__(self) -> None:
        self._counts: OrderedDict[Mark, int] = OrderedDict()

    def note(self, marks: Iterable[Mark]) -> list[Mark]:
        """Of these marks of one death, those that are poison now; once more after as many more deaths."""
        poison = []
        for mark in set(marks):
            self._counts[mark] = self._counts.pop(mark, 0) + 1
            if self._counts[mark] % POISON_AT == 0:
                poison.append(mark)
        while len(self._counts) > REMEMBERED:
            self._counts.popitem(last=False)
        return poison


def _keep(state_dir: str, name: str, content: bytes) -> Path | None:
    """None: it could not be saved, which nobody's calls must wait for."""
    folder = Path(state_dir) / QUARANTINE
    place = folder / name
    try:
        make_folder(folder)
        replace_file(place, content)
    except OSError as error:
        log.error(f"not kept in quarantine: {reason(error)}")
        return None
    return place


def keep_datagram(state_dir: str, mark: Mark) -> Path | None:
    """Saves it; the routers that start from now on refuse it.  None: the disk is full or read-only."""
    digest = hashlib.blake2b(mark.datagram, digest_size=8).hexdigest()
    return _keep(state_dir, f"{digest}-{mark.len}{ENDING}", mark.datagram)


def keep_slot(state_dir: str, mark: Mark, content: bytes) -> Path | None:
    """Saves what a dropped slot held.  None: the disk is full or read-only."""
    return _keep(state_dir, f"{mark.ref:08x}-{mark.generation}.slot", content)


def read_quarantine(state_dir: str) -> Quarantine:
    """The datagrams that are refused; of more than there is room for, the newest.  What is none of ours is left out."""
    quarantine = Quarantine()
    found = sorted((Path(state_dir) / QUARANTINE).glob(f"*{ENDING}"), key=lambda place: place.lstat().st_mtime)
    for place in found[-MOST:]:
        try:
            quarantine.add(read_file(place), int(place.stem.partition("-")[2]))
        except (OSError, ValueError, OverflowError) as error:
            log.warning(f"{place} is not refused: {reason(error)}")
    return quarantine
