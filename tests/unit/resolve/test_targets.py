"""Records of DNS in, targets out: rows of RFC 3263 section 4 and RFC 2782, and what servers send that no RFC says."""

import itertools
import random

import pytest

from fastsip.resolve.targets import (
    MOST_TARGETS,
    WHOLE,
    Naptr,
    Srv,
    Target,
    best_places,
    by_naptr,
    by_transport,
    find_targets,
    host_of,
    is_denied,
    plain_place,
    srv_places,
    way_place,
)

ALL = ("udp", "tcp", "tls")
NAME = "gw.example.net"


def naptr(order, preference, service, replacement, flags="s", regexp=""):
    return Naptr(order, preference, flags, service, regexp, replacement)


EXAMPLE = [     # of RFC 3263 section 4.1
    naptr(50, 50, "SIPS+D2T", "_sips._tcp.example.com."),
    naptr(90, 50, "SIP+D2T", "_sip._tcp.example.com."),
    naptr(100, 50, "SIP+D2U", "_sip._udp.example.com."),
]


def ways(records, transports=ALL):
    return [(way.transport, way.name, way.flag) for way in by_naptr(records, transports)]


def hosts_by_tier(targets):
    return {tier: [(one.host, one.port, one.weight) for one in group]
            for tier, group in itertools.groupby(targets, key=lambda one: one.tier)}


def resolve_srv(records, addresses):
    [way] = by_transport(NAME, ["udp"])
    return find_targets(srv_places(way, records), addresses)


# ---------------------------------------------------------------- NAPTR

ROWS = {
    "the example of the RFC": (EXAMPLE, ALL, ["tls", "tcp", "udp"]),
    "only what we have a transport for": (EXAMPLE, ["udp"], ["udp"]),
    "nothing that we have": (EXAMPLE[:2], ["udp"], []),
    "no record": ([], ALL, []),
    "order before preference": (
        [naptr(1, 90, "SIP+D2T", "t"), naptr(2, 10, "SIP+D2U", "u")], ALL, ["tcp", "udp"]),
    "preference within an order": (
        [naptr(1, 90, "SIP+D2T", "t"), naptr(1, 10, "SIP+D2U", "u")], ALL, ["udp", "tcp"]),
    "words in any case": ([naptr(1, 1, "sip+d2u", "u", "S")], ALL, ["udp"]),
    "services of others": (
        [naptr(1, 1, "E2U+sip", "u", "u", "!^.*$!sip:a@b!"), naptr(1, 1, "SIP+D2S", "s"), naptr(1, 1, "SIP+D2W", "w"),
         naptr(2, 2, "SIP+D2U", "u")], ALL, ["udp"]),
    "a rule for rewriting": ([naptr(1, 1, "SIP+D2U", "u", regexp="!a!b!")], ALL, []),
    "a replacement that is no name": (
        [naptr(1, 1, "SIP+D2U", name) for name in ("a b", "x" * 254, "\x00", "gr\xfc\xdf.test")], ALL, []),
    "no replacement": ([naptr(1, 1, "SIP+D2U", "."), naptr(1, 1, "SIP+D2U", "")], ALL, []),
    "flags that lead elsewhere": (
        [naptr(1, 1, "SIP+D2U", "u", flags) for flags in ("", "u", "p", "sa")], ALL, []),
    "the same record twice": ([EXAMPLE[2], EXAMPLE[2]], ALL, ["udp"]),
}  # fmt: skip


@pytest.mark.parametrize("row", ROWS)
def test_naptr_records_lead_to_ways_in_their_order(row):
    records, transports, expected = ROWS[row]
    for order in itertools.permutations(records):
        assert [transport for transport, _, _ in ways(order, transports)] == expected


def test_a_way_names_what_is_asked_for_next():
    assert ways([naptr(1, 1, "SIP+D2U", "_sip._udp.Example.COM.")]) == [("udp", "_sip._udp.example.com", "s")]
    assert ways([naptr(1, 1, "SIP+D2U", "gw.example.com.", "A")]) == [("udp", "gw.example.com", "a")]
    [way] = by_naptr([naptr(1, 1, "SIPS+D2T", "gw.example.com", "a")], ALL)
    assert way_place(way)[:3] == ("gw.example.com", 5061, "tls")


def test_without_naptr_each_transport_is_a_way_in_our_order():
    found = [(way.transport, way.name) for way in by_transport("Example.com.", ("udp", "tls", "tcp"))]
    names = {"udp": "_sip._udp.example.com", "tls": "_sips._tcp.example.com", "tcp": "_sip._tcp.example.com"}
    assert found == list(names.items())


def test_ways_that_are_equally_preferred_share_a_tier():
    two = by_naptr([naptr(1, 1, "SIP+D2U", "a.net", "a"), naptr(1, 1, "SIP+D2U", "b.net", "a")], ["udp"])
    targets, _ = find_targets(map(way_place, two), {"a.net": ["10.0.0.1"], "b.net": ["10.0.0.2"]})
    assert hosts_by_tier(targets) == {0: [("10.0.0.1", 5060, WHOLE // 2), ("10.0.0.2", 5060, WHOLE // 2)]}


def test_tiers_are_of_naptr_first_and_of_srv_within():
    first, second = by_naptr([naptr(1, 1, "SIP+D2U", "x", "s"), naptr(2, 1, "SIP+D2U", "y", "s")], ["udp"])
    places = srv_places(second, [Srv(1, 1, 5060, "c")])
    places += srv_places(first, [Srv(9, 1, 5060, "b"), Srv(5, 1, 5060, "a")])
    targets, _ = find_targets(places, {"a": ["10.0.0.1"], "b": ["10.0.0.2"], "c": ["10.0.0.3"]})
    assert [(one.tier, one.host) for one in targets] == [(0, "10.0.0.1"), (1, "10.0.0.2"), (2, "10.0.0.3")]


# ---------------------------------------------------------------- SRV


def test_weights_of_srv_records_are_shares_of_their_priority():
    records = [Srv(10, 10, 5060, "a"), Srv(10, 20, 5070, "b"), Srv(10, 70, 5060, "c"), Srv(20, 3, 5060, "d")]
    targets, cut = resolve_srv(records, {name: [f"10.0.0.{i}"] for i, name in enumerate("abcd", 1)})
    assert cut == 0
    assert hosts_by_tier(targets) == {
        0: [("10.0.0.3", 5060, WHOLE * 7 // 10), ("10.0.0.2", 5070, WHOLE // 5), ("10.0.0.1", 5060, WHOLE // 10)],
        1: [("10.0.0.4", 5060, WHOLE)],
    }


def test_addresses_of_a_host_share_its_weight():
    targets, _ = resolve_srv([Srv(1, 3, 5060, "a"), Srv(1, 1, 5060, "b")],
                             {"a": ["10.0.0.1", "10.0.0.2", "2001:db8::1"], "b": ["10.0.0.9"]})
    assert hosts_by_tier(targets) == {0: [(host, 5060, WHOLE // 4) for host in
                                          ("10.0.0.1", "10.0.0.2", "10.0.0.9", "2001:db8::1")]}


@pytest.mark.parametrize(("weights", "expected"), [
    ([0, 0, 0], [1 / 3, 1 / 3, 1 / 3]),
    ([0, 9], [9 / 10, 1 / 10]),
    ([0, 0, 3], [3 / 4, 1 / 8, 1 / 8]),
    ([65535, 65535], [1 / 2, 1 / 2]),
    ([65535, 1], [65535 / 65536, 1 / 65536]),
    ([0, 65535], [65535 / 65536, 1 / 65536]),
])  # fmt: skip
def test_records_of_weight_0_have_one_chance_among_them(weights, expected):
    records = [Srv(1, weight, 5060, f"h{i}") for i, weight in enumerate(weights)]
    targets, _ = resolve_srv(records, {f"h{i}": [f"10.0.0.{i + 1}"] for i in range(len(weights))})
    assert [one.weight for one in targets] == [max(1, round(part * WHOLE)) for part in expected]


def test_a_service_that_is_denied_is_told_from_one_that_is_not_described():
    assert is_denied([Srv(0, 0, 0, ".")])
    assert is_denied([Srv(0, 0, 5060, "")])
    assert not is_denied([])
    assert not is_denied([Srv(0, 0, 5060, "."), Srv(0, 0, 5060, "a")])


def test_records_that_name_no_place_are_left_out():
    bad = [Srv(1, 1, 0, "a"), Srv(1, 1, 65536, "a")]
    bad += [Srv(1, 1, 5060, host) for host in (".", "x y", "\xfc", "a" * 254)]
    addresses = {host_of(one.host): ["10.0.0.2"] for one in bad} | {"a": ["10.0.0.1"]}
    targets, _ = resolve_srv([*bad, Srv(1, 1, 65535, "a")], addresses)
    assert [(one.host, one.port, one.weight) for one in targets] == [("10.0.0.1", 65535, WHOLE)]


def test_a_host_without_an_address_is_left_out_and_not_the_answer():
    targets, cut = resolve_srv([Srv(1, 1, 5060, "a"), Srv(1, 3, 5060, "b")], {"b": ["10.0.0.2"]})
    assert (targets, cut) == ([Target("10.0.0.2", 5060, "udp", 0, WHOLE)], 0)


def test_tiers_count_from_0_though_the_best_has_no_address():
    targets, _ = resolve_srv([Srv(1, 1, 5060, "a"), Srv(2, 3, 5060, "b")], {"b": ["10.0.0.2"]})
    assert targets == [Target("10.0.0.2", 5060, "udp", 0, WHOLE)]


# ---------------------------------------------------------------- addresses


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "224.0.0.1", "ff02::1", "255.255.255.255", "fe80::1",
                                     "fe80::1%lo", "::ffff:10.0.0.1", "gw", "", "10.0.0.256"])  # fmt: skip
def test_no_target_is_where_no_datagram_is_sent_to(address):
    targets, _ = find_targets([plain_place(NAME, 0)], {NAME: [address, "10.0.0.1"]})
    assert targets == [Target("10.0.0.1", 5060, "udp", 0, WHOLE)]


def test_a_port_that_is_given_counts_and_so_does_the_one_of_the_transport():
    assert plain_place("GW.example.net.", 5070) == (NAME, 5070, "udp", (), 1)
    assert [plain_place(NAME, 0, one).port for one in ALL] == [5060, 5060, 5061]


def test_what_two_records_lead_to_is_one_target_of_the_better_tier():
    records = [Srv(1, 1, 5060, "a"), Srv(1, 1, 5060, "alias"), Srv(1, 2, 5060, "b"), Srv(2, 1, 5060, "b")]
    targets, _ = resolve_srv(records, {"a": ["10.0.0.1"], "alias": ["10.0.0.1"], "b": ["10.0.0.2"]})
    assert hosts_by_tier(targets) == {0: [("10.0.0.1", 5060, WHOLE // 2), ("10.0.0.2", 5060, WHOLE // 2)]}


def test_ports_and_transports_tell_targets_apart():
    places = [*(plain_place("a", port) for port in (5060, 5061)), plain_place("a", 5060, "tcp")]
    targets, _ = find_targets(places, {"a": ["10.0.0.1"]})
    assert {(one.port, one.transport) for one in targets} == {(5060, "udp"), (5061, "udp"), (5060, "tcp")}


# ---------------------------------------------------------------- bounds


@pytest.mark.parametrize(("count", "cut"), [(31, 0), (MOST_TARGETS, 0), (33, 1), (500, 468)])
def test_of_many_addresses_the_first_in_order_are_kept_and_weigh_all(count, cut):
    hosts = [f"10.0.{i // 200}.{i % 200 + 1}" for i in range(count)]
    targets, found = find_targets([plain_place(NAME, 0)], {NAME: hosts})
    assert (len(targets), found) == (min(count, MOST_TARGETS), cut)
    assert [one.host for one in targets] == hosts[:MOST_TARGETS]
    assert abs(sum(one.weight for one in targets) - WHOLE) <= len(targets)


def test_of_many_records_the_best_tiers_are_asked_for():
    [way] = by_transport(NAME, ["udp"])
    places = srv_places(way, [Srv(priority, 1, 5060, f"h{priority}") for priority in range(40, 0, -1)])
    kept, cut = best_places(places)
    assert ([one.host for one in kept], cut) == ([f"h{priority}" for priority in range(1, 33)], 8)
    assert best_places(kept) == (kept, 0)


def test_of_the_last_tier_the_heaviest_are_asked_for():
    [way] = by_transport(NAME, ["udp"])
    kept, _ = best_places(srv_places(way, [Srv(1, weight, 5060, f"h{weight}") for weight in range(1, 41)]))
    assert {one.host for one in kept} == {f"h{weight}" for weight in range(9, 41)}


def test_the_last_tier_that_was_cut_weighs_as_much_as_others():
    targets, _ = resolve_srv([Srv(1, 1, 5060, "a"), Srv(2, 1, 5060, "b")],
                             {"a": ["10.0.0.1"], "b": [f"10.0.1.{i}" for i in range(1, 41)]})
    assert len(targets) == MOST_TARGETS
    assert sum(one.weight for one in targets if one.tier == 1) == pytest.approx(WHOLE, abs=31)


# ---------------------------------------------------------------- what holds for all


def test_the_order_of_the_answers_changes_nothing():
    """Servers turn them round with each answer, and nothing may move by that."""
    dice = random.Random(3)
    for _ in range(50):
        records = [Srv(dice.randint(0, 2), dice.choice((0, 1, 5)), 5060 + dice.randint(0, 1), f"h{dice.randint(0, 9)}")
                   for _ in range(dice.randint(1, 12))]
        addresses = {f"h{i}": [f"10.0.{i % 4}.{dice.randint(1, 6)}" for _ in range(dice.randint(0, 4))]
                     for i in range(10)}
        expected = resolve_srv(records, addresses)
        dice.shuffle(records)
        turned = {name: dice.sample(hosts, len(hosts)) for name, hosts in addresses.items()}
        assert resolve_srv(records, turned) == expected
        targets = expected[0]
        assert [one.tier for one in targets] == sorted(one.tier for one in targets)
        assert all(1 <= one.weight <= WHOLE for one in targets)
        assert {one.tier for one in targets} == set(range(len({one.tier for one in targets})))


