"""What one call may hold: who chooses the Call-ID chooses the partition, and must not fill it.

No call of a stranger holds more slots, or more blocks, of its partition than are free.
"""

import itertools

import pytest

from fastsip._core.store.partitions import partition_sizes
from tests.protocol.script import ALICE, BOB

TRANSACTIONS = 4_096
SLOTS, UNITS = partition_sizes(TRANSACTIONS)    # of one of 64; a unit has 256 bytes
CALL_ID = "again-and-again@alice"


@pytest.fixture
def stage(make_stage):
    return make_stage(max_transactions=TRANSACTIONS, destinations=1)


def flood(stage, limit=2 * SLOTS, **parts) -> int:
    """INVITEs of one Call-ID until one is refused; how many were taken."""
    for taken in range(limit):
        stage.send("INVITE", call_id=CALL_ID, from_tag=f"t{taken}", **parts)
        if stage.take_responses(503):
            return taken
        stage.waiting.clear()
    return limit


def free(stage) -> int:
    return SLOTS - len(stage.slots())


def test_one_call_leaves_half_of_its_partition(stage):
    taken = flood(stage)
    assert len(stage.slots()) == 2 * taken      # server and client of each
    assert free(stage) < len(stage.slots()) <= free(stage) + 4      # one more than half, and its client
    assert (stage.counter("over_share"), stage.counter("store_full")) == (1, 0)
    for call_id in itertools.islice(stage.beside(CALL_ID), 10):
        stage.invite(call_id=call_id)
        stage.expect_request(BOB[0], "INVITE")
    stage.send("INVITE", call_id=CALL_ID, from_tag="more")
    assert 2 <= int(stage.expect_response(503).get("Retry-After")) <= 8
    stage.finish()


def test_what_ends_may_come_again(stage):
    flood(stage)
    stage.finish()
    assert flood(stage) > SLOTS // 8


def test_it_is_counted_again_after_a_restart(stage):
    taken = flood(stage)
    stage.come_back(0)
    stage.waiting.clear()
    assert len(stage.slots()) == 2 * taken
    assert flood(stage) == 0


def test_large_requests_count_by_their_size(stage):
    taken = flood(stage, headers=[("X-Long", "x" * 7_000)])     # 32 units each
    assert taken < SLOTS // 4
    assert UNITS // 2 - 64 <= 32 * taken <= UNITS // 2 + 64
    assert stage.counter("over_share") == 1
    stage.invite(call_id=next(stage.beside(CALL_ID)))
    stage.expect_request(BOB[0], "INVITE")
    stage.finish()


def test_within_a_dialog_it_goes_on_without_state(stage):
    """Nothing that belongs to a call is refused, and the share is no way to more."""
    flood(stage)
    live = len(stage.slots())
    route = ("Route", f"<sip:10.0.0.254;lr>, <sip:{BOB[0][0]};lr>")
    bye = stage.make("BYE", to_tag="x", call_id=CALL_ID, headers=[route])
    stage.inject(bye)
    stage.expect_request(BOB[0], "BYE")
    assert len(stage.slots()) == live


@pytest.mark.parametrize("source", [BOB[0], ALICE], ids=["destination", "trusted"])
def test_who_is_known_by_configuration_is_not_bounded(make_stage, source):
    """Gateways and media servers have their own ways with Call-IDs."""
    stage = make_stage(max_transactions=TRANSACTIONS, destinations=1, trusted=[f"{ALICE[0]}/32"])
    for number in range(SLOTS):
        call = stage.make("INVITE", call_id=CALL_ID, from_tag=f"t{number}")
        stage.inject(call.set("Via", f"SIP/2.0/UDP {source[0]};branch=z9hG4bKk{number}"), source)
    assert stage.counter("over_share") == 0
    assert stage.counter("store_full") > 0
    assert free(stage) <= SLOTS // 10
    stage.finish()


def test_searches_that_move_on_are_bounded_as_well(make_stage):
    """Each was small when it came; whoever may not have another branch has the best answer so far."""
    stage = make_stage(
        max_transactions=TRANSACTIONS, destinations=3, policy={"on": ["timeout", 500], "timeout_ms": 2_000}
    )  # fmt: skip
    flood(stage)
    for _ in range(2):
        stage.advance(2_100)
        assert free(stage) >= SLOTS // 4
        stage.waiting.clear()
        for call_id in itertools.islice(stage.beside(CALL_ID), 5):
            stage.invite(call_id=call_id)
            stage.waiting.clear()
    assert stage.counter("over_share") > 10
    assert stage.counter("store_full") == 0
    stage.finish()


def test_who_is_known_by_configuration_moves_on(make_stage):
    stage = make_stage(
        max_transactions=TRANSACTIONS, destinations=2, policy={"on": ["timeout"], "timeout_ms": 2_000},
        trusted=[f"{ALICE[0]}/32"],
    )  # fmt: skip
    for number in range(SLOTS // 3):
        stage.send("INVITE", call_id=CALL_ID, from_tag=f"t{number}")
    stage.advance(2_100)
    assert len(stage.take_requests(BOB[1], "INVITE")) == SLOTS // 3
    stage.finish()


def test_reasons_of_cancels_are_bounded_as_well(stage):
    """What each CANCEL brings is kept until its search ends; beyond the share CANCELs go on without it."""
    calls = [stage.send("INVITE", call_id=CALL_ID, from_tag=f"t{number}") for number in range(SLOTS // 5)]
    ringing = stage.take_requests(BOB[0], "INVITE")
    for invite in ringing:
        stage.reply(invite, 180)
    for call in calls:
        call.cancel(Reason='SIP;cause=600;text="' + "x" * 7_900 + '"')      # 32 units each
    cancels = stage.take_requests(BOB[0], "CANCEL")
    assert len(cancels) == len(calls)
    assert 0 < sum(bool(cancel.values("Reason")) for cancel in cancels) <= UNITS // 2 // 32 + 1
    stage.waiting.clear()
    stage.invite(call_id=next(stage.beside(CALL_ID)))
    for invite in ringing:
        stage.reply(invite, 487)
    assert len(stage.take_responses(487)) == len(calls)
    stage.finish()


def test_nobody_else_gives_way_to_who_holds_too_much(stage):
    """Their finished requests go on absorbing repetitions: a MESSAGE must not arrive twice."""
    theirs = [stage.send("MESSAGE", call_id=call_id) for call_id in itertools.islice(stage.beside(CALL_ID), 10)]
    for message in stage.take_requests(BOB[0], "MESSAGE"):
        stage.reply(message, 200)
    flood(stage)
    assert stage.counter("over_share") == 1
    stage.waiting.clear()
    for request in theirs:
        request.again()
    assert len(stage.take_responses(200, "MESSAGE")) == 10
    stage.nothing_sent()
    assert stage.counter("shed") == 0
    stage.finish()


def test_what_lingers_makes_room_first(stage):
    """A sender of many MESSAGEs under one Call-ID loses none: his finished ones only absorb repetitions."""
    for number in range(2 * SLOTS):
        stage.send("MESSAGE", call_id=CALL_ID, cseq=number + 1)
        stage.reply(stage.expect_request(BOB[0], "MESSAGE"), 200)
        stage.expect_response(200, "MESSAGE")
    assert stage.counter("shed") > 0
    assert stage.counter("over_share") == 0
    stage.finish()
