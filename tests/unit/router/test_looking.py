"""Who looks at messages, and for how long: renewed, forgotten, too many, and without room for a ring."""

import asyncio
import errno
import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from fastsip._core.state.mirror import MOST_AT_ONCE
from fastsip.process.messages import Looked
from fastsip.router.looking import Looking
from fastsip.router.views import Views

ALL, ONE = Looked(share=1.0), Looked(call_id="one")
SOON_S, LONG_S, LIMIT_S = 0.05, 30.0, 20.0


class Shards:
    """Notes how often something else is shown."""

    def __init__(self):
        self.views, self.refused = [], 0

    def __len__(self):
        return 2

    def show(self, views):
        if self.refused:
            self.refused -= 1
            raise MemoryError
        self.views.append(views)


@pytest.fixture
def beside():
    with ThreadPoolExecutor(1) as pool:
        yield pool


@pytest.fixture
def shards():
    return Shards()


@pytest.fixture
def looking(scratch, shards, beside):
    """What is left of a router that was killed is taken away."""
    (scratch / "mirror").mkdir(mode=0o750)
    (scratch / "mirror" / "07.ring").write_bytes(b"of another router")
    made = Looking(Views(str(scratch), shards), beside)
    made.begin()
    assert rings(scratch) == []
    return made


def rings(run_dir) -> list[str]:
    return sorted(os.listdir(run_dir / "mirror"))


async def gone(looking, run_dir) -> None:
    async with asyncio.timeout(LIMIT_S):
        while rings(run_dir) or looking.looks:
            await asyncio.sleep(0.01)


async def test_a_look_makes_a_ring_for_each_shard_and_one_that_nobody_renews_leaves_none(scratch, looking, shards):
    assert await looking.look("me", ALL, SOON_S) == ""
    assert rings(scratch) == ["00.ring", "01.ring"]
    await gone(looking, scratch)
    assert [[view is not None for view in views] for views in shards.views] == [[True, True], [False, False]]


async def test_who_renews_changes_nothing_but_the_time(scratch, looking, shards):
    for _ in range(5):
        assert await looking.look("me", ALL, LONG_S) == ""
    assert len(shards.views) == 1
    assert await looking.look("me", ONE, LONG_S) == ""
    assert len(shards.views) == 2 and rings(scratch) == ["00.ring", "01.ring"]
    assert await looking.look("me", ONE, 0) == ""
    assert rings(scratch) == [] and looking.timer is None


async def test_more_than_may_look_are_refused_until_one_ends(scratch, looking):
    for number in range(MOST_AT_ONCE):
        assert await looking.look(str(number), ALL, LONG_S) == ""
    assert await looking.look("one more", ALL, LONG_S) == f"{MOST_AT_ONCE} look already"
    assert await looking.look("0", ALL, LONG_S) == ""
    assert await looking.look("0", ALL, 0) == ""
    assert await looking.look("one more", ALL, LONG_S) == ""
    looking.leave()
    assert rings(scratch) == []


async def test_the_first_that_ends_leaves_the_others_what_they_look_at(scratch, looking, shards):
    assert await looking.look("short", ALL, SOON_S) == ""
    assert await looking.look("long", ONE, LONG_S) == ""
    async with asyncio.timeout(LIMIT_S):
        while "short" in looking.looks or len(shards.views) < 3:
            await asyncio.sleep(0.01)
    assert list(looking.looks) == ["long"] and rings(scratch) == ["00.ring", "01.ring"]


async def test_without_room_nobody_looks_and_nothing_is_left(scratch, looking, shards, monkeypatch):
    def refuse(fd, offset, length):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(os, "posix_fallocate", refuse)
        assert await looking.look("me", ALL, LONG_S) == "No space left on device"
    assert rings(scratch) == [] and looking.looks == {} and shards.views == []
    assert await looking.look("me", ALL, LONG_S) == ""


async def test_a_look_that_cannot_end_is_ended_later(scratch, looking, shards, monkeypatch):
    """Nobody asks again for it."""
    monkeypatch.setattr("fastsip.router.looking.AGAIN_S", 0.01)
    assert await looking.look("me", ALL, SOON_S) == ""
    shards.refused = 3
    await gone(looking, scratch)
    assert shards.refused == 0 and shards.views[-1] == [None, None] and looking.timer is None


# ---------------------------------------------------------------- who else was in the folder


def odd_folder(run_dir, how: str) -> None:
    folder, other = run_dir / "mirror", run_dir / "other"
    other.mkdir()
    (other / "00.ring").write_bytes(b"precious")
    if how in ("folder of another", "link", "plain file"):
        folder.rmdir()
    match how:
        case "folder in it":
            (folder / "keep").mkdir()
        case "folder with the name of a ring":
            (folder / "00.ring").mkdir()
        case "another file":
            (folder / "notes").write_bytes(b"precious")
        case "folder of another":
            folder.mkdir(mode=0o750)
            (folder / "00.ring").write_bytes(b"precious")
            os.chown(folder, 2001, 2001)
        case "link":
            folder.symlink_to(other)
        case "plain file":
            folder.write_bytes(b"precious")


ODD = ["folder in it", "folder with the name of a ring", "another file", "folder of another", "link", "plain file"]


@pytest.mark.parametrize("how", ODD)
async def test_whatever_lies_there_no_router_dies_of_it_and_nothing_of_others_is_removed(
        scratch, looking, shards, how, caplog):
    if how == "folder of another" and os.geteuid():
        pytest.skip("only root can give a folder away")
    odd_folder(scratch, how)
    looking.begin()
    looking.leave()
    before = sorted(place.relative_to(scratch) for place in scratch.rglob("*"))
    said = await looking.look("me", ALL, SOON_S)
    if how in ("folder in it", "another file"):
        assert said == "" and {"00.ring", "01.ring"} <= set(rings(scratch))
        async with asyncio.timeout(LIMIT_S):
            while looking.looks or shards.views[-1] != [None, None]:
                await asyncio.sleep(0.01)
        await looking.look("me", ALL, 0)
        assert "a look has not ended" not in caplog.text
    else:
        assert said and looking.looks == {} and shards.views == [] and "rings of messages are left" in caplog.text
    assert sorted(place.relative_to(scratch) for place in scratch.rglob("*")) == before
    assert (scratch / "other" / "00.ring").read_bytes() == b"precious"


async def test_what_a_router_has_begun_and_not_finished_is_taken_away_too(scratch, looking):
    for name in ("00.new", "63.ring", "127.new"):
        (scratch / "mirror" / name).write_bytes(b"of another router")
    looking.begin()
    assert rings(scratch) == []
