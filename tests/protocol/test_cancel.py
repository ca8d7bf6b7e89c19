"""The caller's CANCEL: RFC 3261 section 9 and 16.10, docs/wire.md#cancel."""

import pytest

from fastsip.ua.message import make_cancel
from tests.kernels.audit import live_slots
from tests.protocol.script import ALICE, BOB, PRIORITY, WHOLE, assert_times


@pytest.fixture
def ringing(make_stage):
    """A call that rings at the first of three; failures would be tried elsewhere."""
    stage = make_stage(policy={"on": [500, 487, "timeout", "ring"], "timeout_ms": 2_000, "ring_ms": 60_000})
    call = stage.invite()
    return stage, call, stage.ring(BOB[0])


def test_cancel_is_answered_and_passed_on(ringing):
    """16.10: 200 to the CANCEL at once, a CANCEL to each open branch; the INVITE's answer is the callee's."""
    stage, call, invite = ringing
    call.cancel()
    stage.expect_response(200, "CANCEL")
    cancel = stage.expect_request(BOB[0], "CANCEL")
    stage.nothing_sent()
    stage.reply(cancel, 200)
    stage.nothing_sent()
    stage.reply(invite, 487)
    stage.expect_request(BOB[0], "ACK")
    call.ack(stage.expect_response(487))
    stage.nothing_sent()
    stage.finish()


def test_cancel_has_what_the_branch_had(make_stage):
    """9.1, docs/wire.md#cancel: that branch's Request-URI, Via, Route and destination."""
    stage = make_stage(ruri=1)
    call = stage.invite()
    invite = stage.ring(BOB[0])
    assert invite.uri == f"sip:80123@{BOB[0][0]}:{BOB[0][1]}"
    call.cancel()
    cancel = stage.expect_request(BOB[0], "CANCEL")
    assert cancel.uri == invite.uri
    assert cancel.values("Via") == [invite.via]
    assert (cancel.get("From"), cancel.get("To")) == (invite.get("From"), invite.get("To"))
    assert (cancel.cseq, cancel.cseq_method) == (invite.cseq, "CANCEL")


def test_repeated_cancel_is_answered_again_only(ringing):
    stage, call, _ = ringing
    for _ in range(3):
        call.cancel()
        stage.expect_response(200, "CANCEL")
    stage.expect_request(BOB[0], "CANCEL")
    stage.nothing_sent()


def test_cancel_waits_for_the_first_provisional(make_stage):
    """9.1: nothing is cancelled that has not answered; the INVITE is repeated meanwhile."""
    stage = make_stage()
    call = stage.invite()
    invite = stage.expect_request(BOB[0], "INVITE")
    call.cancel()
    stage.expect_response(200, "CANCEL")
    stage.nothing_sent()
    stage.advance(520)
    stage.expect_request(BOB[0], "INVITE")
    stage.reply(invite, 100)
    stage.expect_request(BOB[0], "CANCEL")
    stage.advance(400)
    stage.nothing_sent()
    stage.reply(invite, 487)
    stage.expect_request(BOB[0], "ACK")
    stage.expect_response(487)


def test_late_180_of_a_cancelled_branch_is_not_forwarded(make_stage):
    stage = make_stage()
    call = stage.invite()
    invite = stage.expect_request(BOB[0], "INVITE")
    call.cancel()
    stage.expect_response(200, "CANCEL")
    stage.reply(invite, 180)
    stage.expect_request(BOB[0], "CANCEL")
    stage.nothing_sent()


def test_unanswered_cancelled_branch_ends_in_487(make_stage):
    """Its timeout is no reason to try another one."""
    stage = make_stage(policy={"on": ["timeout"], "timeout_ms": 2_000})
    call = stage.invite()
    first = stage.expect_request(BOB[0], "INVITE")
    call.cancel()
    stage.expect_response(200, "CANCEL")
    stage.advance(2_020)
    stage.take_requests(BOB[0], "INVITE")
    final = stage.expect_response(487)
    assert_times([final], first.at, [2_000])
    call.ack(final)
    stage.nothing_sent()
    stage.finish()


@pytest.mark.parametrize("status", [487, 500, 486])
def test_no_new_branch_after_the_cancel(ringing, status):
    """Whatever the branch's final response is, `on` or not: 487 upstream."""
    stage, call, invite = ringing
    call.cancel()
    stage.expect_response(200, "CANCEL")
    stage.expect_request(BOB[0], "CANCEL")
    stage.reply(invite, status)
    stage.expect_request(BOB[0], "ACK")
    stage.expect_response(487)
    stage.nothing_sent()


def test_cancel_while_a_failover_waits(ringing):
    """`ring` has cancelled the branch and waits for its final response: no next one then."""
    stage, call, invite = ringing
    stage.advance(60_008)
    stage.expect_request(BOB[0], "CANCEL")
    call.cancel()
    stage.expect_response(200, "CANCEL")
    stage.reply(invite, 487)
    stage.expect_request(BOB[0], "ACK")
    stage.expect_response(487)
    stage.nothing_sent()
    stage.finish()


def test_2xx_that_crosses_the_cancel_goes_up(ringing):
    """9.1: the CANCEL came too late."""
    stage, call, invite = ringing
    call.cancel()
    stage.expect_response(200, "CANCEL")
    stage.expect_request(BOB[0], "CANCEL")
    stage.reply(invite, 200)
    ok = stage.expect_response(200)
    call.in_dialog("ACK", ok, 1)
    stage.expect_request(BOB[0], "ACK")
    stage.nothing_sent()
    stage.finish()


def test_cancelled_branch_that_stays_silent(ringing):
    """9.1: 64 T1 after the CANCEL the branch counts as ended."""
    stage, call, _ = ringing
    call.cancel()
    stage.expect_response(200, "CANCEL")
    cancel = stage.expect_request(BOB[0], "CANCEL")
    stage.reply(cancel, 200)
    stage.quiet(WHOLE - 1)
    stage.advance(20)
    call.ack(stage.expect_response(487))
    stage.nothing_sent()
    stage.finish()


def test_cancel_after_the_final_response(make_stage):
    """16.10, 9.2: 200, and nothing else happens."""
    stage = make_stage()
    call = stage.invite()
    stage.reply(stage.expect_request(BOB[0], "INVITE"), 200)
    stage.expect_response(200)
    call.cancel()
    stage.expect_response(200, "CANCEL")
    stage.nothing_sent()


def test_cancel_of_all_branches(make_stage):
    """An abandoned branch is open to a late 1xx only; the ringing one is cancelled."""
    stage = make_stage(policy={"on": ["timeout"], "timeout_ms": 2_000})
    call = stage.invite()
    first = stage.expect_request(BOB[0], "INVITE")
    stage.advance(2_020)
    stage.take_requests(BOB[0], "INVITE")
    second = stage.ring(BOB[1])
    call.cancel()
    stage.expect_response(200, "CANCEL")
    stage.expect_request(BOB[1], "CANCEL")
    stage.nothing_sent()
    stage.reply(second, 487)
    stage.expect_request(BOB[1], "ACK")
    stage.expect_response(487)
    stage.reply(first, 180)
    stage.expect_request(BOB[0], "CANCEL")
    stage.finish()


def test_exhausted_does_not_replace_487(make_stage):
    stage = make_stage(policy={"on": [500], "exhausted": (480, "Nobody")}, destinations=1)
    call = stage.invite()
    invite = stage.ring(BOB[0])
    call.cancel()
    stage.expect_response(200, "CANCEL")
    stage.expect_request(BOB[0], "CANCEL")
    stage.reply(invite, 500)
    stage.expect_request(BOB[0], "ACK")
    stage.expect_response(487)


def test_reason_of_the_caller_is_copied(ringing):
    """RFC 3326, docs/wire.md#cancel."""
    stage, call, _ = ringing
    call.cancel(Reason='SIP;cause=487;text="gone"')
    assert stage.expect_request(BOB[0], "CANCEL").get("Reason") == 'SIP;cause=487;text="gone"'


def test_forks_cancelled_by_an_answer_say_so(make_stage):
    """RFC 3326, docs/wire.md#cancel: the other phone shall not show a missed call."""
    stage = make_stage(policy={"on": ["timeout"], "timeout_ms": 2_000})
    stage.invite()
    first = stage.expect_request(BOB[0], "INVITE")
    stage.advance(2_020)
    stage.take_requests(BOB[0], "INVITE")
    stage.ring(BOB[1])
    stage.reply(first, 200)
    reason = stage.expect_request(BOB[1], "CANCEL").get("Reason")
    assert reason == 'SIP;cause=200;text="Call completed elsewhere"'


def test_cancel_without_state_is_forwarded(stage):
    """With attempt 0's branch, which the next hop matches (16.11, docs/wire.md#cancel-without-a-transaction)."""
    call = stage.invite()
    invite = stage.expect_request(BOB[0], "INVITE")
    stage.advance(2 * WHOLE)
    stage.waiting.clear()
    call.cancel()
    cancel = stage.expect_request(BOB[0], "CANCEL")
    assert cancel.branch == invite.branch
    stage.reply(cancel, 481)
    stage.expect_response(481, "CANCEL")
    assert live_slots(stage.rig) == []


@pytest.mark.parametrize("port", [5060, 40_000])
def test_cancel_from_another_port_has_the_same_branch(stage, port):
    """The branch covers where answers go, and without rport that is the port of the sent-by."""
    call = stage.send("INVITE")
    invite = stage.expect_request(BOB[0], "INVITE")
    stage.advance(2 * WHOLE)
    stage.waiting.clear()
    stage.inject(make_cancel(call.message), (ALICE[0], port))
    assert stage.expect_request(BOB[0], "CANCEL").branch == invite.branch


@pytest.mark.parametrize("name", ["Proxy-Authorization", "Authorization"])
def test_cancel_has_the_branch_of_an_invite_with_credentials(stage, name):
    """The CANCEL brings none (22.1), and is matched by the whole branch all the same."""
    call = stage.send("INVITE", headers=[(name, 'Digest username="alice"')])
    invite = stage.expect_request(BOB[0], "INVITE")
    stage.advance(2 * WHOLE)
    stage.waiting.clear()
    stage.inject(make_cancel(call.message).remove(name))
    assert stage.expect_request(BOB[0], "CANCEL").branch == invite.branch


# ---------------------------------------------------------------- To tags


def test_the_200_and_our_487_have_the_same_to_tag(make_stage):
    """9.2, SHOULD: they end the same request."""
    stage = make_stage(policy={"on": ["timeout"], "timeout_ms": 2_000})
    call = stage.invite()
    stage.expect_request(BOB[0], "INVITE")
    call.cancel()
    ok = stage.expect_response(200, "CANCEL")
    stage.advance(2_020)
    assert stage.expect_response(487).to_tag == ok.to_tag != ""


def test_every_200_to_a_cancel_has_the_same_to_tag(ringing):
    _, call, _ = ringing
    stage = ringing[0]
    tags = set()
    for _ in range(3):
        call.cancel()
        tags.add(stage.expect_response(200, "CANCEL").to_tag)
    assert len(tags) == 1


def test_without_state_the_answers_have_the_same_to_tag(make_stage):
    """Of a call that a rule refuses nothing is kept."""
    stage = make_stage(rule={"action": 1, "reply": (404, b"Not Found")})
    call = stage.send("INVITE")
    refused = stage.expect_response(404)
    call.cancel()
    assert stage.expect_response(481, "CANCEL").to_tag == refused.to_tag


# ---------------------------------------------------------------- of other methods


@pytest.mark.parametrize("method", ["MESSAGE", "OPTIONS", "REGISTER", "SUBSCRIBE", "REFER", "PUBLISH", "WHATEVER"])
def test_cancel_of_any_known_request_is_answered_at_once(stage, method):
    """16.10; 9.2: it has no effect on what is no INVITE, before its final response and after it."""
    request = stage.send(method)
    arrived = stage.expect_request(BOB[0], method)
    request.cancel()
    first = stage.expect_response(200, "CANCEL")
    stage.nothing_sent()
    stage.reply(arrived, 404)
    stage.expect_response(404, method)
    request.cancel()
    assert stage.expect_response(200, "CANCEL").to_tag == first.to_tag
    stage.nothing_sent()
    stage.finish()


def test_cancel_needs_the_call_of_its_request(ringing):
    """A branch can be guessed where peers count; with another Call-ID or CSeq number it is no CANCEL of this call."""
    stage, call, _ = ringing
    for name, value in (("Call-ID", "other@alice"), ("CSeq", "2 CANCEL")):
        stage.inject(make_cancel(call.message).set(name, value))
        stage.expect_request(BOB[0], "CANCEL")      # on without state, where nobody knows it
        stage.nothing_sent()
    assert stage.counter("cancels") == 0


# ---------------------------------------------------------------- of nobody knows what

ROUND_ROBIN, RANDOM, WEIGHT, CALL_LOAD, RELATIVE, ORDERED, SRV = 4, 6, 9, 10, 11, 14, 15


def turns(stage, strays: int) -> list[tuple[str, int]]:
    """Where twelve calls go, with so many CANCELs and ACKs of unknown calls before each."""
    found = []
    for number in range(12):
        for _ in range(strays):
            stage.send("CANCEL")
            stage.send("ACK", to_tag="unknown")
            stage.waiting.clear()
        stage.send("INVITE", call_id=f"turn-{number}", branch=f"z9hG4bKturn{number}")
        found.append(stage.take(lambda m: m.method == "INVITE")[0].to)
        stage.waiting.clear()
    return found


@pytest.mark.parametrize(
    "algorithm", [0, ROUND_ROBIN, RANDOM, PRIORITY, WEIGHT, CALL_LOAD, RELATIVE, ORDERED, SRV]
)
def test_cancel_of_an_unknown_call_takes_nobodys_turn(make_stage, algorithm):
    """It looks where the choice would fall and moves nothing (docs/wire.md#cancel-without-a-transaction)."""
    parts = {"algorithm": algorithm, "priorities": (1, 1, 1), "dialog_rule": True}
    quiet, loud = (make_stage(**parts) for _ in range(2))
    assert turns(loud, 3) == turns(quiet, 0)
    chosen = [[stage.cells.read(n).chosen for n in range(3)] for stage in (quiet, loud)]
    assert chosen[0] == chosen[1] and sum(chosen[0]) == 12


def test_cancel_of_an_unknown_call_is_no_trial_call(make_stage):
    """Of a destination that is down: the next call is its trial all the same."""
    stage = make_stage(policy={"on": [500], "mark": "down", "mark_last": True}, destinations=1, retry_ms=30_000)
    stage.invite()
    stage.refuse(stage.expect_request(BOB[0], "INVITE"), 500)
    stage.expect_response(500)
    assert stage.health(0) == "down"
    stage.advance(30_020)
    stage.waiting.clear()
    before = stage.cells.read(0)
    for _ in range(3):
        stage.send("CANCEL")
    assert stage.cells.read(0) == before
    assert len(stage.take_requests(BOB[0], "CANCEL")) == 3      # where the trial call would go
    stage.invite()
    stage.expect_request(BOB[0], "INVITE")
    assert stage.cells.read(0).trial_ms == stage.now


def test_cancel_of_an_unknown_call_follows_when_all_are_down(make_stage):
    stage = make_stage(policy={"on": [500], "mark": "down", "mark_last": True}, destinations=1, when_all_down=1)
    stage.invite()
    stage.refuse(stage.expect_request(BOB[0], "INVITE"), 500)
    stage.expect_response(500)
    stage.send("CANCEL")
    stage.expect_request(BOB[0], "CANCEL")
