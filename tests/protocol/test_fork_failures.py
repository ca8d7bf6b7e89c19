"""Branches of a fork that fail, each by its own clocks, and what comes of the group.

RFC 3261 16.7 item 6, 16.8, 16.10, docs/wire.md#parallel-forking.  How a fork starts and who answers it is in
test_forking.py, which challenges the caller gets in test_challenges.py.
"""

import pytest

from tests.protocol.script import BOB, PARALLEL, T1, WHOLE, Stage, assert_times

ALL = ["3xx", "4xx", "5xx"]


# ---------------------------------------------------------------- which failure


@pytest.mark.parametrize(
    "codes, best",
    [
        ((500, 404, 503), 404),
        ((486, 302, 500), 302),
        ((486, 401, 404), 401),
        ((503, 503, 503), 500),
        ((482, 486, 500), 486),
    ],
)
def test_best_response_of_all_branches(make_fork, codes, best):
    """16.7 item 6; a 482 says only that two ways led to one server, so anything else of its class is better."""
    stage = make_fork()
    call = stage.invite()
    for invite, code in zip(stage.expect_fork(range(3)), codes, strict=True):
        stage.nothing_sent()
        stage.refuse(invite, code)
    call.ack(stage.expect_response(best))
    stage.nothing_sent()
    stage.finish()


def test_408_of_one_is_no_answer_to_a_message(make_fork):
    """RFC 4320 section 4.2: what another one says is."""
    stage = make_fork(destinations=2)
    stage.send("MESSAGE")
    first, second = stage.expect_fork(range(2), "MESSAGE")
    stage.reply(first, 408)
    stage.reply(second, 500)
    stage.expect_response(500, "MESSAGE")
    stage.nothing_sent()


def test_best_response_over_the_groups(make_fork):
    stage = make_fork(priorities=(1, 1, 0), policy={"on": [404, 500]})
    stage.invite()
    first, second = stage.expect_fork(range(2))
    stage.refuse(first, 500)
    stage.refuse(second, 404, tag="best")
    stage.refuse(*stage.expect_fork([2]), 500)
    assert stage.expect_response(404).to_tag == "best"


def test_exhausted_when_all_groups_have_failed(make_fork):
    stage = make_fork(priorities=(1, 1, 0), policy={"on": [500], "exhausted": (480, "Nobody")})
    stage.invite()
    for invite in stage.expect_fork(range(2)):
        stage.refuse(invite, 500)
    stage.refuse(*stage.expect_fork([2]), 500)
    assert stage.expect_response(480).reason == "Nobody"
    assert stage.counter("exhausted") == 1
    stage.nothing_sent()
    stage.finish()


def test_silence_of_all_is_408(make_fork):
    stage = make_fork(policy={"on": ["timeout"], "timeout_ms": 2_000})
    call = stage.invite()
    stage.advance(2_020)
    call.ack(stage.expect_response(408))
    assert stage.states("client") == ["abandoned"] * 3
    stage.finish()


def test_487_of_a_branch_we_cancelled_never_counts(make_fork):
    """`ring` has cancelled one of them; the other one's failure is the answer."""
    stage = make_fork(destinations=2, policy={"on": ["ring"], "ring_ms": 10_000})
    stage.invite()
    first, second = stage.expect_fork(range(2))
    stage.ring_back(first)
    stage.advance(5_000)
    stage.take_requests(BOB[1], "INVITE")
    stage.ring_back(second)
    stage.advance(5_020)
    stage.expect_request(BOB[0], "CANCEL")
    stage.refuse(first, 487)
    stage.refuse(second, 488)
    stage.expect_response(488)


# ---------------------------------------------------------------- clocks


@pytest.fixture
def one_is_silent(make_fork):
    """A group of two and another one behind it; the first of them was abandoned after 2 s, the second rings."""
    stage = make_fork(priorities=(1, 1, 0), policy={"on": ["timeout", 500], "timeout_ms": 2_000})
    call = stage.invite()
    first, second = stage.expect_fork(range(2))
    stage.ring_back(second)
    stage.advance(2_020)
    assert_times(stage.take_requests(BOB[0], "INVITE"), first.at, [500, 1_500])
    return stage, call, first, second


def test_timeout_of_one_starts_nobody(one_is_silent):
    """The group waits for the one that rings."""
    stage, _, _, second = one_is_silent
    stage.nothing_sent()
    assert stage.states("client") == ["abandoned", "proceeding"]
    stage.refuse(second, 500)
    stage.expect_fork([2])


def test_late_2xx_of_an_abandoned_one_wins(one_is_silent):
    stage, call, first, second = one_is_silent
    stage.reply(first, 200)
    ok = stage.expect_response(200)
    stage.expect_request(BOB[1], "CANCEL")
    stage.refuse(second, 487)
    call.in_dialog("ACK", ok, 1)
    stage.expect_request(BOB[0], "ACK")
    stage.nothing_sent()
    stage.finish()


def test_late_1xx_of_an_abandoned_one_is_cancelled(one_is_silent):
    stage, _, first, _ = one_is_silent
    stage.reply(first, 180)
    stage.expect_request(BOB[0], "CANCEL")
    stage.nothing_sent()


@pytest.mark.parametrize("status", [302, 404, 603])
def test_late_failure_of_an_abandoned_one_is_ignored(one_is_silent, status):
    stage, _, first, second = one_is_silent
    stage.refuse(first, status)
    stage.nothing_sent()
    stage.refuse(second, 404)
    assert stage.expect_response(404).to_tag == "bob-2"


def test_482_takes_the_abandoned_one_back(one_is_silent):
    """Two ways led to one server: the branch given up is the one to wait for, and the group with it."""
    stage, _, first, second = one_is_silent
    stage.refuse(second, 482)
    stage.nothing_sent()
    stage.ring_back(first)
    stage.refuse(first, 500)
    stage.expect_fork([2])


def test_failure_of_one_that_was_taken_back_is_its_own(one_is_silent):
    """Its timeout was void: what it says now counts, and `on` does not name it."""
    stage, _, first, second = one_is_silent
    stage.refuse(second, 482)
    assert stage.health(0) == "trying"
    stage.refuse(first, 404)
    assert stage.expect_response(404).to_tag == "bob-1"
    assert stage.health(0) == "up"
    stage.nothing_sent()


def test_482_leaves_what_others_have_said(make_fork):
    """Only the 482 is no answer to anybody."""
    stage = make_fork(policy={"on": ["timeout"], "timeout_ms": 2_000})
    stage.invite()
    first, second, third = stage.expect_fork(range(3))
    stage.ring_back(second)
    stage.refuse(third, 486)
    stage.advance(2_020)
    stage.take_requests(BOB[0], "INVITE")
    stage.refuse(second, 482)
    stage.nothing_sent()
    stage.refuse(first, 500)
    assert stage.expect_response(486).to_tag == "bob-3"


def test_ring_counts_for_each(make_fork):
    """From its own first 101-199; the next group starts when the last one is final."""
    stage = make_fork(priorities=(1, 1, 0), policy={"on": ["ring"], "ring_ms": 10_000})
    stage.invite()
    first, second = stage.expect_fork(range(2))
    stage.ring_back(first)
    start = stage.now
    stage.advance(4_000)
    stage.take_requests(BOB[1], "INVITE")
    stage.ring_back(second)
    stage.advance(6_020)
    assert_times([stage.expect_request(BOB[0], "CANCEL")], start, [10_000])
    stage.refuse(first, 487)
    stage.nothing_sent()
    stage.advance(4_000)
    assert_times([stage.expect_request(BOB[1], "CANCEL")], start, [14_000])
    stage.refuse(second, 487)
    stage.expect_fork([2])


def test_after_progress_false_counts_for_the_group(make_fork):
    """One has rung, so no code of any of them lets another group start; one that failed before does not matter."""
    stage = make_fork(priorities=(1, 1, 0), policy={"on": [500], "after_progress": False})
    stage.invite()
    first, second = stage.expect_fork(range(2))
    stage.refuse(first, 500)
    stage.ring_back(second)
    stage.refuse(second, 500)
    stage.expect_response(500)
    stage.nothing_sent()


def test_budget_bounds_the_groups(make_fork):
    stage = make_fork(priorities=(1, 1, 0), policy={"on": ["timeout"], "timeout_ms": 2_000, "budget_ms": 1_000})
    stage.invite()
    stage.advance(2_020)
    stage.take(lambda message: message.method == "INVITE" and message.to in BOB[:2])
    stage.expect_response(408)
    stage.nothing_sent()


# ---------------------------------------------------------------- the caller's CANCEL


def test_cancel_reaches_all(make_fork):
    """16.10: and 487 goes up when the last one is final."""
    stage = make_fork(priorities=(1, 1, 1, 0), destinations=4, policy={"on": [*ALL, "timeout"]})
    call = stage.invite()
    first, second, third = stage.expect_fork(range(3))
    stage.ring_back(first)
    stage.ring_back(second)
    stage.refuse(third, 500)
    call.cancel(Reason='SIP;cause=487;text="gone"')
    stage.expect_response(200, "CANCEL")
    for invite in (first, second):
        assert stage.expect_request(invite.to, "CANCEL").get("Reason") == 'SIP;cause=487;text="gone"'
    stage.nothing_sent()
    stage.refuse(first, 487)
    stage.nothing_sent()
    stage.refuse(second, 487)
    call.ack(stage.expect_response(487))
    stage.nothing_sent()
    stage.finish()


def test_cancel_without_state_follows_the_first_branch(make_fork):
    """16.11, docs/wire.md#cancel-without-a-transaction: attempt 0's branch."""
    stage = make_fork()
    call = stage.invite()
    first, *_ = stage.expect_fork(range(3))
    stage.advance(2 * WHOLE)
    stage.waiting.clear()
    call.cancel()
    assert stage.expect_request(BOB[0], "CANCEL").branch == first.branch
    stage.nothing_sent()


# ---------------------------------------------------------------- marks, transport


def test_mark_acts_on_each_branch(make_fork):
    """By its own reason (docs/wire.md#parallel-forking)."""
    mark = {"default": "none", "timeout": "suspect", "500": "suspect"}
    stage = make_fork(destinations=4, policy={"on": ["timeout", 500], "timeout_ms": 2_000, "mark": mark})
    stage.invite()
    _, second, third, fourth = stage.expect_fork(range(4))
    stage.refuse(second, 500)
    stage.refuse(third, 486)
    stage.ring_back(fourth)
    stage.advance(2_020)
    assert [stage.health(number) for number in range(4)] == ["trying", "trying", "up", "unknown"]


def test_one_fork_takes_at_most_one_down(make_fork):
    """Else one poisonous call that every server answers with 500 takes the set down (docs/wire.md#marks)."""
    stage = make_fork(policy={"on": [500], "mark": "down"})
    stage.invite()
    for invite in stage.expect_fork(range(3)):
        stage.refuse(invite, 500)
    assert [stage.health(number) for number in range(3)] == ["down", "unknown", "unknown"]


def test_who_was_cancelled_by_an_answer_is_not_marked(make_fork):
    stage = make_fork(policy={"on": ["timeout"], "timeout_ms": 2_000, "mark": "down"})
    stage.invite()
    _, second, _ = stage.expect_fork(range(3))
    stage.reply(second, 200)
    stage.expect_response(200)
    stage.advance(2_020)
    assert [stage.health(number) for number in range(3)] == ["unknown", "up", "unknown"]


def test_unreachable_ones_leave_the_others(make_fork):
    stage = make_fork(priorities=(1, 1, 0), policy={"on": ["transport"]})
    stage.rig.refuse(BOB[0])
    stage.invite()
    stage.expect_fork([1])
    assert stage.states("client") == ["calling"]


def test_next_group_at_once_when_all_are_unreachable(make_fork):
    stage = make_fork(destinations=16, priorities=(1,) * 4 + (0,) * 12, policy={"on": ["transport"]})
    for bob in BOB[:4]:
        stage.rig.refuse(bob)
    stage.invite()
    stage.expect_fork(range(4, 16))


def test_too_large_for_one_ends_all(make_fork):
    """No fault of a destination's; who got the request shall not ring for it (docs/core.md#large-datagrams)."""
    stage = make_fork()
    stage.rig.refuse(BOB[1], "too_big")
    stage.invite()
    first = stage.expect_request(BOB[0], "INVITE")
    stage.expect_request(BOB[2], "INVITE")
    stage.expect_response(513)
    stage.nothing_sent()
    stage.reply(first, 180)
    stage.expect_request(BOB[0], "CANCEL")
    stage.refuse(first, 487)
    stage.nothing_sent()
    assert stage.health(1) == "unknown"


def test_many_forks_fail_over_at_once(make_fork):
    """More messages than one batch holds, caused by one: each search goes on at once all the same (OUTBOX_RESERVE)."""
    stage = make_fork(
        destinations=16,
        priorities=(2,) + (1,) * 3 + (0,) * 12,
        policy={"on": ["timeout", "transport"], "timeout_ms": 2_000, "mark": "none"},
        max_transactions=2_000,
    )
    for bob in BOB[1:4]:
        stage.rig.refuse(bob)
    for _ in range(40):
        stage.invite()
    stage.advance(2_020)
    for bob in BOB[4:16]:
        assert_times(stage.take_requests(bob, "INVITE"), stage.now - 2_020, [2_000] * 40)
    assert stage.counter("no_room") == 0


def test_a_fork_of_sixteen_large_ones(make_fork):
    """All of their CANCELs find room beside the answer (SCRATCH_RESERVE)."""
    stage = make_fork(destinations=16, max_transactions=7_000)
    stage.invite(headers=[("X-Long", "x" * 30_000)])
    invites = stage.expect_fork(range(16))
    for invite in invites[1:]:
        stage.ring_back(invite)
    stage.reply(invites[0], 200)
    stage.expect_response(200)
    for invite in invites[1:]:
        stage.expect_request(invite.to, "CANCEL")
    stage.nothing_sent()
    assert stage.counter("no_room") == 0


# ---------------------------------------------------------------- another life


def test_a_fork_goes_on_in_another_process(make_fork, scratch):
    """What was said before the restart counts: the unwanted failure, the best response."""
    parts = {"algorithm": PARALLEL, "priorities": (1, 1, 0), "policy": {"on": [500]}}
    stage = make_fork(**parts)
    call = stage.invite()
    first, second = stage.expect_fork(range(2))
    stage.refuse(first, 486)
    again = Stage(scratch / "run0", now_ms=stage.now, **parts)
    again.rig.recover()
    again.collect()
    again.nothing_sent()
    again.refuse(second, 500)
    call.stage = again
    call.ack(again.expect_response(486))
    again.nothing_sent()
    again.advance(T1)
    again.finish()


def test_6xx_goes_on_cancelling_in_another_process(make_fork, scratch):
    parts = {"algorithm": PARALLEL, "policy": {"on": ALL}}
    stage = make_fork(**parts)
    stage.invite()
    first, second, third = stage.expect_fork(range(3))
    stage.refuse(first, 603)
    again = Stage(scratch / "run0", now_ms=stage.now, **parts)
    again.rig.recover()
    again.collect()
    for invite in (second, third):
        again.reply(invite, 180)
        again.expect_request(invite.to, "CANCEL")
        again.refuse(invite, 487)
    again.expect_response(603)
    again.nothing_sent()
