"""fastsip._core.store.blocks: nothing overlaps, everything coalesces, the count is exact."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.kernels.store_doors import BLOCKS, Buddy, block_order

ORDERS, UNIT_BYTES = BLOCKS["orders"], BLOCKS["unit_bytes"]
LARGEST = 1 << (ORDERS - 1)  # units


def units_of(blocks) -> list[int]:
    return [unit + i for unit, order in blocks for i in range(1 << order)]


def canonical_free(used: bytes) -> set[tuple[int, int]]:
    """The oracle: from left to right, the largest aligned block of free units that begins here."""
    found, unit = set(), 0
    while unit < len(used):
        if used[unit]:
            unit += 1
            continue
        order = max(
            o
            for o in range(ORDERS)
            if unit % (1 << o) == 0 and unit + (1 << o) <= len(used) and not any(used[unit : unit + (1 << o)])
        )
        found.add((unit, order))
        unit += 1 << order
    return found


class Blocks(RuleBasedStateMachine):
    """Takes and gives at random, beside a dict of what is taken."""

    @initialize(unit_count=st.integers(1, 3 * LARGEST))
    def start(self, unit_count):
        self.count = unit_count
        self.buddy = Buddy(unit_count)
        self.taken: dict[int, int] = {}

    def used(self) -> bytes:
        marks = bytearray(self.count)
        for unit in units_of(self.taken.items()):
            marks[unit] = 1
        return bytes(marks)

    @rule(order=st.integers(0, ORDERS - 1))
    def take(self, order):
        room = any(free >= order for _, free in self.buddy.free_blocks())
        unit = self.buddy.take(order)
        assert (unit is not None) == room
        if unit is not None:
            assert unit % (1 << order) == 0 and unit + (1 << order) <= self.count
            assert not set(units_of([(unit, order)])) & set(units_of(self.taken.items()))
            self.taken[unit] = order

    @precondition(lambda self: self.taken)
    @rule(pick=st.randoms(use_true_random=False))
    def give(self, pick):
        unit = pick.choice(sorted(self.taken))
        self.buddy.give(unit, self.taken.pop(unit))

    @rule()
    def rebuild_from_what_is_taken(self):
        """A restart in the middle finds the same free blocks that never having stopped has."""
        before = self.buddy.free_blocks()
        self.buddy.rebuild(self.used())
        assert self.buddy.free_blocks() == before

    @invariant()
    def free_and_taken_are_the_whole(self):
        if not hasattr(self, "buddy"):
            return
        free = self.buddy.free_blocks()
        assert sorted(units_of(free) + units_of(self.taken.items())) == list(range(self.count))
        assert self.buddy.used_units == sum(1 << order for order in self.taken.values())
        assert free == canonical_free(self.used())

    def teardown(self):
        if not hasattr(self, "buddy"):
            return
        for unit, order in self.taken.items():
            self.buddy.give(unit, order)
        assert self.buddy.free_blocks() == canonical_free(bytes(self.count))
        assert self.buddy.used_units == 0


Blocks.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
test_takes_and_gives = Blocks.TestCase


@given(st.lists(st.booleans(), min_size=1, max_size=2 * LARGEST))
@settings(deadline=None)
def test_rebuild_frees_exactly_what_is_not_marked(marks):
    used = bytes(marks)
    buddy = Buddy(len(used))
    buddy.rebuild(used)
    assert buddy.free_blocks() == canonical_free(used)
    assert buddy.used_units == sum(used)


@pytest.mark.parametrize("order", range(ORDERS))
def test_edges_of_an_order(order):
    """A block of 256·2^n bytes holds that many and not one more."""
    size = UNIT_BYTES << order
    assert block_order(size) == order
    assert block_order(size + 1) == order + 1
    assert block_order(size // 2 + 1) == order


@pytest.mark.parametrize("length", [0, 1, UNIT_BYTES])
def test_the_smallest_block(length):
    assert block_order(length) == 0


@pytest.mark.parametrize("length", [65_537, 1 << 31, (1 << 31) + 1, (1 << 32) - 1])
def test_no_block_holds_more_than_64_kib(length):
    """Also for a length that no message has: a damaged slot may say it, and the scan must come to an end."""
    assert block_order(length) >= ORDERS


@pytest.mark.parametrize("order", range(ORDERS))
def test_full_means_none_until_one_is_given(order):
    buddy = Buddy(2 * LARGEST)
    taken = [buddy.take(order) for _ in range(2 * LARGEST >> order)]
    assert sorted(taken) == list(range(0, 2 * LARGEST, 1 << order))
    assert [buddy.take(each) for each in range(ORDERS)] == [None] * ORDERS
    assert buddy.used_units == 2 * LARGEST and buddy.free_blocks() == set()
    buddy.give(taken[3 % len(taken)], order)
    assert buddy.take(order) == taken[3 % len(taken)]


def test_a_count_that_is_no_power_of_two_loses_no_unit():
    buddy = Buddy(LARGEST + 5)
    assert buddy.free_blocks() == {(0, ORDERS - 1), (LARGEST, 2), (LARGEST + 4, 0)}
    assert buddy.take(ORDERS - 1) == 0 and buddy.take(ORDERS - 1) is None
    assert [buddy.take(2), buddy.take(0), buddy.take(0)] == [LARGEST, LARGEST + 4, None]


def test_nothing_is_used_before_and_everything_coalesces_after():
    buddy = Buddy(LARGEST)
    taken = [buddy.take(0) for _ in range(LARGEST)]
    for unit in taken[::2] + taken[1::2]:
        buddy.give(unit, 0)
    assert buddy.free_blocks() == {(0, ORDERS - 1)}
