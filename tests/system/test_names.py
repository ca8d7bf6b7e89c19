"""Next hops that are names, with the real process: `[names]`, DNS, and what waits for an answer.

The caller is trusted, so its Route counts; the callee's Contact is a name, so ACK and BYE need it, too.
"""

import asyncio
import json
import signal
import subprocess
import sys

import pytest
from dns_server import DnsServer, Host
from ua import UserAgent

from tests.conftest import ROOT

from .edge import NUMBER, edge_config, expect_call, settle
from .lives import command, killed_and_back

NAME = "gw.test"
FAIL_LIMIT_S = 6  # an INVITE whose name nobody knows fails after 2 s


@pytest.fixture
def edge(free_port):
    return "127.0.0.1", free_port()


def named_config(edge, bob: UserAgent, names: str = "", **parts) -> str:
    text = edge_config(edge, [bob.address], rules=names, **parts)
    return text.replace("[router]\n", '[router]\ntrusted = ["127.0.0.1/32"]\n')


def route_to(bob: UserAgent, name: str = NAME) -> list[tuple[str, str]]:
    return [("Route", f"<sip:{name}:{bob.port};lr>")]


async def call_by_name(alice: UserAgent, bob: UserAgent, edge, name: str = NAME) -> None:
    """A whole call by the rules whose callee says that it is to be reached under a name: ACK and BYE go there."""
    call = alice.invite(NUMBER, edge)
    invite = await expect_call(bob, call)
    ok = bob.reply(invite, 200, headers=[("Contact", f"<sip:bob@{name}:{bob.port}>")])
    leg = await call.established()
    ack = await bob.expect(lambda m: m.method == "ACK" and m.call_id == call.call_id)
    assert ack.uri == f"sip:bob@{name}:{bob.port}" and ack.to_tag == ok.to_tag
    leg.bye()
    bye = await bob.expect(lambda m: m.method == "BYE" and m.call_id == call.call_id)
    bob.reply(bye, 200)
    await leg.expect(200)


async def test_static_names(router, edge):
    """A name of its own with the port that the URI leaves open, and "*" for all others."""
    async with UserAgent(name="alice") as alice, UserAgent(name="bob") as bob:
        names = f'[names]\n"{NAME}" = ["127.0.0.1:{bob.port}"]\n"*" = "127.0.0.1"\n'
        router(named_config(edge, bob, names))
        call = alice.invite(NUMBER, edge, headers=[("Route", f"<sip:{NAME.upper()}.;lr>")])
        bob.reply(await expect_call(bob, call), 486)
        await call.refused(486)
        await call_by_name(alice, bob, edge, "any.other.test")


@pytest.mark.parametrize("shards", [1, 2])
async def test_dns_is_asked_and_the_call_goes_on(router, edge, monkeypatch, shards):
    """The ACK finds no address yet and waits; the BYE does not have to."""
    async with DnsServer() as dns, UserAgent(name="alice") as alice, UserAgent(name="bob") as bob:
        monkeypatch.setenv("FASTSIP_NAMESERVERS", dns.text)
        dns.zone[NAME] = Host(a=["127.0.0.1"])
        router(named_config(edge, bob, shards=shards))
        for _ in range(3):
            await call_by_name(alice, bob, edge)
        assert dns.asked == [(NAME, "A")]  # no listener has IPv6


async def test_an_invite_waits_and_goes_on(router, edge, monkeypatch):
    async with DnsServer() as dns, UserAgent(name="alice") as alice, UserAgent(name="bob") as bob:
        monkeypatch.setenv("FASTSIP_NAMESERVERS", dns.text)
        dns.zone[NAME] = Host(a=["127.0.0.1"], delay_s={"A": 0.3})
        router(named_config(edge, bob))
        call = alice.invite(NUMBER, edge, headers=route_to(bob))
        await call.expect(100)
        call.again()
        await call.expect(100)
        bob.answer(await expect_call(bob, call))
        await call.established()
        assert dns.count(NAME) == 1


async def test_a_name_that_does_not_exist(router, edge, monkeypatch):
    async with DnsServer() as dns, UserAgent(name="alice") as alice, UserAgent(name="bob") as bob:
        monkeypatch.setenv("FASTSIP_NAMESERVERS", dns.text)
        router(named_config(edge, bob))
        for _ in range(2):
            call = alice.invite(NUMBER, edge, headers=route_to(bob))
            await call.refused(500)
        assert dns.count(NAME) == 1  # believed for a while
        assert not bob.inbox


async def test_a_failing_server_and_what_it_costs(home, edge, monkeypatch):
    """500 after two seconds; counted and logged."""
    async with DnsServer() as dns, UserAgent(name="alice") as alice, UserAgent(name="bob") as bob:
        monkeypatch.setenv("FASTSIP_NAMESERVERS", dns.text)
        dns.zone[NAME] = Host(failing=("A",))
        life = home.start(named_config(edge, bob)).ready()
        call = alice.invite(NUMBER, edge, headers=route_to(bob))
        record = await life.logged("name not resolved")
        assert (record["name"], record["last_answer_kept"]) == (NAME, False)
        await call.refused(500, FAIL_LIMIT_S)
        command = [sys.executable, "-m", "fastsip", "stats", "--json", str(home.config)]
        stats = json.loads(subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout)
        wanted = {"names_asked": 1, "names_failed": 1, "parked": 1, "parked_dropped": 0}
        assert {name: stats[name] for name in wanted} == wanted
        assert life.end(signal.SIGTERM) == 0


async def test_the_last_good_answer_outlives_the_server(home, edge, monkeypatch):
    """Five seconds is the shortest time that an answer counts, whatever its TTL; the port is closed by then."""
    async with UserAgent(name="alice") as alice, UserAgent(name="bob") as bob:
        async with DnsServer() as dns:
            monkeypatch.setenv("FASTSIP_NAMESERVERS", dns.text)
            dns.zone[NAME] = Host(a=["127.0.0.1"], ttl=0)
            life = home.start(named_config(edge, bob)).ready()
            await call_by_name(alice, bob, edge)
        while not life.records("name not resolved"):
            await call_by_name(alice, bob, edge)
        assert life.records("name not resolved")[0]["last_answer_kept"] is True
        await call_by_name(alice, bob, edge)
        assert life.end(signal.SIGTERM) == 0


async def test_cancelled_while_it_waits(router, edge, monkeypatch):
    async with DnsServer() as dns, UserAgent(name="alice") as alice, UserAgent(name="bob") as bob:
        monkeypatch.setenv("FASTSIP_NAMESERVERS", dns.text)
        dns.zone[NAME] = Host(silent=("A",))
        router(named_config(edge, bob))
        call = alice.invite(NUMBER, edge, headers=route_to(bob))
        await call.expect(100)
        call.cancel()
        assert (await call.expect(200)).get("CSeq") == "1 CANCEL"
        await call.refused(487)
        await settle(alice, edge)
        assert not bob.inbox


async def test_a_reload_names_it(home, edge, monkeypatch):
    """What waits goes on at once; without the line it is asked for again."""
    async with DnsServer() as dns, UserAgent(name="alice") as alice, UserAgent(name="bob") as bob:
        monkeypatch.setenv("FASTSIP_NAMESERVERS", dns.text)
        dns.zone[NAME] = Host(silent=("A",))
        life = home.start(named_config(edge, bob)).ready()
        call = alice.invite(NUMBER, edge, headers=route_to(bob))
        await call.expect(100)
        home.write(named_config(edge, bob, f'[names]\n"{NAME}" = ["127.0.0.1"]\n'))
        life.process.send_signal(signal.SIGHUP)
        bob.reply(await expect_call(bob, call), 486)
        await call.refused(486)
        home.write(named_config(edge, bob))
        life.process.send_signal(signal.SIGHUP)
        await life.logged("reloaded", 2)
        dns.zone[NAME] = Host(a=["127.0.0.1"])
        before = dns.count(NAME)
        again = alice.invite(NUMBER, edge, headers=route_to(bob))
        bob.reply(await expect_call(bob, again), 486)
        await again.refused(486)
        assert dns.count(NAME) > before
        assert life.end(signal.SIGTERM) == 0


async def test_a_domain_leads_to_three_targets_of_which_one_lives(home, edge, monkeypatch, free_port):
    """By NAPTR and SRV: one port is closed, one says nothing, and from the third call on nobody waits for them."""
    async with (DnsServer() as dns, UserAgent(name="alice") as alice, UserAgent(name="mute") as mute,
                UserAgent(name="bob") as bob):
        monkeypatch.setenv("FASTSIP_NAMESERVERS", dns.text)
        dns.zone["example.test"] = Host(naptr=[(1, 1, "s", "SIP+D2T", "_sip._tcp.example.test"),
                                               (2, 1, "s", "SIP+D2U", "_sip._udp.other.test")])
        dns.zone["_sip._udp.other.test"] = Host(srv=[(3, 1, bob.port, NAME), (1, 1, free_port(), NAME),
                                                     (2, 1, mute.port, NAME)])
        dns.zone[NAME] = Host(a=["127.0.0.1"])
        config = named_config(edge, bob, '[resolve]\ntarget_timeout = "400ms"\n')
        life = home.start(config).ready()

        async def call_the_domain():
            call = alice.invite(NUMBER, edge, headers=[("Route", "<sip:example.test;lr>")])
            bob.answer(await expect_call(bob, call))
            await call.established()
            return call.call_id

        first, second = await call_the_domain(), await call_the_domain()
        assert {m.call_id for m in mute.waiting("INVITE")} == {first, second}
        third = await call_the_domain()
        assert third not in {m.call_id for m in mute.waiting("INVITE")}
        assert dns.asked == [("example.test", "NAPTR"), ("_sip._udp.other.test", "SRV"), (NAME, "A")]
        stats = json.loads((await asyncio.to_thread(command, "stats", "--json", home.config)).stdout)
        assert (stats["targets_rested"], stats["names_cut"], stats["parked"]) == (2, 0, 1)
        asked = await asyncio.to_thread(command, "resolve", "sip:example.test", "--json", "--config", home.config)
        told = json.loads(asked.stdout)
        assert told["resolved"]["key"] == "n:sip:example.test"
        assert [(one["port"], one["tier"]) for one in told["resolved"]["places"]][1:] == [(mute.port, 2), (bob.port, 3)]
        assert life.end(signal.SIGTERM) == 0


async def test_what_waits_survives_a_kill(home, edge, monkeypatch):
    async with DnsServer() as dns, UserAgent(name="alice") as alice, UserAgent(name="bob") as bob:
        monkeypatch.setenv("FASTSIP_NAMESERVERS", dns.text)
        dns.zone[NAME] = Host(silent=("A",))
        life = home.start(named_config(edge, bob)).ready()
        call = alice.invite(NUMBER, edge, headers=route_to(bob))
        await call.expect(100)
        await asyncio.to_thread(life.kill)
        dns.zone[NAME] = Host(a=["127.0.0.1"])
        second = home.start().ready()
        bob.answer(await expect_call(bob, call))
        await call.established()
        assert second.end(signal.SIGTERM) == 0


async def test_what_dns_said_survives_a_kill_and_an_upgrade(home, edge, monkeypatch):
    """No server answers any more when the second router and the third one route."""
    async with UserAgent(name="alice") as alice, UserAgent(name="bob") as bob:
        async with DnsServer() as dns:
            monkeypatch.setenv("FASTSIP_NAMESERVERS", dns.text)
            dns.zone[NAME] = Host(a=["127.0.0.1"])
            life = home.start(named_config(edge, bob)).ready()
            while not (home.place / "run" / "names").exists():
                await call_by_name(alice, bob, edge)
        second = await killed_and_back(life, home)
        await call_by_name(alice, bob, edge)
        assert (await asyncio.to_thread(command, "upgrade", home.config)).returncode == 0
        await call_by_name(alice, bob, edge)
        assert not second.records("name not resolved")
        assert second.end(signal.SIGTERM) == 0


@pytest.mark.parametrize("shards", [1, 2])
async def test_an_ack_that_waits_goes_on_in_the_next_router(home, edge, monkeypatch, shards):
    """It has no transaction; its name is known only when another router routes, with another number of shards."""
    async with DnsServer() as dns, UserAgent(name="alice") as alice, UserAgent(name="bob") as bob:
        monkeypatch.setenv("FASTSIP_NAMESERVERS", dns.text)
        dns.zone[NAME] = Host(silent=("A",))
        life = home.start(named_config(edge, bob, shards=shards)).ready()
        call = alice.invite(NUMBER, edge)
        invite = await expect_call(bob, call)
        home.write(named_config(edge, bob, shards=3 - shards))
        bob.reply(invite, 200, headers=[("Contact", f"<sip:bob@{NAME}:{bob.port}>")])
        await call.established()
        assert (await asyncio.to_thread(command, "reload", home.config)).returncode == 0
        assert not bob.waiting("ACK")
        dns.zone[NAME] = Host(a=["127.0.0.1"])
        await bob.expect("ACK")
        assert len(life.records("router started")) == 2
        assert life.end(signal.SIGTERM) == 0


async def test_the_next_address_of_a_name(router, edge, free_port):
    """One of its ports is closed, which ICMP says: each of eight calls reaches the other one."""
    async with UserAgent(name="alice") as alice, UserAgent(name="bob") as bob:
        names = f'[names]\n"{NAME}" = ["127.0.0.1:{free_port()}", "127.0.0.1:{bob.port}"]\n'
        rule = '[[route]]\nforward = "request-uri"\nwhen = { domain = "gw.test" }\n'
        router(named_config(edge, bob, names + rule))
        for _ in range(8):
            call = alice.invite(f"sip:80123@{NAME}", edge)
            bob.answer(await expect_call(bob, call))
            await call.established()
