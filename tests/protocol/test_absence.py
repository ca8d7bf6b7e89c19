"""What a router does not hold against others after it was away itself (docs/core.md#after-an-absence)."""

import pytest

from tests.protocol.script import BOB, PARALLEL, Stage, read_sent

AWAY, TIMEOUT = 1_500, 2_000
STORES = 40  # more than the first batch of a call makes


def killed_before_sending(make_stage, k: int, method: str, away: int = AWAY) -> Stage | None:
    """The process ends before the k-th store of a request's batch; None if the request was not owed then."""
    stage = make_stage(destinations=2, policy={"on": ["timeout"], "timeout_ms": TIMEOUT})
    stage.rig.image_at(k)
    stage.send(method)
    if not stage.rig.has_image:
        stage.rig.image_at(-1)
        return None
    stage.rig.die(stage.table, stage.now + away)
    stage.waiting = [read_sent(record) for record in stage.rig.sent()]
    sent = stage.take_requests(BOB[0], method)
    stage.rig.recover()
    stage.collect()
    owed = stage.take_requests(BOB[0], method)
    return stage if owed and not sent else None


@pytest.mark.parametrize("method", ["INVITE", "MESSAGE"])
def test_what_may_never_have_left_has_its_whole_time(make_stage, method):
    """Its destination has not been silent: we were."""
    seen = 0
    for k in range(STORES):
        stage = killed_before_sending(make_stage, k, method)
        if stage is None:
            continue
        seen += 1
        back = stage.now
        stage.advance(TIMEOUT - 100)
        assert stage.take_requests(BOB[0], method), "it is repeated from Timer A or E on"
        assert not stage.take_requests(BOB[1], method)
        assert stage.health(0) != "down"
        stage.advance(200)
        moved_on = [message.at - back for message in stage.take_requests(BOB[1], method)]
        assert moved_on == [pytest.approx(TIMEOUT, abs=20)]
    assert seen


def test_not_when_its_sender_has_gone(make_stage):
    """Away for longer than anybody waits: it keeps its own time, which has run out."""
    stages = [killed_before_sending(make_stage, k, "INVITE", 60_000) for k in range(STORES)]
    assert any(stages)
    for stage in filter(None, stages):
        stage.advance(100)
        assert stage.take_requests(BOB[1], "INVITE")


def test_a_recovery_that_dies_itself_moves_no_clock_twice(make_stage):
    """Killed again and again before what is owed has left: the clocks begin with the last start, not with their sum."""
    seen = 0
    for k in range(STORES):
        stage = make_stage(destinations=2, policy={"on": ["timeout"], "timeout_ms": TIMEOUT})
        stage.rig.image_at(k)
        stage.send("INVITE")
        for _ in range(4):
            stage.rig.die(stage.table, stage.now + AWAY)
            if not any("request" in slot["owes"] for slot in stage.slots("client")):
                break
            stage.rig.image_at(3)       # before the sent request is told from one that is owed
            stage.rig.recover()
        else:
            seen += 1
            stage.rig.die(stage.table, stage.now + AWAY)
            stage.waiting.clear()
            stage.rig.sent()
            stage.rig.recover()
            back = stage.now
            stage.advance(TIMEOUT + 100)
            moved_on = [message.at - back for message in stage.take_requests(BOB[1], "INVITE")]
            assert moved_on == [pytest.approx(TIMEOUT, abs=20)]
        stage.rig.image_at(-1)
    assert seen


@pytest.mark.parametrize("status", [200, 603])
def test_whoever_rings_on_after_a_decision_is_cancelled(make_stage, status):
    """16.7 item 10, before whichever store of that batch the process ends; the callee repeats what he said."""
    deaths = 0
    for k in range(STORES):
        stage = make_stage(algorithm=PARALLEL, destinations=3)
        stage.invite()
        first, *others = stage.expect_fork(range(3))
        for invite in (first, *others):
            stage.ring_back(invite)
        stage.rig.image_at(k)
        said = stage.reply(first, status)
        if not stage.rig.has_image:
            stage.rig.image_at(-1)
            break
        deaths += 1
        stage.rig.die(stage.table, stage.now)
        stage.waiting = [read_sent(record) for record in stage.rig.sent()]
        stage.rig.recover()
        stage.collect()
        stage.inject(said)
        for invite in others:
            assert stage.take_requests(invite.to, "CANCEL"), f"dead before store {k}: {invite.to} rings on"
            stage.reply(invite, 487)
        assert stage.take_responses(status), f"dead before store {k}"
        stage.waiting.clear()
        stage.finish()
    assert deaths > 5


def test_who_has_had_his_answer_gets_no_second_one(make_stage):
    """17.2.2: after an absence clocks that ran out are spread, so that a branch may outlive its server transaction."""
    stage = make_stage(algorithm=PARALLEL, destinations=2, policy={"timeout_ms": 30_000})
    stage.send("MESSAGE")           # nobody answers it: the clock that ran out first
    stage.expect_fork(range(2), "MESSAGE")
    stage.advance(2_000)
    stage.waiting.clear()
    stage.send("MESSAGE")
    first, second = stage.expect_fork(range(2), "MESSAGE")
    stage.reply(first, 200)
    stage.expect_response(200, "MESSAGE")
    stage.come_back(31_500)
    stage.advance(1_000)            # Timer J has run out, and the second branch still waits
    stage.waiting.clear()
    assert stage.states("server").count("ended") and stage.states("client")
    stage.reply(second, 200)
    stage.nothing_sent()
    stage.finish()
