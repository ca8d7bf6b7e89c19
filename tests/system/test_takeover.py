"""One router after the other: crash, upgrade, reload and restart, each in the middle of all kinds of calls."""

import asyncio
import os
import signal

import pytest

from fastsip._core.store.partitions import partition_sizes, read_header

from .interrupted import Cast, casts_at, config, no_second_final, to_the_end, until_the_gap
from .lives import Home, Life, command


@pytest.fixture
def edge(free_port):
    return "127.0.0.1", free_port()


# ---------------------------------------------------------------- kinds of restart


async def killed(life: Life, home: Home, casts: list[Cast]) -> Life:
    """The router alone; the supervisor has another."""
    takeovers = len(life.records("router took over"))
    os.kill(life.router_pid(), signal.SIGKILL)
    await life.logged("router took over", takeovers + 1)
    return life


async def killed_twice(life: Life, home: Home, casts: list[Cast]) -> Life:
    return await killed(await killed(life, home, casts), home, casts)


async def aborted(life: Life, home: Home, casts: list[Cast]) -> Life:
    takeovers = len(life.records("router took over"))
    os.kill(life.router_pid(), signal.SIGABRT)
    await life.logged("router took over", takeovers + 1)
    return life


async def all_killed(life: Life, home: Home, casts: list[Cast]) -> Life:
    """The supervisor, and so its routers; a plain new start."""
    await asyncio.to_thread(life.end, signal.SIGKILL)
    return await started(home)


async def stopped(life: Life, home: Home, casts: list[Cast]) -> Life:
    assert await asyncio.to_thread(life.end, signal.SIGTERM) == 0
    return await started(home)


async def stopped_and_edited(life: Life, home: Home, casts: list[Cast]) -> Life:
    """As `stopped`, with the policies edited and everything reordered in between."""
    assert await asyncio.to_thread(life.end, signal.SIGTERM) == 0
    home.write(config(casts, edited=True))
    return await started(home)


async def started(home: Home) -> Life:
    life = home.start()
    await asyncio.to_thread(life.ready)
    return life


async def upgraded(life: Life, home: Home, casts: list[Cast]) -> Life:
    done = await asyncio.to_thread(command, "upgrade", home.config)
    assert done.returncode == 0, done.stderr + life.text
    return life


async def upgraded_and_edited(life: Life, home: Home, casts: list[Cast]) -> Life:
    home.write(config(casts, edited=True))
    return await upgraded(life, home, casts)


async def reloaded(life: Life, home: Home, casts: list[Cast]) -> Life:
    """No takeover at all, only other tables."""
    home.write(config(casts, edited=True))
    done = await asyncio.to_thread(command, "reload", home.config)
    assert done.returncode == 0, done.stderr
    return life


def reshaped(shards: int):
    async def reshape(life: Life, home: Home, casts: list[Cast]) -> Life:
        home.write(config(casts, shards=shards))
        life.process.send_signal(signal.SIGHUP)
        await life.logged("reloaded")
        return life

    reshape.__name__ = f"reshaped_to_{shards}_shards"
    return reshape


def resized(most: int, casts: list[Cast]) -> str:
    text = config(casts)
    assert text.count("max_transactions = 2000") == 1
    return text.replace("max_transactions = 2000", f"max_transactions = {most}")


def has_size(home: Home, most: int) -> bool:
    """All files of the store."""
    headers = [read_header(path) for path in (home.place / "run" / "transactions").glob("*.slots")]
    return len(headers) == 64 and {header["sizes"] for header in headers} == {partition_sizes(most)}


async def grown(life: Life, home: Home, casts: list[Cast]) -> Life:
    """Twice the store by a reload; then the router dies, and the next one has what was moved."""
    home.write(resized(4000, casts))
    done = await asyncio.to_thread(command, "reload", home.config)
    assert done.returncode == 0, done.stderr
    assert has_size(home, 4000)
    return await killed(life, home, casts)


async def grown_by_an_upgrade(life: Life, home: Home, casts: list[Cast]) -> Life:
    home.write(resized(4000, casts))
    await upgraded(life, home, casts)
    assert has_size(home, 4000)
    return life


async def grown_and_shrunk(life: Life, home: Home, casts: list[Cast]) -> Life:
    for most in (4000, 1000):
        assert await asyncio.to_thread(life.end, signal.SIGTERM) == 0
        home.write(resized(most, casts))
        life = await started(home)
        assert has_size(home, most)
    return life


async def killed_after_a_reload(life: Life, home: Home, casts: list[Cast]) -> Life:
    """The spare is of the configuration that runs, not of the one it was born with."""
    return await killed(await reloaded(life, home, casts), home, casts)


WAYS = (
    killed, killed_twice, aborted, all_killed, stopped, stopped_and_edited, upgraded, upgraded_and_edited, reloaded,
    killed_after_a_reload, reshaped(1), reshaped(5), grown, grown_by_an_upgrade, grown_and_shrunk,
)  # fmt: skip


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
async def test_calls_go_on(home, edge, way):
    async with casts_at(edge) as casts:
        life = home.start(config(casts)).ready()
        plays = await until_the_gap(casts)
        life = await way(life, home, casts)
        await to_the_end(plays)
        no_second_final(casts)
        assert await asyncio.to_thread(life.end, signal.SIGTERM) == 0
