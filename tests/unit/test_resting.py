"""Resting places: how long, how many, by whom, and what wakes them (docs/names.md#resting-places)."""

import threading

import pytest

from fastsip._core.transport.names import Names
from tests.kernels.name_doors import BOUNDS, Places

ONE, TWO = ("192.0.2.1", 5060), ("192.0.2.1", 5061)
FIRST_MS, LONGEST_MS, BUSY_MS, FORGET_MS = 30_000, 300_000, 60_000, 300_000
NOW_MS = 1_000_000


@pytest.fixture
def places():
    return Places(Names())


def test_the_bounds_are_those_of_the_docs():
    wanted = {"places": 4_096, "first_ms": FIRST_MS, "longest_ms": LONGEST_MS, "busy_ms": BUSY_MS,
              "forget_ms": FORGET_MS}
    assert {name: BOUNDS[name] for name in wanted} == wanted
    assert BOUNDS["of_source"] * 4 == BOUNDS["ways"]


def test_who_cannot_be_reached_rests_at_once(places):
    assert places.failed(ONE, NOW_MS, refused=True)
    assert places.rests(ONE, NOW_MS) and places.rests(ONE, NOW_MS + FIRST_MS - 1)
    assert not places.rests(ONE, NOW_MS + FIRST_MS)
    assert not places.rests(TWO, NOW_MS), "another port is another place"


def test_silence_counts_twice_in_a_row(places):
    assert not places.failed(ONE, NOW_MS) and not places.rests(ONE, NOW_MS)
    places.alive(ONE)
    assert not places.failed(ONE, NOW_MS + 1) and not places.rests(ONE, NOW_MS + 1)
    assert places.failed(ONE, NOW_MS + 2) and places.rests(ONE, NOW_MS + 2)


def test_each_rest_is_twice_as_long_up_to_five_minutes(places):
    now_ms, lengths = NOW_MS, []
    for _ in range(12):
        assert places.failed(ONE, now_ms, refused=True)
        length = next(ms for ms in range(0, LONGEST_MS + 1, 10_000) if not places.rests(ONE, now_ms + ms))
        lengths.append(length)
        now_ms += length
    assert lengths == [30_000, 60_000, 120_000, 240_000] + [LONGEST_MS] * 8


def test_after_a_rest_one_more_silence_is_enough(places):
    places.failed(ONE, NOW_MS)
    places.failed(ONE, NOW_MS)
    assert places.failed(ONE, NOW_MS + FIRST_MS)
    assert places.rests(ONE, NOW_MS + 3 * FIRST_MS - 1)


def test_calls_that_fail_together_make_no_rest_longer(places):
    assert places.failed(ONE, NOW_MS, refused=True)
    for ms in (0, 1, FIRST_MS - 1):
        assert not places.failed(ONE, NOW_MS + ms, refused=True)
    assert not places.rests(ONE, NOW_MS + FIRST_MS)


def test_an_answer_wakes_it_and_forgets_what_was(places):
    for _ in range(3):
        places.failed(ONE, NOW_MS, refused=True)
    places.alive(ONE)
    assert not places.rests(ONE, NOW_MS) and places.count(NOW_MS) == 0
    places.failed(ONE, NOW_MS, refused=True)
    assert not places.rests(ONE, NOW_MS + FIRST_MS), "the first rest again"


@pytest.mark.parametrize("seconds, rests_ms", [(1, 1_000), (60, 60_000), (61, 60_000), (10**9, 60_000)])
def test_busy_for_as_long_as_it_says_and_a_minute_at_most(places, seconds, rests_ms):
    assert places.busy(ONE, NOW_MS, seconds)
    assert places.rests(ONE, NOW_MS + rests_ms - 1) and not places.rests(ONE, NOW_MS + rests_ms)
    assert not places.rests(ONE, NOW_MS, inside=True), "what belongs to a call has nowhere else to go"


def test_who_is_busy_and_dead_rests_for_all(places):
    places.busy(ONE, NOW_MS, 60)
    assert places.failed(ONE, NOW_MS, refused=True) and places.rests(ONE, NOW_MS, inside=True)
    assert not places.rests(ONE, NOW_MS + FIRST_MS, inside=True) and places.rests(ONE, NOW_MS + FIRST_MS)


def test_busy_for_no_time_is_not_busy(places):
    assert not places.busy(ONE, NOW_MS, 0) and places.count(NOW_MS) == 0


def test_what_was_is_forgotten_five_minutes_after_the_rest(places):
    places.failed(ONE, NOW_MS, refused=True)
    later = NOW_MS + FIRST_MS + FORGET_MS
    assert places.count(later - 1) == 1 and places.count(later) == 0
    places.failed(ONE, later, refused=True)
    assert not places.rests(ONE, later + FIRST_MS), "the first rest again"
    places.alive(ONE)
    places.failed(ONE, NOW_MS)
    assert not places.failed(ONE, NOW_MS + FORGET_MS), "a silence of long ago is no longer one in a row"


def everywhere(count):
    return [(f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}", 5060) for n in range(count)]


def test_one_source_has_a_quarter_at_most(places):
    others = everywhere(600)
    for place in others:
        places.failed(place, NOW_MS, refused=True, source=1)
    resting = [place for place in others if places.rests(place, NOW_MS)]
    for place in everywhere(20_000):
        places.failed((place[0], 7), NOW_MS + 1, refused=True, source=2)
    assert places.count(NOW_MS + 1) <= len(resting) + BOUNDS["places"] // 4
    assert all(places.rests(place, NOW_MS + 1) for place in resting), "nobody's place was taken"


def test_a_full_table_forgets_what_ends_first(places):
    """Many sources: somebody has to give way, and nobody is refused."""
    for number, place in enumerate(everywhere(20_000)):
        assert places.failed(place, NOW_MS + number, refused=True, source=number + 1)
        assert places.rests(place, NOW_MS + number)
    assert places.count(NOW_MS + 20_000) == BOUNDS["places"]


def test_shards_write_at_once_and_no_rest_becomes_longer_than_the_longest(places):
    wrong = []
    threads = [threading.Thread(target=lambda n=n: wrong.append(places.stir(ONE, 200_000, n))) for n in (1, 2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert wrong == [0, 0, 0]
