"""fastsip._core.base.ring: order, bounds, wrapping, two mappings, sleep and wake-up; two threads: test_lanes."""

import os
from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastsip._core.base.ring import Ring, Sleeper
from tests.unit.wakes import resident_kib, written

HEADER = 8


def padded(record: bytes) -> int:
    return HEADER + (len(record) + 7) // 8 * 8


class SlowRing:
    """The oracle: the same ring as a list of (position, record)."""

    def __init__(self, size: int) -> None:
        self.size, self.head, self.tail = size, 0, 0
        self.records: deque[tuple[int, bytes]] = deque()

    def push(self, record: bytes) -> bool:
        need = padded(record)
        to_end = self.size - self.head % self.size
        start = self.head if need <= to_end else self.head + to_end
        if need > self.size // 2 or start + need - self.tail > self.size:
            return False
        self.records.append((start + need, record))
        self.head = start + need
        return True

    def pop(self) -> bytes | None:
        if not self.records:
            return None
        self.tail, record = self.records.popleft()
        return record


def test_records_come_out_in_order_and_whole():
    ring = Ring(4096)
    assert ring.empty and ring.pop() is None
    records = [bytes([n]) * n for n in range(60)]
    assert all(ring.push(record) for record in records)
    assert not ring.empty
    assert [ring.pop() for _ in records] == records
    assert ring.pop() is None and ring.dropped == 0


@given(st.sampled_from([64, 128, 256]), st.lists(st.one_of(st.none(), st.binary(max_size=140)), max_size=200))
def test_agrees_with_the_slow_ring(size, steps):
    """None pops; bytes push."""
    ring, slow = Ring(size), SlowRing(size)
    refused = 0
    for step in steps:
        if step is None:
            assert ring.pop() == slow.pop()
        else:
            taken = slow.push(step)
            assert ring.push(step) is taken
            refused += not taken
    assert ring.dropped == refused
    for _ in range(len(slow.records) + 1):
        assert ring.pop() == slow.pop()


@pytest.mark.parametrize("at", range(0, 128, 8))
def test_the_largest_record_fits_an_empty_ring_at_each_position(at):
    """Half of the area, wherever the last record ended; one byte more never."""
    ring = Ring(128)
    for _ in range(at // 8):
        assert ring.push(b"") and ring.pop() == b""
    assert not ring.push(b"y" * 57)
    assert ring.push(b"x" * 56)
    assert ring.pop() == b"x" * 56
    assert ring.dropped == 1


def test_a_ring_that_never_holds_much_touches_little():
    rings = [Ring(8 << 20) for _ in range(12)]
    before = resident_kib()
    for ring in rings:
        for n in range(8_000):
            record = n.to_bytes(4, "big") * 300
            assert ring.push(record) and ring.pop() == record
    assert resident_kib() - before < 12 * 64 + 512


@given(st.lists(st.one_of(st.none(), st.integers(0, 60_000)), max_size=60))
def test_where_it_begins_again_nothing_is_lost(steps):
    """None pops; numbers push as many bytes."""
    ring, slow = Ring(1 << 20), deque()
    for step in steps:
        if step is None:
            assert ring.pop() == (slow.popleft() if slow else None)
        elif ring.push(record := bytes([step & 0xFF]) * step):
            slow.append(record)
        else:
            assert sum(map(padded, slow)) > 1 << 18
    assert [ring.pop() for _ in range(len(slow))] == list(slow)


def test_a_full_ring_drops_and_counts_and_goes_on():
    ring = Ring(256)
    taken = [ring.push(bytes([n] * 24)) for n in range(12)]
    assert taken == [True] * 8 + [False] * 4
    assert ring.dropped == 4
    assert ring.pop() == bytes(24)
    assert ring.push(b"z" * 24)
    assert [ring.pop() for _ in range(8)] == [bytes([n] * 24) for n in range(1, 8)] + [b"z" * 24]


def test_two_mappings_of_one_file_see_one_ring():
    fd = os.memfd_create("ring")
    try:
        os.ftruncate(fd, Ring.file_bytes(1024))
        writer = Ring(1024, fd)
        reader = Ring(1024, fd, attach=True)
        for n in range(200):  # wraps many times
            record = bytes([n]) * (n % 100)
            assert writer.push(record)
            assert reader.pop() == record
        with pytest.raises(ValueError, match="1024"):
            Ring(512, fd, attach=True)
    finally:
        os.close(fd)


def test_a_forked_child_reads_what_the_parent_pushes():
    ring = Ring(1024)
    assert ring.push(b"from the parent")
    child = os.fork()
    if child == 0:
        os._exit(0 if ring.pop() == b"from the parent" and ring.push(b"from the child") else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert ring.pop() == b"from the child"


@pytest.mark.parametrize("size", [0, 32, 63, 65, 100, 2**31])
def test_sizes_that_are_no_ring(size):
    with pytest.raises(ValueError, match="power of two"):
        Ring(size)


def test_attach_needs_a_file():
    with pytest.raises(ValueError, match="file"):
        Ring(64, attach=True)


def test_only_a_sleeper_is_woken_and_only_once(event_fd):
    sleeper = Sleeper(event_fd)
    assert not sleeper.wake()
    assert written(event_fd) == 0
    sleeper.fall_asleep()
    assert sleeper.wake()
    assert not sleeper.wake()
    assert written(event_fd) == 1
    sleeper.fall_asleep()
    sleeper.wake_up()
    assert not sleeper.wake()
    assert written(event_fd) == 0
    assert sleeper.wakes == 1
