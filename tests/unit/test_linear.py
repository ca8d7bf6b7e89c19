"""Whatever is in a datagram: twice as much of it costs at most twice as much to read and to route."""

import functools
import itertools
import re

import pytest

from fastsip._core.harness.rig import Rig
from tests.kernels import parser_doors as doors
from tests.protocol.script import ALICE, make_table
from tests.unit.steps import steps

HEAD = b"Via: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKa\r\n"
REST = b"Call-ID: linear\r\nCSeq: 1 OPTIONS\r\n\r\n"
FROM, TO = b"From: <sip:a@b.example>;tag=1\r\n", b"To: <sip:c@d.example>\r\n"
URI = b"sip:c@d.example"
SIZE = 30
MOST_CALLS = 20_000
LONG = 500
SLACK = 400     # instructions: loads of 16 bytes end at different places


def message(uri=URI, via=HEAD, sender=FROM, to=TO, more=b"", gap=b" ", call_id=b""):
    rest = REST.replace(b"linear", b"linear" + call_id)
    return b"OPTIONS" + gap + uri + b" SIP/2.0\r\n" + via + sender + to + more + rest


def with_tokens(rig, long, counts):
    """Steps of requests of a dialog whose texts are so long, each with so many tokens of ours, all of them true."""
    text = b"x" * long
    parts = {"sender": FROM.replace(b"tag=1", b"tag=" + text), "call_id": text}
    rig.receive(message(**parts).replace(b"OPTIONS", b"INVITE"), ALICE)
    (ours,) = {found[1] for one in rig.sent() if (found := re.search(rb"Record-Route: (<.*>)", one.datagram))}
    more = [message(**parts, to=TO.replace(b"\r", b";tag=a\r"), more=b"Route: %s\r\n" % ours * n) for n in counts]
    return [steps(functools.partial(rig.receive, one, ALICE)) for one in more]


def stray(long):
    """A response that no transaction waits for, and the next Via is not that of a request of ours."""
    text = b"x" * long
    return message(via=b"Via: SIP/2.0/UDP 10.0.0.254:5060;branch=z9hG4bKaaaaaaaaaaaaa.aaaaaa\r\n"
                       + HEAD.replace(b"z9hG4bKa", b"z9hG4bK" + text),
                   sender=FROM.replace(b"tag=1", b"tag=" + text), call_id=text)\
        .replace(b"OPTIONS sip:c@d.example SIP/2.0", b"SIP/2.0 200 OK")


# What of it there is n times.
SHAPES = {
    "folds": lambda n: message(more=b"X:" + b"\r\n a" * n + b"\r\n"),
    "folds before a colon": lambda n: message(more=b"X" + b"\r\n " * n + b": y\r\n"),
    "folds before the Call-ID": lambda n: message(more=b"c\r\n" + b" \r\n" * n),
    "lines that are no headers": lambda n: message(more=b"x y\r\n" * n),
    "escapes": lambda n: message(uri=b"sip:" + b"%61" * n + b"@d.example"),
    "at signs": lambda n: message(uri=b"sip:a@b;x=" + b"@" * n),
    "parameters of From": lambda n: message(sender=FROM.replace(b";tag", b";a=b" * n + b";tag")),
    "parameters of Via": lambda n: message(via=HEAD.replace(b";branch", b";a=b" * n + b";branch")),
    "Vias": lambda n: message(via=HEAD * n + HEAD),
    "Vias in a line": lambda n: message(via=HEAD.replace(b"\r\n", b",SIP/2.0/UDP b;branch=x" * n + b"\r\n")),
    "quotes in From": lambda n: message(sender=b'From: "a"' + b' "b"' * n + b" <sip:a@b.example>;tag=1\r\n"),
    "an open quote": lambda n: message(to=b'To: "a' + b"b, <sip:" * n + b"\r\n"),
    "brackets": lambda n: message(to=b"To: " + b"<sip:a@b>" * n + b"\r\n"),
    "commas in To": lambda n: message(to=b"To: a" + b"," * n + b"\r\n"),
    "values of To": lambda n: message(to=b"To: a" + b",<a:b>" * n + b"\r\n"),
}
ROUTED = {
    "Routes of ours": lambda n: message(more=b"Route: <sip:10.0.0.254;lr>\r\n" * n),
    "Routes of ours in a line": lambda n: message(more=b"Route: " + b"<sip:10.0.0.254;lr>," * n + b"<sip:a>\r\n"),
    "commas in Route": lambda n: message(more=b"Route: <sip:r.example;lr>" + b"," * 4 * n + b"<sip:s.example>\r\n"),
    "an open quote in Route": lambda n: message(more=b'Route: <sip:10.0.0.254;lr>,"' + b"a," * 4 * n + b"\r\n"),
    "Vias of ours": lambda n: message(via=HEAD + b"Via: SIP/2.0/UDP 10.0.0.254:5060;branch=z9hG4bKb\r\n" * n),
}


def check(cost, shape):
    few, once, twice = cost(shape(2)), cost(shape(SIZE)), cost(shape(2 * SIZE))
    assert twice - few <= 2.2 * max(once - few, 0) + SLACK, (few, once, twice)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_reading(shape):
    doors.bench_parse(message(), 1)
    check(lambda text: steps(lambda: doors.bench_parse(text, 1)), shape)


@pytest.fixture
def rig(scratch):
    table, cells = make_table(rule={"conditions": [{"kind": "user", "items": ["c"]}]})
    return Rig(scratch / "run", table, cells, 64)


def test_what_a_dialog_is_known_by_is_hashed_once_a_message(rig):
    """However many tokens it brings: long texts cost forty tokens what they cost one."""
    one, forty = (long - brief for brief, long in zip(with_tokens(rig, 10, (1, 40)), with_tokens(rig, LONG, (1, 40)),
                                                      strict=True))  # fmt: skip
    assert forty < 1.1 * one, (one, forty)


def test_what_a_stray_response_brings_is_hashed_once(rig):
    """However many attempts its branch might be of: long texts cost it what they cost a request, within a factor."""
    response, request = (
        steps(functools.partial(rig.receive, long, ALICE)) - steps(functools.partial(rig.receive, brief, ALICE))
        for brief, long in ((stray(10), stray(LONG)), (message(call_id=b"x" * 10), message(call_id=b"x" * LONG)))
    )
    assert response < 2 * request, (response, request)


@pytest.mark.parametrize("shape", ROUTED.values(), ids=ROUTED)
def test_routing(rig, shape):
    check(lambda text: steps(lambda: rig.receive(text, ALICE)), shape)


def fill(rig, call_ids):
    """An INVITE of each Call-ID until there is no room; one more of the last of them."""
    for number, call_id in enumerate(itertools.islice(call_ids, MOST_CALLS)):
        text = message(via=HEAD.replace(b"z9hG4bKa", b"z9hG4bK%d" % number)).replace(b"OPTIONS", b"INVITE")
        text = text.replace(b"linear", call_id).replace(b"CSeq: 1", b"CSeq: %d" % number)
        rig.receive(text, ALICE)
        rig.sent()
        if rig.counters()["store_full"] or rig.counters()["over_share"]:
            return text.replace(b"z9hG4bK", b"z9hG4bKlast")
    raise AssertionError("never full")


@pytest.mark.parametrize("whose", ["one call", "a partition"])
def test_a_refusal_costs_the_same_however_large_the_store_is(scratch, whose):
    """Whoever fills it, alone or with others."""
    costs = []
    for size in (2_000, 200_000):
        rig = Rig(scratch / str(size), *make_table(), size)
        of = rig.partition_of(b"c-0")
        beside = (name for name in (b"c-%d" % n for n in itertools.count()) if rig.partition_of(name) == of)
        last = fill(rig, itertools.repeat(b"c-0") if whose == "one call" else beside)
        costs.append(steps(functools.partial(rig.receive, last, ALICE)))
    assert abs(costs[1] - costs[0]) < 0.1 * costs[0], costs


def test_what_is_not_linear_would_be_seen():
    with pytest.raises(AssertionError):
        check(lambda n: n * n, lambda n: n)
