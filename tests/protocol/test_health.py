"""What calls teach about destinations: marks, trials, Retry-After (docs/wire.md#health-by-calls)."""

import pytest

from tests.protocol.script import BOB


def fail(stage, bob, code=500):
    """One more call; its first branch, at bob, fails and the next destination answers."""
    stage.invite()
    stage.reply(stage.expect_request(bob, "INVITE"), code)
    stage.expect_request(bob, "ACK")
    following = BOB[BOB.index(bob) + 1]
    stage.reply(stage.expect_request(following, "INVITE"), 200)
    stage.expect_response(200)
    stage.nothing_sent()


def test_none_leaves_no_mark(make_stage):
    stage = make_stage(policy={"on": [500], "mark": "none"})
    for _ in range(5):
        fail(stage, BOB[0])
    assert stage.health(0) == "unknown"


def test_suspect_counts_towards_fall(make_stage):
    """The default: trying, then down at the `fall`-th failure in a row (2)."""
    stage = make_stage(policy={"on": [500]})
    fail(stage, BOB[0])
    assert stage.health(0) == "trying"
    fail(stage, BOB[0])
    assert stage.health(0) == "down"
    fail(stage, BOB[1])


@pytest.mark.parametrize("probe", [None, {"interval_ms": 3_600_000, "fall": 1}])
@pytest.mark.parametrize("most", [1, 2, 3])
def test_calls_may_have_a_fall_of_their_own(make_stage, probe, most):
    stage = make_stage(policy={"on": [500]}, call_fall=most, probe=probe)
    for number in range(1, most + 1):
        fail(stage, BOB[0])
        assert stage.health(0) == ("trying" if number < most else "down")


@pytest.mark.parametrize("most", [1, 2])
def test_calls_may_have_a_rise_of_their_own(make_stage, most):
    """A trial call in each retry time, until so many in a row were answered."""
    stage = make_stage(policy={"on": [500], "mark": "down"}, call_rise=most, retry_ms=5_000)
    fail(stage, BOB[0])
    for number in range(1, most + 1):
        stage.advance(40_000)
        stage.invite()
        stage.reply(stage.expect_request(BOB[0], "INVITE"), 404)
        stage.take_requests(BOB[0], "ACK")
        stage.expect_response(404)
        assert stage.health(0) == ("down" if number < most else "up")


def test_down_is_at_once(make_stage):
    stage = make_stage(policy={"on": [500], "mark": "down"})
    fail(stage, BOB[0])
    assert stage.health(0) == "down"


def test_success_ends_the_streak(make_stage):
    """A 2xx, or a failure that is the callee's own business, shows life."""
    stage = make_stage(policy={"on": [500]})
    for answer in (200, 404):
        fail(stage, BOB[0])
        assert stage.health(0) == "trying"
        stage.invite()
        stage.reply(stage.expect_request(BOB[0], "INVITE"), answer)
        stage.take_requests(BOB[0], "ACK")
        stage.expect_response(answer)
        assert stage.health(0) == "up"


def test_one_call_marks_at_most_one(make_stage):
    """Else one poisonous call that every server answers with 500 takes the set down."""
    stage = make_stage(policy={"on": [500], "mark": "down"})
    stage.invite()
    for bob in BOB[:3]:
        stage.reply(stage.expect_request(bob, "INVITE"), 500)
    assert [stage.health(n) for n in range(3)] == ["down", "unknown", "unknown"]


def test_the_last_usable_one_is_never_marked(make_stage):
    stage = make_stage(policy={"on": [500], "mark": "down"}, destinations=2)
    fail(stage, BOB[0])
    for _ in range(3):
        stage.invite()
        stage.reply(stage.expect_request(BOB[1], "INVITE"), 500)
        stage.expect_request(BOB[1], "ACK")
        stage.expect_response(500)
    assert [stage.health(n) for n in range(2)] == ["down", "up"]


def test_mark_last_marks_the_last_one_too(make_stage):
    stage = make_stage(policy={"on": [500], "mark": "down", "mark_last": True}, destinations=1)
    stage.invite()
    stage.reply(stage.expect_request(BOB[0], "INVITE"), 500)
    stage.expect_request(BOB[0], "ACK")
    stage.expect_response(500)
    assert stage.health(0) == "down"


def test_mark_by_reason(make_stage):
    policy = {"on": ["timeout", 500, "transport"], "timeout_ms": 2_000,
              "mark": {"default": "none", "timeout": "suspect", "transport": "down"}}  # fmt: skip
    stage = make_stage(policy=policy)
    fail(stage, BOB[0])
    assert stage.health(0) == "unknown"
    stage.invite()
    stage.advance(2_020)
    stage.waiting.clear()
    assert stage.health(0) == "trying"
    stage.rig.refuse(BOB[0])
    stage.invite()
    assert stage.health(0) == "down"


@pytest.mark.parametrize(
    "codes, health", [({"503": "down"}, "unknown"), ({"5xx": "down"}, "down"), ({"500": "down"}, "down")]
)
def test_mark_by_code(make_stage, codes, health):
    stage = make_stage(policy={"on": ["5xx"], "mark": {"default": "none", **codes}})
    fail(stage, BOB[0], 500)
    assert stage.health(0) == health


def test_ring_never_marks(make_stage):
    stage = make_stage(policy={"on": ["ring"], "ring_ms": 10_000, "mark": "down"})
    stage.invite()
    first = stage.ring(BOB[0])
    stage.advance(10_008)
    stage.expect_request(BOB[0], "CANCEL")
    stage.reply(first, 487)
    stage.expect_request(BOB[1], "INVITE")
    assert stage.health(0) != "down"


def test_caller_who_gives_up_marks_nobody(make_stage):
    """After the CANCEL nothing counts against the branch (docs/wire.md#cancel)."""
    stage = make_stage(policy={"on": ["timeout"], "timeout_ms": 2_000, "mark": "down"})
    call = stage.invite()
    call.cancel()
    stage.advance(2_020)
    stage.expect_response(487)
    assert stage.health(0) == "unknown"


def test_trial_call_after_retry(make_stage):
    """Down without probing: one trial call after `retry` (30 s); its success brings it back."""
    stage = make_stage(policy={"on": [500], "mark": "down"})
    fail(stage, BOB[0])
    stage.advance(29_900)
    stage.waiting.clear()
    fail(stage, BOB[1])
    stage.advance(100)
    stage.invite()
    trial = stage.expect_request(BOB[0], "INVITE")
    stage.invite()
    stage.expect_request(BOB[2], "INVITE")
    stage.reply(trial, 200)
    assert stage.health(0) == "up"


def test_retry_after_of_a_503_counts_for_new_calls(make_stage):
    """Until then, at most retry_after_max, 60 s (docs/wire.md#retry-after)."""
    stage = make_stage(policy={"on": [503], "mark": "none"})
    stage.invite()
    stage.reply(stage.expect_request(BOB[0], "INVITE"), 503, headers=[("Retry-After", "5")])
    stage.expect_request(BOB[0], "ACK")
    stage.waiting.clear()
    stage.advance(4_990)
    stage.waiting.clear()
    stage.invite()
    stage.expect_request(BOB[1], "INVITE")
    stage.advance(20)
    stage.waiting.clear()
    stage.invite()
    stage.reply(stage.expect_request(BOB[0], "INVITE"), 503, headers=[("Retry-After", "7200")])
    stage.advance(60_000)
    stage.waiting.clear()
    stage.invite()
    stage.expect_request(BOB[0], "INVITE")


def test_health_events(make_stage):
    """The control plane hears of each change (docs/core.md#events-and-commands)."""
    stage = make_stage(policy={"on": [500], "mark": "down"})
    fail(stage, BOB[0])
    changes = [
        (event.destination_id, event.reason, event.status)
        for event in stage.rig.events()
        if event.kind == "health"
    ]
    assert changes == [(1, "down", 500), (2, "up", 200)]


def test_failover_and_exhausted_events(make_stage):
    stage = make_stage(policy={"on": [500], "mark": "none"}, destinations=2)
    call = stage.invite()
    for bob in BOB[:2]:
        stage.reply(stage.expect_request(bob, "INVITE"), 500)
    found = [(event.kind, event.destination_id, event.status, event.call_id) for event in stage.rig.events()]
    assert found == [("failover", 1, 500, call.message.call_id), ("exhausted", 2, 500, call.message.call_id)]


@pytest.mark.parametrize("length, kept", [(256, 256), (257, 256)])
def test_a_long_call_id_is_cut_in_events(make_stage, length, kept):
    stage = make_stage(policy={"on": [500], "mark": "none"}, destinations=2)
    stage.invite(call_id="x" * length)
    stage.reply(stage.expect_request(BOB[0], "INVITE"), 500)
    assert [event.call_id for event in stage.rig.events()] == ["x" * kept]
