"""The desk and DNS: a real line and a real server, and every kind of answer that there is."""

import asyncio

import pytest
from dns_server import DnsServer, Host

from fastsip.desk.names import Asker
from fastsip.process.launch import pair
from fastsip.process.line import Line
from fastsip.process.messages import AskName
from fastsip.resolve.asking import DENIED, NO_NAME, Question

LIMIT_S = 20
UDP = "_sip._udp.gw.test"


@pytest.fixture
def asker(monkeypatch):
    """Asks a server, and returns what comes over the line."""
    ours, theirs = map(Line, pair())
    ours.sock.settimeout(LIMIT_S)
    askers = []

    async def ask(dns: DnsServer, question: Question, types=("A",)):
        if not askers:
            monkeypatch.setenv("FASTSIP_NAMESERVERS", dns.text)
            askers.append(Asker(theirs))
        askers[0].ask(AskName(number=7, question=question, types=list(types), transports=["udp"]))
        received = await asyncio.to_thread(ours.receive)
        assert received.message.number == 7
        return received.message.outcome

    yield ask
    for one in askers:
        one.loop.call_soon_threadsafe(one.loop.stop)
    ours.close()
    theirs.close()


def places(outcome) -> list[tuple[str, int, int]]:
    return [(one.host, one.port, one.tier) for one in outcome.targets]


async def test_naptr_srv_and_addresses_of_both_families(asker):
    async with DnsServer() as dns:
        dns.zone["gw.test"] = Host(naptr=[(1, 1, "s", "SIP+D2U", UDP), (1, 2, "S", "sips+d2t", "_sips._tcp.gw.test")])
        dns.zone[UDP] = Host(srv=[(1, 5, 5070, "a.test"), (2, 5, 5080, "b.test")], ttl=300)
        dns.zone["a.test"] = Host(a=["10.0.0.1"], aaaa=["2001:db8::1"], ttl=200)
        dns.zone["b.test"] = Host(a=["10.0.0.2"], ttl=100)
        found = await asker(dns, Question("gw.test"), ("A", "AAAA"))
        assert places(found) == [("10.0.0.1", 5070, 0), ("2001:db8::1", 5070, 0), ("10.0.0.2", 5080, 1)]
        assert (found.why, found.nothing, found.cut) == ("", "", 0) and found.ttl_s <= 100


async def test_a_truncated_answer_is_asked_for_over_tcp(asker):
    async with DnsServer() as dns:
        dns.zone[UDP] = Host(srv=[(1, 1, 5000 + number, "a.test") for number in range(40)], truncated=("SRV",))
        dns.zone["a.test"] = Host(a=["10.0.0.1"])
        found = await asker(dns, Question("gw.test", 0, "udp"))
        assert (len(found.targets), found.cut) == (32, 8)


async def test_an_alias_is_followed_and_its_time_counts(asker):
    async with DnsServer() as dns:
        dns.zone["gw.test"] = Host(cname=("alias.test", 7), a=["10.0.0.1"], ttl=300)
        found = await asker(dns, Question("gw.test", 5070))
        assert places(found) == [("10.0.0.1", 5070, 0)] and found.ttl_s <= 7


async def test_what_there_is_not_and_what_is_denied(asker):
    async with DnsServer() as dns:
        dns.zone[UDP] = Host(srv=[(0, 0, 0, ".")])
        dns.zone["gw.test"] = Host(a=["10.0.0.1"])
        found = await asker(dns, Question("gw.test"))
        assert (found.nothing, found.denied, found.targets) == (DENIED, True, ())
        found = await asker(dns, Question("nobody.test"))
        assert (found.nothing, found.denied, found.why) == (NO_NAME, False, "")


@pytest.mark.parametrize("how", ["failing", "silent"])
async def test_what_no_server_answers_is_said_beside_what_another_question_brought(asker, how):
    async with DnsServer() as dns:
        dns.zone["gw.test"] = Host(a=["10.0.0.1"], **{how: ("AAAA",)})
        found = await asker(dns, Question("gw.test", 5070), ("A", "AAAA"))
        assert places(found) == [("10.0.0.1", 5070, 0)] and found.why.startswith("AAAA of gw.test: ")


async def test_a_name_that_no_dns_can_have_does_not_exist(asker):
    async with DnsServer() as dns:
        found = await asker(dns, Question("x" * 70 + ".test", 5060))
        assert found.targets == () and found.nothing
