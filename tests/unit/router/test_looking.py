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
        self.views = []

    def __len__(self):
        return 2

    def show(self, views):
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
