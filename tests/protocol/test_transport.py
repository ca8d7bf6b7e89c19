"""A transport error is a 503 of its branch (16.9): behind every real answer, upstream as 500 (wire section 3).

ICMP and what the socket says reach the search by the same event.
"""

import pytest

from tests.protocol.dialogs import CAROL, Talk
from tests.protocol.script import BOB, PARALLEL, TICK, WHOLE

ON_ALL = {"on": ["timeout", "transport", "5xx"], "timeout_ms": 1_000}
SHARED = {"on": ["timeout", "transport"], "timeout_ms": 1_000}


@pytest.mark.parametrize("method", ["INVITE", "MESSAGE", "SUBSCRIBE", "OPTIONS"])
def test_nobody_there_is_500_to_every_method(make_stage, method):
    stage = make_stage(destinations=1)
    stage.rig.refuse(BOB[0])
    stage.send(method)
    stage.expect_response(500, method)
    assert stage.states("server") == ["completed"]
    stage.finish()


@pytest.mark.parametrize("method", ["INVITE", "BYE", "INFO", "PRACK"])
def test_in_a_dialog_it_is_500(stage, method):
    """Neither silence nor a 408, on which the caller would end the dialog (12.2.1.2): the server may be back soon."""
    talk = Talk(stage)
    stage.rig.refuse(CAROL)
    talk.send(method)
    stage.expect_response(500, method)
    stage.finish()


@pytest.mark.parametrize("method", ["INVITE", "BYE"])
def test_all_stand_ins_gone_is_500(make_stage, method):
    stage = make_stage(in_dialog=SHARED, destinations=3)
    talk = Talk(stage, contact=BOB[0])
    for bob in BOB[:3]:
        stage.rig.refuse(bob)
    talk.send(method)
    stage.expect_response(500, method)
    stage.finish()


@pytest.mark.parametrize("status", [300, 404, 408, 486, 500, 503, 599])
@pytest.mark.parametrize("first", ["refused", "answered"])
def test_every_real_answer_ranks_before_it(make_stage, status, first):
    """Whatever its class, and whoever came first."""
    stage = make_stage(
        destinations=2, policy={"on": ["transport", "3xx", "4xx", "5xx"], "mark": "none"}, record_route=False
    )
    gone, there = (BOB[0], BOB[1]) if first == "refused" else (BOB[1], BOB[0])
    stage.rig.refuse(gone)
    stage.invite()
    stage.refuse(stage.expect_request(there, "INVITE"), status)
    stage.expect_response(500 if status == 503 else status)


def test_of_a_fork_the_answer_counts(make_stage):
    stage = make_stage(algorithm=PARALLEL)
    stage.rig.refuse(BOB[1])
    stage.invite()
    for bob, status in ((BOB[0], 480), (BOB[2], 486)):
        stage.refuse(stage.expect_request(bob, "INVITE"), status)
    stage.expect_response(480)


@pytest.mark.parametrize("method", ["INVITE", "MESSAGE"])
@pytest.mark.parametrize("silent", [0, 1])
def test_408_means_that_nobody_said_anything(make_stage, method, silent):
    """One is silent, one refuses: that is something."""
    stage = make_stage(destinations=2, policy=ON_ALL)
    stage.rig.refuse(BOB[1 - silent])
    stage.send(method)
    stage.advance(1_000 + TICK)
    stage.expect_response(500, method)


def test_a_408_of_a_callee_is_no_answer_to_a_non_invite(make_stage):
    """RFC 4320 4.2; the 500 of a transport error is one."""
    stage = make_stage(destinations=2, policy={"on": [408, "transport"]})
    stage.rig.refuse(BOB[1])
    stage.send("MESSAGE")
    stage.reply(stage.expect_request(BOB[0], "MESSAGE"), 408)
    stage.expect_response(500, "MESSAGE")


def test_exhausted_replaces_it(make_stage):
    stage = make_stage(destinations=1, policy={**ON_ALL, "exhausted": (480, "Nobody")})
    stage.rig.refuse(BOB[0])
    stage.invite()
    stage.expect_response(480)


def test_cancelled_is_487(make_stage):
    """The one that was not asked again could not be asked: the caller has wanted to leave."""
    stage = make_stage(destinations=1)
    call = stage.invite()
    stage.expect_request(BOB[0], "INVITE")
    stage.rig.refuse(BOB[0])
    call.cancel()
    stage.expect_response(200, "CANCEL")
    stage.advance(500 + TICK)
    stage.expect_response(487)


def test_too_large_for_the_way_is_no_transport_error(make_stage):
    """EMSGSIZE says nothing of the destination: 513, no mark, no failover (core section 2)."""
    stage = make_stage(policy=ON_ALL)
    stage.rig.refuse(BOB[0], "too_big")
    stage.invite()
    stage.expect_response(513)
    stage.nothing_sent()
    assert stage.health(0) == "unknown"


def test_the_repeated_request_gets_the_500_again(make_stage):
    stage = make_stage(destinations=1)
    stage.rig.refuse(BOB[0])
    request = stage.send("MESSAGE")
    first = stage.expect_response(500, "MESSAGE")
    request.again()
    assert stage.expect_response(500, "MESSAGE").to_bytes() == first.to_bytes()
    stage.quiet(WHOLE)
