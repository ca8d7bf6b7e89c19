"""Shares that other dispatchers get wrong, on the kernels (docs/kamailio.md)."""

import functools

import pytest

from fastsip._core.dispatcher.cells import Cells
from fastsip._core.routing.table import RoutingTable
from tests.kernels import rule_doors
from tests.unit.steps import steps

from .test_rules import request
from .test_select import CALL_ID, KEYS, RELATIVE, SRV, WEIGHT, Bench, plain

LATENCY = 13


@pytest.mark.parametrize("algorithm", [WEIGHT, RELATIVE])
@pytest.mark.parametrize("count", [1, 3, 33, 50, 51, 99, 100, 101, 333])
def test_equal_ones_have_equal_shares_however_many_they_are(algorithm, count):
    """There are no slots that they could be too many for: with 51 of them none gets 49 of a hundred calls."""
    bench = Bench(algorithm, plain(count, weight=1), cells=Cells(512))
    assert set(bench.share(7 * count).values()) == {7}


@pytest.mark.parametrize("algorithm", [WEIGHT, RELATIVE])
@pytest.mark.parametrize("weights", [(33, 33, 33), (1, 1, 1), (60, 60, 60), (10, 20), (1, 999), (100, 200, 1)])
def test_weights_are_no_parts_of_a_hundred(algorithm, weights):
    """Their sum may be less or more: nothing of it is left for the last one, and nothing is cut off."""
    bench = Bench(algorithm, [{"weight": weight} for weight in weights])
    assert bench.share(3 * sum(weights)) == {number: 3 * weight for number, weight in enumerate(weights, 1)}


def test_a_first_one_without_a_weight_takes_none_from_the_others():
    assert Bench(WEIGHT, [{}, {"weight": 3}]).share(400) == {1: 100, 2: 300}


def test_who_comes_takes_from_all_alike_and_moves_nothing_else():
    before, after = Bench(CALL_ID, plain(8)), Bench(CALL_ID, plain(9))
    moved = [(before.choose(key), after.choose(key)) for key in KEYS if before.choose(key) != after.choose(key)]
    assert {to for _, to in moved} == {9}
    fair = len(KEYS) / 9
    assert abs(len(moved) - fair) < 5 * fair ** 0.5
    for given_up in range(1, 9):
        count = sum(of == given_up for of, _ in moved)
        assert abs(count - fair / 8) < 5 * (fair / 8) ** 0.5


def test_srv_shares_follow_health_by_the_weight_alone():
    bench = Bench(SRV, [{"priority": 1, "weight": weight} for weight in (6, 2, 2)] + [{"weight": 9}])
    bench.mark(1, "down")
    share = bench.share(10_000)
    assert set(share) == {2, 3} and abs(share[2] - 5000) < 5 * 50


def cost_of_a_choice(count: int, algorithm: int) -> int:
    """Instructions; the first choice makes what is kept, and is not counted."""
    bench = Bench(algorithm, plain(count), cells=Cells(count))
    bench.choose(KEYS[0])
    return steps(functools.partial(bench.choose, KEYS[1]))


def test_the_choice_by_latency_sorts_nobody():
    """Two are drawn and compared, out of ten or out of two thousand."""
    assert cost_of_a_choice(2000, LATENCY) < 1.2 * cost_of_a_choice(10, LATENCY)


def cost_of_a_source(count: int) -> int:
    """Instructions to find out whether a request comes from a destination; it is the last one of them."""
    table = RoutingTable(1)
    table.add_listener(1, 1, "192.0.2.1", 5060, "a")
    table.add_set(7, CALL_ID)
    for number in range(1, count + 1):
        table.add_destination(0, number, number, f"10.0.{number >> 8}.{number & 255}", 5060, 0, b"sip:x", b"x")
    table.add_rule(1, 0, [{"kind": "source_set", "items": [0]}])
    table.seal()
    last = f"10.0.{count >> 8}.{count & 255}"
    ask = functools.partial(rule_doors.match, table, request(), source=last, port=5060)
    assert ask() == 0
    return steps(ask)


def test_whose_request_it_is_is_looked_up_and_not_searched_for():
    assert cost_of_a_source(2000) < 1.2 * cost_of_a_source(10)
