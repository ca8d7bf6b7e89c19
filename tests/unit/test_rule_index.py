"""Many rules: the index finds the rule that asking each of them finds."""

import ipaddress

from hypothesis import given, settings
from hypothesis import strategies as st

from fastsip._core.routing.table import RoutingTable
from tests.kernels import rule_doors

from .test_rules import request

DIGITS = st.text("012", min_size=1, max_size=4)
HOSTS = st.sampled_from(["a.example", "B.example", "10.0.0.1", "2001:db8::1"])
NETWORKS = st.sampled_from(["10.0.0.0/8", "10.1.0.0/16", "10.1.2.3", "0.0.0.0/0", "2001:db8::/32", "::/0",
                            "10.1.2.0/25"])
NAMES = st.sampled_from(["X-A", "x-b", "Subject", "s", "Supported", "k", "X-C", "e", "Require"])
VALUES = st.sampled_from(["one", "ONE", "two words", "two  Words", "3"])
SETS = st.integers(0, 3)


def condition(kind, items):
    return st.fixed_dictionaries({
        "kind": st.just(kind), "items": st.lists(items, min_size=1, max_size=3),
        "negate": st.sampled_from([False] * 4 + [True]),
    })


CONDITIONS = st.one_of(
    condition("user", DIGITS), condition("user_prefix", DIGITS | st.just("0" * 70)), condition("domain", HOSTS),
    condition("source", NETWORKS), condition("source_set", SETS), condition("listen", st.sampled_from([10, 20])),
    condition("method", st.sampled_from(["INVITE", "BYE", "PING", "PONG"])),
    st.tuples(NAMES, st.lists(VALUES, max_size=3), st.booleans()).map(
        lambda one: {"kind": "header", "items": [one[0], *(one[1] or [True])], "negate": one[2]}),
    st.booleans().map(lambda flag: {"kind": "to_tag", "flag": flag}),
)
RULES = st.lists(st.lists(CONDITIONS, min_size=1, max_size=3), min_size=9, max_size=40)
REQUESTS = st.fixed_dictionaries({
    "ruri": st.tuples(DIGITS | st.sampled_from(["", "0" * 69, "0" * 80]), HOSTS).map(
        lambda one: f"sip:{one[0] + '@' if one[0] else ''}{'[' + one[1] + ']' if ':' in one[1] else one[1]}"),
    "method": st.sampled_from(["INVITE", "BYE", "PING"]),
    "to_tag": st.sampled_from(["", "7"]),
    "headers": st.lists(st.tuples(NAMES, VALUES | st.just(" two\r\n words")).map(": ".join), max_size=6),
})
SOURCES = st.tuples(st.sampled_from(["10.1.2.3", "10.1.2.200", "10.9.9.9", "192.0.2.1", "2001:db8::5"]),
                    st.sampled_from([5060, 5062]))


def build(conditions_of_rules, big=0):
    table = RoutingTable(1)
    table.add_listener(1, 10, "192.0.2.1", 5060, "192.0.2.1")
    table.add_listener(2, 20, "2001:db8::1", 5060, "[2001:db8::1]")
    members = [["10.1.2.3"], ["10.1.2.3", "10.9.9.9"], ["2001:db8::5"], [],
               [f"10.7.{i >> 8}.{i & 255}" for i in range(big)]]
    id = 0
    for index, hosts in enumerate(members):
        table.add_set(index + 1, 4)
        for host in hosts:
            id += 1
            table.add_destination(index, id, 0, host, 5060, int(":" in host), f"sip:{id}", f"{id}")
    for number, conditions in enumerate(conditions_of_rules, 1):
        table.add_rule(number, 0, conditions)
    return table.seal()


@settings(max_examples=300, deadline=None)
@given(RULES, st.lists(st.tuples(REQUESTS, SOURCES, st.integers(0, 1)), min_size=1, max_size=12))
def test_the_index_finds_what_asking_each_finds(conditions_of_rules, asked):
    table = build(conditions_of_rules)
    for fields, (source, port), listener in asked:
        where = {"source": source, "port": port, "listener": listener}
        text = request(**fields)
        assert rule_doors.match(table, text, **where) == rule_doors.match(table, text, **where, by_key=False)


def test_a_set_that_many_rules_name_is_found_as_a_whole():
    """5,000 members, 20 rules: too many pairs for a key of each member's address."""
    named = [{"kind": "source_set", "items": [4]}]
    table = build([[*named, {"kind": "listen", "items": [20]}]] * 20 + [named, []], big=5000)
    assert rule_doors.match(table, request(), source="10.7.3.9", listener=0) == 20
    assert rule_doors.match(table, request(), source="10.7.3.9", listener=1) == 0
    assert rule_doors.match(table, request(), source="10.7.3.9", port=5061) == 21


def test_the_first_rule_wins_across_keys():
    other = [[{"kind": "user", "items": [f"u{i}"]}] for i in range(20)]
    table = build([*other, [{"kind": "user_prefix", "items": ["81"]}], [{"kind": "user", "items": ["8100"]}],
                   [{"kind": "header", "items": ["X-A", "east side"]}], []])
    assert rule_doors.match(table, request()) == 20
    assert rule_doors.match(table, request("sip:9@x", headers=["x-a: East \t side"])) == 22
    assert rule_doors.match(table, request("sip:u7@x")) == 7
    assert rule_doors.match(table, request("sip:9@x")) == 23


def test_a_message_full_of_headers_that_rules_name():
    """Each has a list for its presence and one for its value, and all lists are merged."""
    names = [f"X-{i}" for i in range(115)]
    many = [[{"kind": "header", "items": [name, True]}, {"kind": "user", "items": ["nobody"], "negate": False}]
            for name in names] + [[{"kind": "header", "items": [name, "1"]}] for name in names]
    table = build([*many[:115], *many[115:], []])
    text = request(headers=[f"{name}: 1" for name in reversed(names)])
    assert rule_doors.match(table, text) == rule_doors.match(table, text, by_key=False) == 115


@given(st.lists(NETWORKS, min_size=1, max_size=7), st.sampled_from(["10.1.2.3", "10.1.2.200", "10.200.0.1", "11.0.0.1",
                                                                    "2001:db8::5", "2001:db9::5"]))
def test_networks_in_each_other_cover_what_each_covers(networks, source):
    found = rule_doors.match(build([[{"kind": "source", "items": networks}]]), request(), source=source)
    address = ipaddress.ip_address(source)
    assert (found == 0) is any(address in ipaddress.ip_network(each) for each in networks)
