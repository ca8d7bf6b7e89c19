"""What is read of a message, and that nothing a stranger writes raises or costs more than its length."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastsip.base.sip import call_id_in
from fastsip.trace.glance import MOST_HEAD, glance
from tests.torture.rfc4475 import CASES
from tests.unit.trace.talk import Talk


def test_a_request_and_a_response_are_read():
    talk = Talk().begin(more="traceparent: 00-11-22-01\r\n").refuse()
    invite, _, refusal, ack = (glance(seen.message) for seen in talk.seen)
    assert (invite.method, invite.uri, invite.status) == ("INVITE", "sip:80123@example.net", 0)
    assert (invite.call_id, invite.cseq, invite.cseq_method, invite.branch) == ("one@alice", 1, "INVITE", "z9hG4bKa")
    assert (invite.sender, invite.to_tag, invite.traceparent) == ("<sip:alice@example.net>;tag=a", "", "00-11-22-01")
    assert (refusal.method, refusal.status, refusal.reason, refusal.to_tag) == ("", 404, "Not Found", "b")
    assert (ack.method, ack.branch) == ("ACK", invite.branch)


def test_compact_names_folds_and_bare_line_feeds_are_read():
    said = glance(b"\r\nBYE sip:b SIP/2.0\nv: SIP/2.0/UDP h;x=\",\"\n ;branch=z9hG4bK1, SIP/2.0/UDP g;branch=2\n"
                  b"I :\n  x y\nf: a\nt: b;tag=7\nCSEQ: 12  BYE\n\ni: no\n")
    assert (said.method, said.branch, said.call_id, said.cseq, said.to_tag) == ("BYE", "z9hG4bK1", "x y", 12, "7")
    assert said.below == "2"
    assert glance(b"A b c\nv: u h;branch=1\nX: y\nVia: u h;branch=2\nv: u h;branch=3").below == "2"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_torture_is_read_as_far_as_it_goes(case):
    said = glance(case.raw)
    assert said.start and (case.outcome != "forward" or said.call_id == call_id_in(case.raw).decode())


@given(st.binary(max_size=300))
def test_no_bytes_raise(message):
    said = glance(message)
    assert len(said.start) <= 300 and call_id_in(message) is not None


def test_what_is_no_sip_is_its_first_line():
    assert glance(b"").start == "" and glance(b"\x00\xffabc").start == "\x00\udcffabc"
    assert glance(b"INVITE sip:x HTTP/1.1\r\nCSeq: 99999999999 INVITE\r\n\r\n").cseq == -1


def test_a_head_is_looked_at_to_its_bound():
    filler = b"INVITE sip:x SIP/2.0\r\nX: "
    for room, found in ((0, "y"), (1, "")):
        head = filler + b"x" * (MOST_HEAD - len(filler) - len(b"\r\nCall-ID:y") + room)
        assert glance(head + b"\r\nCall-ID:y\r\n\r\n").call_id == found


@pytest.mark.parametrize("text, found", [
    (b"A b c\r\nCall-ID:  x y \t\r\n\r\n", b"x y"), (b"A b c\ni\t: z\n", b"z"), (b"A b c\r\nFrom: i: q\r\n", b""),
    (b"i: at the start", b"at the start"), (b"", b""),
])  # fmt: skip
def test_the_call_id_is_found_without_reading_the_rest(text, found):
    assert call_id_in(text) == found


def test_no_call_id_is_expensive():
    """A pattern that tried each blank of it again would not come to an end here."""
    assert len(call_id_in(b"A b c\r\ni: a" + b" " * 5_000_000 + b"b")) == 5_000_002
