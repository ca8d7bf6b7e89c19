"""top.course: what lies between two looks, also when routers, destinations and files change between them."""

import pytest

from fastsip.top.course import FADING_S, Course, why

from .pictures import member, moment


def test_rates_are_of_the_time_between_two_looks():
    course = Course()
    first = course.take(moment(10, counters=[{"invites": 5}, {"invites": 5}]))
    second = course.take(moment(12, counters=[{"invites": 9}, {"invites": 7, "received_180": 4, "received_199": 2}]))
    assert first.rates == {} and first.shards[0].received == 0
    assert second.rates["invites"] == 3 and second.classes("received")["1xx"] == 3


def test_a_new_router_is_said_and_has_no_rates_before_its_second_look():
    course = Course()
    course.take(moment(10, counters=[{"invites": 500}]))
    assert course.take(moment(11, counters=[{"invites": 7}], counted_by=5)).rates == {}
    third = course.take(moment(12, counters=[{"invites": 8}], counted_by=5))
    assert third.rates["invites"] == 1 and not third.anew


def test_that_it_is_another_one_is_said_once():
    course = Course()
    found = [course.take(moment(at, counted_by=by)).anew for at, by in ((1, 4), (2, 4), (3, 5), (4, 5))]
    assert found == [False, False, True, False]


def test_another_number_of_shards_is_nothing_special():
    course = Course()
    course.take(moment(1, counters=[{"received": 1}]))
    picture = course.take(moment(2, counters=[{"received": 1}, {"received": 8, "handed_over": 4, "lane_bytes": 3}]))
    assert [(one.received, one.handed_over, one.waiting) for one in picture.shards] == [(0, None, 0), (8, 0.5, 3)]


def test_two_looks_at_the_same_moment_divide_by_nothing():
    course = Course()
    course.take(moment(1, member("m/a", chosen=1)))
    assert course.take(moment(1, member("m/a", chosen=5))).rows[0].rate is None


def rows(*looks: tuple[float, list[dict]]):
    course = Course()
    return [{one.id: one for one in course.take(moment(at, *members)).rows} for at, members in looks]


def test_what_destinations_did_goes_on_over_routers():
    course = Course()
    course.take(moment(1, member("m/a", chosen=10, failed=2)))
    (one,) = course.take(moment(3, member("m/a", chosen=20, failed=7), counted_by=9)).rows
    assert (one.rate, one.failing, one.failed) == (5, 2.5, 0.5)


def test_who_is_new_has_no_rate_yet_and_a_file_that_began_anew_no_negative_one():
    _, second = rows((1, [member("m/a", chosen=9)]), (2, [member("m/a", chosen=3), member("m/b", chosen=4)]))
    assert (second["m/a"].rate, second["m/b"].rate) == (0, None)


def test_failures_fade_within_a_minute_and_are_forgotten_in_the_end():
    found = rows((0, [member("m/a")]), (1, [member("m/a", chosen=4, failed=4)]),
                 (1 + FADING_S, [member("m/a", chosen=8, failed=4)]),
                 (1 + FADING_S * 20, [member("m/a", chosen=8, failed=4)]))  # fmt: skip
    assert found[1]["m/a"].failed == 1
    assert 0.2 < found[2]["m/a"].failed < 0.3       # 4 of 4, a minute ago, and 0 of 4
    assert found[3]["m/a"].failed is None


def test_a_name_stands_by_its_targets_and_for_itself_without_any():
    course = Course()
    found = moment(1, member("m/gw:1", parent="m/gw"))
    common = {"uri": "sip:gw", "admin": "enabled", "configured": "enabled", "why": "", "trouble": "no answer"}
    group = found.known.sets[0] | {"names": [{"id": "m/gw", **common}, {"id": "m/none", **common}]}
    found.known.sets[0] = group
    assert {one.id: (one.health, one.why) for one in course.take(found).rows} == {
        "m/gw:1": ("unknown", ""), "m/none": ("unresolved", "no answer")}  # fmt: skip


WHYS = [
    (member("a"), ""),
    (member("a", admin="draining", why="new memory"), "new memory"),
    (member("a", admin="disabled", configured="disabled"), "by configuration"),
    (member("a", admin="draining", configured="enabled"), ""),
    (member("a", health="down", last_code=503, downs=4), "by 503, down 4 times"),
    (member("a", health="trying", last_code=408, downs=1), "by 408"),
    (member("a", health="up", last_code=200, downs=4), ""),
]  # fmt: skip


@pytest.mark.parametrize("one, said", WHYS)
def test_the_reason_is_what_keeps_calls_away(one, said):
    assert why(one) == said


def test_whoever_asked_for_no_calls_says_until_when():
    assert why(member("a", retry_after=5.0)).startswith("asked for no calls until ")


def test_refusals_and_drops_stand_by_their_reason_the_greatest_first():
    course = Course()
    course.take(moment(1))
    picture = course.take(moment(2, counters=[{"no_rule": 1, "too_large": 5, "not_sip": 2, "kernel_drops": 3}]))
    assert list(picture.refused().items()) == [("too_large", 5), ("no_rule", 1)]
    assert list(picture.dropped().items()) == [("receive_buffer_full", 3), ("not_sip", 2)]


def test_set_up_times_are_those_between_the_looks_or_all_when_there_were_none():
    course = Course()
    course.take(moment(1, timed={"reply": {0: 100}}))
    between = course.take(moment(2, timed={"reply": {0: 100, 4: 10}}))
    quiet = course.take(moment(3, timed={"reply": {0: 100, 4: 10}}))
    assert 10 < between.times["reply"][0] <= 20 and quiet.times["reply"][0] < 1
    assert between.times["answer"] == [None, None]


def test_states_are_those_of_the_server_s_side():
    assert Course().take(moment(1)).states == {"INVITE": {"proceeding": 3}, "other": {}}
