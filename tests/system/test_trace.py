"""`fastsip trace` and spans of a real router, seen from outside: calls that fail over, a router that dies."""

import asyncio
import contextlib
import json
import os
import pty
import signal
import sys
from pathlib import Path

import pytest
from ua import UserAgent

from tests.collector import Collector
from tests.conftest import ROOT
from tests.unit.trace.test_capture import read_capture

from .edge import NUMBER, SHORT_TIMERS, edge_config, expect_call
from .test_events import kill_desk, run

POLICY = 'on = [503, "timeout", "transport"]\ntimeout = "2s"\nmark = "none"'
OWNED = "\x1b]0;owned\x07"


class Traced:
    """`fastsip trace` as a process, which looks when `begun` returns."""

    async def begun(self, home, *words: object, stdout: int = asyncio.subprocess.PIPE) -> "Traced":
        argv = ("-m", "fastsip", "trace", "--config", str(home.config), *map(str, words))
        self.process = await asyncio.create_subprocess_exec(sys.executable, *argv, cwd=ROOT, stdout=stdout,
                                                            stderr=asyncio.subprocess.PIPE)
        await self.said("fastsip: looking")
        return self

    async def said(self, words: str) -> str:
        """The first line on stderr that has these; the test's own limit ends it."""
        before = []
        while line := (await self.process.stderr.readline()).decode():
            before.append(line)
            if words in line:
                return line
        raise AssertionError(f"it ended without {words!r}: {before}")

    async def ended(self, code: int = 0) -> list[str]:
        """What it printed, when it has ended by itself."""
        out, err = await self.process.communicate()
        assert self.process.returncode == code and "Traceback" not in err.decode(), err.decode()
        self.last_words = err.decode()
        return (out or b"").decode().splitlines()


@contextlib.asynccontextmanager
async def two_callees():
    async with UserAgent(name="alice") as alice, UserAgent(name="bob") as bob, UserAgent(name="carol") as carol:
        yield alice, bob, carol


async def fails_over(alice, bob, carol, edge, **parts):
    """A call that BOB refuses and CAROL takes; the legs of ALICE and of CAROL."""
    call = alice.invite(NUMBER, edge, **parts)
    bob.reply(await expect_call(bob, call), 503)
    await bob.expect("ACK")
    invite = await expect_call(carol, call)
    carol.ring(invite)
    await call.expect(180)
    callee = carol.answer(invite)
    caller = await call.established()
    await callee.expect("ACK")
    return caller, callee


async def hang_up(caller, callee) -> None:
    bye = callee.bye()
    caller.ua.reply(await caller.expect("BYE"), 200)
    await callee.expect(lambda m: m.status == 200 and m.cseq == bye.cseq)


WHOLE = ["INVITE", "100 Trying", "INVITE", "503 Service Unavailable", "ACK", "INVITE", "180 Ringing", "180 Ringing",
         "200 OK", "200 OK", "ACK", "ACK", "BYE", "BYE", "200 OK", "200 OK"]  # fmt: skip


def label(one: dict) -> str:
    return one["method"] or f"{one['status']} {one['reason']}"


@pytest.fixture
def edge(free_port):
    return "127.0.0.1", free_port()


async def test_a_call_is_traced_over_the_death_of_its_router(home, edge):
    """As JSON by its Call-ID, as ladder and capture by From, by source as lines; two shards."""
    async with two_callees() as (alice, bob, carol):
        life = home.start(edge_config(edge, [bob.address, carol.address], policy=POLICY, timers=SHORT_TIMERS, shards=2))
        await asyncio.to_thread(life.ready)
        by_id = await Traced().begun(home, "this-one", "--json")
        kept_in = home.place / "c.pcap"
        ladder = await Traced().begun(home, "--from", "ALICE@", "--ladder", "--calls", 2, "--pcap", kept_in)
        lines = await Traced().begun(home, "--source", "127.0.0.1", "--to", "80123", "--calls", 2)

        caller, callee = await fails_over(alice, bob, carol, edge, call_id="this-one")
        life.kill_router()
        for one in (by_id, ladder, lines):
            assert "has taken over; the trace goes on" in await one.said("another router")
        await hang_up(caller, callee)
        call = alice.invite(NUMBER, edge, call_id="\u00e4-other")
        bob.reply(await expect_call(bob, call), 486, f"{OWNED}Busy")
        await call.refused(486)

        drawn, shown = await ladder.ended(), await lines.ended()
        by_id.process.send_signal(signal.SIGINT)
        said = [json.loads(line) for line in await by_id.ended()]
        assert sorted(map(label, said)) == sorted(WHOLE) and {one["call_id"] for one in said} == {"this-one"}
        assert (label(said[0]), label(said[-1])) == ("INVITE", "200 OK")
        at = {name: f"{ua.address[0]}:{ua.address[1]}" for name, ua in (("alice", alice), ("carol", carol))}
        assert (said[0]["from"], said[0]["to"], said[0]["received"]) == (at["alice"], f"127.0.0.1:{edge[1]}", True)
        assert said[0]["message"].startswith("INVITE ") and not any(one["again"] or one["cut"] for one in said)
        assert "2 calls over" in lines.last_words and "2 calls over" in ladder.last_words

        heads = [number for number, line in enumerate(drawn) if line.startswith("Call-ID ")]
        assert [drawn[number] for number in heads] == ["Call-ID this-one", "Call-ID \u00e4-other"]
        assert drawn[1].split() == [f"127.0.0.1:{port}" for port in (alice.port, edge[1], bob.port, carol.port)]
        assert len(drawn[heads[0] + 2 : heads[1] - 1]) == len(WHOLE)
        assert sum(" 486 " in line and "owned" in line for line in drawn) == 2
        assert len(shown) == len(said) + 7 and OWNED not in "".join(drawn + shown)
        kept = read_capture(kept_in.read_bytes())
        assert len(kept) == len(shown) and all(whole == len(packet) for _, whole, packet in kept)


async def test_a_ladder_on_a_terminal_is_drawn_anew_and_ends_by_ctrl_c(home, edge):
    async with two_callees() as (alice, bob, carol):
        life = home.start(edge_config(edge, [bob.address, carol.address], policy=POLICY))
        await asyncio.to_thread(life.ready)
        terminal, side = pty.openpty()
        found = bytearray()
        loop = asyncio.get_running_loop()
        loop.add_reader(terminal, lambda: found.extend(os.read(terminal, 1 << 16)))
        ladder = await Traced().begun(home, "--to", "80123", "--ladder", stdout=side)
        os.close(side)
        call = alice.invite(NUMBER, edge)
        bob.reply(await expect_call(bob, call), 486, f"{OWNED}Busy")
        await call.refused(486)
        while b"owned" not in found:    # the test's own limit ends it
            await asyncio.sleep(0.02)
        ladder.process.send_signal(signal.SIGINT)
        await ladder.ended()
        await asyncio.sleep(0)
        loop.remove_reader(terminal)
        assert OWNED.encode() not in found and b"Call-ID " + call.call_id.encode() in found
        os.close(terminal)


async def spans_of(home) -> dict:
    return json.loads((await run("status", home.config, "--json")).stdout)["spans"]


async def sampled(home, share: int) -> None:
    text = Path(home.config).read_text()
    home.write(text.replace(f"sample = {1 - share}", f"sample = {share}"))
    assert (await run("reload", home.config)).returncode == 0


async def call_until_seen(collector, alice, bob, carol, edge, number: int) -> None:
    """Calls, until one of them is seen: nobody says when the desk has begun to look."""
    while True:
        number += 1
        caller, callee = await fails_over(alice, bob, carol, edge, call_id=f"try-{number}")
        await hang_up(caller, callee)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(2):
                await collector.of(f"try-{number}", 3)
                return


async def test_a_collector_gets_the_spans_of_calls_and_its_absence_costs_no_call(home, edge):
    async with Collector() as collector, two_callees() as (alice, bob, carol):
        otel = f'[otel]\nendpoint = "{collector.url}"\nsample = 1\nservice = "edge"\n'
        life = home.start(edge_config(edge, [bob.address, carol.address], policy=POLICY, rules=otel, shards=2))
        await asyncio.to_thread(life.ready)
        await call_until_seen(collector, alice, bob, carol, edge, 0)

        trace, parent = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
        await hang_up(*await fails_over(alice, bob, carol, edge, call_id="one",
                                        headers=[("traceparent", f"00-{trace}-{parent}-01")]))
        whole, first, second = await collector.of("one", 3)
        assert (whole.trace, whole.parent, whole.name, whole.kind) == (trace, parent, "INVITE request", "server")
        branch = ("INVITE branch", "client", whole.id)
        assert [(one.name, one.kind, one.parent) for one in (first, second)] == [branch, branch]
        assert [one.facts["sip.response.status_code"] for one in (whole, first, second)] == [200, 503, 200]
        assert [one.facts["network.peer.port"] for one in (whole, first, second)] == [alice.port, bob.port, carol.port]
        assert [one.failed for one in (whole, first, second)] == [False, True, False]
        assert whole.began <= first.began <= first.ended <= second.began <= second.ended <= whole.ended
        assert whole.resource["service.name"] == "edge" and (await spans_of(home))["lost"] == 0

        collector.status = 503
        await hang_up(*await fails_over(alice, bob, carol, edge, call_id="two"))
        while (counts := await spans_of(home))["lost"] < 3:
            pass
        assert counts["why"] == "it answers 503" and "3 lost" in (await run("status", home.config)).stdout
        collector.status = 200

        await sampled(home, 0)
        while list((home.place / "run").glob("mirror/*.ring")):    # nobody looks any more
            await asyncio.sleep(0.02)
        await hang_up(*await fails_over(alice, bob, carol, edge, call_id="three"))
        await sampled(home, 1)
        await kill_desk(life)
        ended = await life.logged("the program that tells webhooks and sends spans ended, another one goes on")
        assert "spans" in ended["lost"]
        await call_until_seen(collector, alice, bob, carol, edge, 1000)
        assert (await spans_of(home))["lost"] == 3
        assert not [one for one in collector.spans if one.facts["sip.call_id"] in ("two", "three")]
