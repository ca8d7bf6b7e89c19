"""Files that others may touch: each file of run_dir and state_dir meets a link, a fifo, another owner, an open mode."""

import asyncio
import hashlib
import os
import re
import stat
from collections import deque
from pathlib import Path

import pytest

from fastsip._core.base import files
from fastsip._core.base.files import UnsafeError
from fastsip._core.dispatcher.cells import Cells
from fastsip._core.dispatcher.measures import Measures
from fastsip._core.store.partitions import Store, partition_name
from fastsip._core.transport.names import Names
from fastsip.api.socket import Server
from fastsip.config import secrets
from fastsip.config.errors import Wrong
from fastsip.events.file import EventFile
from fastsip.observe.counters import StatsFile
from fastsip.process.marks import Mark, Marks
from fastsip.process.quarantine import keep_datagram, read_quarantine
from fastsip.router.name_file import save_answers
from fastsip.routing.registry import Registry
from fastsip.supervisor.run import lock_folder, make_folder
from fastsip.supervisor.state import StartError

ROOT = Path(__file__).parents[2]
OTHER_UID = 2001
PRECIOUS = b"precious\n" * 1_000
QUARANTINED = "quarantine/" + hashlib.blake2b(b"x", digest_size=8).hexdigest() + "-1.datagram"
FATAL = (UnsafeError, Wrong)



def _written_event(place: Path) -> None:
    """A record that is not ours is put aside when it cannot be read; nobody writes into it."""
    EventFile(place).append(deque([b"{}\n"]))


# What is opened and written on: refused when it is not ours.
OPENED = {
    "cells": lambda place: Cells(str(place / "cells"), 8),
    "measures": lambda place: Measures(str(place / "measures"), 8, 1),
    "registry": lambda place: Registry(place).close(),
    "marks": lambda place: Marks(str(place)),
    "lock": lambda place: os.close(lock_folder(str(place))),
    "events": lambda place: _written_event(place),
    "secret": lambda place: secrets.read_or_make(place / "secret", True),
}
# What is made anew in the place of whatever has the name.
REPLACED = {
    "stats.new": lambda place: StatsFile(str(place), 1),
    "stats": lambda place: StatsFile(str(place), 1),
    "names.new": lambda place: save_answers(Names(), str(place)),
    "names": lambda place: save_answers(Names(), str(place)),
    QUARANTINED: lambda place: keep_datagram(str(place), Mark("datagram", b"x", 1)),
}


@pytest.fixture
def place(tmp_path):
    made = tmp_path / "run"
    made.mkdir(mode=0o750)
    return made


@pytest.fixture
def victim(tmp_path):
    file = tmp_path / "victim"
    file.write_bytes(PRECIOUS)
    return file


def give_away(path: Path) -> None:
    if os.geteuid():
        pytest.skip("only root can give a file away")
    os.chown(path, OTHER_UID, OTHER_UID)


def spoil(path: Path, how: str, victim: Path) -> None:
    if how == "link":
        path.symlink_to(victim)
    elif how == "hard link":
        path.hardlink_to(victim)
    elif how == "fifo":
        os.mkfifo(path)
    elif how == "folder":
        path.mkdir()
    else:
        path.touch(mode=0o640)
        path.chmod(0o666) if how == "open to all" else give_away(path)


HOWS = ["link", "hard link", "fifo", "folder", "open to all", "another's"]


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("name", OPENED)
def test_a_file_that_is_not_ours_alone_is_refused(place, victim, name, how):
    spoil(place / name, how, victim)
    with pytest.raises(FATAL, match=name):
        OPENED[name](place)
    assert victim.read_bytes() == PRECIOUS


@pytest.mark.parametrize("how", HOWS)
def test_only_files_of_our_names_are_removed_and_one_that_cannot_be_keeps_no_other(place, victim, how):
    if how == "another's":
        give_away(victim)
    for name in ("a.ring", "z.ring", "notes"):
        (place / name).touch()
    spoil(place / "m.ring", how, victim)
    if how == "folder":
        with pytest.raises(IsADirectoryError):
            files.remove_files(place, re.compile(r".\.ring").fullmatch)
    else:
        files.remove_files(place, re.compile(r".\.ring").fullmatch)
    assert sorted(os.listdir(place)) == (["m.ring", "notes"] if how == "folder" else ["notes"])
    assert victim.read_bytes() == PRECIOUS


def test_from_no_folder_nothing_is_removed_and_from_one_of_others_neither(place, tmp_path):
    files.remove_files(tmp_path / "gone", str.isascii)
    (place / "a").touch()
    (tmp_path / "link").symlink_to(place)
    place.chmod(0o777)
    for way in (place, tmp_path / "link", place / "a"):
        with pytest.raises(UnsafeError):
            files.remove_files(way, str.isascii)
    assert os.listdir(place) == ["a"]


@pytest.mark.parametrize("how", ["link", "hard link", "fifo", "open to all", "another's"])
@pytest.mark.parametrize("name", REPLACED)
def test_a_file_that_is_made_anew_replaces_whatever_is_there(place, victim, name, how):
    (place / name).parent.mkdir(exist_ok=True)
    spoil(place / name, how, victim)
    REPLACED[name](place)
    made = place / name.removesuffix(".new")
    assert made.is_file() and not made.is_symlink() and made.stat().st_uid == os.geteuid()
    assert not made.stat().st_mode & 0o022 and victim.read_bytes() == PRECIOUS


@pytest.mark.parametrize("how", ["link", "hard link", "fifo", "open to all", "another's"])
def test_the_control_socket_replaces_whatever_is_there(place, victim, how):
    """It is bound, and bind makes what it binds or fails: whatever had the name is gone."""
    spoil(place / "control.sock", how, victim)
    asyncio.run(_control(place))
    assert victim.read_bytes() == PRECIOUS and not os.path.lexists(place / "control.sock")


@pytest.mark.parametrize("how", [*HOWS, "two names"])
def test_a_partition_is_no_strangers(place, victim, how):
    """Refused, and as it was; a foreign file that holds no partition is put aside, and one of ours takes its place."""
    Store(place, 64)
    partition = place / "transactions" / partition_name(7)
    if how == "two names":
        (place / "another").hardlink_to(partition)
    elif how in ("open to all", "another's"):
        partition.chmod(0o666) if how == "open to all" else give_away(partition)
    else:
        partition.unlink()
        spoil(partition, how, victim)
    before = partition.lstat()
    if how == "hard link":
        Store(place, 64)
        assert partition.lstat().st_nlink == 1 and partition.lstat().st_ino != before.st_ino
    else:
        with pytest.raises(UnsafeError) as refused:
            Store(place, 64)
        after = partition.lstat()
        assert str(partition) in str(refused.value)
        assert (after.st_ino, after.st_mode, after.st_uid) == (before.st_ino, before.st_mode, before.st_uid)
    assert victim.read_bytes() == PRECIOUS


@pytest.mark.parametrize("how", HOWS)
def test_what_is_kept_in_quarantine_is_read_only_when_it_is_ours(place, victim, how, caplog):
    """A stranger must not decide which datagrams are refused; those beside it still are."""
    for content in (b"first", b"other"):
        assert keep_datagram(str(place), Mark("datagram", content, len(content)))
    first, other = sorted((place / "quarantine").iterdir(), key=lambda file: file.read_bytes() != b"first")
    if how in ("open to all", "another's"):
        first.chmod(0o666) if how == "open to all" else give_away(first)
    else:
        first.unlink()
        spoil(first, how, victim)
    assert len(read_quarantine(str(place))) == 1
    assert str(first) in caplog.text and str(other) not in caplog.text and victim.read_bytes() == PRECIOUS


async def _control(place: Path) -> None:
    server = Server(str(place), {})
    await server.start()
    made = (place / "control.sock").lstat()
    await server.close()
    assert stat.S_ISSOCK(made.st_mode) and made.st_uid == os.geteuid() and not made.st_mode & 0o007


def test_the_quarantine_is_a_folder_of_ours(place, tmp_path, caplog):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (place / "quarantine").symlink_to(elsewhere)
    assert keep_datagram(str(place), Mark("datagram", b"x", 1)) is None
    assert "is a link" in caplog.text and not list(elsewhere.iterdir())


# ---------------------------------------------------------------- folders


@pytest.mark.parametrize("mode", [0o770, 0o757, 0o777, 0o1777])
def test_a_folder_where_others_may_write_is_refused(place, mode):
    place.chmod(mode)
    with pytest.raises(StartError, match=r"router.run_dir: .*others may write there; run: chmod go-w"):
        make_folder(str(place), "run_dir")


def test_a_folder_of_somebody_else_is_refused(place):
    give_away(place)
    with pytest.raises(StartError, match=f"belongs to user {OTHER_UID}, not to 0"):
        make_folder(str(place), "run_dir")


@pytest.mark.parametrize("what", ["link", "fifo", "file"])
def test_what_is_no_folder_is_refused(place, tmp_path, what):
    there = tmp_path / "there"
    {"link": lambda: there.symlink_to(place), "fifo": lambda: os.mkfifo(there), "file": there.touch}[what]()
    with pytest.raises(StartError, match=f"router.state_dir: {there}"):
        make_folder(str(there), "state_dir")


def test_the_way_there_is_nobody_elses(place, tmp_path):
    way = tmp_path / "way"
    (way / "run").mkdir(parents=True)
    files.make_folder(way / "run")
    way.chmod(0o777)
    with pytest.raises(UnsafeError, match="everybody may write there"):
        files.make_folder(way / "run")
    way.chmod(0o1777)  # as /dev/shm: what is ours there stays ours
    files.make_folder(way / "run")
    files.make_folder(way / "another")
    give_away(way)
    with pytest.raises(UnsafeError, match=f"{way} belongs to user {OTHER_UID}"):
        files.make_folder(way / "run")


@pytest.mark.parametrize("target", ["{0}/real", "real", "../{1}/real"])
def test_our_own_link_on_the_way_is_followed_and_a_strangers_is_not(tmp_path, target):
    (tmp_path / "real" / "run").mkdir(parents=True)
    link = tmp_path / "link"
    link.symlink_to(target.format(tmp_path, tmp_path.name))
    files.make_folder(link / "run")
    assert files.read_file(_written(link / "run")) == b"x"
    if not os.geteuid():
        os.lchown(link, OTHER_UID, OTHER_UID)
        with pytest.raises(UnsafeError, match="link belongs to user"):
            files.make_folder(link / "run")


def test_links_in_a_ring_end(tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(UnsafeError, match="is a link"):
        files.make_folder(tmp_path / "a" / "run")


def _written(place: Path) -> Path:
    files.replace_file(place / "file", b"x")
    return place / "file"


def test_no_descriptor_is_left_open(place, victim):
    before = len(os.listdir("/proc/self/fd"))
    for how in HOWS[:5]:
        spoil(place / how, how, victim)
        with pytest.raises(OSError):
            files.open_file(place / how, os.O_RDWR)
        if how != "folder":
            with pytest.raises(OSError):
                files.open_folder(place / how)
    with pytest.raises(OSError):
        files.open_file(place / "none", os.O_RDWR)
    assert len(os.listdir("/proc/self/fd")) == before


def test_who_only_looks_waits_for_nothing_and_follows_nothing(place, victim):
    spoil(place / "fifo", "fifo", victim)
    spoil(place / "link", "link", victim)
    for name in ("fifo", "link"):
        with pytest.raises(UnsafeError):
            files.look_at(place / name)
    assert files.look_at(victim) == PRECIOUS


# ---------------------------------------------------------------- nobody opens files in another way

OPENING = re.compile(r"(?<![\w.])open\(|os\.open\(|\.(read|write)_(bytes|text)\(|\.open\(")
# The file, and what its openings may hold: none of them opens what lies in run_dir or state_dir by its name.
ELSEWHERE = {
    "_core/base/files.py": ("os.open(", "/proc/sys/kernel"),
    "config/load.py": ("Path(path).read_bytes",),  # the configuration
    "config/secrets.py": ("os.open(path, os.O_RDONLY",),  # a file that the operator names
    "router/outlook.py": ("/proc/self/mounts",),
    "cli/unit.py": ("systemd/fastsip.service",),
    "cli/explain.py": ("Path(file).read_bytes",),  # a request that the operator names
    "trace/capture.py": ("os.open(path, os.O_WRONLY", "os.open(fresh, os.O_WRONLY"),  # the operator names it
    "cli/_say.py": ("os.open(os.devnull, ",),
    "process/line.py": ("fd",),
    "desk/http/page/render.py": ("path.read_bytes()",),  # what the package brings along
    "desk/reader.py": ("open(answers, ", "/proc/self/oom_score_adj"),
}
THROUGH = re.compile(r"open\((?:open_file|open_fresh|look_into)\(")


def test_state_is_opened_through_this_module_alone():
    found = []
    for path in sorted((ROOT / "fastsip").rglob("*.py*")):
        name = str(path.relative_to(ROOT / "fastsip"))
        if path.suffix not in (".py", ".pyx") or name in ("ua/demo.py", "ua/answering.py"):
            continue
        for line in path.read_text().splitlines():
            if OPENING.search(line) and not THROUGH.search(line) and not any(map(line.count, ELSEWHERE.get(name, ()))):
                found.append(f"{name}: {line.strip()}")
    assert found == []
