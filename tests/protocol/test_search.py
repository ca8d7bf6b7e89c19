"""One search for somebody who answers: failover, its clocks, what becomes of late answers.

RFC 3261 16.7 and 16.8 where they leave a choice.  The caller's CANCEL is in
test_cancel.py, which response wins in test_answers.py, health in test_health.py.
"""

import pytest

from tests.protocol.script import BOB, T1, WHOLE, assert_times

NEXT_ON_TIMEOUT = {"on": ["timeout"], "timeout_ms": 2_000}
PROGRESS = {"on": ["progress"], "progress_ms": 3_000}
RING = {"on": ["ring"], "ring_ms": 20_000}


@pytest.fixture
def abandoned(make_stage):
    """A call whose first branch was abandoned after 2 s: stage, call, its INVITE, the second one's."""
    stage = make_stage(policy=NEXT_ON_TIMEOUT)
    call = stage.invite()
    first = stage.expect_request(BOB[0], "INVITE")
    stage.advance(2_020)
    stage.take_requests(BOB[0], "INVITE")
    second = stage.expect_request(BOB[1], "INVITE")
    stage.nothing_sent()
    return stage, call, first, second


# ---------------------------------------------------------------- the next destination


def test_timeout_tries_the_next_at_its_time(make_stage):
    """`timeout`: no reply at all; it shortens Timer B."""
    stage = make_stage(policy=NEXT_ON_TIMEOUT)
    stage.invite()
    first = stage.expect_request(BOB[0], "INVITE")
    stage.advance(10_000)
    assert_times(stage.take_requests(BOB[0], "INVITE"), first.at, [500, 1_500])
    second = stage.expect_request(BOB[1], "INVITE")
    assert_times([second], first.at, [2_000])
    assert second.branch != first.branch
    assert stage.counter("failovers") == 2


def test_next_branch_has_the_same_request(abandoned):
    """16.6: only the topmost Via differs, and the token, which names the branch's destination."""
    _, _, first, second = abandoned
    assert [name for name, _ in first.headers[:2]] == ["Via", "Record-Route"]
    assert (second.uri, second.headers[2:]) == (first.uri, first.headers[2:])
    assert second.values("Via")[1:] == first.values("Via")[1:]


@pytest.mark.parametrize("code, on", [(500, 500), (503, "5xx"), (302, "3xx"), (480, "4xx"), (404, 404)])
def test_code_tries_the_next(make_stage, code, on):
    stage = make_stage(policy={"on": [on]})
    call = stage.invite()
    first = stage.expect_request(BOB[0], "INVITE")
    stage.reply(first, code)
    stage.expect_request(BOB[0], "ACK")
    second = stage.expect_request(BOB[1], "INVITE")
    stage.nothing_sent()
    stage.reply(second, 200)
    ok = stage.expect_response(200)
    call.in_dialog("ACK", ok, 1)
    stage.expect_request(BOB[1], "ACK")
    stage.finish()


def test_code_that_is_not_named_ends_the_search(make_stage):
    stage = make_stage(policy={"on": [500]})
    stage.invite()
    stage.reply(stage.expect_request(BOB[0], "INVITE"), 404)
    stage.expect_request(BOB[0], "ACK")
    stage.expect_response(404)
    stage.nothing_sent()


def test_transport_tries_the_next_at_once(make_stage):
    stage = make_stage(policy={"on": ["transport"]})
    stage.rig.refuse(BOB[0])
    stage.rig.refuse(BOB[1])
    stage.invite()
    stage.expect_request(BOB[2], "INVITE")
    stage.nothing_sent()
    assert stage.counter("failovers") == 2


def test_each_destination_is_tried_once(make_stage):
    stage = make_stage(policy={"on": [500]})
    stage.invite()
    for bob in BOB[:3]:
        stage.reply(stage.expect_request(bob, "INVITE"), 500)
        stage.expect_request(bob, "ACK")
    stage.expect_response(500)
    stage.nothing_sent()


def test_limit_bounds_the_candidates_of_the_set(make_stage):
    stage = make_stage(policy={"on": [500]}, limit=2)
    stage.invite()
    for bob in BOB[:2]:
        stage.reply(stage.expect_request(bob, "INVITE"), 500)
        stage.expect_request(bob, "ACK")
    stage.expect_response(500)
    stage.nothing_sent()


def test_then_leads_to_another_set(make_stage):
    stage = make_stage(policy={"on": [500]}, destinations=1, backup=1)
    stage.invite()
    stage.reply(stage.expect_request(BOB[0], "INVITE"), 500)
    stage.expect_request(BOB[0], "ACK")
    stage.expect_request(BOB[1], "INVITE")
    stage.nothing_sent()


def test_non_invite_fails_over(make_stage):
    stage = make_stage(policy={"on": ["timeout", 500], "timeout_ms": 2_000})
    stage.send("MESSAGE")
    stage.reply(stage.expect_request(BOB[0], "MESSAGE"), 500)
    stage.expect_request(BOB[1], "MESSAGE")
    stage.advance(2_020)
    stage.take_requests(BOB[1], "MESSAGE")
    stage.reply(stage.expect_request(BOB[2], "MESSAGE"), 200)
    stage.expect_response(200, "MESSAGE")
    stage.nothing_sent()
    stage.finish()


def test_after_progress_false_keeps_to_who_has_rung(make_stage):
    """`after_progress = false`: no failover by codes once 101-199 went upstream."""
    stage = make_stage(policy={"on": [500], "after_progress": False})
    stage.invite()
    stage.reply(stage.ring(BOB[0]), 500)
    stage.expect_request(BOB[0], "ACK")
    stage.expect_response(500)
    stage.nothing_sent()


def test_after_progress_true_fails_over_behind_a_180(make_stage):
    stage = make_stage(policy={"on": [500]})
    stage.invite()
    stage.reply(stage.ring(BOB[0]), 500)
    stage.expect_request(BOB[0], "ACK")
    stage.ring(BOB[1])


def test_after_progress_false_lets_a_100_pass(make_stage):
    stage = make_stage(policy={"on": [500], "after_progress": False})
    stage.invite()
    first = stage.expect_request(BOB[0], "INVITE")
    stage.reply(first, 100)
    stage.reply(first, 500)
    stage.expect_request(BOB[0], "ACK")
    stage.expect_request(BOB[1], "INVITE")


# ---------------------------------------------------------------- abandoned branches


def test_abandoned_branch_is_not_repeated_and_lives(abandoned):
    """No longer retransmitted; listens until 64 T1 after its start."""
    stage, _, first, second = abandoned
    assert stage.states("client") == ["abandoned", "calling"]
    stage.reply(second, 100)
    stage.advance(first.at + WHOLE - stage.now - 1)
    assert stage.states("client")[0] == "abandoned"
    stage.nothing_sent()
    stage.advance(20)
    assert stage.states("client") == ["proceeding"]


def test_late_1xx_is_cancelled_and_not_forwarded(abandoned):
    stage, _, first, _ = abandoned
    stage.reply(first, 180)
    cancel = stage.expect_request(BOB[0], "CANCEL")
    assert cancel.via == first.via
    stage.nothing_sent()
    stage.reply(cancel, 200)
    stage.reply(first, 487)
    stage.expect_request(BOB[0], "ACK")
    stage.nothing_sent()
    assert stage.states("client") == ["completed", "calling"]


def test_late_2xx_wins_and_the_others_are_cancelled(abandoned):
    stage, call, first, second = abandoned
    stage.reply(second, 180)
    stage.expect_response(180)
    stage.reply(first, 200)
    ok = stage.expect_response(200)
    assert ok.to_tag == "bob-1"
    cancel = stage.expect_request(BOB[1], "CANCEL")
    stage.reply(cancel, 200)
    stage.reply(second, 487)
    stage.expect_request(BOB[1], "ACK")
    stage.nothing_sent()
    call.in_dialog("ACK", ok, 1)
    stage.expect_request(BOB[0], "ACK")
    stage.finish()


def test_late_2xx_cancels_a_silent_branch_at_its_first_1xx(abandoned):
    """9.1: no CANCEL before a provisional response."""
    stage, _, first, second = abandoned
    stage.reply(first, 200)
    stage.expect_response(200)
    stage.nothing_sent()
    stage.reply(second, 180)
    stage.expect_request(BOB[1], "CANCEL")
    stage.nothing_sent()


def test_both_2xx_go_upstream(abandoned):
    """16.7 item 5: each 2xx to INVITE is forwarded, whoever was first."""
    stage, _, first, second = abandoned
    stage.reply(second, 200)
    stage.expect_response(200)
    stage.reply(first, 200)
    assert stage.expect_response(200).to_tag == "bob-1"
    stage.nothing_sent()
    stage.finish()


@pytest.mark.parametrize("status", [302, 486, 503, 603])
def test_late_failure_is_acked_and_ignored(abandoned, status):
    stage, _, first, second = abandoned
    late = stage.reply(first, status)
    stage.expect_request(BOB[0], "ACK")
    stage.inject(late, BOB[0])
    stage.expect_request(BOB[0], "ACK")
    stage.nothing_sent()
    stage.reply(second, 404)
    stage.expect_request(BOB[1], "ACK")
    stage.expect_response(404)


def test_abandoned_branch_lives_after_the_final_answer(abandoned):
    """It outlives the answer: a late 180 is still cancelled, a late 2xx still goes up."""
    stage, call, first, second = abandoned
    stage.reply(second, 404)
    stage.expect_request(BOB[1], "ACK")
    call.ack(stage.expect_response(404))
    stage.advance(6_000)  # Timer I has ended the server transaction's own part
    stage.reply(first, 180)
    stage.expect_request(BOB[0], "CANCEL")
    stage.nothing_sent()
    stage.reply(first, 200)
    assert stage.expect_response(200).to_tag == "bob-1"
    assert stage.counter("late_answers") == 1
    stage.finish()


def test_482_takes_an_abandoned_branch_back(abandoned):
    """Two ways led to the same server: wait for the first one, forward its 1xx."""
    stage, _, first, second = abandoned
    stage.reply(second, 482)
    stage.expect_request(BOB[1], "ACK")
    stage.nothing_sent()
    stage.reply(first, 180)
    stage.expect_response(180)
    stage.nothing_sent()


def test_all_silent_ends_in_408(make_stage):
    """16.7 item 6: no response at all; each branch is abandoned for its own time."""
    stage = make_stage(policy=NEXT_ON_TIMEOUT)
    call = stage.invite()
    stage.advance(3 * 2_008 + 20)
    timeout = stage.expect_response(408)
    call.ack(timeout)
    assert stage.states("client") == ["abandoned"] * 3
    assert stage.counter("exhausted") == 1
    stage.finish()


def test_non_invite_late_2xx_is_used_while_nothing_was_answered(make_stage):
    stage = make_stage(policy=NEXT_ON_TIMEOUT)
    stage.send("MESSAGE")
    first = stage.expect_request(BOB[0], "MESSAGE")
    stage.advance(2_020)
    stage.reply(first, 200)
    stage.expect_response(200, "MESSAGE")
    stage.finish()


# ---------------------------------------------------------------- progress, ring, budget


def test_progress_counts_from_the_100(make_stage):
    stage = make_stage(policy=PROGRESS)
    stage.invite()
    first = stage.expect_request(BOB[0], "INVITE")
    stage.advance(400)
    stage.reply(first, 100)
    start = stage.now
    stage.quiet(2_999)
    stage.advance(20)
    assert_times([stage.expect_request(BOB[0], "CANCEL")], start, [3_000])
    stage.nothing_sent()


def test_progress_is_not_restarted_by_another_100(make_stage):
    stage = make_stage(policy=PROGRESS)
    stage.invite()
    first = stage.expect_request(BOB[0], "INVITE")
    stage.reply(first, 100)
    stage.advance(2_000)
    stage.reply(first, 100)
    stage.advance(1_020)
    stage.expect_request(BOB[0], "CANCEL")


def test_progress_ends_with_ringing(make_stage):
    stage = make_stage(policy=PROGRESS)
    stage.invite()
    first = stage.expect_request(BOB[0], "INVITE")
    stage.reply(first, 100)
    stage.reply(first, 183)
    stage.expect_response(183)
    stage.quiet(100_000)


def test_progress_does_not_count_without_a_reply(make_stage):
    """That is `timeout`'s work."""
    stage = make_stage(policy=PROGRESS)
    stage.invite()
    stage.advance(WHOLE - 1)
    assert not stage.take_requests(BOB[0], "CANCEL")
    assert not stage.take_requests(BOB[1], "INVITE")


def test_ring_counts_from_the_first_provisional(make_stage):
    """A later 101-199 does not restart it."""
    stage = make_stage(policy=RING)
    stage.invite()
    first = stage.ring(BOB[0])
    start = stage.now
    stage.advance(15_000)
    stage.reply(first, 183)
    stage.expect_response(183)
    stage.quiet(4_999)
    stage.advance(20)
    assert_times([stage.expect_request(BOB[0], "CANCEL")], start, [20_000])
    stage.nothing_sent()


@pytest.fixture
def rung_out(make_stage):
    """A call whose first branch was cancelled by `ring` a moment ago."""
    stage = make_stage(policy=RING)
    call = stage.invite()
    first = stage.ring(BOB[0])
    stage.advance(20_004)
    return stage, call, first, stage.expect_request(BOB[0], "CANCEL")


def test_ring_waits_for_the_final_response(rung_out):
    stage, _, first, cancel = rung_out
    stage.reply(cancel, 200)
    stage.quiet(400)
    stage.reply(first, 487)
    stage.expect_request(BOB[0], "ACK")
    stage.expect_request(BOB[1], "INVITE")
    stage.nothing_sent()


def test_ring_waits_one_second_at_most(rung_out):
    stage, _, _, cancel = rung_out
    stage.advance(990)
    assert not stage.take_requests(BOB[1], "INVITE")
    stage.advance(20)
    assert_times([stage.expect_request(BOB[1], "INVITE")], cancel.at, [1_000])


def test_2xx_that_crosses_the_cancel_wins(rung_out):
    stage, call, first, cancel = rung_out
    stage.reply(cancel, 200)
    stage.reply(first, 200)
    ok = stage.expect_response(200)
    call.in_dialog("ACK", ok, 1)
    stage.expect_request(BOB[0], "ACK")
    stage.quiet(5_000)
    stage.finish()


def test_2xx_after_the_next_branch_started_wins(rung_out):
    stage, _, first, _ = rung_out
    stage.advance(1_020)
    stage.take_requests(BOB[0], "CANCEL")
    second = stage.ring(BOB[1])
    stage.reply(first, 200)
    assert stage.expect_response(200).to_tag == "bob-1"
    stage.expect_request(BOB[1], "CANCEL")
    stage.reply(second, 487)
    stage.expect_request(BOB[1], "ACK")
    stage.nothing_sent()
    stage.finish()


def test_487_after_the_next_branch_started_is_acked_and_ignored(rung_out):
    stage, _, first, _ = rung_out
    stage.advance(1_020)
    stage.take_requests(BOB[0], "CANCEL")
    second = stage.expect_request(BOB[1], "INVITE")
    stage.reply(first, 487)
    stage.expect_request(BOB[0], "ACK")
    stage.nothing_sent()
    stage.reply(second, 404)
    stage.expect_request(BOB[1], "ACK")
    stage.expect_response(404)


def test_late_180_of_a_branch_left_behind_is_not_forwarded(rung_out):
    stage, _, first, _ = rung_out
    stage.advance(1_020)
    stage.take_requests(BOB[0], "CANCEL")
    stage.expect_request(BOB[1], "INVITE")
    stage.reply(first, 180)
    stage.nothing_sent()


def test_cancel_is_repeated_until_it_is_answered(rung_out):
    """9.1: CANCEL is a client transaction of its own, Timer E."""
    stage, _, _, cancel = rung_out
    stage.advance(3_000)
    assert_times(stage.take_requests(BOB[0], "CANCEL"), cancel.at, [500, 1_500])
    stage.take_requests(BOB[1], "INVITE")
    stage.reply(cancel, 200)
    stage.advance(3_500)
    assert not stage.take_requests(BOB[0], "CANCEL")


def test_487_of_a_branch_we_cancelled_never_counts(make_stage):
    stage = make_stage(policy=RING, destinations=1)
    stage.invite()
    first = stage.ring(BOB[0])
    stage.advance(20_020)
    stage.expect_request(BOB[0], "CANCEL")
    stage.reply(first, 487)
    stage.expect_request(BOB[0], "ACK")
    stage.expect_response(408)
    stage.nothing_sent()
    stage.finish()


@pytest.mark.parametrize("clock", [PROGRESS, RING], ids=["progress", "ring"])
def test_non_invite_knows_timeout_only(make_stage, clock):
    stage = make_stage(policy=clock)
    stage.send("MESSAGE")
    request = stage.expect_request(BOB[0], "MESSAGE")
    stage.reply(request, 100)
    stage.reply(request, 182)
    stage.nothing_sent()
    stage.advance(WHOLE - 100)
    assert not stage.take_requests(BOB[0], "CANCEL")
    assert not stage.take_requests(BOB[1], "MESSAGE")
    assert stage.states("client") == ["proceeding"]


@pytest.mark.parametrize("status", [100, 183])
def test_timeout_of_a_non_invite_means_no_reply_at_all(make_stage, status):
    """After any 1xx only Timer F runs: two servers would do the same thing otherwise."""
    stage = make_stage(policy=NEXT_ON_TIMEOUT)
    stage.send("SUBSCRIBE")
    request = stage.expect_request(BOB[0], "SUBSCRIBE")
    stage.advance(1_000)
    stage.take_requests(BOB[0], "SUBSCRIBE")
    stage.reply(request, status)
    stage.quiet(2_000)
    stage.reply(request, 200)
    stage.expect_response(200, "SUBSCRIBE")
    stage.finish()


def test_timer_f_after_a_1xx_is_no_timeout(make_stage):
    """It stands for a 408 of that server (16.8), which `timeout` does not name; the caller has given up by then."""
    stage = make_stage(policy=NEXT_ON_TIMEOUT)
    stage.send("MESSAGE")
    stage.reply(stage.expect_request(BOB[0], "MESSAGE"), 100)
    stage.advance(WHOLE + 100)
    assert not stage.take_requests(BOB[1], "MESSAGE")
    assert (stage.counter("timeouts"), stage.health(0), stage.slots("client")) == (0, "unknown", [])


@pytest.mark.parametrize("order", [(100, 180), (180, 100), (180, 100, 183, 100)], ids=str)
def test_what_was_heard_is_the_highest_provisional(make_stage, order):
    """A late 100 undoes no 180: `ring` fails over as `ring`, and marks nobody."""
    stage = make_stage(policy={"on": ["ring"], "ring_ms": 20_000})
    stage.invite()
    invite = stage.expect_request(BOB[0], "INVITE")
    for status in order:
        stage.reply(invite, status)
    stage.waiting.clear()
    stage.advance(20_020)
    stage.expect_request(BOB[0], "CANCEL")
    stage.reply(invite, 487)
    stage.expect_request(BOB[0], "ACK")
    stage.expect_request(BOB[1], "INVITE")
    assert stage.health(0) == "unknown"


def test_alternating_provisionals_do_not_restart_ring(make_stage):
    stage = make_stage(policy={"on": ["ring"], "ring_ms": 5_000})
    stage.invite()
    invite = stage.expect_request(BOB[0], "INVITE")
    for _ in range(5):
        stage.reply(invite, 180)
        stage.reply(invite, 100)
        stage.advance(1_010)
    stage.expect_request(BOB[0], "CANCEL")


def test_budget_bounds_the_search(make_stage):
    """Past its `budget` a search makes no new branch."""
    stage = make_stage(policy={**NEXT_ON_TIMEOUT, "budget_ms": 3_000})
    stage.invite()
    stage.expect_request(BOB[0], "INVITE")
    stage.advance(2_020)
    stage.take_requests(BOB[0], "INVITE")
    stage.expect_request(BOB[1], "INVITE")
    stage.advance(2_020)
    stage.take_requests(BOB[1], "INVITE")
    stage.expect_response(408)
    stage.nothing_sent()
    stage.finish()


def test_policy_is_the_one_the_call_started_with(make_stage):
    """What a running call needs of its policy is copied when it is routed (docs/core.md#ids-instead-of-indexes)."""
    from fastsip._core.dispatcher.chooser import Positions
    from tests.protocol.script import make_table

    stage = make_stage(policy={"on": [500]})
    stage.invite()
    first = stage.expect_request(BOB[0], "INVITE")
    table, _ = make_table(policy={}, cells=stage.cells)
    positions = Positions(table, 0)
    stage.use(table, positions)
    stage.reply(first, 500)
    stage.expect_request(BOB[0], "ACK")
    stage.expect_request(BOB[1], "INVITE")
    stage.finish()


def test_table_may_lose_the_destination_of_a_ringing_call(make_stage):
    """No indexes into tables: ids alone, looked up in today's table."""
    from fastsip._core.dispatcher.chooser import Positions
    from tests.protocol.script import make_table

    stage = make_stage(policy={"on": [500]})
    call = stage.invite()
    first = stage.ring(BOB[0])
    table, _ = make_table(policy={}, destinations=0, cells=stage.cells)
    positions = Positions(table, 0)
    stage.use(table, positions)
    stage.reply(first, 500)
    stage.expect_request(BOB[0], "ACK")
    call.ack(stage.expect_response(500))
    stage.nothing_sent()
    stage.advance(T1)
    stage.finish()
