"""The non-INVITE server transaction: RFC 3261 figure 8 and section 17.2.2, with RFC 4320."""

import pytest

from fastsip.sip_text import make_ack
from tests.protocol.script import ALICE, BOB, WHOLE


@pytest.fixture
def asked(stage):
    """A MESSAGE, and how it arrived at the callee."""
    message = stage.send("MESSAGE")
    return message, stage.expect_request(BOB[0], "MESSAGE")


def test_request_is_passed_to_the_tu_in_trying(stage, asked):
    """Figure 8, entry: nothing is sent."""
    assert stage.states("server") == ["trying"]
    stage.nothing_sent()


def test_repeated_request_in_trying_is_discarded(stage, asked):
    """17.2.2: any retransmission in Trying; it reaches no destination either."""
    asked[0].again()
    stage.nothing_sent()
    assert len(stage.slots("server")) == 1


def test_1xx_from_tu_leads_to_proceeding(stage, asked):
    """Figure 8: Trying to Proceeding."""
    stage.reply(asked[1], 182)
    stage.expect_response(182, "MESSAGE")
    assert stage.states("server") == ["proceeding"]


def test_repeated_request_in_proceeding_gets_the_provisional(stage, asked):
    """Figure 8, Proceeding to Proceeding on a request."""
    stage.reply(asked[1], 182)
    first = stage.expect_response(182, "MESSAGE")
    asked[0].again()
    assert stage.expect_response(182, "MESSAGE").to_bytes() == first.to_bytes()
    stage.nothing_sent()


def test_1xx_in_proceeding_is_sent(stage, asked):
    """Figure 8, Proceeding to Proceeding on a 1xx from the TU."""
    for status in (182, 183):
        stage.reply(asked[1], status)
        stage.expect_response(status, "MESSAGE")
    assert stage.states("server") == ["proceeding"]


@pytest.mark.parametrize("early", [False, True], ids=["trying", "proceeding"])
@pytest.mark.parametrize("status", [200, 302, 404, 603])
def test_final_response_leads_to_completed(stage, asked, early, status):
    """Figure 8: from Trying and from Proceeding; sent once, there is no Timer G."""
    if early:
        stage.reply(asked[1], 182)
        stage.expect_response(182, "MESSAGE")
    stage.reply(asked[1], status)
    stage.expect_response(status, "MESSAGE")
    assert stage.states("server") == ["completed"]
    stage.quiet(WHOLE + 20)


def test_repeated_request_in_completed_gets_the_final_response(stage, asked):
    """Figure 8, Completed to Completed."""
    stage.reply(asked[1], 200)
    first = stage.expect_response(200, "MESSAGE")
    for _ in range(3):
        stage.advance(1_000)
        asked[0].again()
        assert stage.expect_response(200, "MESSAGE").to_bytes() == first.to_bytes()
    stage.nothing_sent()


def test_other_responses_in_completed_are_discarded(stage, asked):
    """17.2.2: any other final response passed by the TU is discarded."""
    stage.reply(asked[1], 200)
    stage.expect_response(200, "MESSAGE")
    stage.reply(asked[1], 404)
    stage.reply(asked[1], 182)
    stage.nothing_sent()


def test_timer_j_ends_completed(stage, asked):
    """Figure 8: 64 T1 after the final response."""
    stage.advance(300)
    stage.reply(asked[1], 200)
    stage.expect_response(200, "MESSAGE")
    stage.advance(WHOLE - 1)
    asked[0].again()
    stage.expect_response(200, "MESSAGE")
    stage.advance(20)
    assert stage.rig.live() == []


def test_transport_error_of_the_response(stage, asked):
    """Figure 8 ends there; here a repeated request gets it again, which serves the caller better."""
    stage.rig.refuse(ALICE)
    stage.reply(asked[1], 200)
    stage.nothing_sent()
    stage.rig.refuse(ALICE, "sent")
    asked[0].again()
    stage.expect_response(200, "MESSAGE")
    stage.finish()


def test_request_that_ended_silently_is_absorbed_or_new(stage, asked):
    """After Timer F nothing was answered (RFC 4320); a late repetition starts again, as with any proxy."""
    stage.advance(WHOLE + 40)
    stage.take_requests(BOB[0], "MESSAGE")
    stage.nothing_sent()
    asked[0].again()
    stage.expect_request(BOB[0], "MESSAGE")
    stage.nothing_sent()


def test_ack_never_meets_a_non_invite_transaction(stage, asked):
    """17.2.3: an ACK matches INVITE transactions alone."""
    stage.reply(asked[1], 404)
    final = stage.expect_response(404, "MESSAGE")
    stage.inject(make_ack(asked[0].message, final))
    stage.nothing_sent()
    assert stage.states("server") == ["completed"]


def test_cancel_of_a_non_invite_cancels_nothing(stage, asked):
    """16.10, 9.2: 200 at once, as it is known, and no effect on it."""
    asked[0].cancel()
    stage.expect_response(200, "CANCEL")
    stage.nothing_sent()
    assert stage.states("server") == ["trying"]
    stage.reply(asked[1], 200)
    stage.expect_response(200, "MESSAGE")
