"""A transport error is a 503 of its branch (16.9, docs/wire.md#transport-errors): behind every real answer, then 500.

ICMP and what the socket says reach the search by the same event.
"""

import pytest

from fastsip._core.dispatcher.chooser import Positions
from tests.protocol.dialogs import CAROL, Talk
from tests.protocol.script import ALICE, BOB, EDGE, PARALLEL, T1, TICK, WHOLE, make_table

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


@pytest.mark.parametrize("late", ["ringing", "success"])
def test_a_refused_repetition_may_have_been_heard(make_stage, late):
    """The first copy had arrived: such a branch is given up as a silent one is, so nobody rings for nothing."""
    stage = make_stage(destinations=2, policy={"on": ["transport"], "timeout_ms": 10_000})
    stage.invite()
    first = stage.expect_request(BOB[0], "INVITE")
    stage.rig.refuse(BOB[0])
    stage.advance(T1 + TICK)
    second = stage.ring(BOB[1])
    stage.rig.refuse(BOB[0], "sent")
    if late == "ringing":
        stage.reply(first, 180)
        stage.expect_request(BOB[0], "CANCEL")
        stage.reply(second, 200)
        assert stage.expect_response(200).to_tag == "bob-2"
    else:
        stage.reply(first, 200)
        assert stage.expect_response(200).to_tag == "bob-1"
        stage.expect_request(BOB[1], "CANCEL")


def test_a_2xx_of_a_branch_that_has_ended_ends_the_search(make_stage):
    """Its Timer B has run out, and the next one rings: not on, for a call that is answered (16.7 item 5)."""
    stage = make_stage(destinations=2, policy={"on": ["timeout"]})
    stage.invite()
    first = stage.expect_request(BOB[0], "INVITE")
    stage.advance(WHOLE + 20)
    second = stage.ring(BOB[1])
    stage.take_requests(BOB[0], "INVITE")
    assert len(stage.slots("client")) == 1
    for _ in range(2):
        stage.reply(first, 200)
        assert stage.expect_response(200).to_tag == "bob-1"
    stage.expect_request(BOB[1], "CANCEL")
    stage.refuse(second, 487)
    stage.nothing_sent()
    assert stage.states("server") == ["accepted"]
    stage.finish()


def test_a_refused_first_copy_was_heard_by_nobody(make_stage):
    """Its transaction ends at once: a dead destination costs no room."""
    stage = make_stage(destinations=2, policy=ON_ALL)
    stage.rig.refuse(BOB[0])
    stage.invite()
    stage.expect_request(BOB[1], "INVITE")
    assert stage.states("client") == ["calling"]


# errno of ICMP entries; 71 is a parameter problem, 90 what is too large for the way
REFUSED, HOST_UNREACHABLE, NET_UNREACHABLE, PROTOCOL, TOO_LARGE = 111, 113, 101, 71, 90


@pytest.mark.parametrize(
    "code, words",
    [(REFUSED, 1), (HOST_UNREACHABLE, 2), (NET_UNREACHABLE, 2), (PROTOCOL, 2), (TOO_LARGE, 0)],
    ids=str,
)
def test_what_icmp_says_of_a_request(make_stage, code, words):
    """18.4: a refused port ends the branch at once; what cannot be reached or read on the way at the second word."""
    stage = make_stage(destinations=2, policy={"on": ["transport"]})
    stage.invite()
    first = stage.expect_request(BOB[0], "INVITE")
    for word in range(1, 4):
        stage.rig.take_error(first.to_bytes(), first.to, code)
        stage.collect()
        assert bool(stage.take_requests(BOB[1], "INVITE")) == (word == words)
    assert stage.counter("transport_failures") == (words > 0)


def test_too_large_for_the_way_is_no_transport_error(make_stage):
    """EMSGSIZE says nothing of the destination: 513, no mark, no failover (docs/core.md#large-datagrams)."""
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


# ---------------------------------------------------------------- a listener that is gone after a reload


@pytest.fixture
def reloaded(make_stage):
    """A function that takes away the listener by which this stage's requests went out."""

    def make(**parts):
        stage = make_stage(listeners=2, **parts)

        def reload() -> None:
            table, _ = make_table(cells=stage.cells, **parts)
            stage.table, stage.positions = table, Positions(table, 0)  # the rig borrows them
            stage.use(table, stage.positions)

        return stage, reload

    return make


@pytest.mark.parametrize("method", ["INVITE", "MESSAGE"])
def test_what_it_repeats_in_vain_is_a_transport_error(reloaded, method):
    """Not silence until Timer B: the next destination is tried when the request would be repeated."""
    stage, reload = reloaded(policy={"on": ["transport"]})
    stage.send(method)
    stage.expect_request(BOB[0], method)
    stage.take_responses(100)
    reload()
    stage.advance(T1 + TICK)
    second = stage.expect_request(BOB[1], method)
    assert second.values("Via")[0].startswith(f"SIP/2.0/UDP {EDGE[0]}")
    assert (stage.counter("transport_failures"), stage.counter("failovers")) == (1, 1)
    stage.reply(second, 200)
    stage.expect_response(200, method)
    stage.finish()


@pytest.mark.parametrize("method", ["INVITE", "MESSAGE"])
def test_without_failover_it_is_500(reloaded, method):
    stage, reload = reloaded()
    stage.send(method)
    stage.expect_request(BOB[0], method)
    stage.take_responses(100)
    reload()
    stage.advance(T1 + TICK)
    stage.expect_response(500, method)
    stage.finish()


def test_what_rings_rings_on(reloaded):
    """Nothing is repeated any more, so nothing fails; the answer comes in somewhere else, and counts."""
    stage, reload = reloaded(policy={"on": ["transport"]})
    stage.invite()
    invite = stage.ring(BOB[0])
    reload()
    stage.quiet(WHOLE)
    stage.reply(invite, 200)
    stage.expect_response(200)


def test_a_response_whose_listener_is_gone_is_lost_and_counted(make_stage):
    """Nobody can be told; what was to be told ends by its own clocks."""
    stage = make_stage(listeners=2)
    invite = stage.make("INVITE")
    stage.inject(invite, ALICE, 1)
    stage.expect_response(100)
    at_bob = stage.expect_request(BOB[0], "INVITE")
    table, _ = make_table(cells=stage.cells)
    stage.use(table, Positions(table, 0))
    lost = stage.counter("sent_lost")
    stage.reply(at_bob, 486)
    assert not stage.take_responses(486) and stage.counter("sent_lost") > lost
    stage.finish()
