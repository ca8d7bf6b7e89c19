"""What a search hands on from branch to branch, and what it still owes to one that it has left."""

import pytest

from tests.protocol.script import BOB


def test_another_branch_begins_with_the_callers_request_uri(make_stage):
    """The first one's set replaces the whole URI, the next one's only the host: of what the caller asked for."""
    stage = make_stage(destinations=1, backup=1, ruri=2, policy={"on": [486]}, rule={"ruri": 255}, backup_ruri=1)
    stage.invite()
    first = stage.expect_request(BOB[0], "INVITE")
    assert first.uri == f"sip:{BOB[0][0]}:5060"
    stage.refuse(first, 486)
    assert stage.expect_request(BOB[1], "INVITE").uri == f"sip:80123@{BOB[1][0]}:5060"


def test_a_branch_that_was_taken_back_is_not_cancelled_unheard(make_stage):
    """9.1: the 482 of the second branch brought back the first, which has said nothing."""
    stage = make_stage(policy={"on": ["timeout"], "timeout_ms": 1_000})
    call = stage.invite()
    first = stage.expect_request(BOB[0], "INVITE")
    stage.advance(1_100)
    stage.take_requests(BOB[0], "INVITE")
    stage.refuse(stage.expect_request(BOB[1], "INVITE"), 482)
    call.cancel()
    stage.expect_response(200, "CANCEL")
    assert not stage.take_requests(BOB[0], "CANCEL")
    stage.reply(first, 180)
    stage.expect_request(BOB[0], "CANCEL")


@pytest.mark.parametrize("destinations", [1, 2])
def test_a_retry_after_marks_the_last_one_no_more_than_anything_else(make_stage, destinations):
    """The last usable one of a set is never marked by a call, whatever it says of later ones (docs/wire.md#marks)."""
    stage = make_stage(destinations=destinations, policy={"on": [503], "mark": {"default": "down"}})
    stage.invite()
    for number in range(destinations):
        invite = stage.expect_request(BOB[number], "INVITE")
        stage.refuse(invite, 503, headers=[("Retry-After", "10")])
    assert [stage.health(number) for number in range(destinations)][-1] != "down"


def test_a_branch_that_was_given_up_stays_to_acknowledge(make_stage):
    """Until 64 T1 its late final response is ACKed, not only within a second (docs/wire.md#abandoned-branches)."""
    stage = make_stage(policy={"on": ["timeout"], "timeout_ms": 1_000})
    stage.invite()
    first = stage.expect_request(BOB[0], "INVITE")
    stage.advance(1_100)
    stage.expect_request(BOB[1], "INVITE")
    stage.reply(first, 180)
    stage.expect_request(BOB[0], "CANCEL")
    stage.advance(5_000)
    stage.take(lambda sent: True)
    stage.reply(first, 487)
    stage.expect_request(BOB[0], "ACK")
