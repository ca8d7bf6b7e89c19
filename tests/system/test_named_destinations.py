"""Destinations that are names, with the real processes: targets come and go with what DNS says, and calls go on.

An answer counts for five seconds at least, whatever its TTL: who waits for the next one waits for its record in the
log.
"""

import asyncio
import json
import os
import signal
from collections.abc import Iterable

import pytest
from dns_server import DnsServer, Host
from ua import UserAgent

from tests.conftest import wait_until

from .edge import NUMBER, edge_config, expect_call
from .lives import command, killed_and_back
from .test_sql_life import desk_of

NAME = "gw.test"
SERVICE = f"_sip._udp.{NAME}"
IDENTITY = f"media/sip:{NAME}"
CHANGED = "targets of names have changed"
UNRESOLVED = "a name is not resolved"


@pytest.fixture
def edge(free_port):
    return "127.0.0.1", free_port()


def named_config(edge, *others: UserAgent, names: Iterable[str] = (f"sip:{NAME}",), **parts) -> str:
    """The names behind the others."""
    text = edge_config(edge, [one.address for one in others], **parts)
    before, _, after = text.partition("destinations = [")
    inside, _, after = after.partition("]")
    uris = [*filter(None, [inside]), *map(json.dumps, names)]
    return f"{before}destinations = [{', '.join(uris)}]{after}"


def describe(dns: DnsServer, *targets: UserAgent) -> None:
    """These are the targets of NAME from now on."""
    dns.zone["host.test"] = Host(a=["127.0.0.1"], ttl=1)
    dns.zone[NAME] = Host()
    dns.zone[SERVICE] = Host(srv=[(1, 1, one.port, "host.test") for one in targets], ttl=1)


def target(one: UserAgent) -> str:
    return f"{IDENTITY}=udp:127.0.0.1:{one.port}"


async def ask(home, *words: object, config: bool = True) -> str:
    done = await asyncio.to_thread(command, *words, *(("--config", home.config) if config else ()))
    assert done.returncode == 0, done.stderr
    return done.stdout


async def listed(home) -> dict:
    return json.loads(await ask(home, "dispatcher", "list", "--json"))


async def states(home) -> dict[str, str]:
    """Which admin state counts of each target."""
    return {one["id"]: one["admin"] for one in (await listed(home))["destinations"]}


async def counted(home) -> dict[str, int]:
    """How often each was chosen."""
    return {one["id"]: one["chosen"] for one in (await listed(home))["destinations"]}


async def taken_by(alice: UserAgent, edge, callees: Iterable[UserAgent]):
    """The next call, who gets it, and its INVITE there."""
    call = alice.invite(NUMBER, edge)
    waiting = {asyncio.create_task(expect_call(one, call)): one for one in callees}
    try:
        done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED, timeout=20)
    finally:
        for task in waiting:
            task.cancel()
    (task,) = done
    return call, waiting[task], task.result()


async def callees_of(alice: UserAgent, edge, callees: list[UserAgent]) -> set[int]:
    """Ports of who gets the next calls, two rounds of them; all are refused there."""
    found = set()
    for _ in range(2 * len(callees)):
        call, callee, invite = await taken_by(alice, edge, callees)
        callee.reply(invite, 486)
        await call.refused(486)
        found.add(callee.port)
    return found


async def connected(alice: UserAgent, edge, wanted: UserAgent, callees: list[UserAgent]):
    """The legs of a call to this one of them."""
    for _ in range(2 * len(callees)):
        call, callee, invite = await taken_by(alice, edge, callees)
        if callee is wanted:
            leg = callee.answer(invite)
            alice_leg = await call.established()
            await leg.expect("ACK")
            return alice_leg, leg
        callee.reply(invite, 486)
        await call.refused(486)
    raise AssertionError(f"no call came to {wanted.name}")


async def hang_up(leg, other, ua: UserAgent) -> None:
    leg.bye()
    ua.reply(await other.expect("BYE"), 200)
    await leg.expect(200)


async def test_targets_come_and_go_and_calls_go_on(home, edge, monkeypatch):
    async with DnsServer() as dns, UserAgent() as alice, UserAgent() as bob, UserAgent() as carol, UserAgent() as dora:
        monkeypatch.setenv("FASTSIP_NAMESERVERS", dns.text)
        describe(dns, bob, carol, dora)
        life = home.start(named_config(edge, algorithm="round-robin", set_keys="setid = 7\nruri = \"host\"")).ready()
        await life.logged(CHANGED)
        three = [bob, carol, dora]
        assert await callees_of(alice, edge, three) == {one.port for one in three}
        await is_shown(home, three)
        await words_hold(home, alice, edge, three)

        # Another answer: who went has no new calls, what he has goes on, and who stays keeps what was learned of him.
        legs = await connected(alice, edge, bob, three)
        await ask(home, "dispatcher", "drain", target(carol))
        chosen = await counted(home)
        describe(dns, dora)
        await life.logged(CHANGED, 2)
        assert await counted(home) == {target(dora): chosen[target(dora)]}
        assert await callees_of(alice, edge, [dora]) == {dora.port}
        await hang_up(*legs, bob)

        # They come back, and what was counted of them and said of them is there.
        describe(dns, bob, carol, dora)
        await life.logged(CHANGED, 3)
        assert await states(home) == {target(bob): "enabled", target(carol): "draining", target(dora): "enabled"}
        assert (await counted(home))[target(bob)] == chosen[target(bob)]
        assert await callees_of(alice, edge, [bob, dora]) == {bob.port, dora.port}
        assert life.end(signal.SIGTERM) == 0


async def is_shown(home, three: list[UserAgent]) -> None:
    """By all who show destinations."""
    ids = {target(one) for one in three}
    lines = (await ask(home, "dispatcher", "list")).splitlines()
    assert lines[0] == "media (setid 7, round-robin): 3 destinations, 3 take calls"
    assert lines[2].startswith(f"{IDENTITY}  ")
    assert {line.split()[0] for line in lines[3:]} == ids and all(line.startswith("  ") for line in lines[3:])
    kamailio = await ask(home, "dispatcher", "list", "--kamailio")
    assert kamailio.count("URI:") == 1 and f"URI: sip:{NAME}" in kamailio and "FLAGS: AX" in kamailio
    shown = json.loads(await ask(home, "dispatcher", "show", IDENTITY, "--json"))
    assert set(shown["targets"]) == ids and shown["resolved"] and shown["chosen"] == 6
    alone = json.loads(await ask(home, "dispatcher", "show", target(three[0]), "--json"))
    assert (alone["parent"], alone["address"]) == (IDENTITY, f"127.0.0.1:{three[0].port}")
    checked = await ask(home, "check", home.config, config=False)
    assert all(f"127.0.0.1:{one.port}" in checked for one in three) and f"id {IDENTITY}," in checked
    metrics = await ask(home, "metrics", home.config, config=False)
    assert 'fastsip_set_names_unresolved{set="media",setid="7"} 0' in metrics
    assert all(f'destination="{one}"' in metrics for one in ids)


async def words_hold(home, alice: UserAgent, edge, three: list[UserAgent]) -> None:
    """One on a name for all of its targets, one on a target for that alone, until the next one on the name."""
    bob, carol, dora = three
    said = json.loads(await ask(home, "dispatcher", "disable", target(bob), "--json"))
    assert said["changed"] == 1
    assert await callees_of(alice, edge, [carol, dora]) == {carol.port, dora.port}
    said = json.loads(await ask(home, "dispatcher", "disable", IDENTITY, "--why", "night", "--json"))
    assert (said["destinations"], said["changed"], said["empty"]) == ([IDENTITY], 1, ["media"])
    call = alice.invite(NUMBER, edge)
    await call.refused(500)
    said = json.loads(await ask(home, "dispatcher", "enable", "--set", "media", "--json"))
    assert (said["destinations"], said["changed"], said["empty"]) == ([IDENTITY], 1, [])
    assert set((await states(home)).values()) == {"enabled"}
    assert await callees_of(alice, edge, three) == {one.port for one in three}


async def test_servers_may_be_away_and_processes_die(home, edge, monkeypatch):
    """What DNS said last counts, over the end of every process that knows it."""
    async with DnsServer() as dns, UserAgent() as alice, UserAgent() as bob, UserAgent() as carol:
        monkeypatch.setenv("FASTSIP_NAMESERVERS", dns.text)
        describe(dns, bob, carol)
        text = named_config(edge, algorithm="round-robin", policy='on = ["transport"]\nmark = { transport = "down" }')
        life = home.start(text).ready()
        await life.logged(CHANGED)
        both = [bob, carol]
        assert await callees_of(alice, edge, both) == {one.port for one in both}

        # The process that asks dies, and another one asks.
        first = desk_of(life)
        os.kill(first, signal.SIGKILL)
        asked = dns.count(SERVICE, "SRV")
        await dns.wait_for(lambda: dns.count(SERVICE, "SRV") > asked)
        assert desk_of(life) != first

        # All servers fail.
        for host in dns.zone.values():
            host.failing = ("A", "SRV", "NAPTR")
        await life.logged(UNRESOLVED)
        assert await callees_of(alice, edge, both) == {one.port for one in both}
        assert "the last answer counts" in life.records(UNRESOLVED)[-1]["why"]
        assert f"{IDENTITY}: " in (await ask(home, "dispatcher", "list")).splitlines()[-1]

        # The router dies, and so does all of it; a start waits for no server.
        routed = life.router_pid()
        life.kill_router()
        await asyncio.to_thread(wait_until, lambda: life.router_pid() != routed)
        assert await callees_of(alice, edge, both) == {one.port for one in both}
        life = await killed_and_back(life, home)
        assert await callees_of(alice, edge, both) == {one.port for one in both}
        for order in ("reload", "upgrade"):
            done = await asyncio.to_thread(command, order, home.config)
            assert done.returncode == 0, done.stderr
            assert await callees_of(alice, edge, both) == {one.port for one in both}

        # One of the two dies: the call that finds that out goes to the other one, and the name lives.
        bob.close()
        assert await callees_of(alice, edge, [carol]) == {carol.port}
        found = await listed(home)
        assert {one["id"]: one["health"] for one in found["destinations"]}[target(bob)] == "down"
        lines = (await ask(home, "dispatcher", "list")).splitlines()
        assert lines[2].split()[:2] != [IDENTITY, "down"]
        assert life.end(signal.SIGTERM) == 0


async def test_a_name_that_is_not_resolved_keeps_nobody_waiting(home, edge, monkeypatch):
    async with DnsServer() as dns, UserAgent() as alice, UserAgent() as bob, UserAgent() as carol:
        monkeypatch.setenv("FASTSIP_NAMESERVERS", dns.text)
        text = named_config(edge, bob, names=("sip:nobody.test", "sip:other.test"))
        life = home.start(text).ready()
        await life.logged(UNRESOLVED, 2)
        assert await callees_of(alice, edge, [bob]) == {bob.port}
        found = await listed(home)
        assert {one["id"]: (one["resolved"], one["trouble"]) for one in found["names"]} == {
            f"media/sip:{name}": (False, "there is no such name") for name in ("nobody.test", "other.test")}
        assert ["media/sip:nobody.test", "unresolved"] in [
            line.split()[:2] for line in (await ask(home, "dispatcher", "list")).splitlines()]
        status = json.loads(await ask(home, "status", home.config, "--json", config=False))
        assert status["names_unresolved"] == ["media/sip:nobody.test", "media/sip:other.test"]

        # A reload waits for names that are new, and not for long.
        describe(dns, carol)
        dns.zone["late.test"] = Host(silent=("NAPTR", "SRV", "A"))
        home.write(named_config(edge, names=(f"sip:{NAME}", "sip:late.test")))
        done = await asyncio.to_thread(command, "reload", home.config)
        assert done.returncode == 0, done.stderr
        assert not life.records(CHANGED)
        assert await callees_of(alice, edge, [carol]) == {carol.port}

        # And so does an operator's word.
        home.write(named_config(edge, bob, set_keys="setid = 7", names=()))
        assert (await asyncio.to_thread(command, "reload", home.config)).returncode == 0
        added = json.loads(await ask(home, "dispatcher", "add", "media", f"sip:{NAME}", "--json"))
        assert added == {"id": IDENTITY} and set(await states(home)) == {target(carol), f"media/sip:{bob_uri(bob)}"}
        await ask(home, "dispatcher", "remove", IDENTITY)
        assert set(await states(home)) == {f"media/sip:{bob_uri(bob)}"}
        assert life.end(signal.SIGTERM) == 0


def bob_uri(bob: UserAgent) -> str:
    return f"127.0.0.1:{bob.port}"


async def test_a_set_of_nothing_but_a_name_starts_without_it(home, edge, monkeypatch):
    """Then DNS knows it, by NAPTR records, an answer that is cut and comes again over TCP, and an alias."""
    async with DnsServer() as dns, UserAgent() as alice, UserAgent() as bob, UserAgent() as carol:
        monkeypatch.setenv("FASTSIP_NAMESERVERS", dns.text)
        life = home.start(named_config(edge, algorithm="priority")).ready()
        await life.logged(UNRESOLVED)
        call = alice.invite(NUMBER, edge)
        await call.refused(500)
        dns.zone[NAME] = Host(naptr=[(1, 1, "s", "SIP+D2T", "_sip._tcp.gw.test"), (2, 1, "s", "SIP+D2U", "srv.test")])
        dns.zone["srv.test"] = Host(srv=[(1, 1, bob.port, "one.test"), (2, 1, carol.port, "two.test")], ttl=1,
                                    truncated=("SRV",))
        dns.zone["one.test"] = Host(cname=("alias.test", 1), a=["127.0.0.1"], ttl=1)
        dns.zone["two.test"] = Host(a=["127.0.0.1"], ttl=1)
        await life.logged(CHANGED)
        assert await callees_of(alice, edge, [bob, carol]) == {bob.port}, "the tier above lives"
        bob.close()
        assert await callees_of(alice, edge, [carol]) == {carol.port}

        # The owner of the name says that there is no such service.
        dns.zone["srv.test"] = Host(srv=[(0, 0, 0, ".")], ttl=1)
        await life.logged(CHANGED, 2)
        call = alice.invite(NUMBER, edge)
        await call.refused(500)
        assert life.end(signal.SIGTERM) == 0
