"""The order of questions: what is asked, what is not, and what becomes of each kind of answer."""

from collections import defaultdict

import pytest

from fastsip.resolve.asking import (
    DENIED,
    LONGEST_TTL_S,
    MOST_WAYS,
    NO_ADDRESS,
    NO_NAME,
    Question,
    Records,
    resolve,
)
from fastsip.resolve.targets import MOST_TARGETS, Naptr, Srv

NAME = "gw.test"
UDP, TCP = f"_sip._udp.{NAME}", f"_sip._tcp.{NAME}"
AWAY = Records(why="no server answered")


class Zone:
    """Names and types with their records; what is not there does not exist, unless the name has another type."""

    def __init__(self):
        self.records: dict[tuple[str, str], Records] = {}
        self.asked: defaultdict[tuple[str, str], int] = defaultdict(int)

    def has(self, name: str, kind: str, *found: Naptr | Srv | str, ttl_s: int = 60) -> "Zone":
        self.records[name, kind] = Records(found=found, ttl_s=ttl_s)
        return self

    def fails(self, name: str, kind: str) -> "Zone":
        self.records[name, kind] = AWAY
        return self

    async def ask(self, name: str, kind: str) -> Records:
        self.asked[name, kind] += 1
        exists = any(known == name for known, _ in self.records)
        return self.records.get((name, kind), Records(exists=exists))

    async def find(self, question: Question | str = NAME, types=("A",), transports=("udp",)):
        asked = question if isinstance(question, Question) else Question(question)
        found = await resolve(asked, types, transports, self.ask)
        assert set(self.asked.values()) <= {1}, "a question is asked once"
        return found


def places(found):
    return [(one.transport, one.host, one.port, one.tier) for one in found.targets]


async def test_with_a_port_only_addresses_are_asked_for():
    zone = Zone().has(NAME, "A", "10.0.0.1").has(UDP, "SRV", Srv(1, 1, 5080, "other.test"))
    assert places(await zone.find(Question(NAME, 5070))) == [("udp", "10.0.0.1", 5070, 0)]
    assert set(zone.asked) == {(NAME, "A")}


async def test_with_a_transport_no_naptr_record_is_asked_for():
    zone = Zone().has(UDP, "SRV", Srv(1, 1, 5080, "a.test")).has("a.test", "A", "10.0.0.1")
    found = await zone.find(Question(NAME, 0, "udp"), transports=("tcp", "udp"))
    assert places(found) == [("udp", "10.0.0.1", 5080, 0)]
    assert set(zone.asked) == {(UDP, "SRV"), ("a.test", "A")}


async def test_with_neither_naptr_records_lead_on():
    first, second = Naptr(1, 1, "s", "SIP+D2U", "", "srv.test"), Naptr(2, 1, "a", "SIP+D2U", "", "b.test")
    zone = Zone().has(NAME, "NAPTR", first, second)
    zone.has("srv.test", "SRV", Srv(1, 1, 5080, "a.test")).has("a.test", "A", "10.0.0.1").has("b.test", "A", "10.0.0.2")
    assert places(await zone.find()) == [("udp", "10.0.0.1", 5080, 0), ("udp", "10.0.0.2", 5060, 1)]
    assert (UDP, "SRV") not in zone.asked and (NAME, "A") not in zone.asked


async def test_naptr_records_of_what_we_do_not_speak_are_as_none():
    zone = Zone().has(NAME, "NAPTR", Naptr(1, 1, "s", "SIP+D2T", "", TCP)).has(NAME, "A", "10.0.0.1")
    assert places(await zone.find()) == [("udp", "10.0.0.1", 5060, 0)]
    assert set(zone.asked) == {(NAME, "NAPTR"), (UDP, "SRV"), (NAME, "A")}


async def test_without_naptr_all_transports_are_asked_for_and_come_in_our_order():
    zone = Zone().has(UDP, "SRV", Srv(1, 1, 5080, "a.test")).has(TCP, "SRV", Srv(1, 1, 5090, "a.test"))
    zone.has("a.test", "A", "10.0.0.1")
    assert places(await zone.find(transports=("tcp", "udp", "tls"))) == [("tcp", "10.0.0.1", 5090, 0),
                                                                         ("udp", "10.0.0.1", 5080, 1)]


async def test_without_srv_the_name_itself_is_the_place():
    zone = Zone().has(NAME, "A", "10.0.0.2", "10.0.0.1")
    assert places(await zone.find()) == [("udp", "10.0.0.1", 5060, 0), ("udp", "10.0.0.2", 5060, 0)]


async def test_naptr_that_leads_to_no_srv_record_leads_to_the_name():
    zone = Zone().has(NAME, "NAPTR", Naptr(1, 1, "s", "SIP+D2U", "", "srv.test")).has(NAME, "A", "10.0.0.1")
    assert places(await zone.find()) == [("udp", "10.0.0.1", 5060, 0)]


async def test_a_service_that_is_denied_has_no_targets_though_the_name_has_an_address():
    zone = Zone().has(UDP, "SRV", Srv(0, 0, 0, ".")).has(NAME, "A", "10.0.0.1")
    found = await zone.find()
    assert (found.targets, found.nothing, found.denied) == ((), DENIED, True)
    assert (NAME, "A") not in zone.asked


async def test_one_transport_that_is_denied_leaves_the_others():
    zone = Zone().has(UDP, "SRV", Srv(0, 0, 0, ".")).has(TCP, "SRV", Srv(1, 1, 5090, "a.test"))
    zone.has("a.test", "A", "10.0.0.1")
    found = await zone.find(transports=("udp", "tcp"))
    assert places(found) == [("tcp", "10.0.0.1", 5090, 0)] and not found.denied


@pytest.mark.parametrize(("zone", "nothing"), [
    (Zone(), NO_NAME),
    (Zone().has(NAME, "AAAA", "2001:db8::1"), NO_ADDRESS),
    (Zone().has(UDP, "SRV", Srv(1, 1, 5060, "a.test")), NO_ADDRESS),
    (Zone().fails(NAME, "A"), f"A of {NAME}: {AWAY.why}"),
])  # fmt: skip
async def test_nothing_is_said_with_its_reason(zone, nothing):
    found = await zone.find()
    assert (found.targets, found.nothing, found.denied) == ((), nothing, False)


async def test_only_families_that_somebody_can_send_to_are_asked_for():
    zone = Zone().has(NAME, "A", "10.0.0.1").has(NAME, "AAAA", "2001:db8::1")
    assert places(await zone.find(types=("AAAA",))) == [("udp", "2001:db8::1", 5060, 0)]
    assert (NAME, "A") not in zone.asked
    assert len((await Zone.find(zone_with_both(), types=("A", "AAAA"))).targets) == 2


def zone_with_both() -> Zone:
    return Zone().has(NAME, "A", "10.0.0.1").has(NAME, "AAAA", "2001:db8::1")


@pytest.mark.parametrize(("name", "kind"), [(NAME, "NAPTR"), (UDP, "SRV"), ("b.test", "A")])
async def test_what_a_server_left_unanswered_is_said_beside_what_others_said(name, kind):
    zone = Zone().has(UDP, "SRV", Srv(1, 1, 5060, "a.test"), Srv(1, 1, 5060, "b.test"))
    zone.has("a.test", "A", "10.0.0.1").has("b.test", "A", "10.0.0.2").has(NAME, "A", "10.0.0.3").fails(name, kind)
    found = await zone.find()
    assert found.targets and found.why == f"{kind} of {name}: {AWAY.why}" and not found.nothing


async def test_the_shortest_time_of_all_records_counts():
    zone = Zone().has(NAME, "NAPTR", Naptr(1, 1, "s", "SIP+D2U", "", UDP), ttl_s=300)
    zone.has(UDP, "SRV", Srv(1, 1, 5060, "a.test"), Srv(1, 1, 5060, "b.test"), ttl_s=200)
    zone.has("a.test", "A", "10.0.0.1", ttl_s=100).has("b.test", "A", "10.0.0.2", ttl_s=900)
    assert (await zone.find()).ttl_s == 100
    assert (await Zone().find()).ttl_s == LONGEST_TTL_S


async def test_forty_srv_records_are_cut_to_the_best_and_no_more_are_asked_for():
    zone = Zone().has(UDP, "SRV", *(Srv(number, 1, 5060, f"h{number}.test") for number in range(40)))
    for number in range(40):
        zone.has(f"h{number}.test", "A", f"10.0.0.{number + 1}")
    found = await zone.find()
    assert (len(found.targets), found.cut) == (MOST_TARGETS, 8)
    assert [one.host for one in found.targets] == [f"10.0.0.{number}" for number in range(1, 33)]
    assert len(zone.asked) == 2 + MOST_TARGETS


async def test_of_many_naptr_records_the_first_are_followed():
    records = [Naptr(order, 1, "a", "SIP+D2U", "", f"h{order}.test") for order in range(20, 0, -1)]
    zone = Zone().has(NAME, "NAPTR", *records)
    for order in range(1, 21):
        zone.has(f"h{order}.test", "A", f"10.0.0.{order}")
    assert [one.host for one in (await zone.find()).targets] == [f"10.0.0.{order}" for order in range(1, MOST_WAYS + 1)]
