"""Rules: which one a request meets, and what is ours."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastsip._core.routing.table import RoutingTable
from fastsip.config.patterns import compile_patterns
from tests.kernels import rule_doors


def request(ruri="sip:8100@media.example.net", method="INVITE", to_tag="", headers=()):
    lines = [
        f"{method} {ruri} SIP/2.0", "Via: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKa", "Max-Forwards: 70",
        "From: <sip:a@example.net>;tag=1", f"To: <sip:b@example.net>{';tag=' + to_tag if to_tag else ''}",
        "Call-ID: 1@a", f"CSeq: 1 {method}", *headers, "Content-Length: 0", "", "",
    ]
    return "\r\n".join(lines).encode()


def build(*conditions_of_rules, tags=(10, 20)):
    table = RoutingTable(1)
    for number, tag in enumerate(tags, 1):
        table.add_listener(number, tag, "192.0.2.1", 5060 + number, "192.0.2.1")
    table.add_set(1, 4)
    for number, conditions in enumerate(conditions_of_rules, 1):
        table.add_rule(number, 0, conditions)
    return table.seal()


def holds(condition, text, **where):
    """Does it hold, and does its negation then not (and the other way round)?"""
    plain = rule_doors.match(build([condition]), text, **where) == 0
    negated = rule_doors.match(build([{**condition, "negate": True}]), text, **where) == 0
    assert plain != negated
    return plain


def test_first_rule_wins_and_conditions_are_anded():
    table = build(
        [{"kind": "method", "items": ["BYE"]}],
        [{"kind": "method", "items": ["INVITE"]}, {"kind": "user_prefix", "items": ["9"]}],
        [{"kind": "method", "items": ["INVITE"]}, {"kind": "user_prefix", "items": ["8"]}],
        [],
    )
    assert rule_doors.match(table, request()) == 2
    assert rule_doors.match(table, request("sip:9@x")) == 1
    assert rule_doors.match(table, request(method="BYE")) == 0
    assert rule_doors.match(table, request("sip:7@x")) == 3


def test_no_rule():
    assert rule_doors.match(build([{"kind": "user", "items": ["none"]}]), request()) is None
    assert rule_doors.match(build(), request()) is None


@pytest.mark.parametrize("method, items, expected", [
    ("INVITE", ["INVITE"], True), ("INVITE", ["BYE", "INVITE"], True), ("INVITE", ["invite"], False),
    ("BYE", ["INVITE"], False), ("PING", ["PING"], True), ("PING", ["PONG", "INVITE"], False),
    ("PING", ["INVITE"], False), ("UPDATE", ["UPDATE", "PING"], True),
])
def test_method(method, items, expected):
    assert holds({"kind": "method", "items": items}, request(method=method)) is expected


@pytest.mark.parametrize("ruri, items, expected", [
    ("sip:alice@x", ["alice"], True), ("sip:Alice@x", ["alice"], False),
    ("sip:alice@x", ["bob", "alice"], True),
    ("sip:alic@x", ["alice"], False), ("sip:alice2@x", ["alice"], False), ("sip:x", ["alice"], False),
    ("sip:alice:secret@x", ["alice"], True), ("tel:+4989", ["+4989"], True),
])
def test_user(ruri, items, expected):
    assert holds({"kind": "user", "items": items}, request(ruri)) is expected


USERS = st.text("0123+", min_size=1, max_size=6)


@given(st.lists(USERS, min_size=1, max_size=30), USERS)
def test_user_prefix_equals_startswith(prefixes, user):
    found = holds({"kind": "user_prefix", "items": prefixes}, request(f"sip:{user}@x"))
    assert found is user.startswith(tuple(prefixes))


@given(st.lists(USERS, min_size=1, max_size=30), USERS)
def test_long_user_lists_equal_in(users, user):
    assert holds({"kind": "user", "items": users}, request(f"sip:{user}@x")) is (user in users)


@pytest.mark.parametrize("ruri, patterns, expected", [
    ("sip:8100@x", ["^8"], True), ("sip:18@x", ["^8"], False), ("sip:18@x", ["^9", "8$"], True),
    ("sip:8100:secret@x", ["^8100$"], True), ("sip:8100;phone-context=1@x", ["^8100$"], True),
    ("sip:a%20b@x", ["^a%20b$"], True), ("tel:+4989", [r"^\+49"], True), ("tel:+49-89", ["^.{5}$"], True),
    ("sip:first.last;x@y", ["^first.last;x$"], True), ("sip:8%31-00@x", ["^8100$"], True),
    ("sip:x", ["x"], False), ("sip:x", [".*"], False), ("sip:x", ["^$"], False),
    ("sip:" + "8" * 60_000 + "@x", ["(8|88)*9"], False),
])
def test_user_match(ruri, patterns, expected):
    """The user alone, without its password; a URI that has none has nothing to be found in."""
    automaton = compile_patterns(patterns)
    assert holds({"kind": "user_match", "items": [automaton]}, request(ruri)) is expected


BARRED = [
    "sip:0900123@us", "sip:%30900123@us", "sip:0%39%30%30123@us", "sip:0-900-123@us", "sip:(0900)123@us",
    "sip:0.900.123@us", "sip:0%2D900%2d123@us", "sip:0900-123;npdi@us;user=phone", "tel:0-900-123;phone-context=+49",
    "SIP:0900123:secret@us", "sips:%30900123@us", "tel:0900-12-3", "sip:0900%31%32%33;x@us",
]  # fmt: skip


@pytest.mark.parametrize("ruri", BARRED)
@pytest.mark.parametrize("condition", [
    {"kind": "user_prefix", "items": ["0900"]}, {"kind": "user", "items": ["0900123"]},
    {"kind": "user_prefix", "items": ["0-9%30"]}, {"kind": "user", "items": ["0900-123"]},
    {"kind": "user_match", "items": [compile_patterns(["^0900"])]},
    {"kind": "user", "items": [*map(str, range(20)), "%30900123"]},
])
def test_no_spelling_of_a_user_is_a_way_round(ruri, condition):
    """Escapes (19.1.4), visual separators (RFC 3966 section 5): one user (docs/wire.md#canonical-users)."""
    assert holds(condition, request(ruri))


@pytest.mark.parametrize("ruri, user, expected", [
    ("sip:first.last@x", "firstlast", False), ("sip:first.last@x", "first.last", True),
    ("sip:first%2Elast@x", "first.last", True), ("sip:a-1@x", "a1", False), ("sip:a-1@x;user=phone", "a1", True),
    ("sip:A@x", "a", False), ("sip:a;b@x", "a", False), ("sip:1;b@x", "1", True), ("sip:+49@x", "%2B49", True),
    ("sip:%2b49@x", "+49", True), ("sip:*31%23@x", "*31#", True), ("sip:a%20b@x", "a b", True),
    ("sip:a%253x@x", "a%253x", True), ("sip:%40@x", "%40", True), ("sip:-@x", "-", True), ("sip:-.@x", "-", False),
    ("sip:b%c3%b6@x", "b\u00f6", True), ("sip:b\u00f6@x", "b%C3%B6", True),
])
def test_canonical_user(ruri, user, expected):
    assert holds({"kind": "user", "items": [user]}, request(ruri)) is expected


@pytest.mark.parametrize("size", [253, 255, 1000, 20_000])
def test_a_long_user_with_escapes(size):
    """What is cut of it is longer than the user of any rule."""
    text = "%30900" + "1" * size
    assert holds({"kind": "user_prefix", "items": ["0900" + "1" * 251]}, request(f"sip:{text}@x")) is (size >= 251)
    assert not holds({"kind": "user", "items": ["0900" + "1" * 251]}, request(f"sip:{text}@x"))


@pytest.mark.parametrize("ruri, items, expected", [
    ("sip:a@Media.Example.NET", ["media.example.net"], True),
    ("sip:a@media.example.net", ["MEDIA.example.net"], True),
    ("sip:a@media.example.net.", ["media.example.net"], True),
    ("sip:a@x.media.example.net", ["example.net"], False),
    ("sip:a@[2001:DB8:0::1]", ["2001:db8::1"], True), ("sip:a@[2001:db8::1]", ["[2001:DB8::0:1]"], True),
    ("sip:a@[2001:db8::2]", ["2001:db8::1"], False), ("sip:a@192.0.2.7:5062", ["192.0.2.7"], True),
    ("sip:a@[::ffff:192.0.2.7]", ["::ffff:c000:207"], True), ("tel:+4989", ["media.example.net"], False),
    ("sip:a@" + "x" * 300, ["example.net"], False),
    ("sip:a@example.net:5061", [("example.net", 5061)], True), ("sip:a@example.net", [("example.net", 5061)], False),
    ("sip:a@example.net", [("example.net", 5060)], True), ("sip:a@example.net:5060", [("example.net", 5060)], True),
    ("sip:a@example.net:5070", [("example.net", 5061), ("example.net", 5070)], True),
    ("sip:a@example.net:5071", [("example.net", 5061), "example.org", ("example.net", 5070)], False),
    ("sip:a@[2001:db8::1]:5061", [("2001:DB8::0:1", 5061)], True),
    ("sip:a@example.net:9", ["example.net", ("example.net", 5061)], True),
])
def test_domain(ruri, items, expected):
    assert holds({"kind": "domain", "items": items}, request(ruri)) is expected


@pytest.mark.parametrize("source, items, expected", [
    ("10.1.2.3", ["10.0.0.0/8"], True), ("11.1.2.3", ["10.0.0.0/8"], False), ("10.1.2.3", ["10.1.2.3"], True),
    ("10.1.2.4", ["10.1.2.3"], False), ("10.1.2.4", ["192.0.2.0/24", "10.1.2.4/31"], True),
    ("2001:db8::9", ["2001:db8::/32"], True), ("2001:db9::9", ["2001:db8::/32"], False),
    ("10.1.2.3", ["::/0"], False), ("2001:db8::9", ["0.0.0.0/0"], False), ("2001:db8::9", ["::/0"], True),
    ("10.1.2.3", ["0.0.0.0/0"], True),
])
def test_source(source, items, expected):
    assert holds({"kind": "source", "items": items}, request(), source=source) is expected


@given(st.ip_addresses(v=4), st.ip_addresses(v=4), st.integers(0, 32))
def test_source_equals_ipaddress(source, base, bits):
    network = ipaddress.ip_network((base, bits), strict=False)
    found = holds({"kind": "source", "items": [str(network)]}, request(), source=str(source))
    assert found is (source in network)


def with_sets():
    """Three sets; the destinations of the second and the third share a host."""
    table = RoutingTable(1)
    table.add_listener(1, 10, "192.0.2.1", 5060, "192.0.2.1")
    table.add_listener(2, 20, "2001:db8::1", 5060, "[2001:db8::1]")
    members = [[("10.0.0.1", 5060), ("2001:db8::5", 5062)], [("10.0.0.2", 5060)], [("10.0.0.2", 5070)]]
    number = 0
    for id, addresses in enumerate(members, 1):
        table.add_set(id, 4)
        for host, port in addresses:
            number += 1
            table.add_destination(id - 1, number, 0, host, port, int(":" in host), f"sip:{number}", f"{number}")
    table.add_set(9, 4)
    return table


@pytest.mark.parametrize("source, port, items, expected", [
    ("10.0.0.1", 5060, [0], True), ("10.0.0.1", 5061, [0], False), ("10.0.0.3", 5060, [0, 1, 2], False),
    ("2001:db8::5", 5062, [0], True), ("2001:db8::5", 5060, [0], False), ("10.0.0.2", 5060, [1], True),
    ("10.0.0.2", 5060, [2], False), ("10.0.0.2", 5070, [2], True), ("10.0.0.2", 5070, [0, 1], False),
    ("10.0.0.2", 5070, [2, 0], True), ("10.0.0.1", 5060, [3], False),
])
def test_source_set(source, port, items, expected):
    """A destination of one of the sets, by address and port; a set may have none."""
    for negate in (False, True):
        table = with_sets()
        table.add_rule(1, 0, [{"kind": "source_set", "items": items, "negate": negate}])
        found = rule_doors.match(table.seal(), request(), source=source, port=port)
        assert (found == 0) is (expected != negate)


@pytest.mark.parametrize("listener, items, expected", [
    (0, [10], True), (1, [10], False), (1, [10, 20], True), (2, [10, 20], False),
])
def test_listen(listener, items, expected):
    assert holds({"kind": "listen", "items": items}, request(), listener=listener) is expected


@pytest.mark.parametrize("headers, items, expected", [
    (["X-Site: east"], ["X-Site"], True), (["x-SITE: east"], ["X-Site"], True), ([], ["X-Site"], False),
    (["X-Site: east"], ["X-Site", "east"], True), (["X-Site: EAST"], ["x-site", "east"], True),
    (["X-Site: east"], ["X-Site", "west"], False), (["X-Site: east"], ["X-Site", "west", "east"], True),
    (["X-Site: west", "X-Other: east"], ["X-Site", "east"], False),
    (["X-Site: west", "Y: 1", "X-Site: east"], ["X-Site", "east"], True),
    (["X-Site: north\r\n  east"], ["X-Site", "north east"], True), (["X-Site: a b"], ["X-Site", "ab"], False),
    (["X-Site: ab"], ["X-Site", "a b"], False), (["X-Site:"], ["X-Site"], True),
    (["s: hello"], ["Subject", "hello"], True), (["Subject: hello"], ["s", "hello"], True),
    (["s: hello"], ["Subject"], True), (["k: path"], ["Supported", "path"], True),
    (["Supported: path"], ["k", "path"], True), (["Require: a", "Require: b"], ["Require", "b"], True),
    (["X-Site: east"], ["X-Site", True], True), ([], ["Call-ID", "1@a"], True), ([], ["i"], True),
])
def test_header(headers, items, expected):
    assert holds({"kind": "header", "items": items}, request(headers=headers)) is expected


@pytest.mark.parametrize("to_tag, condition, expected", [
    ("", {}, False), ("7", {}, True), ("", {"flag": False}, True), ("7", {"flag": False}, False),
    ("7", {"items": [True]}, True),
])
def test_to_tag(to_tag, condition, expected):
    assert holds({"kind": "to_tag", **condition}, request(to_tag=to_tag)) is expected


@pytest.mark.parametrize("condition, complaint", [
    ({"kind": "colour", "items": ["x"]}, "kind is one of"),
    ({"kind": "user", "items": []}, "empty list"),
    ({"kind": "user", "items": "alice"}, "is a list"),
    ({"kind": "user", "items": [""]}, "not empty"),
    ({"kind": "user", "items": [5]}, "user is a text"),
    ({"kind": "method", "items": ["IN VITE"]}, "letters, digits"),
    ({"kind": "header", "items": ["X:Y"]}, "letters, digits"),
    ({"kind": "source", "items": ["10.0.0.1/8"]}, "host bits"),
    ({"kind": "source", "items": ["everywhere"]}, "source"),
    ({"kind": "listen", "items": ["public"]}, "by its id"),
    ({"kind": "domain", "items": ["2001:db8::zz"]}, "domain"),
    ({"kind": "source_set", "items": ["media"]}, "by its index"),
    ({"kind": "source_set", "items": [1]}, "set index"),
    ({"kind": "user_match", "items": [(b"", None, b"")]}, "256 bytes"),
    ({"kind": "user_match", "items": [compile_patterns(["8"])] * 2}, "one automaton"),
    ({"kind": "user", "items": ["a"], "not": True}, "has no not"),
])
def test_conditions_that_are_refused(condition, complaint):
    with pytest.raises(ValueError, match=complaint):
        build([condition])


def owned(*hosts):
    table = RoutingTable(1)
    for host, port in hosts:
        table.add_own(host, port)
    return table.seal()


@pytest.mark.parametrize("host, port, expected", [
    (b"sip.example.net", 5060, True), (b"SIP.Example.Net", 0, True), (b"sip.example.net", 5061, False),
    (b"sip.example.net.", 5060, True), (b"any.example.net", 9999, True), (b"any.example.net", 0, True),
    (b"192.0.2.1", 0, False), (b"192.0.2.1", 5070, True), (b"192.0.2.1", 5080, True),
    (b"192.0.2.1", 5090, False),
    (b"2001:DB8::0:5", 5060, True), (b"[2001:db8::5]", 0, True), (b"2001:db8::6", 0, False), (b"", 0, False),
    (b"example.net", 0, False), (b"zzz", 0, False), (b"x" * 1000, 0, False), (b"2001:db8::zz", 0, False),
])
def test_own(host, port, expected):
    table = owned(("sip.example.net", 5060), ("any.example.net", 0), ("192.0.2.1", 5070), ("192.0.2.1", 5080),
                  ("2001:db8::5", 5060))
    assert rule_doors.own(table, host, port) is expected


@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.sampled_from([0, 5060, 5061])), max_size=20),
       st.sampled_from("abcdefghi"), st.sampled_from([0, 5060, 5061]))
def test_own_equals_a_plain_search(hosts, host, port):
    expected = any(name == host and own_port in (0, port or 5060) for name, own_port in hosts)
    assert rule_doors.own(owned(*hosts), host.encode(), port) is expected


def test_nothing_is_ours_in_an_empty_table():
    assert rule_doors.own(RoutingTable(1).seal(), b"sip.example.net") is False
