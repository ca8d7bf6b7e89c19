"""The resolver against a small server of our own: what it asks, what it publishes, for how long."""

import asyncio
import contextlib

import pytest
from dns_server import DnsServer, Host

from fastsip._core.transport.names import Names
from fastsip.config.language import MAX_ADDRESSES
from fastsip.router import resolver as module
from fastsip.router.resolver import (
    MOST_OF_ZONE,
    MOST_QUESTIONS,
    Answer,
    Resolver,
    is_failure,
    some_of_each,
)

NAME = "gw.test"
LIMIT_S = 20
NOW_MS = 5_000_000  # the clock stands still


class Asking:
    """A resolver with its table and what it told."""

    def __init__(self, families):
        self.names = Names()
        self.told: list[int] = []
        self._news = asyncio.Condition()
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
        dns.zone[NAME] = Host(a=["192.0.2.1", "192.0.2.2"], aaaa=["2001:db8::1"], ttl=90)
        await asked.ask()
        assert asked.state() == ("known", ["192.0.2.1", "192.0.2.2", "2001:db8::1"], 90)
        assert asked.told == [asked.names.hash(NAME)]
        assert sorted(dns.asked) == [(NAME, "A"), (NAME, "AAAA")]


@pytest.mark.parametrize("families, kinds", [([4], ["A"]), ([6, 6], ["AAAA"]), ([6, 4, 4], ["A", "AAAA"])])
async def test_only_what_a_listener_could_send_to(monkeypatch, families, kinds):
    async with DnsServer() as dns, asking(monkeypatch, dns.text, families) as asked:
        dns.zone[NAME] = Host(a=["192.0.2.1"], aaaa=["2001:db8::1"])
        await asked.ask()
        assert sorted(kind for _, kind in dns.asked) == kinds


@pytest.mark.parametrize("ttl, counts", [(0, 5), (4, 5), (6, 6), (3_600, 3_600), (86_400, 3_600)])
async def test_ttl_within_bounds(monkeypatch, ttl, counts):
    async with DnsServer() as dns, asking(monkeypatch, dns.text, [4]) as asked:
        dns.zone[NAME] = Host(a=["192.0.2.1"], ttl=ttl)
        await asked.ask()
        assert asked.state() == ("known", ["192.0.2.1"], counts)


async def test_an_alias_counts_no_longer_than_it_says(monkeypatch):
    async with DnsServer() as dns, asking(monkeypatch, dns.text) as asked:
        dns.zone[NAME] = Host(a=["192.0.2.1"], ttl=600, cname=("other.test", 30))
        await asked.ask()
        assert asked.state() == ("known", ["192.0.2.1"], 30)


async def test_one_question_at_a_time(monkeypatch):
    async with DnsServer() as dns, asking(monkeypatch, dns.text, [4]) as asked:
        dns.zone[NAME] = Host(a=["192.0.2.1"], delay_s={"A": 0.2})
        asked.resolver.ask(NAME)
        asked.resolver.ask(NAME.upper() + ".")
        await asked.ask()
        assert dns.asked == [(NAME, "A")] and len(asked.told) == 1


async def test_what_does_not_exist(monkeypatch):
    async with DnsServer() as dns, asking(monkeypatch, dns.text) as asked:
        await asked.ask()
        assert asked.state() == ("negative", [], module.NEGATIVE_S)
        assert asked.told == [asked.names.hash(NAME)]
        dns.zone["empty.test"] = Host()
        await asked.ask("empty.test")
        assert asked.state("empty.test") == ("negative", [], module.NEGATIVE_S)
        await asked.ask("a..b")
        assert asked.state("a..b") == ("negative", [], module.NEGATIVE_S)


async def test_a_name_that_is_gone_takes_its_addresses_along(monkeypatch):
    """That is an answer, unlike a failure."""
    async with DnsServer() as dns, asking(monkeypatch, dns.text) as asked:
        asked.names.put(NAME, [("192.0.2.9", 0)], 0, 0)
        await asked.ask()
        assert asked.state() == ("negative", [], module.NEGATIVE_S)


async def test_a_failing_server_leaves_the_last_good_answer(monkeypatch):
    async with DnsServer() as dns, asking(monkeypatch, dns.text) as asked:
        dns.zone[NAME] = Host(failing=("A", "AAAA"))
        asked.names.put(NAME, [("192.0.2.9", 0)], 0, 0)
        await asked.ask()
        assert asked.state() == ("known", ["192.0.2.9"], module.FAILED_S)
        assert asked.told == []


async def test_a_failing_server_says_nothing_of_a_new_name(monkeypatch):
    async with DnsServer() as dns, asking(monkeypatch, dns.text) as asked:
        dns.zone[NAME] = Host(failing=("A", "AAAA"))
        await asked.ask()
        assert asked.state() is None and asked.told == []


async def test_no_server_at_all(monkeypatch, free_port):
    async with asking(monkeypatch, f"127.0.0.1:{free_port()}") as asked:
        await asked.ask()
        assert asked.state() is None and asked.told == []


async def test_a_silent_server_is_given_up_before_the_request_is(monkeypatch):
    """c-ares asks twice."""
    async with DnsServer() as dns, asking(monkeypatch, dns.text, [4]) as asked:
        dns.zone[NAME] = Host(silent=("A",))
        await asked.ask()
        assert asked.state() is None and dns.count(NAME) == module.TRIES


async def test_who_asks_again_meanwhile_gets_another_try(monkeypatch):
    async with DnsServer() as dns, asking(monkeypatch, dns.text, [4]) as asked:
        dns.zone[NAME] = Host(failing=("A",), delay_s={"A": 0.1})
        asked.resolver.ask(NAME)
        await dns.wait_for(lambda: dns.count(NAME) == 1)
        asked.resolver.ask(NAME)
        await dns.wait_for(lambda: dns.count(NAME) == module.TRIES + 1)
        dns.zone[NAME] = Host(a=["192.0.2.1"])
        await asyncio.gather(*asked.resolver.tasks)
        assert asked.state() == ("known", ["192.0.2.1"], 60)


@pytest.mark.parametrize("other", [{"silent": ("AAAA",)}, {"failing": ("AAAA",)}, {"delay_s": {"AAAA": 60}}])
async def test_half_an_answer_is_one(monkeypatch, other):
    """Servers that drop or refuse AAAA are common."""
    async with DnsServer() as dns, asking(monkeypatch, dns.text) as asked:
        dns.zone[NAME] = Host(a=["192.0.2.1"], aaaa=["2001:db8::1"], **other)
        await asked.ask()
        assert asked.state() == ("known", ["192.0.2.1"], 60)


async def test_no_address_of_one_type_waits_for_the_other(monkeypatch):
    async with DnsServer() as dns, asking(monkeypatch, dns.text) as asked:
        dns.zone[NAME] = Host(aaaa=["2001:db8::1"], delay_s={"AAAA": 0.3})
        await asked.ask()
        assert asked.state() == ("known", ["2001:db8::1"], 60)


async def test_names_of_the_configuration_are_not_overwritten(monkeypatch):
    """An answer that was on its way when a reload named the name."""
    async with DnsServer() as dns, asking(monkeypatch, dns.text) as asked:
        dns.zone[NAME] = Host(a=["192.0.2.1"])
        asked.resolver.ask(NAME)
        asked.names.set_static({NAME: [("192.0.2.9", 5080)]})
        await asyncio.gather(*asked.resolver.tasks)
        assert asked.names.known(NAME) == ("static", [("192.0.2.9", 5080)], 0)


async def test_questions_at_a_time_are_bounded(monkeypatch):
    async with DnsServer() as dns, asking(monkeypatch, dns.text, [4]) as asked:
        names = [f"n.z{number}.test" for number in range(MOST_QUESTIONS + 1)]
        for name in names:
            dns.zone[name] = Host(a=["192.0.2.1"])
            asked.resolver.ask(name)
        await asyncio.wait_for(asyncio.gather(*asked.resolver.tasks), LIMIT_S)
        assert [name for name in names if asked.names.known(name) is None] == names[-1:]
        await asked.ask(names[-1])
        assert asked.state(names[-1]) == ("known", ["192.0.2.1"], 60)


async def test_a_zone_has_its_share_and_what_was_good_before_comes_first(monkeypatch):
    async with DnsServer() as dns, asking(monkeypatch, dns.text, [4]) as asked:
        asked.names.put("good.dead.test", [("192.0.2.1", 0)], 1, 0)
        for number in range(2 * MOST_OF_ZONE):
            asked.resolver.ask(f"n{number}.dead.test")
        assert len(asked.resolver.again) == MOST_OF_ZONE
        asked.resolver.ask("good.dead.test")
        asked.resolver.ask("gw.alive.test")
        assert {"good.dead.test", "gw.alive.test"} < asked.resolver.again.keys()
        await asyncio.wait_for(asyncio.gather(*asked.resolver.tasks), LIMIT_S)
        assert not asked.resolver.zones


async def test_it_closes_with_questions_out(monkeypatch):
    async with DnsServer() as dns:
        async with asking(monkeypatch, dns.text) as asked:
            dns.zone[NAME] = Host(silent=("A", "AAAA"))
            asked.resolver.ask(NAME)
            await dns.wait_for(lambda: len(dns.asked) == 2)
        assert asked.state() is None


def hosts(letter: str, count: int) -> tuple[str, ...]:
    return tuple(f"{letter}{number}" for number in range(count))


@pytest.mark.parametrize(
    "of_four, of_six, taken_four, taken_six",
    [
        (1, 0, 1, 0), (33, 0, 32, 0), (33, 33, 16, 16), (33, 2, 30, 2), (2, 33, 2, 30), (0, 33, 0, 32),
        (16, 16, 16, 16), (15, 17, 15, 17),
    ],
)
def test_each_family_has_its_half(of_four, of_six, taken_four, taken_six):
    taken = some_of_each([hosts("a", of_four), hosts("b", of_six)])
    assert taken == [(host, 0) for host in (*hosts("a", taken_four), *hosts("b", taken_six))]
    assert len(taken) <= MAX_ADDRESSES
    assert some_of_each([hosts("a", 33)]) == [(host, 0) for host in hosts("a", 32)]


GOOD, EMPTY, NO_NAME, FAILED = Answer(hosts=("a",)), Answer(), Answer(exists=False), Answer(why="no server")


@pytest.mark.parametrize(
    "answers, failure",
    [
        ([GOOD, FAILED], False),
        ([EMPTY, EMPTY], False),
        ([NO_NAME, FAILED], False),  # no name, no addresses of the other type either
        ([EMPTY, FAILED], True),
        ([FAILED], True),
    ],
)
def test_what_is_a_failure(answers, failure):
    assert is_failure(answers) == failure
    assert is_failure(answers[::-1]) == failure
