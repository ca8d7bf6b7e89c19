"""Requests that shall find the server of an earlier one (docs/wire.md#same-server-as-before)."""

import pytest

from tests.protocol.script import BOB, WHOLE, Stage

ROUND_ROBIN, CALL_ID = 4, 0
KEY = b"a key of 16 byte"
CREDENTIALS = ("Authorization", "Proxy-Authorization")


def challenged(stage, status: int, method: str = "INVITE", **parts):
    """Somebody asked for credentials; who."""
    request = stage.send(method, **parts)
    sent = stage.expect(lambda m: m.method == method, method)
    answer = stage.reply(sent, status, headers=[("WWW-Authenticate", 'Digest realm="x"')])
    if method == "INVITE":
        stage.expect_response(100)
        stage.expect_request(sent.to, "ACK")
        request.ack(stage.expect_response(status))
    else:
        stage.expect_response(status, method)
    assert answer.status == status
    return sent.to


@pytest.mark.parametrize("method", ["INVITE", "REGISTER"])
@pytest.mark.parametrize("header", CREDENTIALS)
@pytest.mark.parametrize("status", [401, 407])
def test_credentials_go_to_who_asked(make_stage, status, header, method):
    """Whatever the algorithm: here the turn would be another one's."""
    stage = make_stage(algorithm=ROUND_ROBIN)
    for number in range(4):
        asked = challenged(stage, status, method, call_id=f"call-{number}")
        stage.send(method, call_id=f"call-{number}", cseq=2, headers=[(header, 'Digest username="a"')])
        stage.expect_request(asked, method)
        stage.take_responses(100)


@pytest.mark.parametrize(
    "changed",
    [
        {"headers": []},
        {"headers": [("Authorization", "x")], "call_id": "another"},
        {"headers": [("Authorization", "x")], "from_tag": "another"},
    ],
    ids=["no credentials", "another call", "another caller"],
)
def test_others_take_their_turn(make_stage, changed):
    stage = make_stage(algorithm=ROUND_ROBIN)
    asked = challenged(stage, 407, call_id="one")
    stage.invite(**{"call_id": "one", "cseq": 2, **changed})
    sent = stage.expect(lambda m: m.method == "INVITE", "INVITE")
    assert sent.to != asked


def test_not_to_one_that_is_not_usable(make_stage):
    stage = make_stage(algorithm=ROUND_ROBIN)
    asked = challenged(stage, 407, call_id="one")
    stage.cells.set_admin(BOB.index(asked), 2)
    stage.invite(call_id="one", cseq=2, headers=[("Authorization", "x")])
    assert stage.expect(lambda m: m.method == "INVITE", "INVITE").to != asked


@pytest.mark.parametrize("ms, same", [(WHOLE - 100, True), (WHOLE + 100, False)])
def test_for_32_seconds(make_stage, ms, same):
    stage = make_stage(algorithm=ROUND_ROBIN)
    asked = challenged(stage, 401, call_id="one")
    stage.advance(ms)
    stage.invite(call_id="one", cseq=2, headers=[("Authorization", "x")])
    assert (stage.expect(lambda m: m.method == "INVITE", "INVITE").to == asked) == same


@pytest.mark.parametrize(
    "header, value",
    [
        ("Replaces", "{};to-tag=1;from-tag=2"),
        ("Join", "{} ;to-tag=1;from-tag=2"),
        ("Target-Dialog", "{}\r\n ;local-tag=1;remote-tag=2"),
    ],
)
def test_what_is_about_a_call_goes_where_the_call_went(make_stage, header, value):
    """RFC 3891, 3911, 4538: the call-id algorithm hashes the Call-ID inside."""
    stage = make_stage(algorithm=CALL_ID, hash_key=KEY, destinations=8)
    moved = 0
    for number in range(12):
        places = []
        for call_id, headers in (
            (f"call-{number}", []),
            (f"other-{number}", [(header, value.format(f"call-{number}"))]),
            (f"other-{number}", []),
        ):
            stage.invite(call_id=call_id, headers=headers)
            places.append(stage.expect(lambda m: m.method == "INVITE", "INVITE").to)
        assert places[0] == places[1]
        moved += places[1] != places[2]
    assert moved > 4, "without the header they go elsewhere"


def test_after_a_restart(scratch):
    """The transactions that still linger say who asked."""
    before = Stage(scratch / "run", algorithm=ROUND_ROBIN)
    before.invite()     # so that it is not the first one's turn
    before.waiting.clear()
    asked = challenged(before, 407, call_id="one")
    now_ms, cells, table = before.now, before.cells, before.table
    del before
    after = Stage(scratch / "run", algorithm=ROUND_ROBIN, now_ms=now_ms, cells=cells)
    after.rig.recover()
    after.collect()
    after.waiting.clear()
    after.invite(call_id="one", cseq=2, headers=[("Authorization", "x")])
    assert after.expect(lambda m: m.method == "INVITE", "INVITE").to == asked
    assert asked == BOB[1] and table.sealed
