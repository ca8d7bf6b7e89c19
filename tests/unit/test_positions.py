"""Where a shard goes on after a reload, for any order of any members."""

import random

import pytest

from fastsip._core.dispatcher.cells import Cells
from fastsip._core.dispatcher.chooser import Chooser
from tests.unit.test_select import ROUND_ROBIN, Bench


@pytest.mark.parametrize("seed", range(20))
def test_reload_finds_each_member_wherever_it_stands_now(seed):
    """The next in turn is the same one whatever the order, ids and company of the members are."""
    lots = random.Random(seed)
    ids = lots.sample(range(1, 1_000), lots.randint(1, 40))
    cells = Cells(128)
    old = Bench(ROUND_ROBIN, [{"id": id} for id in ids], cells=cells)
    for _ in range(lots.randint(0, 50)):
        old.choose()
    others = [id for id in range(1_001, 1_001 + lots.randint(0, 20))]
    shuffled = lots.sample([*ids, *others], len(ids) + len(others))
    new = Bench(ROUND_ROBIN, [{"id": id} for id in shuffled], cells=cells)
    expected = old.choose()
    old_again = Bench(ROUND_ROBIN, [{"id": id} for id in ids], cells=cells)
    while old_again.choose() != ids[ids.index(expected) - 1] and len(ids) > 1:
        pass
    assert Chooser(new.table, cells, 0, old_again.chooser).choose(0) == expected
