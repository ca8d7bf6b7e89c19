"""The wall clock jumps by an hour in the middle of all kinds of calls: no timer looks at it."""

import asyncio
import os
import signal
import time
from pathlib import Path

import pytest

from .interrupted import casts_at, config, no_second_final, to_the_end, until_the_gap

HOUR_S = 3600


@pytest.fixture
def wall_clock(scratch, monkeypatch) -> Path:
    """What is written into it ("+3600") is added to the wall clock of every process that starts from now on."""
    libraries = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    assert libraries, "libfaketime is missing: apt-get install faketime"
    file = scratch / "wall_clock"
    file.write_text("+0")
    monkeypatch.setenv("LD_PRELOAD", str(libraries[0]))
    monkeypatch.setenv("FAKETIME_TIMESTAMP_FILE", str(file))
    monkeypatch.setenv("FAKETIME_NO_CACHE", "1")
    monkeypatch.setenv("FAKETIME_DONT_FAKE_MONOTONIC", "1")
    return file


@pytest.mark.parametrize("killed", [False, True])
@pytest.mark.parametrize("step_s", [HOUR_S, -HOUR_S])
async def test_calls_go_on(home, free_port, wall_clock, step_s, killed):
    async with casts_at(("127.0.0.1", free_port())) as casts:
        life = home.start(config(casts)).ready()
        plays = await until_the_gap(casts)
        wall_clock.write_text(f"{step_s:+d}")
        if killed:
            os.kill(life.router_pid(), signal.SIGKILL)
            await life.logged("router took over", 2)
        await to_the_end(plays)
        no_second_final(casts)
        assert await asyncio.to_thread(life.end, signal.SIGTERM) == 0
    said_at = life.records("router stopped")[0]["time"]
    assert abs(said_at - time.time() - step_s) < HOUR_S / 10, "its clock did not jump"
