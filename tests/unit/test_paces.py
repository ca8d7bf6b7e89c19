"""Limits of calls a second, latency and flapping: the kernels beside the cells (docs/config.md#calls-a-second)."""

from collections import Counter

import pytest

from fastsip._core.dispatcher.cells import Cells
from fastsip._core.dispatcher.chooser import Chooser
from fastsip._core.dispatcher.paces import read_paces
from fastsip._core.routing.table import RoutingTable

CALL_ID, ROUND_ROBIN, RANDOM, PRIORITY, PARALLEL, LATENCY = 0, 4, 6, 8, 12, 13
ALGORITHMS = [algorithm for algorithm in range(16) if algorithm not in (10, PARALLEL)]
KEYS = [key * 0x9E3779B97F4A7C15 % 2**64 for key in range(1, 20_001)]
NOW = 1_000_000  # ms
SET = 99


class Site:
    """One set, its cells and a shard; members: what add_destination takes beside the usual."""

    def __init__(self, algorithm, members, cells=None, shard=0, calls=None, damping_ms=0, **more):
        self.cells = cells or Cells(64)
        self.table = RoutingTable(1)
        self.table.add_listener(1, 1, "192.0.2.1", 5060, "192.0.2.1")
        self.table.add_set(SET, algorithm, calls=calls, cell=self.cells.assign(SET) if calls else 0,
                           damping_ms=damping_ms, hash_key=bytes(range(16)), **more)
        for id, member in enumerate(members, 1):
            self.table.add_destination(
                0, id, self.cells.assign(id), "10.0.0.1", 5060 + id, 0, b"sip:ms%d" % id, b"ms%d" % id, **member)
        self.chooser = Chooser(self.table.seal(), self.cells, shard)

    def choose(self, key=1, tried=(), now_ms=NOW):
        return self.chooser.choose(0, key, tried, now_ms)

    def pace(self, id, now_ms=NOW):
        return self.cells.pace(self.cells.assigned[id], now_ms)

    def times(self, count, now_ms=NOW):
        return Counter(self.choose(key, (), now_ms) for key in KEYS[:count])


# ---------------------------------------------------------------- calls a second

def test_who_has_no_turn_is_passed_over():
    site = Site(PRIORITY, [{"calls": (10, 3), "priority": 1}, {}])
    assert [site.choose() for _ in range(5)] == [1, 1, 1, 2, 2]
    assert (site.pace(1).limited, site.pace(2).limited) == (2, 0)
    assert site.cells.limited() == {1: 2}


def test_nobody_is_chosen_when_nobody_has_a_turn():
    site = Site(ROUND_ROBIN, [{"calls": (10, 1)}, {"calls": (10, 1)}])
    assert sorted([site.choose(), site.choose()]) == [1, 2]
    assert site.choose() is None
    assert site.choose(now_ms=NOW + 99) is None and site.choose(now_ms=NOW + 100) is not None


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_algorithm_keeps_the_limit(algorithm):
    """Over ten seconds of many calls: what the bucket holds, and the rate; the rest goes to who has no limit."""
    site = Site(algorithm, [{"calls": (20, 5), "priority": 1}, {"calls": (50, 1)}, {}], tiers=False)
    found = sum((site.times(10, NOW + ms) for ms in range(0, 10_000, 10)), Counter())
    assert found[1] in (0, *range(200, 206)) and found[2] in (0, *range(450, 502)) and found.total() == 10_000
    assert found[1] + found[2] > 0


def test_a_limit_is_that_of_all_shards():
    cells = Cells(64)
    shards = [Site(CALL_ID, [{"calls": (100, 10)}], cells, shard) for shard in range(4)]
    found = [site.choose(now_ms=NOW + ms) for ms in range(0, 1000, 5) for site in shards]
    assert found.count(1) == 10 + 99


@pytest.mark.parametrize(("rate", "burst", "at_once", "then"), [
    (1, 1, 1, 1000), (1, 10, 10, 1000), (1000, 1, 1, 1), (1000, 10_000, 10_000, 1), (30, 3, 3, 34),
    (10_000, 1, 10, 1),     # what falls due within a ms comes at its begin
])  # fmt: skip
def test_what_the_bucket_holds(rate, burst, at_once, then):
    site = Site(CALL_ID, [{"calls": (rate, burst)}])
    assert site.times(at_once + 5) == {1: at_once, None: 5}
    assert site.choose(now_ms=NOW + then - 1) is None or then == 1
    assert site.choose(now_ms=NOW + then) == 1


def test_a_bucket_fills_while_nobody_calls_and_holds_no_more():
    site = Site(CALL_ID, [{"calls": (10, 4)}])
    site.times(10)
    assert site.times(10, NOW + 3_600_000)[1] == 4


@pytest.mark.parametrize("wrong", [(0, 1), (1, 0), (1_000_001, 1), (10, 101), (1.5, 1)])
def test_limits_have_bounds(wrong):
    table = RoutingTable(1)
    with pytest.raises(ValueError, match="calls"):
        table.add_set(1, CALL_ID, calls=wrong)


def test_what_no_limit_can_have_made_does_not_count(tmp_path):
    """A file may be damaged; another shard's clock may be some seconds ahead."""
    path = str(tmp_path / "cells")
    cells = Cells(path, 64)
    line = cells.assign(1)
    with open(tmp_path / "paces", "r+b") as file:
        for ahead_ms, let_in in ((14_000, None), (15_001, 1), (2**40, 1)):
            file.seek(4096 + 64 * line + 8)
            file.write(((NOW + ahead_ms) * 1_000_000 % 2**64).to_bytes(8, "little"))
            file.flush()
            assert Site(CALL_ID, [{"calls": (1, 10)}], cells).choose() == let_in


def test_another_limit_begins_anew():
    cells = Cells(64)
    assert Site(CALL_ID, [{"calls": (1, 10)}], cells).times(20)[1] == 10
    cells.begin_turns(cells.assigned[1])
    assert Site(CALL_ID, [{"calls": (1000, 1)}], cells).times(5)[1] == 1


def test_a_line_that_is_free_is_nobody_s_news():
    site = Site(CALL_ID, [{"calls": (1, 1)}])
    site.times(5)
    assert site.cells.limited() == {1: 4} and site.cells.limited_since(NOW) == [1]
    assert site.cells.limited_since(NOW + 1) == [] and site.cells.limited_since(0) == []
    site.cells.release(1)
    assert site.cells.limited() == {} and site.cells.limited_since(NOW) == []


def test_a_lower_limit_waits_for_what_was_let_in():
    cells = Cells(64)
    assert Site(CALL_ID, [{"calls": (10, 10)}], cells).times(10)[1] == 10
    site = Site(CALL_ID, [{"calls": (10, 1)}], cells)
    assert site.choose(now_ms=NOW + 999) is None and site.choose(now_ms=NOW + 1000) == 1


def test_a_second_attempt_counts_for_the_destination_and_not_for_the_set():
    site = Site(PRIORITY, [{"priority": 1}, {"calls": (1, 1)}], calls=(1, 1))
    assert site.choose() == 1 and site.choose(tried=[1]) == 2
    assert site.choose(tried=[1]) is None
    assert site.choose() is None
    assert (site.pace(SET).limited, site.pace(2).limited, site.pace(1).limited) == (1, 1, 0)


def test_who_joins_a_group_needs_a_turn_too():
    site = Site(PARALLEL, [{"calls": (1, 1)}, {}, {}])
    assert sorted(site.chooser.choose_group(0, 1, (), NOW)) == [1, 2, 3]
    assert sorted(site.chooser.choose_group(0, 1, (), NOW)) == [2, 3]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_many_at_their_limit_leave_the_one_that_is_not(algorithm):
    """More than are passed over one by one."""
    site = Site(algorithm, [{"calls": (1, 1)} for _ in range(40)] + [{}], tiers=False)
    found = site.times(2_000)
    assert found[41] >= 2_000 - 40 and None not in found


def test_a_limit_does_not_bring_back_who_is_down():
    site = Site(PRIORITY, [{"calls": (1, 1), "priority": 1}, {}], when_all_down=1)
    site.chooser.mark(1, "down", 503, NOW)
    assert [site.choose(), site.choose()] == [1, None]


def test_limits_outlive_the_router_and_begin_anew_with_another_destination(tmp_path):
    path = str(tmp_path / "cells")
    assert Site(CALL_ID, [{"calls": (1, 5)}], Cells(path, 64)).times(9)[1] == 5
    cells = Cells(path, 64)
    site = Site(CALL_ID, [{"calls": (1, 5)}], cells)
    assert site.choose() is None and site.pace(1).limited == 5
    assert read_paces((tmp_path / "paces").read_bytes(), NOW)[1] == site.pace(1)
    cells.release(1)
    cells.assign(7)
    assert cells.pace(cells.assigned[7], NOW) == (0, 0, 0, 0)


def test_a_line_that_another_release_gave_away_begins_anew(tmp_path):
    """Older ones know nothing of paces."""
    cells = Cells(str(tmp_path / "cells"), 64)
    Site(CALL_ID, [{"calls": (1, 5)}], cells).times(9)
    line = cells.assigned[1]
    del cells
    raw = bytearray((tmp_path / "cells").read_bytes())
    raw[4096 + 64 * line + 8 : 4096 + 64 * line + 12] = (77).to_bytes(4, "little")
    (tmp_path / "cells").write_bytes(raw)
    again = Cells(str(tmp_path / "cells"), 64)
    assert again.assigned == {77: line} and again.pace(line, NOW).limited == 0


# ---------------------------------------------------------------- latency

def test_a_mean_forgets():
    site = Site(LATENCY, [{}])
    assert site.pace(1).latency_us == 0
    site.chooser.answered(0, 80, NOW)
    assert site.pace(1).latency_us == 80_500
    site.chooser.answered(0, 0, NOW)    # an eighth
    assert site.pace(1).latency_us == 70_500
    site.chooser.answered(0, 0, NOW + 5_000)    # half, for half of the time
    assert site.pace(1, NOW + 5_000).latency_us == 35_500
    site.chooser.answered(0, 20, NOW + 15_000)  # all
    assert site.pace(1, NOW + 15_000).latency_us == 20_500


def test_a_mean_that_nobody_confirms_falls_by_half():
    site = Site(LATENCY, [{}])
    site.chooser.answered(0, 1000, NOW)
    assert [site.pace(1, NOW + ms).latency_us for ms in (9_999, 10_000, 29_999, 40_000, 400_000)] == [
        1_000_500, 500_250, 250_125, 62_531, 1]
    assert site.pace(1, NOW - 5).latency_us == 1_000_500    # another shard's clock is a little behind


@pytest.mark.parametrize("elapsed", [2**20, 2**40])
def test_a_sample_has_a_bound(elapsed):
    site = Site(LATENCY, [{}])
    site.chooser.answered(0, elapsed, NOW)
    assert site.pace(1).latency_us == 2**20 * 1000 + 500


def test_the_faster_one_of_two_gets_the_call():
    site = Site(LATENCY, [{}, {}, {}, {}])
    for index, ms in enumerate((10, 20, 30, 40)):
        site.chooser.answered(index, ms, NOW)
    found = site.times(12_000)
    assert found[4] < 50     # only when chance names nobody else
    for id, share in ((1, 1 / 2), (2, 1 / 3), (3, 1 / 6)):
        assert abs(found[id] / 12_000 - share) < 0.03


def test_who_was_not_measured_gets_calls():
    site = Site(LATENCY, [{}, {}])
    site.chooser.answered(0, 1, NOW)
    assert site.times(1000)[2] > 980


def test_without_a_measure_chance_decides():
    found = Site(LATENCY, [{}, {}, {}]).times(9_000)
    assert all(abs(found[id] - 3_000) < 300 for id in (1, 2, 3))


def test_the_fastest_of_all_does_not_get_all():
    site = Site(LATENCY, [{} for _ in range(10)])
    for index in range(10):
        site.chooser.answered(index, 1 + index, NOW)
    assert 0.15 < site.times(10_000)[1] / 10_000 < 0.25


def test_latency_looks_at_health_and_tiers():
    site = Site(LATENCY, [{"priority": 1}, {"priority": 1}, {}])
    site.chooser.answered(0, 500, NOW)
    site.chooser.mark(1, "down", 503, NOW)
    assert site.times(100) == {1: 100}
    site.chooser.mark(0, "down", 503, NOW)
    assert site.times(100) == {3: 100}


# ---------------------------------------------------------------- flapping

def flap(site, rise, now_ms):
    """It goes down, and comes back after how many successes in a row."""
    site.chooser.mark(0, "down", 503, now_ms)
    for number in range(1, 300):
        if site.chooser.mark(0, "succeeded", 200, now_ms) == "up":
            return number
    raise AssertionError("it does not come back")


def test_the_way_back_of_who_flaps_gets_longer():
    site = Site(CALL_ID, [{"probe": {"interval_ms": 1000, "rise": 2}}, {}], damping_ms=60_000)
    assert [flap(site, 2, NOW + 1_000 * turn) for turn in range(8)] == [2, 4, 8, 16, 32, 64, 64, 64]
    assert site.pace(1).downs == 8
    assert flap(site, 2, NOW + 7_000 + 59_999) == 64
    assert flap(site, 2, NOW + 66_999 + 60_000) == 2


def test_the_way_back_has_a_bound():
    site = Site(CALL_ID, [{"probe": {"interval_ms": 1000, "rise": 100}}, {}], damping_ms=60_000)
    assert [flap(site, 100, NOW) for _ in range(4)] == [100, 200, 255, 255]


def test_how_often_it_went_down_has_a_bound():
    site = Site(CALL_ID, [{"probe": {"interval_ms": 1000}}, {}], damping_ms=60_000)
    for _ in range(300):
        flap(site, 1, NOW)
    assert site.pace(1).downs == 255


def test_without_damping_nothing_gets_longer():
    site = Site(CALL_ID, [{"probe": {"interval_ms": 1000}}, {}])
    assert [flap(site, 1, NOW) for _ in range(5)] == [1] * 5
