"""Commit before send (docs/core.md#commit-before-send): a slot says what it owes until that has left.

An address that refuses what is sent to it keeps the debt visible: it is cleared
only for what left.  A recovery pays all debts at once.
"""

import pytest

from tests.protocol.script import ALICE, BOB, T1, Stage


def owed(stage: Stage, kind: str) -> list[str]:
    return [owes for slot in stage.slots(kind) for owes in slot["owes"]]


def recovered(stage: Stage, run_dir, **parts) -> Stage:
    """Another process's view of the same store, at the same time; its addresses refuse nothing."""
    again = Stage(run_dir, now_ms=stage.now, **parts)
    again.rig.recover()
    again.collect()
    return again


@pytest.mark.parametrize("status", [180, 404])
def test_response_to_an_invite_is_owed(scratch, status):
    stage = Stage(scratch / "run")
    stage.invite()
    invite = stage.expect_request(BOB[0], "INVITE")
    stage.rig.refuse(ALICE)
    stage.reply(invite, status)
    assert owed(stage, "server") == ["response"]
    again = recovered(stage, scratch / "run")
    again.expect_response(status)
    assert owed(again, "server") == []


def test_final_response_to_another_method_is_owed(scratch):
    stage = Stage(scratch / "run")
    stage.send("MESSAGE")
    request = stage.expect_request(BOB[0], "MESSAGE")
    stage.rig.refuse(ALICE)
    stage.reply(request, 200)
    assert owed(stage, "server") == ["response"]
    recovered(stage, scratch / "run").expect_response(200, "MESSAGE")


def test_repeated_final_response_is_owed(scratch):
    """Timer G commits the debt again."""
    stage = Stage(scratch / "run")
    stage.invite()
    stage.reply(stage.expect_request(BOB[0], "INVITE"), 404)
    stage.expect_response(404)
    assert owed(stage, "server") == []
    stage.rig.refuse(ALICE)
    stage.advance(T1 + 20)
    assert owed(stage, "server") == ["response"]


def test_own_final_response_is_owed(scratch):
    parts = {"policy": {"on": [500], "exhausted": (480, "Nobody")}, "destinations": 1}
    stage = Stage(scratch / "run", **parts)
    stage.invite()
    invite = stage.expect_request(BOB[0], "INVITE")
    stage.rig.refuse(ALICE)
    stage.reply(invite, 500)
    assert owed(stage, "server") == ["response"]
    recovered(stage, scratch / "run", **parts).expect_response(480)


def test_cancel_is_owed(scratch):
    stage = Stage(scratch / "run")
    call = stage.invite()
    stage.ring(BOB[0])
    stage.rig.refuse(BOB[0])
    call.cancel()
    assert owed(stage, "client") == ["cancel"]
    recovered(stage, scratch / "run").expect_request(BOB[0], "CANCEL")


def test_nothing_is_owed_once_it_was_sent(scratch):
    stage = Stage(scratch / "run")
    call = stage.invite()
    invite = stage.ring(BOB[0])
    assert [slot["owes"] for slot in stage.slots()] == [[], []]
    call.cancel()
    stage.reply(invite, 487)
    assert [slot["owes"] for slot in stage.slots()] == [[], []]
