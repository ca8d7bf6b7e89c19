"""router.limiting: whom a limit passes over is said when it begins and when it is over."""

import pytest

from fastsip.events.names import EVENTS
from fastsip.router.limiting import QUIET_LOOKS, WRAP, Limiting


class Counted:
    """What Cells say."""

    def __init__(self):
        self.count, self.lately = {}, []

    def limited(self):
        return dict(self.count)

    def limited_since(self, _):
        return self.lately


@pytest.fixture
def cells():
    return Counted()


@pytest.fixture
def said(caplog):
    caplog.set_level("INFO")
    return lambda: [(record.message, record.fields) for record in caplog.records]


def name(number):
    return {1: ("destination", "m/a"), 2: ("set", "m")}.get(number)


def test_it_is_said_when_it_begins_and_when_it_is_over(cells, said):
    cells.count = {1: 7}
    limiting = Limiting(cells, name, lambda event, **fields: None)
    limiting.look()
    assert said() == []
    cells.count = {1: 9}
    for count in (9, 9, 12, 13):
        cells.count[1] = count
        limiting.look()
    assert said() == [("a limit of calls is reached", {"destination": "m/a"})]
    for _ in range(QUIET_LOOKS + 1):
        limiting.look()
    assert said()[1:] == [("a limit of calls is not reached any more", {"destination": "m/a", "passed_over": 6})]
    for _ in range(3):
        limiting.look()
    assert len(said()) == 2


def test_sets_are_named_and_what_nobody_knows_has_its_number(cells, said):
    limiting = Limiting(cells, name, lambda event, **fields: None)
    cells.count = {2: 1, 77: 1}
    limiting.look()
    assert sorted(str(fields) for _, fields in said()) == ["{'destination': '77'}", "{'set': 'm'}"]


def test_a_counter_may_wrap_around(cells, said):
    cells.count = {1: WRAP - 2}
    limiting = Limiting(cells, name, lambda event, **fields: None)
    cells.count = {1: 3}
    for _ in range(QUIET_LOOKS + 2):
        limiting.look()
    assert said()[-1][1]["passed_over"] == 5


def test_one_that_goes_with_a_reload_is_over(cells, said):
    limiting = Limiting(cells, name, lambda event, **fields: None)
    cells.count = {1: 3}
    limiting.look()
    cells.count = {}
    limiting.look()
    assert [message for message, _ in said()] == [
        "a limit of calls is reached", "a limit of calls is not reached any more"]


def test_who_follows_events_hears_of_it(cells):
    told = []
    limiting = Limiting(cells, name, lambda event, **fields: told.append((event, fields)))
    cells.count = {1: 3, 2: 1}
    for _ in range(QUIET_LOOKS + 2):
        limiting.look()
    assert told == [
        ("destination.limit", {"destination": "m/a", "state": "limited"}),
        ("set.limit", {"set": "m", "state": "limited"}),
        ("destination.limit", {"destination": "m/a", "state": "unlimited"}),
        ("set.limit", {"set": "m", "state": "unlimited"}),
    ]
    assert all(set(fields) <= set(EVENTS[event]) for event, fields in told)


def test_what_another_router_has_begun_comes_to_its_end(cells, said):
    cells.count, cells.lately = {1: 7, 2: 9}, [1]
    limiting = Limiting(cells, name, lambda event, **fields: None)
    for _ in range(QUIET_LOOKS + 2):
        limiting.look()
    assert said() == [("a limit of calls is not reached any more", {"destination": "m/a", "passed_over": 0})]
