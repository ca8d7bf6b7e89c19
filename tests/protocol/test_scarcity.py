"""Whatever runs short in the middle of a call, at whatever moment: nothing waits for nothing, and all of it ends.

Each scenario is played with the n-th allocation of a kind failing, n = 1, 2, ... until none fails any more, and
with all of them failing from then on.  The store's checker looks after every message and every step of the clock.
"""

from itertools import count

import pytest

from fastsip._core.base.scarcity import KINDS
from fastsip._core.harness.rig import Rig
from tests.protocol.script import BOB, PARALLEL, TICK, Stage

MOST = 200  # no scenario allocates so often
FAILS_OVER = {"policy": {"on": [500, "timeout", "transport"], "timeout_ms": 2_000}}
NAME = "gw.example.net"
TRUSTED = {"trusted": ("10.0.0.0/24",)}


def answer_all(stage: Stage, *statuses: int, to=BOB, method: str = "") -> None:
    """Whoever has been asked says this; what is not there was lost for want of room."""
    for request in stage.take(lambda m: m.method not in ("", "ACK", "CANCEL") and m.to in to):
        if method in ("", request.method):
            for status in statuses:
                stage.reply(request, status)


def plain_call(stage):
    call = stage.send("INVITE")
    answer_all(stage, 100, 180, 200)
    for ok in stage.take_responses(200)[:1]:
        call.in_dialog("ACK", ok, 1)
        call.in_dialog("BYE", ok, 2)
        answer_all(stage, 200)


def refused_call(stage):
    call = stage.send("INVITE")
    answer_all(stage, 180, 486)
    for final in stage.take_responses(486)[:1]:
        call.ack(final)


def failover(stage):
    stage.send("INVITE")
    answer_all(stage, 100, 500, to=BOB[:1])
    stage.advance(2_000 + TICK)
    answer_all(stage, 401, to=BOB[2:3])
    stage.advance(40_000)


def fork(stage):
    stage.send("INVITE")
    for bob, status in zip(BOB[:3], (401, 503, 407), strict=False):
        answer_all(stage, 180, status, to=[bob])
    stage.advance(2_000)


def cancelled(stage):
    call = stage.send("INVITE")
    answer_all(stage, 180)
    call.cancel(Reason="Q.850;cause=16")
    for cancel in stage.take(lambda m: m.method == "CANCEL"):
        stage.reply(cancel, 200)
    stage.advance(1_000)


def non_invite(stage):
    request = stage.send("MESSAGE")
    answer_all(stage, 500, to=BOB[:1])
    stage.advance(4_000)
    request.again()
    answer_all(stage, 503)
    request.again()


def answered_message(stage):
    request = stage.send("MESSAGE")
    answer_all(stage, 200)
    request.again()


def refused_by_nobody(stage):
    for bob in BOB[:3]:
        stage.rig.refuse(bob)
    stage.send("INVITE")
    stage.send("MESSAGE")


def named(stage):
    stage.send("INVITE", headers=[("Route", f"<sip:{NAME};lr>")])
    stage.send("ACK", f"sip:x@{NAME}", to_tag="x", headers=[("Route", "<sip:10.0.0.254;lr>")])
    stage.questions()
    stage.know(NAME, BOB[0])
    answer_all(stage, 180, 200)


def named_in_vain(stage):
    call = stage.send("INVITE", headers=[("Route", f"<sip:{NAME};lr>")])
    stage.send("MESSAGE", headers=[("Route", f"<sip:{NAME};lr>")])
    call.cancel()
    stage.advance(2_100)


def recovered(stage):
    """With the kind that fails set again: another rig is short of nothing."""
    stage.send("INVITE")
    answer_all(stage, 180, to=BOB[:1])
    kind, n, times = stage.short
    now, done = stage.now, stage.rig.failed_allocations
    del stage.rig
    stage.rig = Rig(stage.run_dir, stage.table, stage.cells, 64, now_ms=now + 60_000)
    stage.rig.fail_allocation(kind, max(n, 1), times)
    stage.rig.recover()
    stage.collect()
    answer_all(stage, 500)
    assert done in range(MOST)


SCENARIOS = {
    plain_call: {}, refused_call: {}, failover: FAILS_OVER, fork: {"algorithm": PARALLEL}, cancelled: {},
    non_invite: FAILS_OVER, answered_message: {"ruri": 1}, refused_by_nobody: FAILS_OVER, named: TRUSTED,
    named_in_vain: TRUSTED, recovered: FAILS_OVER,
}  # fmt: skip


@pytest.mark.parametrize("kind, times", [(kind, 1) for kind in KINDS] + [("any", -1), ("block", -1), ("slot", -1)])
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_whatever_fails_all_of_it_ends(make_stage, scenario, kind, times):
    for n in count(1):
        stage = make_stage(**SCENARIOS[scenario])
        stage.short = kind, n, times
        stage.rig.fail_allocation(kind, n, times)
        scenario(stage)
        failed = stage.rig.failed_allocations
        stage.rig.fail_allocation("any", 0)
        stage.finish()
        del stage.rig
        if not failed:
            break
        assert n < MOST


def test_a_partition_without_blocks_ends_its_transactions(make_stage):
    """The final response of a non-INVITE finds no block: sent as it is, and absorbed until Timer J."""
    stage = make_stage()
    request = stage.send("MESSAGE")
    arrived = stage.expect_request(BOB[0], "MESSAGE")
    stage.rig.fail_allocation("block", 1, -1)
    stage.reply(arrived, 200)
    stage.expect_response(200, "MESSAGE")
    request.again()
    stage.nothing_sent()
    assert stage.states("server") == ["completed"]
    stage.finish()


@pytest.mark.parametrize("method", ["INVITE", "MESSAGE"])
@pytest.mark.parametrize("status, sent", [(302, 302), (401, 401), (486, 486), (503, 500)])
def test_a_failure_that_finds_no_block_is_sent_as_it_is(make_stage, method, status, sent):
    stage = make_stage()
    stage.send(method)
    arrived = stage.expect_request(BOB[0], method)
    stage.rig.fail_allocation("block", 1, -1)
    stage.reply(arrived, status, headers=[("X-Why", "because")])
    assert stage.expect_response(sent, method).get("X-Why") == "because"
    assert stage.states("server") == ["completed"]
    stage.finish()


@pytest.mark.parametrize("method", ["INVITE", "MESSAGE"])
def test_a_failure_that_finds_no_block_outlives_a_death(make_stage, method):
    """It is owed as any other is: before whichever store the process dies, the caller hears of it."""
    deaths = 0
    for k in range(MOST):
        stage = make_stage()
        request = stage.send(method)
        arrived = stage.expect_request(BOB[0], method)
        stage.rig.fail_allocation("block", 1, -1)
        stage.rig.image_at(k)
        failure = stage.reply(arrived, 486)
        if not stage.rig.has_image:
            stage.rig.image_at(-1)
            break
        deaths += 1
        stage.waiting.clear()
        stage.rig.fail_allocation("any", 0)
        stage.come_back(0)
        stage.inject(failure)               # the callee repeats it until its ACK
        if method != "INVITE":
            request.again()
        assert stage.take_responses(486, method), f"dead before store {k}"
        stage.finish()
    assert deaths > 3


def test_a_failure_that_finds_no_block_is_repeated(make_stage):
    """17.2.1: by Timer G, and to a repeated INVITE; until its ACK."""
    stage = make_stage()
    request = stage.send("INVITE")
    arrived = stage.expect_request(BOB[0], "INVITE")
    stage.rig.fail_allocation("block", 1, -1)
    stage.reply(arrived, 486)
    first = stage.expect_response(486)
    stage.advance(500 + TICK)
    assert stage.expect_response(486).to_tag
    request.again()
    stage.expect_response(486)
    request.ack(first)
    stage.waiting.clear()
    stage.quiet(4000)
    stage.finish()


def test_a_failure_that_finds_no_block_is_known_by_its_status(make_stage):
    """Another branch is the last one to fail: the better status goes upstream all the same."""
    stage = make_stage(algorithm=PARALLEL, destinations=2)
    stage.send("INVITE")
    first, second = stage.expect_request(BOB[0], "INVITE"), stage.expect_request(BOB[1], "INVITE")
    stage.rig.fail_allocation("block", 1, -1)
    stage.reply(first, 404)
    stage.reply(second, 500)
    stage.expect_response(404)
    stage.finish()


def test_blocks_that_only_linger_make_room(make_stage):
    """Shortage of blocks sheds as shortage of slots does; the younger ones stay."""
    stage = make_stage()
    sent = []
    for number in range(3):
        sent.append(stage.send("MESSAGE", call_id="same@alice", headers=[("X-Number", str(number))]))
        stage.reply(stage.expect_request(BOB[0], "MESSAGE"), 200)
        stage.expect_response(200, "MESSAGE")
        stage.advance(3_000)
    stage.rig.fail_allocation("block", 1)
    stage.send("MESSAGE", call_id="same@alice")
    stage.expect_request(BOB[0], "MESSAGE")
    assert stage.counter("shed") == 1
    sent[1].again()
    stage.expect_response(200, "MESSAGE")
    stage.finish()
