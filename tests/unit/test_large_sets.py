"""Sets of hundreds: the ways that spare the look at each member choose as the oracle does."""

import math
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastsip._core.dispatcher.cells import Cells
from tests.oracle import select_oracle as oracle

from .test_select import CALL_ID, KEYS, RANDOM, ROUND_ROBIN, SRV, WEIGHT, Bench

WEIGHTS = st.one_of(st.just([1]), st.just([0, 1]), st.just([1, 2, 3]), st.just(range(1, 2000)), st.just([1, 2**31 - 1]))


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 400), WEIGHTS, st.sampled_from([0, 10, 90, 100]), st.randoms(use_true_random=False),
       st.sampled_from([CALL_ID, WEIGHT, RANDOM, SRV, ROUND_ROBIN]))
def test_large_sets_equal_the_oracle(count, weights, down, source, algorithm):
    """Blocks of a ranking, rounds of shares, draws without end: as the plain look at all members says."""
    members = [{"weight": source.choice(weights), "priority": source.choice([0, 0, 0, 1])} for _ in range(count)]
    bench = Bench(algorithm, members, cells=Cells(count), retry_ms=10**9)
    pictures = [oracle.Destination(number, seed=bench.members[number][5], **member)
                for number, member in enumerate(members, 1)]
    for picture in pictures:
        if source.randrange(100) < down:
            bench.cells.set_admin(bench.members[picture.id][4], 2)
            picture.admin = 2
    slow = oracle.Set(algorithm, pictures)
    for key in source.sample(KEYS, 3):
        tried = []
        for _ in range(6):
            expected = slow.possible(key, tried)
            found = bench.choose(key, tried)
            assert found in [d.id for d in expected] if expected else found is None
            if found is None:
                break
            tried.append(found)


@pytest.mark.parametrize("weights", [[1], [1, 2, 5], range(1, 1000)])
def test_a_key_has_one_order_however_many_are_left(weights):
    """Ten out, one after the other, and the order is the oracle's; and one that leaves the set moves nothing else."""
    members = [{"id": id, "weight": weights[id % len(weights)]} for id in range(1, 301)]
    bench = Bench(CALL_ID, members, cells=Cells(512))
    pictures = [oracle.Destination(id, seed=bench.members[id][5], weight=fields["weight"])
                for id, fields in enumerate(members, 1)]
    slow = oracle.Set(CALL_ID, pictures)
    for key in KEYS[:40]:
        order = [d.id for d in sorted(pictures, key=lambda d: slow.rank(d, key))]
        found = []
        for _ in range(10):
            found.append(bench.choose(key, found))
        assert found == order[:10]
        fewer = Bench(CALL_ID, [m for m in members if m["id"] != order[0]], cells=Cells(512))
        assert fewer.choose(key) == order[1]


@pytest.mark.parametrize("total", [1, 2, 3, 4, 6, 7, 30, 1000, 99991, 2**40])
def test_a_round_of_shares_comes_by_everybody(total):
    assert math.gcd(oracle.stride_of(total), total) == 1 or total < 2
    assert 0 <= oracle.stride_of(total) < total


def test_in_each_part_of_a_round_shares_are_nearly_right():
    weights = [1 + id % 17 for id in range(1, 51)]
    bench = Bench(WEIGHT, [{"weight": w} for w in weights])
    count = Counter()
    for turn in range(1, sum(weights) + 1):
        count[bench.choose()] += 1
        assert all(abs(count[id] - turn * w / sum(weights)) < 3 for id, w in enumerate(weights, 1))
    assert count == dict(enumerate(weights, 1))
