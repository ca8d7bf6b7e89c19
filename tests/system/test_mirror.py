"""Who looks at a router that runs: sees each message of a call on both legs, is killed, and outlives routers."""

import asyncio
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from ua import UserAgent

from fastsip.api.looking import Look
from fastsip.api.socket import Refused
from fastsip.observe.mirror import Mirror, Seen
from tests.conftest import ROOT

from .edge import NUMBER, connect, edge_config

LIMIT_S, CALLS = 60, 20
LOOKER = """
import sys
from fastsip.api.answers import last_answer
last_answer(sys.argv[1], "look", name="killed", filter={"share": 1}, seconds=2)
print("looks", flush=True)
sys.stdin.read()
"""


async def seen_until(mirror: Mirror, enough: Callable[[list[Seen]], bool]) -> list[Seen]:
    """All that is seen from now on, until it is enough."""
    found: list[Seen] = []
    async with asyncio.timeout(LIMIT_S):
        while not enough(found):
            found += mirror.read()
            await asyncio.sleep(0.02)
    return found


def first_words(seen: list[Seen]) -> Counter[tuple[bool, str]]:
    """Method or status of each, and whether it was received."""
    lines = [(one.received, one.message.split(b"\r\n")[0].split()) for one in seen]
    return Counter((received, words[1 if words[0] == b"SIP/2.0" else 0].decode()) for received, words in lines)


async def whole_call(alice: UserAgent, bob: UserAgent, edge, **parts) -> str:
    alice_leg, bob_leg = await connect(alice, bob, edge, **parts)
    bye = alice_leg.bye()
    bob.reply(await bob_leg.expect("BYE"), 200)
    await alice_leg.expect(lambda m: m.status == 200 and m.cseq_method == "BYE")
    return bye.call_id


def of_call(call_id: str) -> Callable[[Seen], bool]:
    return lambda seen: call_id.encode() in seen.message


WHOLE = Counter({(True, "INVITE"): 1, (False, "100"): 1, (False, "INVITE"): 1, (True, "200"): 2, (False, "200"): 2,
                 (True, "ACK"): 1, (False, "ACK"): 1, (True, "BYE"): 1, (False, "BYE"): 1})


async def begun(look: Look) -> Look:
    """As soon as the next router says that it has started."""
    async with asyncio.timeout(LIMIT_S):
        while True:
            try:
                await asyncio.to_thread(look.renew)
                return look
            except Refused:
                await asyncio.sleep(0.02)


async def look_at_all(mirror: Mirror, run: Path, alice: UserAgent, bob: UserAgent, edge) -> None:
    """Each message of each call, and of what is refused, by the shard that owns the call."""
    look = await begun(Look(str(run), share=1.0))
    assert len(list(run.glob("mirror/*.ring"))) == 2
    calls = [await whole_call(alice, bob, edge) for _ in range(CALLS)]
    stranger = alice.request("OPTIONS", NUMBER, edge, headers=[("Proxy-Require", "magic")])
    await alice.expect(lambda m: m.call_id == stranger.call_id)
    found = await seen_until(mirror, lambda seen: len(seen) >= CALLS * WHOLE.total() + 2)
    for call_id in calls:
        assert first_words([one for one in found if of_call(call_id)(one)]) == WHOLE
    refused, answer = filter(of_call(stranger.call_id), found)
    assert (refused.received, answer.received) == (True, False)
    assert {one.shard for one in found} == {0, 1} and {one.ours for one in found} == {edge}
    assert {one.peer for one in found} == {alice.address, bob.address} and mirror.lost == 0
    assert all(one.length == len(one.message) and one.transport == "udp" for one in found)
    await asyncio.to_thread(look.end)
    assert not list(run.glob("mirror/*")) and mirror.read() == []


async def look_at_one_call(mirror: Mirror, run: Path, alice: UserAgent, bob: UserAgent, edge) -> None:
    await asyncio.to_thread(Look(str(run), call_id="this-one").renew)
    await whole_call(alice, bob, edge)
    await whole_call(alice, bob, edge, call_id="this-one")
    found = await seen_until(mirror, lambda seen: len(seen) >= WHOLE.total())
    assert first_words(found) == WHOLE and all(map(of_call("this-one"), found))


async def nobody_looks(run: Path) -> None:
    """Soon: there is no ring any more."""
    async with asyncio.timeout(LIMIT_S):
        while list(run.glob("mirror/*")):
            await asyncio.sleep(0.02)


async def kill_a_looker(run: Path) -> None:
    looker = await asyncio.create_subprocess_exec(
        sys.executable, "-c", LOOKER, str(run), cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    async with asyncio.timeout(LIMIT_S):
        assert await looker.stdout.readline() == b"looks\n"
        looker.kill()
        await looker.wait()
    await nobody_looks(run)


async def test_a_call_is_seen_on_both_legs_by_whoever_looks_until_he_does_not_any_more(home, free_port):
    """Two shards; a router that dies takes the looks along, and who renews his sees the next one."""
    edge = ("127.0.0.1", free_port())
    run = home.place / "run"
    async with UserAgent(name="alice") as alice, UserAgent(name="bob") as bob:
        home.write(edge_config(edge, [bob.address], shards=2, timers='t1 = "4s"'))
        life = home.start()
        await asyncio.to_thread(life.ready)
        assert not list(run.glob("mirror/*"))
        mirror = Mirror(run)
        await look_at_all(mirror, run, alice, bob, edge)
        await look_at_one_call(mirror, run, alice, bob, edge)
        assert list(run.glob("mirror/*.ring"))
        life.kill_router()
        await life.logged("router took over", 2)
        await nobody_looks(run)
        await look_at_all(mirror, run, alice, bob, edge)
        await kill_a_looker(run)
        # Router and supervisor die together: nobody of theirs can take the rings away, but who comes next does.
        await begun(Look(str(run), share=1.0))
        (run / "mirror" / "keep").mkdir()
        life.process.send_signal(signal.SIGSTOP)
        life.kill_router()
        assert await asyncio.to_thread(life.end, signal.SIGKILL) == -signal.SIGKILL
        assert len(list(run.glob("mirror/*.ring"))) == 2
        life = home.start()
        await asyncio.to_thread(life.ready)
        assert [place.name for place in run.glob("mirror/*")] == ["keep"]
        # What does not belong there lets routers live, and look.
        await begun(Look(str(run), share=1.0))
        life.kill_router()
        await life.logged("router took over", 2)
        assert [place.name for place in run.glob("mirror/*")] == ["keep"]
        mirror.close()
