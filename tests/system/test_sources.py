"""Who comes with Kamailio's list: calls flow by it, a reload takes what changed, one that is away costs nothing."""

import asyncio
import json

import pytest
from ua import UserAgent

from .edge import NUMBER, SHORT_TIMERS, listen_table, refuse
from .lives import command, killed_and_back


@pytest.fixture
def edge(free_port):
    return "127.0.0.1", free_port()


def config(edge) -> str:
    return f"""
[router]
run_dir = "@RUN_DIR@"
state_dir = "@STATE_DIR@"
shards = 1
{listen_table(edge)}
[limits]
max_transactions = 2000
[timers]
{SHORT_TIMERS}
[[source]]
kind = "list"
path = "dispatcher.list"
[[route]]
to = "1"
"""


def line(ua: UserAgent, flags: int = 0, attrs: str = "x=1") -> str:
    return f"1 sip:{ua.address[0]}:{ua.address[1]} {flags} 0 {attrs}\n"


async def reload(home) -> dict:
    done = await asyncio.to_thread(command, "reload", home.config, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


async def test_calls_flow_by_the_list(home, edge):
    async with UserAgent(name="alice") as alice, UserAgent(name="bob") as bob, UserAgent(name="carol") as carol:
        place = home.place / "dispatcher.list"
        place.write_text("# ours\n" + line(bob, attrs="duid=bob") + "nonsense\n")
        life = home.start(config(edge)).ready()
        await refuse(bob, alice.invite(NUMBER, edge))
        assert "line 3" in life.text

        place.write_text(line(bob, 4, "duid=bob") + line(carol, attrs="duid=carol"))
        answer = await reload(home)
        assert answer["added"]["ids"] == ["1/carol"] and answer["changed"]["ids"] == ["1/bob"]
        assert answer["removed"]["count"] == 0 and answer["left_out"] == []
        for _ in range(3):
            await refuse(carol, alice.invite(NUMBER, edge))     # bob is disabled
        assert not bob.waiting("INVITE")

        place.unlink()
        assert any("what was read last counts" in one for one in (await reload(home))["left_out"])
        await refuse(carol, alice.invite(NUMBER, edge))
        life = await killed_and_back(life, home)
        await refuse(carol, alice.invite(NUMBER, edge))         # over a restart, too; bob is disabled still
        assert not bob.waiting("INVITE")

        place.write_text(line(bob, attrs="duid=bob"))
        assert (await reload(home))["removed"]["ids"] == ["1/carol"]
        await refuse(bob, alice.invite(NUMBER, edge))


async def test_what_is_down_at_first_waits_for_its_probe(home, edge):
    """Flags 9: no call goes there before a probe was answered."""
    async with UserAgent(name="alice") as alice, UserAgent(name="bob") as bob:
        (home.place / "dispatcher.list").write_text(line(bob, 9))
        life = home.start(config(edge)).ready()
        await alice.invite(NUMBER, edge).refused(500)
        bob.reply(await bob.expect("OPTIONS"), 200)
        await life.logged("destination up")
        await refuse(bob, alice.invite(NUMBER, edge))


async def test_a_set_without_destinations_answers(home, edge):
    async with UserAgent(name="alice") as alice, UserAgent(name="bob") as bob:
        (home.place / "dispatcher.list").write_text(line(bob).replace("1 ", "2 ", 1))
        home.start(config(edge)).ready()
        await alice.invite(NUMBER, edge).refused(500)
        (home.place / "dispatcher.list").write_text(line(bob))
        await reload(home)
        await refuse(bob, alice.invite(NUMBER, edge))
