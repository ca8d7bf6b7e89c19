"""A question that found no room among the events is asked again (docs/names.md#waiting-for-a-name)."""

import pytest

from tests.protocol.script import BOB
from tests.protocol.test_names import NAME, ROUTE, TRUSTED, WAIT


@pytest.fixture
def stage(make_stage):
    stage = make_stage(**TRUSTED)
    yield stage
    stage.rig.fail_allocation("event", 0)


@pytest.mark.parametrize("method", ["INVITE", "MESSAGE"])
@pytest.mark.parametrize("lost", [1, 2, 3])
def test_it_is_asked_again(stage, method, lost):
    stage.rig.fail_allocation("event", 1, lost)
    stage.send(method, headers=ROUTE)
    stage.take_responses(100)
    assert stage.questions() == []
    stage.advance(WAIT - 100)
    assert stage.questions() == [NAME]
    assert stage.counter("names_asked") == 1
    stage.know(NAME, BOB[0])
    stage.expect_request(BOB[0], method)


def test_what_was_heard_is_not_asked_again(stage):
    stage.invite(headers=ROUTE)
    stage.advance(WAIT - 100)
    assert stage.questions() == [NAME]


def test_without_any_room_it_fails_in_time(stage):
    stage.rig.fail_allocation("event", 1, -1)
    stage.invite(headers=ROUTE)
    stage.advance(WAIT - 100)
    stage.nothing_sent()
    stage.advance(200)
    stage.expect_response(500)
    stage.finish()


def test_it_costs_a_source_no_second_turn(stage):
    """Whoever asked for many names of which the questions were lost has paid for them."""
    stage.rig.fail_allocation("event", 1, 16)
    for number in range(8):
        stage.invite(headers=[("Route", f"<sip:gw{number}.example.net;lr>")])
    stage.advance(WAIT - 100)
    assert stage.counter("names_refused") == 0 and stage.questions()


def test_each_of_many_is_asked_again(stage):
    """However many found no room, and however often: each request that waits asks for its own name."""
    names = [f"gw{number}.example.net" for number in range(40)]
    stage.rig.fail_allocation("event", 1, 2 * len(names))
    for name in names:
        stage.invite(headers=[("Route", f"<sip:{name};lr>")])
    assert stage.questions() == []
    stage.advance(WAIT - 100)
    assert sorted(stage.questions()) == sorted(names)
    assert stage.counter("names_refused") == 0
    for name in names:
        stage.know(name, BOB[0])
        stage.expect_request(BOB[0], "INVITE")
    stage.waiting.clear()
    stage.finish()
