"""The INVITE client transaction: RFC 3261 figure 5 and section 17.1.1 with RFC 6026 (figure 7 there).

Each arrow of the figures is a test.  Our own states (cancelled, abandoned) are in test_search.py.
"""

import pytest

from fastsip.ua.message import param
from tests.kernels.audit import live_slots
from tests.protocol.script import ALICE, BOB, EDGE, T1, WHOLE, assert_times

A_TIMES = [500, 1_500, 3_500, 7_500, 15_500, 31_500]


def test_invite_from_tu_is_sent_in_calling(stage):
    """Figure 5, entry: the INVITE is sent, Timers A and B start."""
    stage.invite()
    stage.expect_request(BOB[0], "INVITE")
    assert stage.states("client") == ["calling"]
    assert set(stage.slots("client")[0]["deadlines"]) == {"retransmit", "expire"}
    stage.nothing_sent()


def test_timer_a_doubles_without_end(stage):
    """17.1.1.2: T1, 2 T1, 4 T1 ... until Timer B; the same bytes each time."""
    stage.invite()
    first = stage.expect_request(BOB[0], "INVITE")
    stage.advance(WHOLE - 1)
    again = stage.take_requests(BOB[0], "INVITE")
    assert_times(again, first.at, A_TIMES)
    assert {message.to_bytes() for message in again} == {first.to_bytes()}
    stage.nothing_sent()


def test_timer_b_answers_408(stage):
    """Figure 5, Calling to Terminated by Timer B: informs the TU, which has nobody else to ask (16.8)."""
    call = stage.invite()
    first = stage.expect_request(BOB[0], "INVITE")
    stage.advance(WHOLE - 1)
    assert not stage.take_responses(408)
    stage.advance(20)
    timeout = stage.expect_response(408)
    assert_times([timeout], first.at, [WHOLE])
    call.ack(timeout)
    stage.finish()


def test_transport_error_in_calling_informs_the_tu(make_stage):
    """Figure 5, Calling to Terminated by a transport error (17.1.4)."""
    stage = make_stage(destinations=1)
    stage.rig.refuse(BOB[0])
    stage.invite()
    stage.expect_response(500)
    assert stage.slots("client") == []
    assert stage.counter("transport_failures") == 1
    stage.finish()


def test_1xx_in_calling_stops_the_repetitions(stage):
    """Figure 5, Calling to Proceeding."""
    stage.invite()
    invite = stage.expect_request(BOB[0], "INVITE")
    stage.reply(invite, 100)
    assert stage.states("client") == ["proceeding"]
    stage.quiet(100_000)


def test_100_is_not_forwarded_others_are(stage):
    """16.7 item 5: 100 never, 101-199 at once."""
    stage.invite()
    invite = stage.expect_request(BOB[0], "INVITE")
    stage.reply(invite, 100)
    stage.nothing_sent()
    for status in (180, 181, 182, 183, 199):
        stage.reply(invite, status)
        stage.expect_response(status)
    stage.nothing_sent()


def test_1xx_in_proceeding_goes_up_each_time(stage):
    """Figure 5, Proceeding to Proceeding: a retransmitted one, too (a reliable 1xx is repeated)."""
    stage.invite()
    invite = stage.ring(BOB[0])
    for _ in range(3):
        stage.reply(invite, 180)
        stage.expect_response(180)
    assert stage.states("client") == ["proceeding"]


@pytest.mark.parametrize("ringing", [False, True], ids=["calling", "proceeding"])
def test_2xx_leads_to_accepted(stage, ringing):
    """RFC 6026 figure 7: from Calling and from Proceeding; never ACKed by the transaction."""
    stage.invite()
    invite = stage.ring(BOB[0]) if ringing else stage.expect_request(BOB[0], "INVITE")
    stage.reply(invite, 200)
    stage.expect_response(200)
    assert stage.states("client") == ["accepted"]
    stage.nothing_sent()


def test_2xx_in_accepted_goes_up_each_time(stage):
    """RFC 6026 section 7.2: each 2xx is passed on, each to the same place."""
    stage.invite()
    invite = stage.expect_request(BOB[0], "INVITE")
    ok = stage.reply(invite, 200)
    first = stage.expect_response(200)
    for _ in range(3):
        stage.advance(T1)
        stage.inject(ok, BOB[0])
        again = stage.expect_response(200)
        assert again.to_bytes() == first.to_bytes()
    stage.nothing_sent()


def test_other_responses_in_accepted_are_absorbed(stage):
    """RFC 6026 figure 7 has no arrow for them."""
    stage.invite()
    invite = stage.expect_request(BOB[0], "INVITE")
    stage.reply(invite, 200)
    stage.expect_response(200)
    stage.reply(invite, 180)
    stage.reply(invite, 486)
    stage.nothing_sent()
    assert stage.states("client") == ["accepted"]


def test_timer_m_ends_accepted(stage):
    """RFC 6026 section 8.1: Timer M, 64 T1 after the 2xx, also when it is repeated meanwhile."""
    stage.invite()
    invite = stage.expect_request(BOB[0], "INVITE")
    ok = stage.reply(invite, 200)
    stage.advance(WHOLE - 1)
    stage.inject(ok, BOB[0])
    assert stage.states("client") == ["accepted"]
    stage.advance(20)
    assert live_slots(stage.rig) == []


@pytest.mark.parametrize("ringing", [False, True], ids=["calling", "proceeding"])
@pytest.mark.parametrize("status", [302, 404, 503, 603])
def test_300_to_699_is_acked_and_passed_up(stage, ringing, status):
    """Figure 5: from Calling and from Proceeding to Completed."""
    stage.invite()
    invite = stage.ring(BOB[0]) if ringing else stage.expect_request(BOB[0], "INVITE")
    stage.reply(invite, status)
    stage.expect_request(BOB[0], "ACK")
    stage.expect_response(500 if status == 503 else status)
    assert stage.states("client") == ["completed"]
    stage.nothing_sent()


def test_ack_has_what_the_invite_had(stage):
    """17.1.1.3: Request-URI, topmost Via alone, From, Call-ID, CSeq number, Route; To of the response."""
    stage.invite(headers=[("Subject", "no")])
    invite = stage.expect_request(BOB[0], "INVITE")
    stage.reply(invite, 404, tag="of-bob")
    ack = stage.expect_request(BOB[0], "ACK")
    assert ack.uri == invite.uri
    assert ack.values("Via") == [invite.via]
    assert (ack.get("From"), ack.call_id, ack.cseq) == (invite.get("From"), invite.call_id, invite.cseq)
    assert param(ack.get("To"), "tag") == "of-bob"
    assert ack.cseq_method == "ACK"
    assert not ack.get("Subject") and not ack.body


def test_ack_has_the_routes_of_the_invite(make_stage):
    """17.1.1.3: those that it had when it left here."""
    stage = make_stage(trusted=[ALICE[0]])
    routes = [f"<sip:{EDGE[0]};lr>, <sip:{BOB[0][0]};lr>", "<sip:far.example.net;lr>"]
    stage.invite(headers=[("Route", line) for line in routes])
    invite = stage.expect_request(BOB[0], "INVITE")
    assert invite.values("Route") == [f"<sip:{BOB[0][0]};lr>", "<sip:far.example.net;lr>"]
    stage.reply(invite, 404)
    assert stage.expect_request(BOB[0], "ACK").values("Route") == invite.values("Route")


def test_300_to_699_in_completed_is_acked_again(stage):
    """Figure 5, Completed to Completed: the ACK again, nothing to the TU."""
    stage.invite()
    invite = stage.expect_request(BOB[0], "INVITE")
    busy = stage.reply(invite, 486)
    first = stage.expect_request(BOB[0], "ACK")
    call_final = stage.expect_response(486)
    stage.inject(busy, BOB[0])
    again = stage.expect_request(BOB[0], "ACK")
    assert again.to_bytes() == first.to_bytes()
    stage.nothing_sent()
    assert call_final.status == 486


def test_provisional_in_completed_is_absorbed(stage):
    """Figure 5 has no arrow for it."""
    stage.invite()
    invite = stage.expect_request(BOB[0], "INVITE")
    stage.reply(invite, 486)
    stage.expect_request(BOB[0], "ACK")
    stage.expect_response(486)
    stage.reply(invite, 180)
    stage.nothing_sent()


def test_2xx_behind_a_failure_goes_up(make_stage):
    """A proxy there had answered, and one of its branches has come late (16.7 item 5): it is answered all the same."""
    stage = make_stage(destinations=2, policy={"on": ["5xx"]})
    call = stage.invite()
    first = stage.expect_request(BOB[0], "INVITE")
    stage.refuse(first, 500)
    second = stage.ring(BOB[1])
    stage.reply(first, 200, tag="late")
    success = stage.expect_response(200)
    assert success.to_tag == "late"
    stage.expect_request(BOB[1], "CANCEL")
    stage.refuse(second, 487)
    stage.reply(first, 200, tag="late")
    stage.expect_response(200)
    ack = call.in_dialog("ACK", success, 1)
    assert stage.expect_request(BOB[0], "ACK").call_id == ack.message.call_id
    assert stage.states("server") == ["accepted"]
    stage.finish()


def test_timer_d_ends_completed(stage):
    """Figure 5: Timer D, at least 32 s for unreliable transports."""
    call = stage.invite()
    invite = stage.expect_request(BOB[0], "INVITE")
    busy = stage.reply(invite, 486)
    stage.expect_request(BOB[0], "ACK")
    call.ack(stage.expect_response(486))
    stage.advance(WHOLE - 1)
    stage.inject(busy, BOB[0])
    stage.expect_request(BOB[0], "ACK")
    stage.advance(20)
    assert live_slots(stage.rig) == []
    stage.inject(busy, BOB[0])
    stage.nothing_sent()


def test_transport_error_of_the_ack_changes_nothing(stage):
    """Figure 5 ends Completed then; but the final was passed up, and repetitions deserve an ACK."""
    stage.invite()
    invite = stage.expect_request(BOB[0], "INVITE")
    stage.rig.refuse(BOB[0])
    busy = stage.reply(invite, 486)
    stage.expect_response(486)
    stage.nothing_sent()
    stage.rig.refuse(BOB[0], "sent")
    stage.inject(busy, BOB[0])
    stage.expect_request(BOB[0], "ACK")
    stage.take_responses(486)
    stage.finish()


def test_too_big_is_513_and_no_failure_of_the_destination(make_stage):
    """EMSGSIZE is the message's fault; no failover, no mark (docs/core.md#large-datagrams)."""
    stage = make_stage(policy={"on": ["transport"]})
    stage.rig.refuse(BOB[0], "too_big")
    stage.invite()
    stage.expect_response(513)
    stage.nothing_sent()
    assert stage.health(0) == "unknown"
    stage.finish()


def test_timer_c_cancels(stage):
    """16.8: no final response within Timer C of the last 101-199; CANCEL, and 408 when it is final."""
    stage.invite()
    invite = stage.ring(BOB[0])
    stage.advance(181_000 - 1)
    stage.nothing_sent()
    stage.advance(20)
    cancel = stage.expect_request(BOB[0], "CANCEL")
    stage.reply(cancel, 200)
    stage.reply(invite, 487)
    stage.expect_request(BOB[0], "ACK")
    stage.expect_response(408)
    stage.nothing_sent()
    stage.finish()


def test_timer_c_is_restarted_by_each_101_to_199(stage):
    """16.7 item 2: not by a 100."""
    stage.invite()
    invite = stage.ring(BOB[0])
    stage.advance(180_000)
    stage.reply(invite, 183)
    stage.expect_response(183)
    stage.quiet(180_000)
    stage.reply(invite, 100)
    stage.advance(1_020)
    stage.expect_request(BOB[0], "CANCEL")


def test_timer_c_without_a_final_response(stage):
    """16.8, 9.1: 64 T1 after the CANCEL the branch counts as ended with 408."""
    stage.invite()
    stage.ring(BOB[0])
    stage.advance(181_020)
    cancels = stage.take_requests(BOB[0], "CANCEL")
    assert len(cancels) == 1
    stage.advance(WHOLE + 100)
    repeated = stage.take_requests(BOB[0], "CANCEL")
    assert_times(
        repeated, cancels[0].at, [500, 1_500, 3_500, 7_500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500]
    )
    stage.expect_response(408)
    stage.nothing_sent()
    stage.finish()


def test_response_of_another_source_is_taken(stage):
    """17.1.3 matches by branch and CSeq method; where a response comes from does not count."""
    stage.invite()
    invite = stage.expect_request(BOB[0], "INVITE")
    stage.inject(stage.response(invite, 200), ("10.9.9.9", 1234))
    assert stage.expect_response(200).to == ALICE
