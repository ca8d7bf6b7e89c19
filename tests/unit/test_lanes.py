"""fastsip._core.base.lanes: order over growing and shrinking, bounds, two threads, memory of many shards."""

import threading
from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastsip._core.base.lanes import LANE_BYTES, Allowance, Lane
from fastsip._core.base.ring import Sleeper
from fastsip.router.shards import GROWN_BYTES, base_bytes, lanes_each
from tests.kernels.lane_stress import stress_consume, stress_produce
from tests.unit.wakes import resident_kib, written

MIB = 1 << 20
INVITE = b"i" * 1300


@given(
    st.sampled_from([64, 256, 4096]),
    st.lists(st.one_of(st.none(), st.just("shrink"), st.binary(max_size=300)), max_size=200),
)
def test_it_is_a_queue_however_it_grows_and_shrinks(base, steps):
    """None pops, bytes push."""
    lane, slow = Lane(base, Allowance(MIB)), deque()
    for step in steps:
        if step is None:
            assert lane.pop() == (slow.popleft() if slow else None)
        elif step == "shrink":
            lane.shrink()
        else:
            assert lane.push(step)
            slow.append(step)
    assert [lane.pop() for _ in range(len(slow))] == list(slow)
    assert lane.pop() is None and lane.empty


def test_without_an_allowance_it_is_a_ring():
    lane = Lane(256)
    assert [lane.push(bytes([n] * 24)) for n in range(12)] == [True] * 8 + [False] * 4
    assert lane.grown_bytes == 0 and not lane.push(b"x" * 200)
    assert [lane.pop() for _ in range(8)] == [bytes([n] * 24) for n in range(8)]


def test_a_burst_of_thousands_fits_and_what_does_not_is_refused():
    lane = Lane(16 << 10, Allowance(64 * MIB))
    pushed = 0
    while lane.push(INVITE):
        pushed += 1
    assert 5_000 < pushed < 8_000
    assert lane.crowded and lane.grown_bytes <= LANE_BYTES
    assert sum(lane.pop() == INVITE for _ in range(pushed)) == pushed
    assert lane.pop() is None and lane.push(INVITE)


def test_the_largest_datagram_fits_the_smallest_lane():
    lane = Lane(base_bytes(64, 2), Allowance(MIB))
    assert lane.push(b"d" * 65_600) and lane.pop() == b"d" * 65_600


def test_it_grows_from_each_state_of_a_ring():
    """Also when the ring has just turned round, with little room left before its reader."""
    for at in range(0, 4096, 136):
        lane, sent = Lane(4096, Allowance(MIB)), 0
        for _ in range(at // 136):
            assert lane.push(b"-" * 128) and lane.pop()
        for sent in range(100):
            assert lane.push(sent.to_bytes(128, "big")), (at, sent)
        assert [int.from_bytes(lane.pop(), "big") for _ in range(100)] == list(range(100))


def test_an_idle_lane_gives_back_what_a_burst_took():
    allowance = Allowance(64 * MIB)
    lane = Lane(16 << 10, allowance)
    for _ in range(4_000):
        assert lane.push(INVITE)
    before = resident_kib()
    while lane.pop():
        pass
    lane.shrink()
    assert not lane.empty  # a ring is to be left
    assert lane.pop() is None and lane.empty
    assert (lane.grown_bytes, allowance.used_bytes) == (0, 0)
    assert resident_kib() < before - 3_000


def test_a_large_ring_in_use_is_kept():
    lane = Lane(64, Allowance(MIB))
    assert lane.push(b"x" * 200)
    grown = lane.grown_bytes
    lane.shrink()
    assert lane.grown_bytes == grown > 0 and lane.pop() == b"x" * 200


def test_all_lanes_together_stay_within_their_allowance():
    allowance = Allowance(MIB)
    lanes = [Lane(4096, allowance) for _ in range(8)]
    for lane in lanes:
        while lane.push(INVITE):
            pass
    assert allowance.used_bytes == sum(lane.grown_bytes for lane in lanes) <= MIB
    assert all(lane.crowded for lane in lanes)
    for lane in lanes:
        while lane.pop():
            pass
        lane.shrink()
        assert lane.pop() is None
    assert allowance.used_bytes == 0


def test_what_64_shards_reserve_and_touch():
    """Every lane in use, never with more than one datagram in it; and the most that they may grow to."""
    shards, listeners, page = 64, 16, 4096
    each = lanes_each(shards, listeners)
    count, base = shards * (shards - 1) * each, base_bytes(shards, each)
    assert count * (base + page) + GROWN_BYTES < 256 * MIB
    before = resident_kib()
    allowance = Allowance(GROWN_BYTES)
    lanes = [Lane(base, allowance) for _ in range(count)]
    for lane in lanes:
        for _ in range(2 * base // len(INVITE)):
            assert lane.push(INVITE) and lane.pop()
    assert allowance.used_bytes == 0
    assert resident_kib() - before < 128 << 10


@pytest.mark.parametrize("listeners", [1, 2, 16])
@pytest.mark.parametrize("shards", [2, 3, 4, 8, 16, 32, 33, 64])
def test_lanes_of_each_number_of_shards_stay_small(shards, listeners):
    each = lanes_each(shards, listeners)
    count, base = shards * (shards - 1) * each, base_bytes(shards, each)
    assert 1 <= each <= listeners and count * (base + 4096) + GROWN_BYTES < 256 * MIB
    assert Lane(base, Allowance(MIB)).empty


@pytest.mark.parametrize("size", [0, 32, 63, 65, 100, 8 << 20])
def test_sizes_that_are_no_lane(size):
    with pytest.raises(ValueError, match="power of two"):
        Lane(size)


@pytest.mark.parametrize(
    "size, longest, count, grows",
    [
        (256, 100, 40_000, False),
        (4096, 500, 60_000, False),
        (1 << 20, 4000, 30_000, False),
        (64, 24, 40_000, False),
        (64, 24, 40_000, True),
        (256, 2000, 40_000, True),
        (4096, 70_000, 2_000, True),
    ],
)
def test_two_threads_lose_nothing_and_no_wake_up(event_fd, size, longest, count, grows):
    """The consumer gives up, and the test fails, when a wake-up does not come."""
    allowance = Allowance(16 * MIB) if grows else None
    lane, sleeper = Lane(size, allowance), Sleeper(event_fd)
    pushed = []
    producer = threading.Thread(target=lambda: pushed.append(stress_produce(lane, sleeper, count, longest)))
    producer.start()
    tally = stress_consume(lane, sleeper, count, longest)
    producer.join(timeout=60)
    assert pushed == [count]
    assert (tally["popped"], tally["wrong"]) == (count, 0)
    assert lane.pop() is None and lane.empty
    assert tally["sleeps"] > 0
    # At most one write for each falling asleep, and each one is accounted for.
    assert sleeper.wakes <= tally["falls"]
    assert sleeper.wakes == tally["wakes"] + written(event_fd)
    lane.shrink()
    lane.pop()
    assert lane.grown_bytes == 0 and (allowance is None or allowance.used_bytes == 0)


def test_the_judge_of_the_stress_sees_a_foreign_record(event_fd):
    lane, sleeper = Lane(4096), Sleeper(event_fd)
    assert stress_produce(lane, sleeper, 1, 64, patience=1) == 1
    assert lane.push(b"not a numbered record")
    tally = stress_consume(lane, sleeper, 5, 64)
    assert (tally["popped"], tally["wrong"], tally["falls"]) == (2, 1, 0)


def test_the_stress_notices_a_wake_up_that_never_comes(event_fd):
    lane, sleeper = Lane(4096), Sleeper(event_fd)
    tally = stress_consume(lane, sleeper, 1, 64, timeout_ms=1)
    assert (tally["popped"], tally["sleeps"], tally["wakes"]) == (0, 1, 0)
