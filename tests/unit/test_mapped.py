"""Mapped files: each of them spoiled in each way, on a full disk, and made by whoever dies between two steps of it.

A new mapped store is one more line of STORES, and in EXPECTED what becomes of it.
"""

import errno
import os
import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

import pytest

from fastsip._core.base.files import ASIDE, UnsafeError, boot_id
from fastsip._core.dispatcher.cells import Cells, CellsError
from fastsip._core.dispatcher.chooser import Chooser
from fastsip._core.dispatcher.measures import Measures, MeasuresError
from fastsip._core.dispatcher.paces import open_paces
from fastsip._core.routing.table import RoutingTable
from fastsip._core.state.mirror_ring import KIND_SENT, MirrorRing
from fastsip._core.store.partitions import Store, StoreError
from fastsip.observe.counters import GAUGES, StatsFile
from fastsip.observe.counters import read as read_stats
from fastsip.observe.measures import read_measured
from fastsip.process.marks import Marks
from tests.kernels.store_doors import Slots

from .test_files import give_away
from .test_slots import CRASH_STATUS, SERVER, in_child, live_server

PRECIOUS = b"precious\n" * 1_000
OTHER_BOOT = b"00000000-1111-2222-3333-444444444444"
LAYOUT_AT = 8  # behind the magic number, in every head that has a layout
KEY = 77


class Mapped(NamedTuple):
    """A mapped store, small (size 1) or larger (2)."""

    path: str  # under run_dir; of many, of one that is spoiled
    others: str  # a pattern for the files that are made together
    make: Callable[[Path, int], list[str]]  # or takes it up; what it notes for the log
    learn: Callable[[Path], None]  # something into a small one
    knows: Callable[[Path], bool]  # is that still there?
    full: type[Exception]
    words: str  # of that error


def make_store(place: Path, size: int) -> list[str]:
    return Store(place, 64 * size).notes


def make_cells(place: Path, size: int) -> list[str]:
    return Cells(place / "cells", 100 * size).notes


def make_paces(place: Path, size: int) -> list[str]:
    return open_paces(str(place / "cells"), 100 * size).notes


def make_measures(place: Path, size: int) -> list[str]:
    return Measures(place / "measures", 100 * size, 1).notes


def make_marks(place: Path, size: int) -> list[str]:
    Marks(str(place))
    return []


def make_stats(place: Path, size: int) -> list[str]:
    StatsFile(str(place), size)
    return []


def make_mirror(place: Path, size: int) -> list[str]:
    MirrorRing(place / "00.ring", 0)
    return []


def learn_mirror(place: Path) -> None:
    MirrorRing(place / "00.ring", 0).put(KIND_SENT, 1, b"learned")


def learn_pace(place: Path) -> None:
    """How often it went down."""
    cells = Cells(place / "cells", 100)
    chooser = one_destination(cells)
    chooser.mark(0, "down", 503, KEY)


def knows_pace(place: Path) -> bool:
    cells = Cells(place / "cells", 100)
    return cells.pace(cells.assign(KEY), KEY).last_down_ms == KEY


def one_destination(cells: Cells) -> Chooser:
    table = RoutingTable(1)
    table.add_listener(1, 1, "192.0.2.1", 5060, "192.0.2.1")
    table.add_set(1, 0)
    table.add_destination(0, KEY, cells.assign(KEY), "192.0.2.2", 5060, 0, b"sip:192.0.2.2", b"192.0.2.2")
    return Chooser(table.seal(), cells)


def learn_marks(place: Path) -> None:
    Marks(str(place)).page(1)[0] = KEY


def learn_measures(place: Path) -> None:
    Measures(place / "measures", 100, 1).follow({KEY: 3})


def knows_measures(place: Path) -> bool:
    make_measures(place, 1)
    found = read_measured(place, {KEY: ("destination", "m/a")})
    return found is not None and found.place == {"m/a": 3}


def learn_stats(place: Path) -> None:
    StatsFile(str(place), 1).gauges[0] = KEY


STORES = {
    "transactions": Mapped(
        "transactions/07.slots", "transactions/*.slots", make_store,
        lambda place: live_server(Slots(Store(place, 64)), 7, KEY) and None,
        lambda place: Slots(Store(place, 64)).index_find(7, KEY, SERVER) is not None,
        StoreError, "the store needs [0-9,]+ bytes and [0-9,]+ are free",
    ),
    "cells": Mapped(
        "cells", "cells", make_cells,
        lambda place: Cells(place / "cells", 100).assign(KEY) and None,
        lambda place: KEY in Cells(place / "cells", 100).assigned,
        CellsError, "cells: [0-9]+ bytes wanted, [0-9]+ free",
    ),
    "paces": Mapped(
        "paces", "paces", make_paces, learn_pace, knows_pace, CellsError, "paces: [0-9]+ bytes wanted, [0-9]+ free",
    ),
    "measures": Mapped(
        "measures", "measures", make_measures, learn_measures, knows_measures,
        MeasuresError, "measures: [0-9]+ bytes wanted, [0-9]+ free",
    ),
    "marks": Mapped(
        "marks", "marks", make_marks, learn_marks,
        lambda place: Marks(str(place)).page(1)[0] == KEY,
        OSError, re.escape("[Errno 28] No space left on device"),
    ),
    "stats": Mapped(
        "stats", "stats", make_stats, learn_stats,
        lambda place: read_stats(place)[GAUGES[0]] == KEY,
        OSError, re.escape("[Errno 28] No space left on device"),
    ),
    "mirror": Mapped(
        "00.ring", "00.ring", make_mirror, learn_mirror, lambda place: b"learned" in (place / "00.ring").read_bytes(),
        OSError, re.escape("[Errno 28] No space left on device"),
    ),
}  # fmt: skip

KEPT = "as it was"  # what it held is still known
ANEW = "an empty one in its place"
SET_ASIDE = "kept under another name, and an empty one in its place"
REFUSED = "refused, and as it was"

EXPECTED = {
    "transactions": {
        "too short": SET_ASIDE, "another layout": SET_ASIDE, "another boot": ANEW,
        "another's": REFUSED, "link": REFUSED, "folder": REFUSED,
    },
    "cells": {
        "too short": SET_ASIDE, "another layout": SET_ASIDE, "another boot": ANEW,
        "another's": REFUSED, "link": REFUSED, "folder": REFUSED,
    },
    "paces": {
        "too short": SET_ASIDE, "another layout": SET_ASIDE, "another boot": ANEW,
        "another's": REFUSED, "link": REFUSED, "folder": REFUSED,
    },
    "measures": {
        "too short": SET_ASIDE, "another layout": SET_ASIDE, "another boot": ANEW,
        "another's": REFUSED, "link": REFUSED, "folder": REFUSED,
    },
    # No head: zeros mean nothing, and between two routers the supervisor clears all.
    "marks": {
        "too short": ANEW, "another layout": KEPT, "another boot": KEPT,
        "another's": REFUSED, "link": REFUSED, "folder": REFUSED,
    },
    # Made anew by each router.
    "stats": {
        "too short": ANEW, "another layout": ANEW, "another boot": ANEW,
        "another's": ANEW, "link": ANEW, "folder": REFUSED,
    },
    # Made anew whenever somebody begins to look.
    "mirror": {
        "too short": ANEW, "another layout": ANEW, "another boot": ANEW,
        "another's": ANEW, "link": ANEW, "folder": REFUSED,
    },
}  # fmt: skip


@pytest.fixture(params=STORES)
def name(request) -> str:
    return request.param


@pytest.fixture
def one(name) -> Mapped:
    return STORES[name]


@pytest.fixture
def place(scratch) -> Path:
    made = scratch / "run"
    made.mkdir(mode=0o750)
    return made


def asides(place: Path) -> list[Path]:
    return [path for path in place.rglob("*") if ASIDE in path.name]


def pieces(place: Path) -> list[Path]:
    return [*place.rglob("*.new")]


def assert_whole(place: Path, one: Mapped) -> None:
    """Plain files of ours that have all of their blocks, and nothing beside them."""
    found = [path.lstat() for path in place.glob(one.others)]
    assert found and all(stat.S_ISREG(each.st_mode) and each.st_uid == os.geteuid() for each in found)
    assert all(each.st_blocks * 512 >= each.st_size > 0 for each in found)
    assert pieces(place) == []


def make_of_another_boot(path: Path) -> None:
    raw = path.read_bytes()
    path.write_bytes(raw.replace(boot_id(), OTHER_BOOT).replace(UUID(boot_id().decode()).bytes, bytes(16)))


def spoil(place: Path, one: Mapped, how: str, victim: Path) -> None:
    path = place / one.path
    if how == "too short":
        os.truncate(path, 100)
    elif how == "another layout":
        with path.open("r+b") as file:
            file.seek(LAYOUT_AT)
            file.write(b"\x09")
    elif how == "another boot":
        for each in place.glob(one.others):
            make_of_another_boot(each)
    elif how == "another's":
        give_away(path)
    else:
        path.unlink()
        path.mkdir() if how == "folder" else path.symlink_to(victim)


@pytest.mark.parametrize("how", ["too short", "another layout", "another boot", "another's", "link", "folder"])
def test_what_becomes_of_a_file_that_is_not_as_it_should_be(place, tmp_path, name, one, how):
    victim = tmp_path / "victim"
    victim.write_bytes(PRECIOUS)
    one.learn(place)
    assert one.knows(place)
    spoil(place, one, how, victim)
    before, wanted = (place / one.path).lstat(), EXPECTED[name][how]
    if wanted == REFUSED:
        with pytest.raises(OSError, match=one.path) as refused:
            one.make(place, 1)
        assert isinstance(refused.value, UnsafeError) or how == "folder"
        after = (place / one.path).lstat()
        assert (after.st_ino, after.st_uid, after.st_mode) == (before.st_ino, before.st_uid, before.st_mode)
    else:
        notes = one.make(place, 1)
        assert one.knows(place) == (wanted == KEPT)
        assert len(asides(place)) == (wanted == SET_ASIDE)
        assert wanted != SET_ASIDE or str(asides(place)[0]) in notes[0]
        assert_whole(place, one)
    assert victim.read_bytes() == PRECIOUS


@pytest.mark.parametrize("how", ["nothing", "a smaller one"])
def test_a_full_disk_is_said_and_changes_nothing(place, monkeypatch, name, one, how):
    """What is there stays as it was; nobody maps a file with holes."""
    if how == "a smaller one":
        one.learn(place)
    before = {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}

    def refuse(fd, offset, length):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    if name == "transactions" and how == "a smaller one":
        assert "are as large as before, until another start" in one.make(place, 2)[0]
    else:
        with pytest.raises(one.full, match=one.words):
            one.make(place, 2)
    monkeypatch.undo()
    assert pieces(place) == [] and {path: path.read_bytes() for path in before} == before
    if before:
        assert one.knows(place)
    one.make(place, 2)
    assert_whole(place, one)


def test_the_disk_may_refuse_in_another_way(place, monkeypatch, one):
    def refuse(fd, offset, length):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    with pytest.raises(OSError, match="Input/output error"):
        one.make(place, 1)


# ---------------------------------------------------------------- deaths

STEPS = ("open", "posix_fallocate", "pwrite", "ftruncate", "replace", "rename", "unlink")
FIRST, STRIDE = 12, 37


def die_before_step(k: int) -> None:
    """Ends the process before its k-th change to a file from now."""
    left = [k]

    def counted(call):
        def step(*args, **kwargs):
            if call is opened and not args[1] & os.O_CREAT:
                return call(*args, **kwargs)
            if left[0] == 0:
                os._exit(CRASH_STATUS)
            left[0] -= 1
            return call(*args, **kwargs)

        return step

    opened = os.open
    for step in STEPS:
        setattr(os, step, counted(getattr(os, step)))


def begin(place: Path, one: Mapped, how: str) -> None:
    place.mkdir(mode=0o750)
    if how != "nothing":
        one.learn(place)
    if how == "one of another boot":
        for each in place.glob(one.others):
            make_of_another_boot(each)


@pytest.mark.parametrize("how", ["nothing", "a smaller one", "one of another boot"])
def test_whoever_dies_between_two_steps_leaves_what_the_next_one_takes_up(scratch, name, one, how):
    """None is damaged then, and what was known still is, unless the making itself would have dropped it."""
    kept = EXPECTED[name]["another boot"] == KEPT or (how == "a smaller one" and name not in ("stats", "mirror"))
    k, deaths, status = 0, 0, CRASH_STATUS
    while status == CRASH_STATUS:
        place = scratch / f"{k}"
        begin(place, one, how)

        def dying(k=k, place=place):
            die_before_step(k)
            one.make(place, 2)

        status = in_child(dying)
        one.make(place, 2)
        assert asides(place) == [], k
        assert_whole(place, one)
        if how != "nothing":
            assert one.knows(place) == kept, k
        deaths += status == CRASH_STATUS
        k += 1 if k < FIRST else STRIDE
    assert status == 0
    assert deaths >= 2  # it was made, and given its blocks


def what_stands_there(place: Path) -> str:
    found = "nothing"
    for path in place.iterdir():
        raw = path.read_bytes()
        found = f"{path.name}: " + (
            "empty" if not raw else "zeros" if not raw.strip(b"\0") else "no magic number" if not raw[0] else "whole")
    return found


@pytest.mark.parametrize(("name", "wanted"), [
    ("stats", ["nothing", "nothing", "stats.new: empty", "stats.new: zeros", "stats.new: whole", "stats: whole"]),
    ("paces", ["nothing", "paces: empty", "paces: empty", "paces: zeros", "paces: no magic number", "paces: whole"]),
    ("measures", ["nothing", "nothing", "measures.new: empty", "measures.new: zeros", "measures.new: whole",
                  "measures: whole"]),
    ("marks", ["nothing", "marks: empty", "marks: zeros"]),
])  # fmt: skip
def test_the_steps_of_a_new_file(scratch, name, wanted):
    """What stands in its place before each change, and behind the last: a magic number comes last, or a name."""
    found, status = [], CRASH_STATUS
    while status == CRASH_STATUS:
        place = scratch / f"{len(found)}"
        place.mkdir(mode=0o750)

        def dying(place=place):
            die_before_step(len(found))
            STORES[name].make(place, 1)

        status = in_child(dying)
        found.append(what_stands_there(place))
    assert (status, found) == (0, wanted)
