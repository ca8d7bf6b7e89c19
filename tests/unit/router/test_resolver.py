"""The resolver against a small server of our own: what it asks, what it publishes, for how long.

Keys as the shards ask them: "a:" of a host whose port is known, "s:udp:" and "n:sip:" of what its URI leaves open.
"""

import asyncio
import contextlib

import pytest
from dns_server import DnsServer, Host

from fastsip._core.transport.names import Names
from fastsip.resolve import servers as servers_module
from fastsip.router import dns as dns_module
from fastsip.router import resolver as module
from fastsip.router.dns import MOST_OF_NAME, Found
from fastsip.router.resolver import MOST_NAMES, MOST_OF_ZONE, Resolver, is_failure

HOST = "gw.test"
NAME = f"a:{HOST}"
DOMAIN, SERVICE, SRV_NAME = "n:sip:example.test", "s:udp:example.test", "_sip._udp.example.test"
LIMIT_S = 20
NOW_MS = 5_000_000  # the clock stands still
UDP = ("s", "SIP+D2U")


class Asking:
    """A resolver with its table and what it told."""

    def __init__(self, families):
        self.names = Names()
        self.told: list[int] = []
        self.resolver = Resolver(self.names, self._tell, families)

    def _tell(self, number: int) -> None:
        self.told.append(number)

    async def ask(self, name: str = NAME) -> None:
        """Asks, and waits until that question is done with."""
        self.resolver.ask(name)
        await asyncio.wait_for(asyncio.gather(*self.resolver.tasks), LIMIT_S)

    def state(self, name: str = NAME):
        """(state, addresses without ports, seconds that it counts), or None."""
        known = self.names.known(name)
        return known and (known[0], [host for host, _ in known[1]], (known[2] - NOW_MS) / 1_000)


@contextlib.asynccontextmanager
async def asking(monkeypatch, servers: str, families=(4, 6)):
    monkeypatch.setenv("FASTSIP_NAMESERVERS", servers)
    monkeypatch.setattr(module, "now_ms", lambda: NOW_MS)
    made = Asking(families)
    try:
        yield made
    finally:
        await made.resolver.close()


async def test_both_types_are_asked_for_and_published_together(monkeypatch):
    async with DnsServer() as dns, asking(monkeypatch, dns.text) as asked:
        dns.zone[HOST] = Host(a=["192.0.2.1", "192.0.2.2"], aaaa=["2001:db8::1"], ttl=90)
        await asked.ask()
        assert asked.state() == ("known", ["192.0.2.1", "192.0.2.2", "2001:db8::1"], 90)
        assert asked.told == [asked.names.hash(HOST)]
        assert sorted(dns.asked) == [(HOST, "A"), (HOST, "AAAA")]
        assert {target[1:3] for target in asked.names.targets(NAME)} == {(0, 0)}, "the port is the request's"


@pytest.mark.parametrize("families, kinds", [([4], ["A"]), ([6, 6], ["AAAA"]), ([6, 4, 4], ["A", "AAAA"])])
async def test_only_what_a_listener_could_send_to(monkeypatch, families, kinds):
    async with DnsServer() as dns, asking(monkeypatch, dns.text, families) as asked:
        dns.zone[HOST] = Host(a=["192.0.2.1"], aaaa=["2001:db8::1"])
        await asked.ask()
        assert sorted(kind for _, kind in dns.asked) == kinds


# ---------------------------------------------------------------- NAPTR and SRV


async def test_a_domain_by_naptr_srv_and_addresses(monkeypatch):
    """RFC 3263 4.1: UDP is all that we have; the service of TCP is as if it were not there."""
    async with DnsServer() as dns, asking(monkeypatch, dns.text, [4]) as asked:
        dns.zone["example.test"] = Host(
            naptr=[(10, 10, "s", "SIP+D2T", "_sip._tcp.example.test"), (20, 10, *UDP, "_sip._udp.other.test")],
            ttl=90)
        dns.zone["_sip._udp.other.test"] = Host(srv=[(1, 70, 5070, "a.test"), (1, 30, 5080, "b.test"),
                                                     (2, 0, 5060, "c.test")])
        for number, host in enumerate(("a.test", "b.test", "c.test")):
            dns.zone[host] = Host(a=[f"192.0.2.{number}"], ttl=80)
        await asked.ask(DOMAIN)
        assert asked.names.targets(DOMAIN) == [
            ("192.0.2.0", 5070, 0, 45_864), ("192.0.2.1", 5080, 0, 19_656), ("192.0.2.2", 5060, 1, 65_520)]
        assert asked.state(DOMAIN)[2] == 60, "the shortest TTL of all answers"
        assert [kind for _, kind in dns.asked] == ["NAPTR", "SRV", "A", "A", "A"]
        assert asked.told == [asked.names.hash("example.test")]


async def test_a_domain_without_naptr_is_asked_for_srv_then_for_addresses(monkeypatch):
    async with DnsServer() as dns, asking(monkeypatch, dns.text, [4]) as asked:
        dns.zone["example.test"] = Host(a=["192.0.2.1"])
        await asked.ask(DOMAIN)
        assert asked.names.targets(DOMAIN) == [("192.0.2.1", 5060, 0, 65_520)]
        assert dns.asked == [("example.test", "NAPTR"), (SRV_NAME, "SRV"), ("example.test", "A")]


async def test_with_a_transport_no_naptr_is_asked(monkeypatch):
    async with DnsServer() as dns, asking(monkeypatch, dns.text, [4]) as asked:
        dns.zone["example.test"] = Host(naptr=[(10, 10, *UDP, "_sip._udp.other.test")])
        dns.zone[SRV_NAME] = Host(srv=[(1, 1, 5070, HOST)])
        dns.zone[HOST] = Host(a=["192.0.2.1"])
        await asked.ask(SERVICE)
        assert asked.names.targets(SERVICE) == [("192.0.2.1", 5070, 0, 65_520)]
        assert asked.names.known(DOMAIN) is None and (("example.test", "NAPTR") not in dns.asked)


async def test_a_service_that_is_decidedly_not_there(monkeypatch):
    async with DnsServer() as dns, asking(monkeypatch, dns.text, [4]) as asked:
        dns.zone["example.test"] = Host(a=["192.0.2.1"])
        dns.zone[SRV_NAME] = Host(srv=[(0, 0, 0, ".")])
        await asked.ask(SERVICE)
        assert asked.state(SERVICE) == ("negative", [], module.NEGATIVE_S)


async def test_a_host_of_an_srv_record_that_does_not_resolve_is_left_out(monkeypatch):
    async with DnsServer() as dns, asking(monkeypatch, dns.text, [4]) as asked:
        dns.zone[SRV_NAME] = Host(srv=[(1, 1, 5070, "no.test"), (2, 1, 5070, HOST), (3, 1, 5070, "dead.test")])
        dns.zone[HOST] = Host(a=["192.0.2.1"])
        dns.zone["dead.test"] = Host(failing=("A",))
        await asked.ask(SERVICE)
        assert asked.state(SERVICE) == ("known", ["192.0.2.1"], module.FAILED_S)   # of one nobody knows


@pytest.mark.parametrize("broken", [{"silent": ("NAPTR",)}, {"failing": ("NAPTR",)}])
async def test_a_server_that_does_not_know_naptr_is_no_reason_to_fail(monkeypatch, broken):
    """The best guess counts for a moment; a whole answer of before is better than that."""
    async with DnsServer() as dns, asking(monkeypatch, dns.text, [4]) as asked:
        dns.zone["example.test"] = Host(a=["192.0.2.1"], **broken)
        await asked.ask(DOMAIN)
        assert asked.state(DOMAIN) == ("known", ["192.0.2.1"], module.FAILED_S)
        asked.names.put(DOMAIN, [("192.0.2.9", 5070)], 0, 0)
        await asked.ask(DOMAIN)
        assert asked.state(DOMAIN) == ("known", ["192.0.2.9"], module.FAILED_S)


async def test_of_forty_srv_records_the_best_are_asked_for_and_no_more(monkeypatch):
    """Each host costs a question, and so many of them are out at a time; what is beyond is said."""
    async with DnsServer() as dns, asking(monkeypatch, dns.text, [4]) as asked:
        records = [(number, 1, 5060, f"h{number}.z{number}.test") for number in range(40)]
        dns.zone[SRV_NAME] = Host(srv=records[::-1])
        for number in range(40):
            dns.zone[f"h{number}.z{number}.test"] = Host(a=[f"192.0.2.{number}"], delay_s={"A": 0.02})
        out = []
        await_turn = asked.resolver.dns.servers.ask

        async def counted(name, kind):
            out.append(+1)
            try:
                return await await_turn(name, kind)
            finally:
                out.append(-1)

        monkeypatch.setattr(asked.resolver.dns.servers, "ask", counted)
        await asked.ask(SERVICE)
        assert asked.state(SERVICE)[1] == [f"192.0.2.{number}" for number in range(32)]
        assert [tier for _, _, tier, _ in asked.names.targets(SERVICE)] == list(range(32))
        assert len(dns.asked) == 1 + 32
        assert max(sum(out[: end + 1]) for end in range(len(out))) <= MOST_OF_NAME
        assert asked.names.learned()[0][3], "more than are kept"


async def test_of_thousands_of_records_a_part_is_looked_at(monkeypatch):
    """The same part, however the server turns them round."""
    async with DnsServer() as dns, asking(monkeypatch, dns.text, [4]) as asked:
        monkeypatch.setattr(servers_module, "MOST_RECORDS", 3)
        records = [(number, 1, 5060, f"h{number}.test") for number in range(9)]
        for number in range(9):
            dns.zone[f"h{number}.test"] = Host(a=[f"192.0.2.{number}"])
        for turned in (records, records[::-1]):
            dns.zone[SRV_NAME] = Host(srv=turned, ttl=0)
            await asked.ask(SERVICE)
            assert asked.state(SERVICE)[1] == ["192.0.2.0", "192.0.2.1", "192.0.2.2"]


async def test_a_truncated_answer_is_asked_for_by_tcp(monkeypatch):
    async with DnsServer() as dns, asking(monkeypatch, dns.text, [4]) as asked:
        records = [(number, 1, 5060, f"a-host-with-a-long-name-{number}.gw.test") for number in range(20)]
        dns.zone[SRV_NAME] = Host(srv=records, truncated=("SRV",))
        for number, (*_, host) in enumerate(records):
            dns.zone[host] = Host(a=[f"192.0.2.{number}"])
        await asked.ask(SERVICE)
        assert asked.state(SERVICE)[1] == [f"192.0.2.{number}" for number in range(20)]
        assert dns.count(SRV_NAME, "SRV") == 2


async def test_two_keys_of_one_name_are_two_questions(monkeypatch):
    """What is asked of a name is its own: one that fails leaves the other."""
    async with DnsServer() as dns, asking(monkeypatch, dns.text, [4]) as asked:
        dns.zone[SRV_NAME] = Host(srv=[(1, 1, 5070, HOST)])
        dns.zone["example.test"], dns.zone[HOST] = Host(a=["192.0.2.8"]), Host(a=["192.0.2.1"])
        await asyncio.gather(asked.ask("a:example.test"), asked.ask(SERVICE))
        assert asked.state("a:example.test") == ("known", ["192.0.2.8"], 60)
        assert asked.state(SERVICE) == ("known", ["192.0.2.1"], 60)


# ---------------------------------------------------------------- how long


@pytest.mark.parametrize("ttl, counts", [(0, 5), (4, 5), (6, 6), (3_600, 3_600), (86_400, 3_600)])
async def test_ttl_within_bounds(monkeypatch, ttl, counts):
    async with DnsServer() as dns, asking(monkeypatch, dns.text, [4]) as asked:
        dns.zone[HOST] = Host(a=["192.0.2.1"], ttl=ttl)
        await asked.ask()
        assert asked.state() == ("known", ["192.0.2.1"], counts)


async def test_an_alias_counts_no_longer_than_it_says(monkeypatch):
    async with DnsServer() as dns, asking(monkeypatch, dns.text) as asked:
        dns.zone[HOST] = Host(a=["192.0.2.1"], ttl=600, cname=("other.test", 30))
        await asked.ask()
        assert asked.state() == ("known", ["192.0.2.1"], 30)


async def test_one_question_at_a_time(monkeypatch):
    async with DnsServer() as dns, asking(monkeypatch, dns.text, [4]) as asked:
        dns.zone[HOST] = Host(a=["192.0.2.1"], delay_s={"A": 0.2})
        asked.resolver.ask(NAME)
        asked.resolver.ask(f"a:{HOST.upper()}.")
        await asked.ask()
        assert dns.asked == [(HOST, "A")] and len(asked.told) == 1


async def test_what_does_not_exist(monkeypatch):
    async with DnsServer() as dns, asking(monkeypatch, dns.text) as asked:
        await asked.ask()
        assert asked.state() == ("negative", [], module.NEGATIVE_S)
        assert asked.told == [asked.names.hash(NAME)]
        dns.zone["empty.test"] = Host()
        for key in ("a:empty.test", "n:sip:empty.test", "a:a..b", "n:sip:a..b", "s:udp:" + "a." * 126 + "b"):
            await asked.ask(key)
            assert asked.state(key) == ("negative", [], module.NEGATIVE_S)


async def test_a_name_that_is_gone_takes_its_addresses_along(monkeypatch):
    """That is an answer, unlike a failure."""
    async with DnsServer() as dns, asking(monkeypatch, dns.text) as asked:
        asked.names.put(NAME, [("192.0.2.9", 0)], 0, 0)
        await asked.ask()
        assert asked.state() == ("negative", [], module.NEGATIVE_S)


async def test_a_failing_server_leaves_the_last_good_answer(monkeypatch):
    async with DnsServer() as dns, asking(monkeypatch, dns.text) as asked:
        dns.zone[HOST] = Host(failing=("A", "AAAA"))
        asked.names.put(NAME, [("192.0.2.9", 0)], 0, 0)
        await asked.ask()
        assert asked.state() == ("known", ["192.0.2.9"], module.FAILED_S)
        assert asked.told == []


async def test_a_failing_server_says_nothing_of_a_new_name(monkeypatch):
    async with DnsServer() as dns, asking(monkeypatch, dns.text) as asked:
        dns.zone[HOST] = Host(failing=("A", "AAAA"))
        await asked.ask()
        assert asked.state() is None and asked.told == []


@pytest.mark.parametrize("key", [NAME, DOMAIN])
async def test_no_server_at_all(monkeypatch, free_port, key):
    async with asking(monkeypatch, f"127.0.0.1:{free_port()}") as asked:
        await asked.ask(key)
        assert asked.state(key) is None and asked.told == []


async def test_a_silent_server_is_given_up_before_the_request_is(monkeypatch):
    """c-ares asks twice."""
    async with DnsServer() as dns, asking(monkeypatch, dns.text, [4]) as asked:
        dns.zone[HOST] = Host(silent=("A",))
        await asked.ask()
        assert asked.state() is None and dns.count(HOST) == servers_module.TRIES


def test_all_of_a_name_is_over_before_who_waits_gives_up():
    """Two seconds (parking); what comes before the addresses leaves them half of it."""
    assert dns_module.WHOLE_S < 2 and sum(dns_module.LIMIT_S.values()) <= 1
    assert servers_module.TIMEOUT_S * servers_module.TRIES <= dns_module.WHOLE_S


async def test_who_asks_again_meanwhile_gets_another_try(monkeypatch):
    async with DnsServer() as dns, asking(monkeypatch, dns.text, [4]) as asked:
        dns.zone[HOST] = Host(failing=("A",), delay_s={"A": 0.1})
        asked.resolver.ask(NAME)
        await dns.wait_for(lambda: dns.count(HOST) == 1)
        asked.resolver.ask(NAME)
        await dns.wait_for(lambda: dns.count(HOST) == servers_module.TRIES + 1)
        dns.zone[HOST] = Host(a=["192.0.2.1"])
        await asyncio.gather(*asked.resolver.tasks)
        assert asked.state() == ("known", ["192.0.2.1"], 60)


@pytest.mark.parametrize("other", [{"silent": ("AAAA",)}, {"failing": ("AAAA",)}, {"delay_s": {"AAAA": 60}}])
async def test_half_an_answer_is_one(monkeypatch, other):
    """Servers that drop or refuse AAAA are common; a whole one of before goes on until the third."""
    async with DnsServer() as dns, asking(monkeypatch, dns.text) as asked:
        dns.zone[HOST] = Host(a=["192.0.2.1"], aaaa=["2001:db8::1"], **other)
        await asked.ask()
        assert asked.state() == ("known", ["192.0.2.1"], 5)


async def test_half_an_answer_takes_the_place_of_a_whole_one_the_third_time(monkeypatch):
    async with DnsServer() as dns, asking(monkeypatch, dns.text) as asked:
        whole = Found([("192.0.2.1", 0, 0, 1), ("2001:db8::1", 0, 0, 1)], 60, False, "", False, "")
        half = Found([("192.0.2.7", 0, 0, 1)], 60, False, "AAAA: no answer", True, "")
        for _ in range(2):  # a whole one begins the count anew
            asked.resolver.publish(NAME, whole)
            for _ in range(module.HALVES - 1):
                asked.resolver.publish(NAME, half)
                assert asked.state()[1] == ["192.0.2.1", "2001:db8::1"]
        asked.resolver.publish(NAME, half)
        assert asked.state() == ("known", ["192.0.2.7"], module.FAILED_S)


async def test_no_address_of_one_type_waits_for_the_other(monkeypatch):
    async with DnsServer() as dns, asking(monkeypatch, dns.text) as asked:
        dns.zone[HOST] = Host(aaaa=["2001:db8::1"], delay_s={"AAAA": 0.3})
        await asked.ask()
        assert asked.state() == ("known", ["2001:db8::1"], 60)


async def test_names_of_the_configuration_are_not_overwritten(monkeypatch):
    """An answer that was on its way when a reload named the name."""
    async with DnsServer() as dns, asking(monkeypatch, dns.text) as asked:
        dns.zone[HOST] = Host(a=["192.0.2.1"])
        asked.resolver.ask(NAME)
        asked.names.set_static({HOST: [("192.0.2.9", 5080)]})
        await asyncio.gather(*asked.resolver.tasks)
        assert asked.names.known(HOST) == ("static", [("192.0.2.9", 5080)], 0)
        assert asked.names.known(NAME) is None


# ---------------------------------------------------------------- how many


async def test_names_at_a_time_are_bounded(monkeypatch):
    async with DnsServer() as dns, asking(monkeypatch, dns.text, [4]) as asked:
        names = [f"a:n.z{number}.test" for number in range(MOST_NAMES + 1)]
        for name in names:
            dns.zone[name.removeprefix("a:")] = Host(a=["192.0.2.1"])
            asked.resolver.ask(name)
        await asyncio.wait_for(asyncio.gather(*asked.resolver.tasks), LIMIT_S)
        assert [name for name in names if asked.names.known(name) is None] == names[-1:]
        await asked.ask(names[-1])
        assert asked.state(names[-1]) == ("known", ["192.0.2.1"], 60)


async def test_a_zone_has_its_share_and_what_was_good_before_comes_first(monkeypatch):
    async with DnsServer() as dns, asking(monkeypatch, dns.text, [4]) as asked:
        asked.names.put("a:good.dead.test", [("192.0.2.1", 0)], 1, 0)
        for number in range(2 * MOST_OF_ZONE):
            asked.resolver.ask(f"n:sip:n{number}.dead.test")
        assert len(asked.resolver.again) == MOST_OF_ZONE
        asked.resolver.ask("a:good.dead.test")
        asked.resolver.ask("a:gw.alive.test")
        assert {"a:good.dead.test", "a:gw.alive.test"} < asked.resolver.again.keys()
        await asyncio.wait_for(asyncio.gather(*asked.resolver.tasks), LIMIT_S)
        assert not asked.resolver.zones


async def test_a_zone_has_no_more_questions_out_than_its_share(monkeypatch):
    """Records that lead to many silent hosts, whoever's these are: the rest of the questions is for others."""
    monkeypatch.setattr(dns_module, "MOST_OF_ZONE", 8)
    async with DnsServer() as dns, asking(monkeypatch, dns.text, [4]) as asked:
        hosts = [f"h{number}.victim{number}.test" for number in range(20)]
        for host in hosts:
            dns.zone[host] = Host(silent=("A",))
        dns.zone["_sip._udp.evil.test"] = Host(srv=[(1, 1, 5060, host) for host in hosts])
        dns.zone[HOST] = Host(a=["192.0.2.1"])
        asked.resolver.ask("s:udp:evil.test")
        await dns.wait_for(lambda: sum(kind == "A" for _, kind in dns.asked) >= 8)
        asked.resolver.ask(NAME)
        await asyncio.wait_for(asyncio.gather(*asked.resolver.tasks), LIMIT_S)
        assert asked.state() == ("known", ["192.0.2.1"], 60)
        assert len({name for name, kind in dns.asked if kind == "A"} - {HOST}) < len(hosts)


async def test_it_closes_with_questions_out(monkeypatch):
    async with DnsServer() as dns:
        async with asking(monkeypatch, dns.text) as asked:
            dns.zone[HOST] = Host(silent=("A", "AAAA"))
            asked.resolver.ask(NAME)
            await dns.wait_for(lambda: len(dns.asked) == 2)
        assert asked.state() is None


@pytest.mark.parametrize("families, of_four, of_six", [((4,), 32, 0), ((6,), 0, 32), ((4, 6), 16, 16)])
async def test_each_family_has_its_half(monkeypatch, families, of_four, of_six):
    """And which of too many does not depend on how the server turns its list."""
    async with DnsServer() as dns, asking(monkeypatch, dns.text, families) as asked:
        four, six = [f"192.0.2.{n}" for n in range(33)], [f"2001:db8::{n:x}" for n in range(1, 34)]
        dns.zone[HOST] = Host(a=four, aaaa=six)
        await asked.ask()
        first = asked.state()[1]
        assert [sum(":" in host for host in first), len(first)] == [of_six, of_four + of_six]
        assert asked.names.learned()[0][3]
        dns.zone[HOST] = Host(a=four[::-1], aaaa=six[::-1], ttl=0)
        again = await asked.resolver.dns.find("a:" + HOST.upper())
        assert [host for host, *_ in again.targets] == first


GOOD = Found([("192.0.2.1", 0, 0, 1)], 60, False, "", False, "")


@pytest.mark.parametrize(
    "found, failure",
    [
        (GOOD, False),
        (GOOD._replace(why="no server", unsure=True), False),
        (GOOD._replace(targets=[]), False),
        (GOOD._replace(targets=[], why="no server"), True),
    ],
)
def test_what_is_a_failure(found, failure):
    assert is_failure(found) == failure


@pytest.mark.parametrize("other", [{"failing": ("AAAA",)}, {"silent": ("AAAA",)}])
async def test_without_addresses_of_one_type_and_without_an_answer_of_the_other_nothing_is_known(monkeypatch, other):
    async with DnsServer() as dns, asking(monkeypatch, dns.text) as asked:
        dns.zone[HOST] = Host(**other)
        await asked.ask()
        assert asked.state() is None
