"""What the router answers by itself it answers as a server: RFC 3261 section 8.2."""

import pytest

from fastsip.ua.message import make_ack, make_cancel
from tests.protocol.script import BOB, EDGE

US = f"{EDGE[0]}:{EDGE[1]}"
WANTS = [("Require", "magic"), ("Proxy-Require", "magic")]
ODD = [("X-Unheard", "of"), ("Date", "never"), ("Contact", "<<"), ("Expires", "soon"), ("Record-Route", "nonsense")]


@pytest.mark.parametrize("header", ODD, ids=lambda header: header[0])
def test_what_it_need_not_read_is_ignored(stage, header):
    """8.2.2: headers that it does not know, and unreadable ones that it does not need."""
    stage.send("OPTIONS", f"sip:{US}", headers=[header])
    stage.expect_response(200, "OPTIONS")
    stage.nothing_sent()


@pytest.mark.parametrize("to", ["tel:+4989123", "isbn:2983792873", "sip:somebody@else.example"])
def test_whom_to_names_does_not_matter(stage, to):
    """8.2.2.1: To may be anything, of any scheme; the Request-URI says that we are meant."""
    stage.inject(stage.make("OPTIONS", f"sip:{US}").set("To", f"<{to}>"))
    stage.expect_response(200, "OPTIONS")
    stage.nothing_sent()


@pytest.mark.parametrize("method", ["BYE", "INVITE", "INFO"])
def test_a_to_with_a_tag_goes_back_as_it_came(stage, method):
    """8.2.6.2: a tag is added to a To that has none, and to no other."""
    request = stage.make(method, f"sip:{US}", to_tag="gone")
    stage.inject(request)
    assert stage.expect_response(481, method).get("To") == request.get("To")
    stage.nothing_sent()


def test_a_cancel_is_not_asked_for_extensions(stage):
    """8.2.2.3: Require and Proxy-Require are nothing in a CANCEL, neither in the caller's nor in ours."""
    call = stage.invite(headers=[("Require", "100rel")])
    stage.ring(BOB[0])
    cancel = make_cancel(call.message)
    cancel.headers += WANTS
    stage.inject(cancel)
    stage.expect_response(200, "CANCEL")
    ours = stage.expect_request(BOB[0], "CANCEL")
    assert not ours.lines("Require") and not ours.lines("Proxy-Require")
    stage.nothing_sent()


def test_an_ack_is_not_asked_for_extensions(stage):
    """8.2.2.3: nor in the ACK of a failure."""
    call = stage.invite(headers=[("Require", "100rel")])
    stage.reply(stage.expect_request(BOB[0], "INVITE"), 486)
    assert not stage.expect_request(BOB[0], "ACK").lines("Require")
    ack = make_ack(call.message, stage.expect_response(486))
    ack.headers += WANTS
    stage.inject(ack)
    stage.nothing_sent()
    assert stage.states("server") == ["confirmed"]
