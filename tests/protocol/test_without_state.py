"""Requests that go on without state, because the store is full or they have none: RFC 3261 16.11."""

import pytest

from tests.kernels.audit import live_slots
from tests.protocol.dialogs import Talk
from tests.protocol.script import ALICE, BOB, EDGE

THROUGH_US = [("Route", f"<sip:{EDGE[0]};lr>, <sip:{BOB[0][0]};lr>")]


@pytest.mark.parametrize("method", ["INVITE", "INFO", "NOTIFY"])
def test_a_repeated_request_leaves_as_it_did(stage, method):
    """The branch, the Record-Route of a NOTIFY and all else are made of what a repetition repeats; no 100 of ours."""
    request = stage.make(method, to_tag="bob", headers=THROUGH_US)
    copies = []
    for _ in range(3):
        stage.rig.fail_allocation("slot", 1)
        stage.inject(request)
        copies.append(stage.expect_request(BOB[0], method))
        stage.nothing_sent()
        assert live_slots(stage.rig) == []
        stage.advance(500)
    assert len({copy.to_bytes() for copy in copies}) == 1
    assert copies[0].get("Max-Forwards") == "69" and copies[0].values("Route") == [f"<sip:{BOB[0][0]};lr>"]
    assert len(copies[0].values("Record-Route")) == (method == "NOTIFY")


def test_its_response_loses_our_via_alone(stage):
    """It finds no transaction here and goes where the Via below ours says, with headers and body as they came."""
    stage.rig.fail_allocation("slot", 1)
    stage.send("INFO", to_tag="bob", headers=THROUGH_US)
    request = stage.expect_request(BOB[0], "INFO")
    reply = stage.response(request, 200, headers=[("X-Own", "kept"), ("Content-Length", "9")], body=b"something")
    stage.inject(reply, BOB[0])
    got = stage.expect_response(200, "INFO")
    assert got.values("Via") == reply.values("Via")[1:]
    assert [each for each in got.headers if each[0] != "Via"] == [each for each in reply.headers if each[0] != "Via"]
    assert got.body == b"something"
    stage.nothing_sent()


@pytest.mark.parametrize("hops, passes", [("1", True), ("0", False)])
def test_an_ack_with_no_hops_left_ends_here(stage, hops, passes):
    """16.3 item 3: not forwarded; an ACK is never answered."""
    talk = Talk(stage, contact=BOB[0])
    stage.inject(talk.request("ACK", cseq=1).set("Max-Forwards", hops), ALICE)
    assert len(stage.take_requests(BOB[0], "ACK")) == passes
    stage.nothing_sent()


@pytest.mark.parametrize("hops, passes", [("1", True), ("0", False)])
def test_a_cancel_with_no_hops_left_ends_here(stage, hops, passes):
    """Of a call that is not known here."""
    stage.inject(stage.make("CANCEL").set("Max-Forwards", hops))
    assert len(stage.take_requests(BOB[0], "CANCEL")) == passes
    assert len(stage.take(lambda sent: sent.status >= 400)) == (not passes)
    stage.nothing_sent()
