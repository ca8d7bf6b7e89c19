"""`budget` after the router was away (docs/core.md#after-an-absence): no branch starts, and nobody rings for nobody."""

import pytest

from tests.protocol.script import BOB, WHOLE

POLICY = {"on": ["timeout", 500], "budget_ms": 10_000}


@pytest.fixture
def ringing(make_stage):
    stage = make_stage(policy=POLICY)
    stage.invite()
    invite = stage.ring(BOB[0])
    stage.advance(100)
    return stage, invite


def test_after_a_long_absence_what_rings_is_cancelled(ringing):
    stage, invite = ringing
    stage.come_back(WHOLE + 1_000)
    stage.expect_response(408)
    stage.expect_request(BOB[0], "CANCEL")
    stage.reply(invite, 487)
    stage.expect_request(BOB[0], "ACK")
    stage.nothing_sent()
    stage.finish()


def test_after_a_short_one_it_rings_on(ringing):
    """The caller's CANCEL would still be repeated; without the absence it would ring as well."""
    stage, invite = ringing
    stage.come_back(11_000)
    assert not stage.take_requests(BOB[0], "CANCEL")
    stage.reply(invite, 200)
    stage.expect_response(200)
    stage.finish()
