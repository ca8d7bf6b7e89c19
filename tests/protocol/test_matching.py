"""Whose request it is where peers repeat branches (17.2.3, docs/wire.md#matching-a-request)."""

import pytest

from fastsip.ua.message import make_ack
from tests.protocol.script import BOB, Stage

# What peers were seen to write into every request; behind NATs they share a sent-by, too.
BRANCHES = ["z9hG4bK-1", "z9hG4bK", "z9hG4bK" + "0" * 200]


@pytest.mark.parametrize("branch", BRANCHES)
def test_requests_of_different_calls_are_different_whatever_their_branch(make_stage, branch):
    """Call-ID tells them apart, also those of one partition, and each caller gets his own answer."""
    stage = make_stage(max_transactions=4_000)
    calls = [stage.send("MESSAGE", branch=branch, call_id=f"call-{n}") for n in range(150)]
    arrived = stage.take_requests(BOB[0], "MESSAGE")
    assert [request.call_id for request in arrived] == [call.message.call_id for call in calls]
    for request in arrived:
        stage.reply(request, 200)
        assert stage.expect_response(200, "MESSAGE").call_id == request.call_id
    assert stage.counter("retransmitted_requests") == 0


@pytest.mark.parametrize("branch", BRANCHES)
def test_requests_of_one_call_are_told_apart_by_their_number(stage, branch):
    for cseq in range(1, 6):
        stage.send("INFO", branch=branch, call_id="one", cseq=cseq)
    assert [request.cseq for request in stage.take_requests(BOB[0], "INFO")] == [1, 2, 3, 4, 5]


def test_repetitions_are_still_repetitions(stage):
    call = stage.invite(branch=BRANCHES[0])
    call.again()
    stage.expect_response(100)
    assert (len(stage.take_requests(BOB[0], "INVITE")), stage.counter("retransmitted_requests")) == (1, 1)


@pytest.mark.parametrize("branch", [*BRANCHES, "", "static"])
def test_ack_and_cancel_find_their_invite_by_the_same(make_stage, branch):
    """17.2.3: with and without a branch that begins as RFC 3261 wants it."""
    stage = make_stage()
    parts = {"branch": branch} if branch else {}
    others = [stage.send("INVITE", call_id=f"other-{n}", **parts) for n in range(3)]
    call = stage.send("INVITE", **parts)
    if not branch:
        assert call.message.branch
    stage.take_responses(100)
    invites = stage.take_requests(BOB[0], "INVITE")
    call.cancel()
    stage.expect_response(200, "CANCEL")
    stage.nothing_sent()
    stage.reply(invites[-1], 486)
    stage.expect_request(BOB[0], "ACK")
    final = stage.expect_response(487)
    assert final.call_id == call.message.call_id
    stage.inject(make_ack(call.message, final))
    stage.nothing_sent()
    assert sorted(stage.states("server")) == ["confirmed", *["proceeding"] * len(others)]


@pytest.mark.parametrize("method", ["INVITE", "MESSAGE"])
def test_merged_requests_are_no_error(stage, method):
    """16.3: one request that came by two ways, in branches of somebody else, goes on twice; 482 is for the server."""
    for branch in ("z9hG4bKone", "z9hG4bKtwo"):
        stage.send(method, call_id="merged", branch=branch)
    assert len({request.branch for request in stage.take_requests(BOB[0], method)}) == 2
    stage.take_responses(100)
    stage.nothing_sent()


def test_methods_are_told_apart(stage):
    """17.2.3 item 3; a CSeq number with two methods is a peer's mistake, which shall not cost a request."""
    for method in ("MESSAGE", "INFO", "OPTIONS"):
        stage.send(method, branch=BRANCHES[0], call_id="one")
        stage.expect_request(BOB[0], method)
    assert len(stage.slots("server")) == 3


def test_a_restart_keeps_what_they_are_known_by(scratch):
    """The key stands in the slot, and what it is hashed with in the store."""
    before = Stage(scratch / "run")
    call = before.invite(branch=BRANCHES[0])
    invite = before.expect_request(BOB[0], "INVITE")
    after = Stage(scratch / "run", now_ms=before.now)
    after.rig.recover()
    after.collect()
    after.waiting.clear()
    after.inject(call.message)
    after.expect_response(100)
    assert after.counter("retransmitted_requests") == 1
    after.reply(invite, 180)
    after.expect_response(180)
