"""Loops and spirals (RFC 5393 section 4, docs/wire.md#loops-and-spirals)."""

import pytest

from fastsip.ua.message import Message
from tests.protocol.script import ALICE, BOB, Sent, Stage

BY_HEADER = ({"kind": "header", "items": ["X-Leg", "a", "b"]},)


def back_again(sent: Sent, **changes: str) -> Message:
    """What somebody sends back to us as he got it: his own Via on top, one hop less."""
    message = Message(method=sent.method, uri=changes.pop("uri", sent.uri), headers=list(sent.headers), body=sent.body)
    message.headers.insert(0, ("Via", f"SIP/2.0/UDP {sent.to[0]}:{sent.to[1]};branch=z9hG4bK{sent.branch[-6:]}0"))
    message.set("Max-Forwards", str(int(sent.get("Max-Forwards")) - 1))
    for name, value in changes.items():
        message.set(name.replace("_", "-"), value)
    return message


def go_round(stage: Stage, listener: int = 0, **changes: str) -> Sent:
    """A call that BOB[0] sends back to us by this listener, and we to him; what he has then."""
    stage.invite(headers=[("X-Leg", "a")])
    first = stage.expect_request(BOB[0], "INVITE")
    stage.inject(back_again(first, **changes), BOB[0], listener)
    stage.expect_response(100, to=BOB[0])
    return stage.expect_request(BOB[0], "INVITE")


def test_the_first_time_round_is_a_spiral(stage):
    """From BOB it is not what ALICE sent: source and listener are part of what it is known by."""
    go_round(stage)
    assert stage.counter("loops") == 0


def test_the_second_time_round_is_a_loop(stage):
    second = go_round(stage)
    stage.inject(back_again(second), BOB[0])
    stage.expect_response(482, to=BOB[0])
    stage.nothing_sent()
    assert stage.counter("loops") == 1


def test_it_is_one_while_the_secret_changes(make_stage):
    """The loop part has a key of its own, which stays (docs/wire.md#placement-key)."""
    second = go_round(make_stage(branch_key=b"the old secret's", loop_key=b"that which stays"))
    keys = {"branch_key": b"the new secret's", "other_branch_key": b"the old secret's"}
    stage = make_stage(**keys, loop_key=b"that which stays")
    stage.inject(back_again(second), BOB[0])
    stage.expect_response(482, to=BOB[0])
    stage.nothing_sent()


def test_a_longer_round_is_a_loop_too(stage):
    """Ours is any Via below, in one line or in several."""
    second = go_round(stage)
    again = back_again(second)
    again.headers.insert(0, ("Via", "SIP/2.0/UDP 10.0.5.5;branch=z9hG4bKbetween"))
    vias = ", ".join(again.lines("Via"))
    again.remove("Via").headers.insert(0, ("Via", vias))
    stage.inject(again, BOB[0])
    stage.expect_response(482, to=("10.0.1.1", 5060))
    assert stage.counter("loops") == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"uri": "sip:80999@example.net"},
        {"CSeq": "2 INVITE"},
        {"Call_ID": "another"},
        {"From": "<sip:alice@example.net>;tag=other"},
        {"Proxy_Authorization": 'Digest username="x"'},
    ],
)
def test_changed_in_what_routing_looks_at_it_is_a_spiral(stage, changes):
    """RFC 5393 section 4.2.1 names these."""
    second = go_round(stage)
    stage.inject(back_again(second, **changes), BOB[0])
    stage.expect_response(100, to=BOB[0])
    stage.expect_request(BOB[0], "INVITE")
    assert stage.counter("loops") == 0


TO_BOB = f"sip:bob@{BOB[0][0]}"
IN_DIALOG = {"uri": TO_BOB, "To": f"<{TO_BOB}>;tag=one"}
BY_BOB = {"Route": f"<sip:{BOB[0][0]};lr;leg=one>"}


@pytest.mark.parametrize("header, before", [("To", IN_DIALOG), ("Route", BY_BOB), ("Route", IN_DIALOG | BY_BOB)])
@pytest.mark.parametrize("leg, is_loop", [("one", True), ("two", False)])
def test_another_to_tag_or_route_makes_a_spiral(stage, header, before, leg, is_loop):
    """As it was it is a loop; the way is the same, only what is asked differs, and not in its length."""
    again = back_again(go_round(stage, **before))
    again.set(header, again.get(header).replace("=one", f"={leg}"))
    stage.inject(again, BOB[0])
    stage.expect_response(482 if is_loop else 100, to=BOB[0])
    assert len(stage.take_requests(BOB[0], "INVITE")) == (not is_loop)
    assert stage.counter("loops") == is_loop


@pytest.mark.parametrize("listener, is_loop", [(1, True), (0, False)])
def test_by_another_listener_it_is_a_spiral(make_stage, listener, is_loop):
    """Rules may ask where a request came in."""
    stage = make_stage(listeners=2)
    second = go_round(stage, listener=1)
    stage.inject(back_again(second), BOB[0], listener)
    stage.expect_response(482 if is_loop else 100, to=BOB[0])
    assert len(stage.take_requests(BOB[0], "INVITE")) == (not is_loop)
    assert stage.counter("loops") == is_loop


@pytest.mark.parametrize("leg, is_loop", [("a", True), ("b", False)])
def test_a_header_that_a_rule_looks_at_tells_a_spiral(make_stage, leg, is_loop):
    """Sent back with another header on purpose, by the same router."""
    stage = make_stage(conditions=BY_HEADER)
    second = go_round(stage)
    stage.inject(back_again(second, X_Leg=leg), BOB[0])
    stage.expect_response(482 if is_loop else 100, to=BOB[0])
    assert len(stage.take_requests(BOB[0], "INVITE")) == (not is_loop)


def test_a_header_that_no_rule_looks_at_does_not(stage):
    second = go_round(stage)
    stage.inject(back_again(second, X_Leg="b"), BOB[0])
    stage.expect_response(482, to=BOB[0])


def test_an_ack_that_comes_round_is_dropped(make_stage):
    """It is never answered."""
    stage = make_stage(trusted=("10.0.1.0/24",))
    by_us = ("Route", "<sip:10.0.0.254:5060;lr>")
    stage.send("ACK", f"sip:bob@{BOB[0][0]}", to_tag="bob", headers=[by_us])
    ack = stage.expect_request(BOB[0], "ACK")
    for expected in (1, 0):
        again = back_again(ack)
        again.headers.append(by_us)
        stage.inject(again, BOB[0])
        found = stage.take_requests(BOB[0], "ACK")
        assert len(found) == expected
        ack = (*found, ack)[0]
    stage.nothing_sent()
    assert stage.counter("loops") == 1


def test_a_loop_part_of_others_means_nothing(stage):
    """The same letters under a name that is not ours."""
    second = go_round(stage)
    again = back_again(second)
    vias = [via.replace("10.0.0.254:5060", "10.0.0.253:5060") for via in again.lines("Via")]
    again.remove("Via").headers[:0] = [("Via", via) for via in vias]
    stage.inject(again, BOB[0])
    stage.expect_response(100, to=BOB[0])
    assert ALICE not in [sent.to for sent in stage.waiting]
