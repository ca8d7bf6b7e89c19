"""Whatever is in a datagram: twice as much of it costs at most twice as much to read and to route."""

import pytest

from fastsip._core import parser_doors as doors
from fastsip._core.rig import Rig
from tests.protocol.script import ALICE, make_table
from tests.unit.steps import steps

HEAD = b"Via: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKa\r\n"
REST = b"Call-ID: linear\r\nCSeq: 1 OPTIONS\r\n\r\n"
FROM, TO = b"From: <sip:a@b.example>;tag=1\r\n", b"To: <sip:c@d.example>\r\n"
URI = b"sip:c@d.example"
SIZE = 30
SLACK = 400     # instructions: loads of 16 bytes end at different places


def message(uri=URI, via=HEAD, sender=FROM, to=TO, more=b"", gap=b" "):
    return b"OPTIONS" + gap + uri + b" SIP/2.0\r\n" + via + sender + to + more + REST


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


@pytest.mark.parametrize("shape", ROUTED.values(), ids=ROUTED)
def test_routing(scratch, shape):
    table, cells = make_table(rule={"conditions": [{"kind": "user", "items": ["c"]}]})
    rig = Rig(scratch / "run", table, cells, 64)
    check(lambda text: steps(lambda: rig.receive(text, ALICE)), shape)


def test_what_is_not_linear_would_be_seen():
    with pytest.raises(AssertionError):
        check(lambda n: n * n, lambda n: n)
