"""Choice and health: the kernels against the oracle, and the promises of the algorithms."""

import subprocess
import sys
import threading
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastsip._core.base.hashing import mix_words, siphash
from fastsip._core.dispatcher.cells import Cells
from fastsip._core.dispatcher.chooser import Chooser
from fastsip._core.routing.table import RoutingTable
from tests.oracle import select_oracle as oracle

CALL_ID, ROUND_ROBIN, AUTH_USER, RANDOM, PRIORITY = 0, 4, 5, 6, 8
WEIGHT, RELATIVE, PARALLEL, ORDERED, SRV = 9, 11, 12, 14, 15
SECRET = bytes(range(16))
KEYS = [siphash(SECRET, b"call-%d" % i) for i in range(20000)]


class Bench:
    """One set with its cells and one shard, and the oracle's picture of the same."""

    def __init__(self, algorithm, members, shard=0, tiers=True, try_down=False, retry_ms=30000, cells=None):
        """members: dicts of weight, priority, max_load, probed, rise, fall; ids count from 1 unless given."""
        self.table = RoutingTable(1)
        self.table.add_listener(1, 1, "192.0.2.1", 5060, "192.0.2.1")
        self.table.add_set(7, algorithm, tiers=tiers, when_all_down=int(try_down), retry_ms=retry_ms,
                           hash_key=SECRET)
        self.cells = cells or Cells(64)
        for number, member in enumerate(members, 1):
            self.add(number, **member)
        self.table.seal()
        self.members = {member[1]: member for member in self.table.members(0)}
        self.chooser = Chooser(self.table, self.cells, shard)

    def add(self, number, id=None, probed=False, rise=1, fall=1, **fields):
        id = id or number
        self.table.add_destination(
            0, id, self.cells.assign(id), f"10.0.0.{id % 250 + 1}", 5060, 0, b"sip:ms%d" % id, b"ms%d" % id,
            probe={"interval_ms": 5000 if probed else 0, "rise": rise, "fall": fall}, **fields)

    def choose(self, key=1, tried=(), now_ms=0):
        return self.chooser.choose(0, key, tried, now_ms)

    def group(self, tried=(), now_ms=0, most=16):
        return self.chooser.choose_group(0, 1, tried, now_ms, most)

    def mark(self, id, outcome, code=0, now_ms=0):
        return self.chooser.mark(self.members[id][0], outcome, code, now_ms)

    def cell(self, id):
        return self.cells.read(self.members[id][4])

    def share(self, count=20000, now_ms=0):
        return Counter(self.choose(key, now_ms=now_ms) for key in KEYS[:count])


def plain(count, **fields):
    return [dict(fields) for _ in range(count)]


# ---------------------------------------------------------------- against the oracle

MEMBER = st.fixed_dictionaries({
    "weight": st.sampled_from([0, 1, 1, 1, 2, 5, 1000]),
    "priority": st.sampled_from([0, 0, 1, 5, -3]),
    "max_load": st.sampled_from([0, 0, 0, 2]),
    "probed": st.booleans(),
})
STATE = st.fixed_dictionaries({
    "health": st.sampled_from(["unknown", "succeeded", "failed", "down", "down"]),
    "admin": st.sampled_from([0, 0, 0, 0, 1, 2]),
    "retry_after_ms": st.sampled_from([0, 0, 0, 2000]),
    "load": st.integers(0, 3),
})
SEARCH = st.tuples(st.sampled_from([0, *KEYS[:20]]), st.integers(1, 4), st.integers(0, 40000))
HEALTH_AFTER = {
    "unknown": oracle.UNKNOWN, "succeeded": oracle.UP, "failed": oracle.TRYING, "down": oracle.DOWN,
}


def apply_state(bench, picture, number, state):
    """Brings one destination into a state, in the cells and in the oracle's picture."""
    index = bench.members[number][4]
    bench.cells.set_admin(index, state["admin"])
    bench.cells.set_retry_after(index, state["retry_after_ms"])
    bench.cells.add_load(index, state["load"])
    if state["health"] != "unknown":
        bench.mark(number, state["health"], now_ms=1000)
    picture.admin, picture.load = state["admin"], state["load"]
    picture.retry_after_ms = state["retry_after_ms"]
    picture.health = HEALTH_AFTER[state["health"]]
    picture.since_ms = 1000


@settings(max_examples=400)
@given(st.integers(0, 15), st.lists(st.tuples(MEMBER, STATE), min_size=1, max_size=7), st.booleans(),
       st.booleans(), st.lists(SEARCH, min_size=1, max_size=12))
def test_kernel_equals_oracle(algorithm, members, tiers, try_down, searches):
    bench = Bench(algorithm, [{**member, "fall": 2} for member, _ in members], tiers=tiers, try_down=try_down)
    pictures = {number: oracle.Destination(number, seed=bench.members[number][5], **member)
                for number, (member, _) in enumerate(members, 1)}
    for number, (_, state) in enumerate(members, 1):
        apply_state(bench, pictures[number], number, state)
    slow = oracle.Set(algorithm, list(pictures.values()), tiers=tiers, try_down=try_down)
    for key, attempts, now_ms in searches:
        tried = []
        for _ in range(attempts):
            expected = slow.possible(key, tried, now_ms)
            found = bench.choose(key, tried, now_ms)
            assert found in [d.id for d in expected] if expected else found is None
            if found is None:
                break
            if pictures[found].health == oracle.DOWN and oracle.is_usable(pictures[found], now_ms, 30000):
                pictures[found].trial_ms = now_ms
            tried.append(found)


@settings(max_examples=200)
@given(st.lists(st.tuples(MEMBER, STATE), min_size=1, max_size=20), st.booleans(), st.booleans(),
       st.lists(st.tuples(st.integers(1, 16), st.integers(0, 40000)), min_size=1, max_size=6))
def test_groups_equal_the_oracles(members, tiers, try_down, steps):
    """One search: each group without those before it, until nothing is left or sixteen were tried."""
    bench = Bench(PARALLEL, [{**member, "fall": 2} for member, _ in members], tiers=tiers, try_down=try_down)
    pictures = {number: oracle.Destination(number, seed=bench.members[number][5], **member)
                for number, (member, _) in enumerate(members, 1)}
    for number, (_, state) in enumerate(members, 1):
        apply_state(bench, pictures[number], number, state)
    slow = oracle.Set(PARALLEL, list(pictures.values()), tiers=tiers, try_down=try_down)
    tried = []
    for most, now_ms in steps:
        expected = slow.group(tried, now_ms, min(most, 16 - len(tried)))
        found = bench.group(tried, now_ms, most)
        assert found == [d.id for d in expected]
        for one in expected:
            if one.health == oracle.DOWN and oracle.is_usable(one, now_ms, 30000):
                one.trial_ms = now_ms
        tried += found


def test_a_turn_that_stands_behind_a_tier_starts_at_its_first():
    """The one with a weight had its turn; a failover looks at those without, highest tier first."""
    bench = Bench(ROUND_ROBIN, [*plain(2, weight=0, priority=1), {"weight": 1}, *plain(3, weight=0)])
    assert bench.choose(0) == 3
    assert bench.choose(0, tried=[3]) == 1


def test_order_of_the_table_is_the_oracles():
    bench = Bench(PRIORITY, [{"priority": p} for p in (0, 5, -1, 5, 0)])
    assert [member[1] for member in bench.table.members(0)] == [2, 4, 1, 5, 3]


# ---------------------------------------------------------------- parallel

def test_a_group_is_a_tier():
    bench = Bench(PARALLEL, [{"priority": 1}, {}, {"priority": 1}, {}])
    assert bench.group() == [1, 3]
    assert bench.group(tried=[1]) == [3]
    assert bench.group(tried=[1, 3]) == [2, 4]
    assert bench.group(tried=[1, 2, 3, 4]) == []
    assert Bench(PARALLEL, [{"priority": 1}, {}, {"priority": 1}], tiers=False).group() == [1, 3, 2]


def test_a_group_of_other_algorithms_is_one():
    for algorithm in set(range(16)) - {PARALLEL}:
        assert len(Bench(algorithm, plain(3)).group()) == 1


def test_a_group_has_no_more_than_allowed():
    bench = Bench(PARALLEL, plain(18))
    assert bench.group() == list(range(1, 17))
    assert bench.group(most=2) == [1, 2]
    assert bench.group(tried=range(1, 15)) == [15, 16]
    assert bench.group(tried=range(1, 17)) == []
    with pytest.raises(ValueError):
        bench.group(most=17)


def test_weight_0_makes_a_group_of_its_own():
    """Only when nothing else is left, in no tier."""
    bench = Bench(PARALLEL, [{"priority": 1, "weight": 0}, {"priority": 1}, {}, {"weight": 0}])
    assert bench.group() == [2]
    assert bench.group(tried=[2]) == [3]
    assert bench.group(tried=[2, 3]) == [1]


def test_a_group_counts_each_as_chosen():
    bench = Bench(PARALLEL, plain(3))
    bench.group()
    assert [bench.cell(id).chosen for id in (1, 2, 3)] == [1, 1, 1]


def test_a_group_has_each_due_trial_once():
    bench = Bench(PARALLEL, plain(3), retry_ms=1000)
    bench.mark(1, "down", now_ms=0)
    bench.mark(2, "down", now_ms=500)
    assert bench.group(now_ms=1000) == [1, 3]
    assert bench.group(now_ms=1500) == [2, 3]
    assert bench.group(now_ms=1600) == [3]


def test_a_group_of_a_set_that_is_all_down():
    """when_all_down = "try"; a due trial alone is a group that is not down."""
    bench = Bench(PARALLEL, [{}, *plain(2, probed=True)], try_down=True, retry_ms=1000)
    for id in (1, 2, 3):
        bench.mark(id, "down", now_ms=0)
    assert bench.group(now_ms=500) == [1, 2, 3]
    assert bench.group(now_ms=1000) == [1]


# ---------------------------------------------------------------- rendezvous

def test_share_is_even():
    share = Bench(CALL_ID, plain(8)).share()
    assert set(share) == set(range(1, 9))
    # 2,500 expected each; five standard deviations of a binomial are 234.
    assert all(abs(count - 2500) < 234 for count in share.values())


def test_share_follows_weights():
    share = Bench(CALL_ID, [{"weight": w} for w in (1, 2, 3, 14)]).share()
    for id, expected in ((1, 1000), (2, 2000), (3, 3000), (4, 14000)):
        assert abs(share[id] - expected) < 5 * (expected * (1 - expected / 20000)) ** 0.5


def test_one_that_goes_moves_only_its_own_keys_and_spreads_them():
    bench = Bench(CALL_ID, plain(8))
    before = {key: bench.choose(key) for key in KEYS}
    bench.mark(3, "down")
    after = {key: bench.choose(key) for key in KEYS}
    moved = [key for key in KEYS if before[key] != after[key]]
    assert all(before[key] == 3 for key in moved)
    assert len(moved) == sum(id == 3 for id in before.values())
    heirs = Counter(after[key] for key in moved)
    fair = len(moved) / 7
    assert set(heirs) == {1, 2, 4, 5, 6, 7, 8}
    assert all(abs(count - fair) < 5 * fair ** 0.5 for count in heirs.values())


def test_a_new_weight_moves_keys_only_to_the_heavier():
    light = Bench(CALL_ID, plain(5))
    heavy = Bench(CALL_ID, [{}, {}, {"weight": 3}, {}, {}])
    for key in KEYS[:3000]:
        assert heavy.choose(key) in (light.choose(key), 3)


def test_second_candidate_is_the_one_after_a_failure():
    bench = Bench(CALL_ID, plain(6))
    seconds = {key: bench.choose(key, [bench.choose(key)]) for key in KEYS[:500]}
    for key in KEYS[:500]:
        first = bench.choose(key)
        bench.cells.set_admin(bench.members[first][4], 2)
        assert bench.choose(key) == seconds[key]
        bench.cells.set_admin(bench.members[first][4], 0)


def test_ids_and_order_do_not_matter_for_hashing():
    """Two nodes whose registries gave other ids, and whose files list in another order, agree by name."""
    def build(ids, order):
        table = RoutingTable(1)
        table.add_listener(1, 1, "192.0.2.1", 5060, "a")
        table.add_set(1, CALL_ID, hash_key=SECRET)
        cells = Cells(16)
        for at in order:
            table.add_destination(0, ids[at], cells.assign(ids[at]), "10.0.0.1", 5060, 0, b"sip:x", b"x",
                                  name=b"ms%d" % at)
        return Chooser(table.seal(), cells), {id: at for at, id in enumerate(ids)}
    one, names_one = build([11, 12, 13, 14], [0, 1, 2, 3])
    two, names_two = build([904, 903, 902, 901], [2, 0, 3, 1])
    for key in KEYS[:1000]:
        assert names_one[one.choose(0, key)] == names_two[two.choose(0, key)]


def test_same_in_another_process():
    script = (
        "from tests.unit.test_select import *\n"
        "b = Bench(CALL_ID, [{'weight': w} for w in (1, 2, 3, 4)])\n"
        "print([b.choose(k) for k in KEYS[:100]])\n"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    bench = Bench(CALL_ID, [{"weight": w} for w in (1, 2, 3, 4)])
    assert done.stdout.strip() == str([bench.choose(key) for key in KEYS[:100]])


def test_oracle_mix_is_the_kernels():
    assert all(oracle.mix(key, other) == mix_words(key, other) for key, other in pairwise(KEYS[:200]))


def test_key_zero_goes_round():
    bench = Bench(AUTH_USER, plain(3))
    assert [bench.choose(0) for _ in range(6)] == [1, 2, 3, 1, 2, 3]


# ---------------------------------------------------------------- in turn, by weight, by lot

def test_round_robin_does_not_double_the_neighbour_of_a_dead_one():
    bench = Bench(ROUND_ROBIN, plain(4))
    bench.mark(2, "down")
    assert bench.share(3000) == {1: 1000, 3: 1000, 4: 1000}


def test_round_robin_failover_takes_no_turn():
    bench = Bench(ROUND_ROBIN, plain(3))
    assert bench.choose() == 1
    assert bench.choose(tried=[1]) == 2
    assert bench.choose(tried=[1, 2]) == 3
    assert bench.choose() == 2


def test_shards_start_apart():
    assert [Bench(ROUND_ROBIN, plain(3), shard=shard).choose() for shard in range(4)] == [1, 2, 3, 1]
    weights = [{"weight": 3}, {"weight": 2}]
    assert [Bench(WEIGHT, weights, shard=shard).choose() for shard in range(3)] == [1, 2, 1]


@pytest.mark.parametrize("algorithm", [WEIGHT, RELATIVE])
def test_smooth_weights_are_exact_and_interleaved(algorithm):
    bench = Bench(algorithm, [{"weight": w} for w in (5, 1, 1)])
    assert [bench.choose() for _ in range(7)] == [1, 1, 1, 2, 1, 3, 1]
    assert bench.share(7000) == {1: 5000, 2: 1000, 3: 1000}


def test_weights_beyond_a_hundred_slots():
    bench = Bench(WEIGHT, [{"weight": w} for w in (1, 999)])
    assert bench.share(2000) == {1: 2, 2: 1998}


def test_shares_follow_health_at_once():
    """30/30/40 with the third down is 50/50, not 70/30."""
    bench = Bench(WEIGHT, [{"weight": w} for w in (30, 30, 40)])
    bench.share(1000)
    bench.mark(3, "down")
    share = bench.share(1000)
    assert abs(share[1] - 500) <= 1 and abs(share[2] - 500) <= 1


def test_smooth_failover_moves_nothing():
    quiet, failing = (Bench(WEIGHT, [{"weight": w} for w in (3, 2, 1)]) for _ in range(2))
    for _ in range(60):
        first = quiet.choose()
        assert failing.choose() == first
        assert failing.choose(tried=[first]) not in (None, first)


def test_random_is_uniform():
    share = Bench(RANDOM, [{"weight": w} for w in (1, 5, 9, 1)]).share()
    assert all(abs(share[id] - 5000) < 5 * (5000 * 0.75) ** 0.5 for id in range(1, 5))


def test_srv_weights_within_the_best_priority():
    bench = Bench(SRV, [{"priority": p, "weight": w} for p, w in ((1, 6), (1, 2), (0, 99))])
    share = bench.share()
    assert set(share) == {1, 2}
    assert abs(share[1] - 15000) < 5 * (20000 * 0.75 * 0.25) ** 0.5
    bench.mark(1, "down")
    bench.mark(2, "down")
    assert bench.share(50) == {3: 50}


def test_srv_weight_zero_has_one_chance_in_sum_plus_one():
    share = Bench(SRV, [{"weight": 0}, {"weight": 9}]).share()
    assert abs(share[1] - 2000) < 5 * (20000 * 0.1 * 0.9) ** 0.5


def test_srv_has_tiers_even_without_tiers():
    bench = Bench(SRV, [{"priority": 1}, {"priority": 0}], tiers=False)
    assert bench.share(200) == {1: 200}


def test_ordered_round_robin():
    assert Bench(ORDERED, plain(2, priority=3)).share(10) == {1: 5, 2: 5}
    assert Bench(ORDERED, plain(2)).share(10) == {1: 10}
    assert Bench(ORDERED, [{"priority": 1}, {"priority": 2}], tiers=False).share(10) == {2: 10}


# ---------------------------------------------------------------- tiers, weight 0, limits

@pytest.mark.parametrize("algorithm", range(16))
def test_lower_tier_only_when_no_higher_is_usable_and_untried(algorithm):
    bench = Bench(algorithm, [{"priority": 1}, {"priority": 9}, {"priority": 9}])
    assert set(bench.share(300)) <= {2, 3}
    assert {bench.choose(key, tried=[2]) for key in KEYS[:50]} == {3}
    assert {bench.choose(key, tried=[2, 3]) for key in KEYS[:50]} == {1}
    assert bench.choose(tried=[1, 2, 3]) is None


@pytest.mark.parametrize("algorithm", [CALL_ID, ROUND_ROBIN, RANDOM, WEIGHT])
def test_without_tiers_all_share(algorithm):
    bench = Bench(algorithm, [{"priority": 1}, {"priority": 9}], tiers=False)
    assert set(bench.share(200)) == {1, 2}


@pytest.mark.parametrize("algorithm", [a for a in range(16) if a != SRV])
def test_weight_zero_is_the_last_resort_of_the_whole_set(algorithm):
    bench = Bench(algorithm, [{"weight": 0, "priority": 9}, {"priority": 5}, {"priority": 0}])
    assert bench.share(100) == {2: 100}
    assert bench.choose(tried=[2]) == 3
    assert bench.choose(tried=[2, 3]) == 1


@pytest.mark.parametrize("admin", [1, 2])
def test_draining_and_disabled_get_no_new_calls(admin):
    bench = Bench(ROUND_ROBIN, plain(2), try_down=True)
    bench.cells.set_admin(0, admin)
    assert bench.share(10) == {2: 10}
    assert bench.choose(tried=[2]) is None
    bench.mark(2, "down")
    assert bench.choose() == 2


def test_full_is_skipped():
    bench = Bench(ROUND_ROBIN, [{"max_load": 2}, {}])
    assert bench.cells.add_load(0, 1) == 0
    assert set(bench.share(4)) == {1, 2}
    bench.cells.add_load(0, 1)
    assert set(bench.share(4)) == {2}
    bench.cells.add_load(0, -1)
    assert set(bench.share(4)) == {1, 2}


def test_load_below_zero_is_not_full():
    bench = Bench(ROUND_ROBIN, [{"max_load": 1}])
    bench.cells.add_load(0, -1)
    assert bench.cells.load(0) == -1
    assert bench.choose() == 1


def test_retry_after():
    bench = Bench(ROUND_ROBIN, plain(2))
    bench.cells.set_retry_after(0, 5000)
    assert [bench.choose(now_ms=4999) for _ in range(3)] == [2, 2, 2]
    assert {bench.choose(now_ms=5000) for _ in range(2)} == {1, 2}


# ---------------------------------------------------------------- down, trials

def test_down_with_probing_gets_no_trial():
    bench = Bench(ROUND_ROBIN, [{"probed": True}])
    bench.mark(1, "down")
    assert bench.choose(now_ms=10**9) is None


def test_one_trial_per_retry_time():
    bench = Bench(ROUND_ROBIN, plain(1), retry_ms=30000)
    bench.mark(1, "down", now_ms=1000)
    answers = [bench.choose(now_ms=now) for now in (1000, 30999, 31000, 31000, 31001, 60999, 61000, 61000)]
    assert answers == [None, None, 1, None, None, None, 1, None]
    assert bench.cell(1).trial_ms == 61000
    assert bench.mark(1, "succeeded", 200, 61500) == "up"
    assert bench.choose(now_ms=61500) == 1


def test_trial_is_claimed_by_one_shard_only():
    """Eight threads see the same trial due; the cell lets one of them have it, round after round."""
    bench = Bench(ROUND_ROBIN, plain(1), retry_ms=10)
    bench.mark(1, "down", now_ms=1)
    shards = [Chooser(bench.table, bench.cells, shard) for shard in range(8)]
    for turn in range(1, 200):
        line_up = threading.Barrier(len(shards))
        winners = []

        def one(shard, now_ms, line_up=line_up, winners=winners):
            line_up.wait(10)
            winners.append(shard.choose(0, 1, (), now_ms))

        threads = [threading.Thread(target=one, args=(shard, turn * 1000)) for shard in shards]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        assert sorted(winners, key=str) == [1] + [None] * 7


def test_when_all_down():
    fail, attempt = (Bench(CALL_ID, plain(3, probed=True), try_down=way) for way in (False, True))
    for bench in (fail, attempt):
        for id in (1, 2, 3):
            bench.mark(id, "down")
    assert fail.choose() is None
    healthy = Bench(CALL_ID, plain(3))
    assert [attempt.choose(key) for key in KEYS[:50]] == [healthy.choose(key) for key in KEYS[:50]]
    assert len({attempt.choose(1), attempt.choose(1, [attempt.choose(1)])}) == 2
    assert attempt.choose(tried=[1, 2, 3]) is None


def test_one_usable_left_means_not_all_are_down():
    bench = Bench(PRIORITY, plain(2, probed=True), try_down=True)
    bench.mark(2, "down")
    assert bench.choose(tried=[1]) is None
    bench.mark(1, "down")
    assert bench.choose(tried=[1]) == 2


def test_count_usable():
    bench = Bench(PRIORITY, plain(4), retry_ms=1000)
    assert bench.chooser.count_usable(0) == 4
    bench.mark(1, "down", now_ms=0)
    bench.cells.set_admin(bench.members[2][4], 1)
    assert bench.chooser.count_usable(0) == 2
    assert bench.chooser.is_usable(bench.members[1][0], 5000)
    assert bench.chooser.count_usable(0, 5000) == 2


def test_chosen_is_counted():
    bench = Bench(PRIORITY, plain(2))
    for _ in range(5):
        bench.choose()
    assert (bench.cell(1).chosen, bench.cell(2).chosen) == (5, 0)


# ---------------------------------------------------------------- health

EVENTS = st.lists(st.sampled_from(["failed", "succeeded", "down"]), max_size=30)


@given(EVENTS, st.integers(1, 4), st.integers(1, 4))
def test_rise_and_fall(events, rise, fall):
    bench = Bench(PRIORITY, [{"rise": rise, "fall": fall}])
    changes = [bench.mark(1, event, 480, now_ms=at) for at, event in enumerate(events, 1)]
    health, expected = oracle.health_after(events, rise, fall)
    assert changes == expected
    cell = bench.cell(1)
    assert cell.health == health
    assert cell.since_ms == max((at for at, change in enumerate(changes, 1) if change != "none"), default=0)
    assert cell.failed == sum(event != "succeeded" for event in events)


def test_streaks_at_the_edge():
    bench = Bench(PRIORITY, [{"rise": 255, "fall": 255}])
    assert [bench.mark(1, "failed") for _ in range(255)] == ["trying"] + ["none"] * 253 + ["down"]
    assert [bench.mark(1, "succeeded") for _ in range(255)] == ["none"] * 254 + ["up"]


def test_last_code_and_since():
    bench = Bench(PRIORITY, [{"fall": 2}])
    since = 2**47 + 5
    bench.mark(1, "failed", 503, since)
    cell = bench.cell(1)
    assert (cell.last_code, cell.since_ms, cell.streak) == (503, since, 1)


# ---------------------------------------------------------------- reload

def test_reload_keeps_what_was_learned_by_id():
    cells = Cells(16)
    old = Bench(ROUND_ROBIN, [{"id": 5}, {"id": 6}, {"id": 7}], cells=cells)
    old.mark(6, "down")
    cells.add_load(cells.assign(7), 3)
    new = Bench(ROUND_ROBIN, [{"id": 9}, {"id": 7}, {"id": 6}], cells=cells)
    assert new.cell(6).health == oracle.DOWN
    assert new.cell(7).load == 3
    assert set(new.share(10)) == {7, 9}


def test_reload_keeps_the_turn():
    cells = Cells(16)
    old = Bench(ROUND_ROBIN, [{"id": id} for id in (1, 2, 3, 4)], cells=cells)
    assert [old.choose(), old.choose()] == [1, 2]
    new = Bench(ROUND_ROBIN, [{"id": id} for id in (9, 4, 3, 2)], cells=cells)
    going_on = Chooser(new.table, cells, 0, old.chooser)
    assert [going_on.choose(0) for _ in range(3)] == [3, 2, 9]


def test_reload_to_small_weights_starves_nobody():
    cells = Cells(16)
    old = Bench(WEIGHT, [{"weight": 100000}, {"weight": 99999}], cells=cells)
    old.choose()
    new = Bench(WEIGHT, [{"weight": 1}, {"weight": 1}], cells=cells)
    going_on = Chooser(new.table, cells, 0, old.chooser)
    assert Counter(going_on.choose(0) for _ in range(10)) == {1: 5, 2: 5}


def test_reload_keeps_smooth_positions():
    whole = Bench(WEIGHT, [{"weight": 5}, {"weight": 2}])
    halved = Bench(WEIGHT, [{"weight": 5}, {"weight": 2}])
    expected = [whole.choose() for _ in range(14)]
    first = [halved.choose() for _ in range(3)]
    going_on = Chooser(halved.table, halved.cells, 0, halved.chooser)
    assert first + [going_on.choose(0) for _ in range(11)] == expected
