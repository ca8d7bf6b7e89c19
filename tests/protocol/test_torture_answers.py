"""Torture messages as answers to an INVITE that was sent on: what the caller gets, octet by octet."""

import pytest

from fastsip._core.harness.rig import Rig
from tests.kernels.audit import complaints, live_slots
from tests.protocol.script import ALL_CLOCKS, BOB, make_table
from tests.torture.answers import ANSWERS, sound
from tests.torture.case import DROP, SOURCE, plain
from tests.torture.wanted import name_of, split

INVITE = plain("call", "INVITE", via="SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKcall;rport", more=[
    "Via: SIP/2.0/UDP 192.0.2.2;branch=z9hG4bKbelow"])  # fmt: skip


class Call:
    """An INVITE of a stranger, sent on to the first of the destinations."""

    def __init__(self, scratch, source=SOURCE):
        table, cells = make_table()
        self.rig = Rig(scratch / "run", table, cells, 64)
        self.rig.receive(INVITE, source)
        invite, _ = self.rig.sent()
        self.request = invite.datagram

    def answer(self, raw: bytes) -> tuple[list[bytes], list[bytes]]:
        """What went up, and what went down."""
        self.rig.receive(raw, BOB[0])
        sent = self.rig.sent()
        assert complaints(self.rig) == []
        assert {message.to for message in sent} <= {SOURCE, BOB[0]}
        return [m.datagram for m in sent if m.to == SOURCE], [m.datagram for m in sent if m.to == BOB[0]]

    def finish(self) -> None:
        self.rig.advance(ALL_CLOCKS)
        self.rig.sent()
        assert live_slots(self.rig) == []


@pytest.fixture
def call(scratch):
    return Call(scratch)


def without_our_via(raw: bytes) -> bytes:
    """16.7 item 3: our value, and its header when it held nothing else."""
    start, headers, rest = split(raw)
    place = next(i for i, header in enumerate(headers) if name_of(header) == b"via")
    head, colon, values = headers[place].partition(b":")
    _, comma, others = values.partition(b",")
    headers[place] = head + colon + others if comma else b""
    return start + b"".join(headers) + (rest or b"\r\n")


@pytest.mark.parametrize("answer", ANSWERS, ids=lambda answer: answer.id)
def test_what_goes_up(call, answer):
    raw = answer.make(call.request)
    up, down = call.answer(raw)
    if answer.outcome == DROP:
        assert (up, down) == ([], [])
        up, down = call.answer(sound(call.request))     # the transaction is as it was
        raw = sound(call.request)
    assert up == [without_our_via(raw[: len(raw) - answer.cut])]
    assert len(down) == (b" 299 " not in raw.split(b"\n")[0])
    call.finish()


@pytest.mark.parametrize("answer", [a for a in ANSWERS if a.outcome != DROP], ids=lambda answer: answer.id)
def test_what_is_acknowledged(call, answer):
    """17.1.1.3: the ACK has the To of the response, octet by octet, and our Via alone."""
    raw = answer.make(call.request)
    _, down = call.answer(raw)
    for ack in down:
        start, headers, rest = split(ack)
        assert start == b"ACK sip:bob@example.net SIP/2.0\r\n" and rest == b"\r\n"
        to = [header for header in split(raw)[1] if name_of(header) == b"to"]
        assert [header for header in headers if name_of(header) == b"to"] == to
        assert [header for header in headers if name_of(header) == b"via"] == [
            header for header in split(call.request)[1] if name_of(header) == b"via"
        ][:1]


@pytest.mark.parametrize("line", ["SIP/2.0 100 ", "SIP/2.0 100 Trying", "SIP/2.0 100"])
def test_a_100_goes_no_further(call, line):
    """RFC 4475 3.1.1.13, 16.7 item 5."""
    assert call.answer(sound(call.request, line)) == ([], [])


@pytest.mark.parametrize("answer", [a for a in ANSWERS if a.outcome == DROP], ids=lambda answer: answer.id)
def test_what_is_dropped_repeats_nothing_and_stops_nothing(call, answer):
    """The INVITE is still repeated: as far as we know, nobody has answered it."""
    call.answer(answer.make(call.request))
    call.rig.advance(600)
    assert [m.datagram for m in call.rig.sent()] == [call.request]


@pytest.mark.parametrize("place", ["255.255.255.255", "239.1.1.1", "0.0.0.0", "ff02::1", "::", "127.0.0.1", "::1"])
def test_without_state_nobody_but_one_is_answered(scratch, place):
    """RFC 4475 3.3.10: a router whose store is new follows the Via, but not to many at once, nor to its own host."""
    old = Call(scratch, (place, 5060))
    table, cells = make_table()
    rig = Rig(scratch / "new", table, cells, 64)
    rig.receive(sound(old.request, "SIP/2.0 200 OK"), BOB[0])
    assert rig.sent() == []


def test_without_state_our_own_host_is_answered_where_we_listen_there(scratch):
    here = ("127.0.0.9", 5060)
    table, cells = make_table(addresses=(("127.0.0.1", 5060),))
    rig = Rig(scratch / "old", table, cells, 64)
    rig.receive(INVITE, here)
    request = rig.sent()[0].datagram
    rig = Rig(scratch / "new", table, cells, 64)
    rig.receive(sound(request, "SIP/2.0 200 OK"), BOB[0])
    assert [sent.to for sent in rig.sent()] == [here]
