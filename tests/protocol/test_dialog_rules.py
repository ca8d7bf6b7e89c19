"""Rules that ask for a To tag: requests inside a dialog that no Record-Route of ours led here."""

import pytest

from tests.protocol.dialogs import CAROL, Talk
from tests.protocol.script import ALICE, BOB, EDGE, NUMBER

FOREIGN = [("Route", "<sip:192.0.2.9;lr>")]
OURS = [("Route", f"<sip:{EDGE[0]};lr>"), ("Route", f"<sip:{BOB[2][0]};lr>")]


@pytest.fixture
def stage(make_stage):
    return make_stage(dialog_rule=True)


@pytest.mark.parametrize("headers", [[], FOREIGN])
@pytest.mark.parametrize("method", ["BYE", "INVITE", "FOO"])
def test_they_decide_where_nothing_of_ours_leads(stage, method, headers):
    """From anybody, as outside of a dialog: foreign Routes go.  The dialog has its route set, so no Record-Route."""
    stage.send(method, to_tag="x", headers=headers)
    request = stage.expect_request(BOB[0], method)
    assert not request.values("Route") and not request.values("Record-Route")
    stage.reply(request, 200)
    stage.expect_response(200, method)


def test_a_name_or_a_family_that_cannot_be_reached_is_no_hindrance(stage):
    """The rule decides on the next hop, the Request-URI stays (16.6 item 6)."""
    stage.send("BYE", "sip:[2001:db8::10]", to_tag="x")
    assert stage.expect_request(BOB[0], "BYE").uri == "sip:[2001:db8::10]"


def test_acks_take_the_way_of_their_invite(stage):
    """An ACK of a 2xx is a request of its own (13.2.2.4); method conditions see its INVITE."""
    stage.send("ACK", to_tag="x", headers=FOREIGN)
    assert not stage.expect_request(BOB[0], "ACK").values("Route")
    stage.nothing_sent()


def test_an_ack_without_a_tag_still_has_no_way(stage):
    stage.send("ACK")
    stage.nothing_sent()
    assert stage.counter("stray_acks") == 1


def test_the_ack_of_our_own_refusal_ends_here(stage):
    """It has the To tag that we made, so it looks like a request inside a dialog."""
    call = stage.send("INVITE", headers=[("Proxy-Require", "magic")])
    call.ack(stage.expect_response(420))
    stage.nothing_sent()
    assert stage.counter("stray_acks") == 1


def test_a_cancel_without_state_goes_there_too(stage):
    stage.send("CANCEL", to_tag="x")
    stage.expect_request(BOB[0], "CANCEL")
    stage.nothing_sent()


def test_a_route_of_ours_that_proves_nothing_does_not_lead_past_them(stage):
    stage.send("BYE", to_tag="x", headers=OURS)
    assert not stage.expect_request(BOB[0], "BYE").values("Route")
    stage.nothing_sent()


def test_a_token_of_ours_leads_on(stage):
    talk = Talk(stage)
    talk.send("BYE")
    stage.expect_request(CAROL, "BYE")
    stage.nothing_sent()


def test_a_route_from_somebody_known_leads_on(make_stage):
    stage = make_stage(dialog_rule=True, trusted=[ALICE[0]])
    stage.send("BYE", to_tag="x", headers=[("Route", f"<sip:{BOB[2][0]};lr>")])
    stage.expect_request((BOB[2][0], 5060), "BYE")
    stage.nothing_sent()


def test_a_dialog_that_ended_here_is_not_theirs_without_a_rule(make_stage):
    """The rule for all is none for requests inside a dialog."""
    stage = make_stage()
    stage.send("BYE", NUMBER, to_tag="x")
    stage.expect_response(403, "BYE")
    stage.nothing_sent()
