"""The non-INVITE server transaction: RFC 3261 figure 8 and section 17.2.2, with RFC 4320."""

import pytest

from fastsip.ua.message import make_ack
from tests.kernels.audit import live_slots
from tests.protocol.script import ALICE, ALL_CLOCKS, BOB, TICK, TRYING_AFTER, WHOLE


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


def go_on_to_proceeding(stage):
    """The 100 that a request without an answer gets."""
    stage.advance(TRYING_AFTER + TICK)
    stage.take_requests(BOB[0], "MESSAGE")
    return stage.expect_response(100, "MESSAGE")


def test_1xx_from_tu_leads_to_proceeding(stage, asked):
    """Figure 8: Trying to Proceeding; RFC 4320 4.1: when the caller's Timer E has reached T2, and no sooner."""
    stage.advance(TRYING_AFTER - 1)
    stage.take_requests(BOB[0], "MESSAGE")
    stage.nothing_sent()
    stage.advance(1 + TICK)
    stage.take_requests(BOB[0], "MESSAGE")
    stage.expect_response(100, "MESSAGE")
    stage.nothing_sent()
    assert stage.states("server") == ["proceeding"]


def test_100_of_a_callee_is_none_of_ours(stage, asked):
    """RFC 4320 4.1: what a callee says provisionally stays here; our own 100 comes at its time all the same."""
    stage.reply(asked[1], 100)
    assert stage.states("server") == ["trying"]
    go_on_to_proceeding(stage)


def test_100_is_made_of_the_request_as_it_came(stage):
    request = stage.send("MESSAGE", headers=[("Timestamp", "54")])
    stage.expect_request(BOB[0], "MESSAGE")
    trying = go_on_to_proceeding(stage)
    assert trying.values("Via") == [f"{request.message.get('Via')}"]
    assert (trying.get("To"), trying.get("Timestamp")) == (request.message.get("To"), "54")


def test_100_comes_once(stage, asked):
    go_on_to_proceeding(stage)
    stage.advance(WHOLE - TRYING_AFTER - 100)
    assert not stage.take_responses(100, "MESSAGE")


def test_100_comes_though_no_branch_is_the_first(make_stage):
    """The time counts from the request, not from the branch."""
    stage = make_stage(policy={"on": ["timeout"], "timeout_ms": 3_000})
    stage.send("MESSAGE")
    start = stage.now
    stage.advance(TRYING_AFTER + TICK)
    assert start + TRYING_AFTER <= stage.expect_response(100, "MESSAGE").at <= start + TRYING_AFTER + TICK
    stage.expect_request(BOB[1], "MESSAGE")


def test_100_reaches_one_that_waits_for_a_name(make_stage):
    """With clocks so short that the wait for the name is the longer one."""
    stage = make_stage(clocks=(200, 400, 5_000, 181_000), trusted=("10.0.0.0/24",))
    request = stage.send("MESSAGE", headers=[("Route", "<sip:gw.example.net;lr>")])
    stage.advance(200 + TICK)
    stage.expect_response(100, "MESSAGE")
    assert stage.states("server") == ["proceeding"]
    request.again()
    stage.expect_response(100, "MESSAGE")
    stage.know("gw.example.net", BOB[0])
    stage.reply(stage.expect_request(BOB[0], "MESSAGE"), 200)
    stage.expect_response(200, "MESSAGE")
    stage.finish()


def test_repeated_request_in_proceeding_gets_the_provisional(stage, asked):
    """Figure 8, Proceeding to Proceeding on a request."""
    first = go_on_to_proceeding(stage)
    asked[0].again()
    assert stage.expect_response(100, "MESSAGE").to_bytes() == first.to_bytes()
    stage.nothing_sent()


@pytest.mark.parametrize("early", [False, True], ids=["trying", "proceeding"])
@pytest.mark.parametrize("status", [200, 302, 404, 603])
def test_final_response_leads_to_completed(stage, asked, early, status):
    """Figure 8: from Trying and from Proceeding; sent once, there is no Timer G."""
    if early:
        go_on_to_proceeding(stage)
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
    assert live_slots(stage.rig) == []


def test_transport_error_of_the_response(stage, asked):
    """Figure 8 ends there; here a repeated request gets it again, which serves the caller better."""
    stage.rig.refuse(ALICE)
    stage.reply(asked[1], 200)
    stage.nothing_sent()
    stage.rig.refuse(ALICE, "sent")
    asked[0].again()
    stage.expect_response(200, "MESSAGE")
    stage.finish()


def test_request_that_ended_silently_is_absorbed_then_new(stage, asked):
    """After Timer F nothing was answered (RFC 4320): repetitions are absorbed until Timer J, then it starts again."""
    stage.advance(WHOLE + 40)
    stage.take_requests(BOB[0], "MESSAGE")
    stage.expect_response(100, "MESSAGE")
    stage.nothing_sent()
    asked[0].again()
    stage.nothing_sent()
    stage.advance(WHOLE + 40)
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


@pytest.mark.parametrize("status", [408, 0])
def test_what_nobody_answers_is_asked_once(stage, status):
    """RFC 4320 4.2: a 408 is not passed on; the request that is repeated then is still the same one (17.2.2)."""
    message = stage.send("MESSAGE")
    request = stage.expect_request(BOB[0], "MESSAGE")
    if status:
        stage.reply(request, status)
    else:
        stage.advance(WHOLE)
        stage.take(lambda sent: True)
    for _ in range(3):
        message.again()
        stage.nothing_sent()
        stage.advance(5_000)
        stage.nothing_sent()
    stage.advance(ALL_CLOCKS)
    assert live_slots(stage.rig) == []
