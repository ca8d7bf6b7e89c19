"""Limits of calls a second and the algorithm `latency`, from outside (docs/config.md#calls-a-second)."""

import asyncio
import json

import pytest
from ua import UserAgent

from .edge import NUMBER, edge_config, expect_call, first_callee, refuse, sip_uri
from .lives import command

POLICY = "on = [500]"   # no clock that a machine that stalls could run out


@pytest.fixture
def edge(free_port):
    return "127.0.0.1", free_port()


async def shown(home, ua) -> dict:
    done = await asyncio.to_thread(command, "dispatcher", "show", f"media/{sip_uri(ua.address)}", "--config",
                                   home.config, "--json")  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


async def test_who_is_at_his_limit_is_passed_over_also_by_the_next_router(home, edge):
    """One call a second, five at once: no time that a test takes fills the bucket again."""
    async with UserAgent(name="alice") as alice, UserAgent(name="bob") as bob, UserAgent(name="carol") as carol:
        text = edge_config(edge, [bob.address, carol.address], set_keys="calls_per_second = 1000", shards=2,
                           policy=POLICY)  # fmt: skip
        few = text.replace(f'"{sip_uri(bob.address)}"',
                           f'{{ uri = "{sip_uri(bob.address)}", calls_per_second = 1, calls_at_once = 10 }}')
        life = home.start(few).ready()
        taken = {bob: 0, carol: 0}

        async def call() -> None:
            begun = alice.invite(NUMBER, edge)
            callee, invite = await first_callee(begun, bob, carol)
            callee.reply(invite, 486)
            await begun.refused(486)
            taken[callee] += 1

        for _ in range(40):
            await call()
        assert taken[bob] >= 10 and taken[carol] > 0
        record = await life.logged("a limit of calls is reached")
        assert record["destination"] == f"media/{sip_uri(bob.address)}"
        before = await shown(home, bob)
        assert before["limited"] >= taken[carol] - 1 and before["calls_per_second"] == 1
        life.kill_router()
        await life.logged("router took over", 2)
        assert (await shown(home, bob))["limited"] >= before["limited"]
        assert (await asyncio.to_thread(command, "reload", home.config)).returncode == 0
        assert (await shown(home, bob))["limited"] >= before["limited"]
        home.write(text)    # no limit any more
        assert (await asyncio.to_thread(command, "reload", home.config)).returncode == 0
        for _ in range(3):
            await refuse(bob, alice.invite(NUMBER, edge))


async def test_a_set_at_its_limit_is_unavailable(home, edge):
    async with UserAgent(name="alice") as alice, UserAgent(name="bob") as bob:
        keys, policy = "calls_per_second = 1\ncalls_at_once = 1", POLICY + '\nunavailable = "503 Full"'
        home.start(edge_config(edge, [bob.address], set_keys=keys, policy=policy)).ready()
        codes = set()
        for _ in range(30):
            call = alice.invite(NUMBER, edge)
            final = asyncio.create_task(call.expect(lambda m: m.status >= 200))
            arrived = asyncio.create_task(expect_call(bob, call))
            await asyncio.wait([final, arrived], return_when=asyncio.FIRST_COMPLETED)
            if arrived.done():
                bob.reply(arrived.result(), 486)
            arrived.cancel()
            codes.add((await final).status)
            if codes == {486, 503}:
                break
        assert codes == {486, 503}


async def test_the_slower_one_of_two_gets_fewer_calls(home, edge):
    """Bob answers late: from then on chance must name him twice to get a call."""
    async with UserAgent(name="alice") as alice, UserAgent(name="bob") as bob, UserAgent(name="carol") as carol:
        home.start(edge_config(edge, [bob.address, carol.address], algorithm="latency", policy=POLICY)).ready()
        taken = {bob: 0, carol: 0}
        for _ in range(60):
            call = alice.invite(NUMBER, edge)
            callee, invite = await first_callee(call, bob, carol)
            if callee is bob:
                await alice.quiet(lambda m: m.status >= 200, 0.3)
            callee.reply(invite, 486)
            await call.refused(486)
            taken[callee] += 1
        slow, fast = [await shown(home, ua) for ua in (bob, carol)]
        if taken[bob]:
            assert slow["latency_ms"] > fast["latency_ms"]
        assert taken[bob] < taken[carol]
