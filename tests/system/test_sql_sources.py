"""A table in a real database is where calls go: what changes there comes into force, what stops costs nothing."""

import asyncio
import json

import pytest
from ua import UserAgent

from .edge import NUMBER, SHORT_TIMERS, listen_table, refuse, sip_uri
from .lives import command, killed_and_back
from .test_sql_engines import add, server  # noqa: F401


@pytest.fixture
def edge(free_port):
    return "127.0.0.1", free_port()


def config(edge, url: str, interval: str = "1s") -> str:
    return f"""
[router]
run_dir = "@RUN_DIR@"
state_dir = "@STATE_DIR@"
shards = 1
{listen_table(edge)}
[timers]
{SHORT_TIMERS}
[[source]]
kind = "sql"
name = "db"
url = "{url}"
interval = "{interval}"
[set.1]
setid = 1
algorithm = "priority"
[[route]]
to = "1"
"""


async def listed(home) -> set[str]:
    done = await asyncio.to_thread(command, "dispatcher", "list", "--config", home.config, "--json")
    return {one["id"] for line in done.stdout.splitlines() for one in json.loads(line)["destinations"]}


async def test_calls_flow_by_the_table(home, edge, server):  # noqa: F811
    async with UserAgent(name="alice") as alice, UserAgent(name="bob") as bob, UserAgent(name="carol") as carol:
        add(server, f"1, 1, '{sip_uri(bob.address)}', 0, 0, 'duid=bob'", "2, 1, 'sips:gw.example.net', 0, 0, ''")
        life = home.start(config(edge, server.url())).ready()
        assert "id 2" in life.text and server.url() not in life.text
        await refuse(bob, alice.invite(NUMBER, edge))

        # Another row comes by itself, and so does a flag.
        add(server, f"3, 1, '{sip_uri(carol.address)}', 0, 5, 'duid=carol'")
        await life.logged("reloaded")
        await refuse(carol, alice.invite(NUMBER, edge))
        server.sql("UPDATE dispatcher SET flags = 4 WHERE id = 3", database="kamailio")
        await life.logged("reloaded", 2)
        await refuse(bob, alice.invite(NUMBER, edge))

        # The server stops: nobody notices, also not the next router and the one after a new start.
        server.stop()
        try:
            record = await life.logged("a source is away")
            assert record["source"] == "db" and server.url() not in life.text
            status = await asyncio.to_thread(command, "status", home.config, "--json")
            assert json.loads(status.stdout)["sources_away"] == ["db"]
            await refuse(bob, alice.invite(NUMBER, edge))
            assert (await asyncio.to_thread(command, "reload", home.config)).returncode == 0
            life.kill_router()
            await life.logged("router took over", 2)
            await refuse(bob, alice.invite(NUMBER, edge))
            life = await killed_and_back(life, home)
            await refuse(bob, alice.invite(NUMBER, edge))
            assert await listed(home) == {"1/bob", "1/carol"}
        finally:
            server.start()
        await life.logged("a source is back")
        server.sql("DELETE FROM dispatcher WHERE id = 3", database="kamailio")
        await life.logged("reloaded")
        assert await listed(home) == {"1/bob"}

        # An empty table is no table: calls go on.
        server.sql("DELETE FROM dispatcher", database="kamailio")
        await life.logged("a source is away")
        await refuse(bob, alice.invite(NUMBER, edge))


async def test_a_reload_reads_the_table_at_once_and_what_is_being_edited_is_left_alone(home, edge, server):  # noqa: F811
    async with UserAgent(name="alice") as alice, UserAgent(name="bob") as bob, UserAgent(name="carol") as carol:
        add(server, f"1, 1, '{sip_uri(bob.address)}', 0, 0, 'duid=bob'")
        text = config(edge, server.url(), "0s")
        life = home.start(text).ready()
        await refuse(bob, alice.invite(NUMBER, edge))
        add(server, f"2, 1, '{sip_uri(carol.address)}', 0, 5, 'duid=carol'")
        answer = await asyncio.to_thread(command, "reload", home.config, "--json")
        assert json.loads(answer.stdout)["added"]["ids"] == ["1/carol"]
        await refuse(carol, alice.invite(NUMBER, edge))

        home.write(text.replace('"0s"', '"1s"'))
        assert (await asyncio.to_thread(command, "reload", home.config)).returncode == 0
        home.write("half an edit")
        server.sql("UPDATE dispatcher SET flags = 4 WHERE id = 2", database="kamailio")
        await life.logged("reloaded", 3)
        await refuse(bob, alice.invite(NUMBER, edge))


async def test_an_upgrade_takes_the_reader_of_databases_along(home, edge, server):  # noqa: F811
    async with UserAgent(name="alice") as alice, UserAgent(name="bob") as bob:
        add(server, f"1, 1, '{sip_uri(bob.address)}', 4, 0, 'duid=bob'")
        life = home.start(config(edge, server.url())).ready()
        server.sql("UPDATE dispatcher SET flags = 0", database="kamailio")
        await life.logged("reloaded")
        assert (await asyncio.to_thread(command, "upgrade", home.config)).returncode == 0
        await life.logged("reloaded", 2)    # the upgrade itself
        await refuse(bob, alice.invite(NUMBER, edge))
        server.sql("UPDATE dispatcher SET attrs = 'duid=bob2'", database="kamailio")
        await life.logged("reloaded", 3)
        assert await listed(home) == {"1/bob2"}


def test_a_database_that_was_never_read_refuses_the_start(home, edge):
    life = home.start(config(edge, "postgresql://u:s3cret@127.0.0.1:1/d"))
    assert life.ended() == 2
    assert "source[1].url" in life.text and "s3cret" not in life.text
