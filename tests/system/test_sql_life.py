"""What is read of databases while a router lives: nothing is forgotten, taken from long ago or in the way."""

import asyncio
import os
import signal
import socket
import sqlite3
from pathlib import Path

import pytest

from fastsip.sources.apart import Table, origin_of
from fastsip.sources.kept import write_kept
from fastsip.sources.rows import Reading, Row

from .edge import SHORT_TIMERS, listen_table
from .lives import command
from .test_sql_sources import listed


@pytest.fixture
def edge(free_port):
    return "127.0.0.1", free_port()


def keep_row(place: Path, name: str) -> None:
    """The one row of that table from now on."""
    with sqlite3.connect(place) as database:
        database.execute("CREATE TABLE IF NOT EXISTS dispatcher (setid, destination, attrs)")
        database.execute("DELETE FROM dispatcher")
        database.execute("INSERT INTO dispatcher VALUES (1, 'sip:127.0.0.1:9', ?)", (f"duid={name}",))
    database.close()


def source(url: object, interval: str, name: str = "db") -> str:
    return f'[[source]]\nkind = "sql"\nname = "{name}"\nurl = "{url}"\ninterval = "{interval}"\n'


def config(edge, *sources: str) -> str:
    return f"""
[router]
run_dir = "@RUN_DIR@"
state_dir = "@STATE_DIR@"
shards = 1
{listen_table(edge)}
[timers]
{SHORT_TIMERS}
{"".join(sources)}
[set.1]
setid = 1
destinations = ["sip:127.0.0.1:7"]
[[route]]
to = "1"
"""


OWN = "1/sip:127.0.0.1:7"


async def reload(home) -> None:
    assert (await asyncio.to_thread(command, "reload", home.config)).returncode == 0


def desk_of(life) -> int:
    children = Path(f"/proc/{life.process.pid}/task/{life.process.pid}/children").read_text().split()
    return next(int(pid) for pid in children if b"fastsip.desk" in Path(f"/proc/{pid}/cmdline").read_bytes())


async def test_a_source_that_comes_back_is_read_and_not_remembered(home, edge):
    place = home.place / "tables.db"
    keep_row(place, "old")
    text = config(edge, source(f"sqlite:///{place}", "1h"))
    home.start(text).ready()
    assert await listed(home) == {OWN, "1/old"}
    home.write(config(edge))
    await reload(home)
    keep_row(place, "new")
    home.write(text)
    await reload(home)
    assert await listed(home) == {OWN, "1/new"}


async def test_a_reader_that_died_while_it_had_nothing_to_do_costs_no_read(home, edge):
    place = home.place / "tables.db"
    keep_row(place, "old")
    life = home.start(config(edge, source(f"sqlite:///{place}", "0s"))).ready()
    await reload(home)
    desk = desk_of(life)
    os.kill(desk, signal.SIGKILL)
    keep_row(place, "new")
    while Path(f"/proc/{desk}").exists():   # until it is reaped; the test's own limit ends it
        await asyncio.sleep(0)
    await reload(home)
    assert await listed(home) == {OWN, "1/new"} and not life.records("a source is away")


async def test_what_was_read_for_a_reload_that_is_refused_comes_by_itself(home, edge):
    """And by the interval that the configuration has now, not by the one before."""
    place = home.place / "tables.db"
    keep_row(place, "old")
    life = home.start(config(edge, source(f"sqlite:///{place}", "1h"))).ready()
    home.write(config(edge, source(f"sqlite:///{place}", "3s")))
    await reload(home)
    keep_row(place, "new")
    home.write(config(edge, source(f"sqlite:///{place}", "3s")) + "half an edit")
    assert (await asyncio.to_thread(command, "reload", home.config)).returncode == 1
    assert await listed(home) == {OWN, "1/old"}
    await life.logged("reloaded", 2)
    assert await listed(home) == {OWN, "1/new"}


async def test_servers_that_never_answer_keep_nobody_waiting(home, edge):
    """Three of them: not the start for longer than one, no other source, no drain, and no upgrade."""
    place = home.place / "tables.db"
    keep_row(place, "old")
    sources = [source(f"sqlite:///{place}", "1s")]
    with socket.create_server(("127.0.0.1", 0), backlog=100) as server:
        for number in range(3):
            url = f"mysql://u:s3cret@127.0.0.1:{server.getsockname()[1]}/d{number}"
            origin = origin_of(Table(url=url, name="dispatcher", kind="kamailio"))
            row = Row(where="id 1", setid=1, uri=f"sip:127.0.0.1:{11 + number}", name=f"kept{number}")
            write_kept(home.place / "state", f"db{number}", origin, Reading(at=1.0, rows=(row,)))
            sources.append(source(url, "1s", f"db{number}"))
        life = home.start(config(edge, *sources)).ready()
        kept = {OWN, "1/kept0", "1/kept1", "1/kept2"}
        keep_row(place, "new")
        await life.logged("reloaded")
        assert await listed(home) == {*kept, "1/new"}
        drained = await asyncio.to_thread(command, "dispatcher", "drain", "1/new", "--config", home.config)
        upgraded = await asyncio.to_thread(command, "upgrade", home.config)
        assert (drained.returncode, upgraded.returncode) == (0, 0), upgraded.stderr
        assert await listed(home) == {*kept, "1/new"}
        assert "s3cret" not in life.text
