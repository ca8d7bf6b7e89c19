"""The INVITE server transaction: RFC 3261 figure 7 and section 17.2.1 with RFC 6026 (figure 5 there)."""

import pytest

from fastsip.ua.message import make_ack
from tests.kernels.audit import live_slots
from tests.protocol.script import ALICE, BOB, T1, T4, WHOLE, assert_times

G_TIMES = [500, 1_500, 3_500, 7_500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500]


def refused(stage, status=486):
    """A call that ended with this response, not yet acknowledged."""
    call = stage.invite()
    invite = stage.expect_request(BOB[0], "INVITE")
    stage.reply(invite, status)
    stage.expect_request(BOB[0], "ACK")
    return call, stage.expect_response(status)


def answered(stage):
    """A call that ended with a 200; the callee's INVITE, the 200 as the caller got it."""
    call = stage.invite()
    invite = stage.expect_request(BOB[0], "INVITE")
    ok = stage.reply(invite, 200)
    return call, ok, stage.expect_response(200)


def test_invite_gets_a_100_at_once(stage):
    """Figure 7, entry: Proceeding.  The 100 is sent before any branch answers (17.2.1)."""
    call = stage.send("INVITE")
    assert stage.expect_response(100).get("To") == call.message.get("To")
    assert stage.states("server") == ["proceeding"]


@pytest.mark.parametrize("to_tag", ["", "bob"])
def test_what_finds_no_room_gets_no_100(stage, to_tag):
    """Who has one repeats no more: a search that cannot begin is refused, or goes on without state."""
    call = stage.make("INVITE", to_tag=to_tag, headers=[("Route", f"<sip:{BOB[0][0]};lr>")] if to_tag else [])
    for kind, n in (("slot", 1), ("slot", 2), ("block", 1)):
        stage.rig.fail_allocation(kind, n)
        stage.inject(call)
        assert not stage.take_responses(100)
        assert stage.take_requests(BOB[0], "INVITE") if to_tag else stage.take_responses(503)
        assert live_slots(stage.rig) == []


def test_repeated_invite_in_proceeding_gets_the_100(stage):
    """Figure 7, Proceeding: an INVITE meets the most recent provisional response."""
    call = stage.invite()
    stage.expect_request(BOB[0], "INVITE")
    call.again()
    stage.expect_response(100)
    stage.nothing_sent()
    assert stage.counter("retransmitted_requests") == 1


def test_repeated_invite_in_proceeding_gets_the_last_provisional(stage):
    """Figure 7, Proceeding."""
    call = stage.invite()
    invite = stage.ring(BOB[0])
    stage.reply(invite, 183)
    progress = stage.expect_response(183)
    call.again()
    assert stage.expect_response(183).to_bytes() == progress.to_bytes()
    stage.nothing_sent()


def test_101_to_199_from_tu_are_sent(stage):
    """Figure 7, Proceeding to Proceeding."""
    stage.invite()
    stage.ring(BOB[0])
    assert stage.states("server") == ["proceeding"]


def test_2xx_from_tu_leads_to_accepted(stage):
    """RFC 6026 figure 5: Proceeding to Accepted."""
    answered(stage)
    assert stage.states("server") == ["accepted"]


@pytest.mark.parametrize("status", [300, 404, 500, 600])
def test_300_to_699_from_tu_leads_to_completed(stage, status):
    """Figure 7: Proceeding to Completed."""
    refused(stage, status)
    assert stage.states("server") == ["completed"]


def test_timer_g_repeats_the_final_response(stage):
    """17.2.1: T1, doubled up to T2, until Timer H."""
    _, final = refused(stage)
    stage.advance(WHOLE - 1)
    again = stage.take_responses(486)
    assert_times(again, final.at, G_TIMES)
    assert {message.to_bytes() for message in again} == {final.to_bytes()}
    stage.nothing_sent()


def test_repeated_invite_in_completed_gets_the_final_response(stage):
    """Figure 7, Completed."""
    call, final = refused(stage)
    call.again()
    assert stage.expect_response(486).to_bytes() == final.to_bytes()
    stage.nothing_sent()


def test_timer_h_ends_completed(stage):
    """Figure 7, Completed to Terminated: 64 T1 without an ACK."""
    refused(stage)
    stage.advance(WHOLE - 1)
    assert "completed" in stage.states("server")
    stage.advance(40)
    assert live_slots(stage.rig) == []
    stage.take_responses(486)
    stage.quiet(WHOLE)


def test_ack_in_completed_leads_to_confirmed(stage):
    """Figure 7: the repetitions end; the ACK is not forwarded."""
    call, final = refused(stage)
    call.ack(final)
    assert stage.states("server") == ["confirmed"]
    stage.quiet(WHOLE * 2)


def test_confirmed_absorbs_acks_and_invites(stage):
    """Figure 7, Confirmed: no arrow but Timer I."""
    call, final = refused(stage)
    call.ack(final)
    call.ack(final)
    call.again()
    stage.nothing_sent()
    assert stage.states("server") == ["confirmed"]


def test_timer_i_ends_confirmed(stage):
    """Figure 7: T4 after the ACK.  The slot waits for its branch (Timer D), but takes nothing any more."""
    call, final = refused(stage)
    stage.advance(2 * T1)
    stage.take_responses(486)
    call.ack(final)
    stage.advance(T4 - 1)
    assert stage.states("server") == ["confirmed"]
    stage.advance(20)
    assert stage.states("server") in ([], ["ended"])
    stage.finish()


def test_transport_error_of_a_final_response_ends_nothing(stage):
    """17.2.4 would inform the TU; a proxy has nobody to tell, and Timer G tries again."""
    stage.rig.refuse(ALICE)
    call = stage.send("INVITE")
    invite = stage.expect_request(BOB[0], "INVITE")
    stage.reply(invite, 486)
    stage.expect_request(BOB[0], "ACK")
    stage.rig.refuse(ALICE, "sent")
    stage.advance(T1 + 20)
    call.ack(stage.expect_response(486))
    stage.finish()


def test_repeated_invite_in_accepted_is_absorbed(stage):
    """RFC 6026 section 7.1: no response of ours, no new branch; the callee repeats its 2xx."""
    call, _, _ = answered(stage)
    call.again()
    stage.nothing_sent()
    assert len(stage.slots()) == 2


def test_2xx_in_accepted_is_sent_each_time(stage):
    """RFC 6026 figure 5: Accepted to Accepted on a 2xx from the TU."""
    _, ok, first = answered(stage)
    stage.advance(T1)
    stage.inject(ok, BOB[0])
    assert stage.expect_response(200).to_bytes() == first.to_bytes()
    assert stage.states("server") == ["accepted"]


def test_ack_in_accepted_goes_on_to_the_tu(stage):
    """RFC 6026 figure 5: an ACK passes through; along its Route it reaches the callee."""
    call, _, ok = answered(stage)
    call.in_dialog("ACK", ok, 1)
    ack = stage.expect_request(BOB[0], "ACK")
    assert ack.uri == f"sip:bob@{BOB[0][0]}:{BOB[0][1]}"
    assert not ack.values("Route")
    stage.nothing_sent()


def test_ack_that_matches_the_accepted_transaction_is_passed_on_or_dropped(stage):
    """An ACK with the INVITE's branch and no Route of ours leads nowhere (docs/wire.md#no-answer-to-an-ack)."""
    call, _, ok = answered(stage)
    stage.inject(make_ack(call.message, ok))
    stage.nothing_sent()


def test_timer_l_ends_accepted(stage):
    """RFC 6026 section 8.1: Timer L, 64 T1 after the 2xx."""
    call, _, _ = answered(stage)
    stage.advance(WHOLE - 1)
    call.again()
    stage.nothing_sent()
    stage.advance(20)
    assert live_slots(stage.rig) == []


def test_invite_after_timer_l_is_a_new_one(stage):
    """What RFC 6026 makes Accepted last so long for."""
    call, _, _ = answered(stage)
    stage.advance(WHOLE + 20)
    call.again()
    stage.expect_response(100)
    stage.expect_request(BOB[0], "INVITE")


def test_response_goes_to_the_port_of_the_via(stage):
    """18.2.2: the source address, the port of the topmost Via."""
    stage.inject(stage.make("INVITE"), (ALICE[0], 40_000))
    stage.expect_response(100, to=ALICE)


def test_response_goes_to_the_source_port_with_rport(stage):
    """RFC 3581 section 4."""
    message = stage.make("INVITE")
    message.set("Via", message.via + ";rport")
    stage.inject(message, ("10.0.0.9", 40_000))
    trying = stage.expect_response(100, to=("10.0.0.9", 40_000))
    assert "rport=40000" in trying.via and "received=10.0.0.9" in trying.via


def test_ack_without_transaction_is_never_answered(stage):
    """docs/wire.md#no-answer-to-an-ack, RFC 3261 17.1.1.3."""
    stage.send("ACK")
    stage.nothing_sent()
    assert stage.counter("stray_acks") == 1
