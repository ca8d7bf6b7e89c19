"""Torture messages through the running kernels: what leaves, octet by octet, and that nothing remains."""

import re

import pytest

from fastsip._core.harness.rig import Rig
from fastsip._core.proxy import refusals
from tests.kernels.audit import complaints, live_slots
from tests.oracle.sip_oracle import CODES
from tests.protocol.script import ALL_CLOCKS, BOB, make_table
from tests.torture import REQUESTS
from tests.torture.case import DROP, FORWARD, SOURCE, plain
from tests.torture.wanted import answered, forwarded

REASONS = {
    100: b"Trying", 200: b"OK", 400: b"Bad Route", 416: b"Unsupported URI Scheme", 420: b"Bad Extension",
    480: b"Temporarily Unavailable", 483: b"Too Many Hops", 513: b"Message Too Large",
}  # fmt: skip
MORE = {
    200: rb"Accept: application/sdp\r\nAccept-Encoding: identity\r\nAccept-Language: en\r\nSupported:\r\n",
    480: rb'Warning: 380 [0-9.:]+ "SIPS Not Allowed"\r\n',
    420: rb"(?:Unsupported: [^\r\n]+\r\n)+",
}
REFUSED = [case for case in REQUESTS if case.outcome not in (FORWARD, DROP)]


@pytest.fixture
def rig(scratch):
    """Requests of strangers go to the first of three destinations, inside a dialog, too."""
    table, cells = make_table(dialog_rule=True)
    return Rig(scratch / "run", table, cells, 64)


def reason_of(case) -> bytes:
    meaning = refusals.MEANINGS.get(CODES[case.code])
    return meaning[1] if meaning else REASONS[case.outcome]


def check_forwarded(case, sent) -> None:
    if case.raw.lstrip().startswith(b"INVITE "):
        trying = sent.pop()
        assert re.fullmatch(answered(case.raw, 100, b"Trying"), trying.datagram, re.S), trying.datagram
        assert trying.to == (SOURCE[0], case.port)
    assert [message.to for message in sent] == [BOB[0]]
    assert re.fullmatch(forwarded(case.raw), sent[0].datagram, re.S), sent[0].datagram


def check_refused(case, sent) -> None:
    assert [message.to for message in sent] == [(SOURCE[0], case.port)]
    pattern = answered(case.raw, case.outcome, reason_of(case), MORE.get(case.outcome, b""))
    assert re.fullmatch(pattern, sent[0].datagram, re.S), sent[0].datagram


@pytest.mark.parametrize("case", REQUESTS, ids=lambda case: case.id)
def test_what_leaves(rig, case):
    rig.receive(case.raw, SOURCE)
    sent = rig.sent()
    if case.outcome == FORWARD:
        check_forwarded(case, sent)
    elif case.outcome == DROP:
        assert sent == []
    else:
        check_refused(case, sent)
    assert complaints(rig) == []
    assert bool(live_slots(rig)) == (case.outcome == FORWARD)


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.id)
def test_an_ack_with_the_same_fault_is_met_with_silence(rig, case):
    """An ACK is never answered (docs/wire.md#no-answer-to-an-ack)."""
    method = case.raw.split(None, 1)[0]
    acknowledged = re.sub(rb"(?m)\A%s|(?<= )%s(?=\r\n)" % ((re.escape(method),) * 2), b"ACK", case.raw)
    assert acknowledged.startswith(b"ACK ")
    rig.receive(acknowledged, SOURCE)
    assert [message for message in rig.sent() if message.datagram.startswith(b"SIP/")] == []


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.id)
def test_the_same_question_gets_the_same_answer(rig, case):
    """Made without state, tag included; so the ACK of it has no one to meet, either."""
    for _ in range(2):
        rig.receive(case.raw, SOURCE)
    first, second = rig.sent()
    assert first.datagram == second.datagram


@pytest.mark.parametrize("method", ["OPTIONS", "INVITE", "CANCEL", "ACK"])
def test_larger_than_configured(scratch, method):
    """At `max_message` it passes, one octet more is refused; an ACK is not, and what lies behind the body counts."""
    table, cells = make_table(max_message=1300, dialog_rule=True)
    rig = Rig(scratch / "run", table, cells, 64)
    short = plain("large", method, to="<sip:bob@example.net>;tag=b", more=["Content-Length: 3"], body="abc")
    largest = short + b"x" * (1300 - len(short))
    rig.receive(largest, SOURCE)
    assert any(message.to == BOB[0] and message.datagram.startswith(method.encode()) for message in rig.sent())
    rig.receive(largest + b"x", SOURCE)
    answers = [message.datagram.split(b"\r\n")[0] for message in rig.sent()]
    assert answers == ([] if method == "ACK" else [b"SIP/2.0 513 Message Too Large"])


def head_of(length, method="INVITE", body=b""):
    """A request whose start line and headers, the empty line with them, have `length` bytes."""
    short = plain("long", method, to="<sip:bob@example.net>;tag=b", more=[f"Content-Length: {len(body)}", "X-Long: x"])
    at = short.index(b"X-Long: x") + len(b"X-Long: x")
    return short[:at] + b"x" * (length - len(short)) + short[at:] + body


def first_lines(rig):
    return [message.datagram.split(b"\r\n")[0] for message in rig.sent()]


@pytest.mark.parametrize("method", ["OPTIONS", "INVITE", "CANCEL", "ACK"])
@pytest.mark.parametrize("body", [b"", b"b" * 5000], ids=["bare", "body"])
def test_a_head_longer_than_is_read(scratch, method, body):
    """At `max_head` it passes whatever its body, one octet more is refused; an ACK is not."""
    table, cells = make_table(max_head=1300, dialog_rule=True)
    rig = Rig(scratch / "run", table, cells, 64)
    rig.receive(head_of(1300, method, body), SOURCE)
    assert any(message.to == BOB[0] and message.datagram.startswith(method.encode()) for message in rig.sent())
    rig.receive(head_of(1301, method, body), SOURCE)
    assert first_lines(rig) == ([] if method == "ACK" else [b"SIP/2.0 513 Headers Too Long"])
    counters = rig.counters()
    assert (counters["too_large"], counters["malformed"]) == (1, 0)


def test_what_is_not_read_is_not_looked_for(scratch):
    """Neither the end of a start line, nor what an answer needs."""
    table, cells = make_table(max_head=1300)
    rig = Rig(scratch / "run", table, cells, 64)
    request = plain("far", "INVITE")
    rig.receive(request.replace(b"INVITE sip:", b"INVITE sip:" + b"a" * 1300, 1), SOURCE)
    rig.receive(request.replace(b"\r\n", b"\r\nX-Long: " + b"x" * 1300 + b"\r\n", 1), SOURCE)
    assert rig.sent() == []
    assert live_slots(rig) == []


def test_a_response_brings_more_than_the_request_had(scratch):
    """Twice as much: what servers behind us add does not lose an answer to what we let pass."""
    table, cells = make_table(max_head=1300, dialog_rule=True)
    rig = Rig(scratch / "run", table, cells, 64)
    rig.receive(head_of(1300), SOURCE)
    sent = next(message.datagram for message in rig.sent() if message.datagram.startswith(b"INVITE"))
    lines = [line for line in sent.split(b"\r\n") if line.startswith((b"Via:", b"From:", b"Call-ID:", b"CSeq:"))]
    lines += [b"To: <sip:bob@example.net>;tag=b", b"Content-Length: 0", b"", b""]
    short = b"\r\n".join([b"SIP/2.0 180 Ringing", *lines])
    for length, said in ((2601, []), (2600, [b"SIP/2.0 180 Ringing"])):
        padding = b"X: " + b"x" * (length - len(short) - 5) + b"\r\n"
        rig.receive(short.replace(b"Content-Length", padding + b"Content-Length"), BOB[0])
        assert first_lines(rig) == said
    assert rig.counters()["too_large"] == 1


def test_one_after_another(rig):
    """What one leaves behind does not change what becomes of the next; in the end nothing is left."""
    for case in REQUESTS:
        rig.receive(case.raw, SOURCE)
        rig.sent()
        rig.advance(40_000)
        rig.sent()
        assert complaints(rig) == []
    rig.advance(ALL_CLOCKS)
    rig.sent()
    assert live_slots(rig) == []
    counters = rig.counters()
    assert counters["datagrams"] == len(REQUESTS)
    assert counters["no_room"] == 0


def test_all_at_once(scratch):
    """Without a pause, as many as the store takes; the rest is refused and not harmed by it."""
    table, cells = make_table(dialog_rule=True)
    rig = Rig(scratch / "run", table, cells, 64)
    for case in REQUESTS:
        rig.receive(case.raw, SOURCE)
    rig.sent()
    assert complaints(rig) == []
    rig.advance(ALL_CLOCKS)
    rig.sent()
    assert live_slots(rig) == []
