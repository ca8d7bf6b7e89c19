"""R1 in figures: forwarding allocates no Python object (docs/core.md#python-stands-still)."""

import gc
import sys

import pytest

from fastsip._core.harness.rig import Rig
from tests.kernels.audit import complaints, live_slots
from tests.kernels.play import play_calls
from tests.protocol.script import make_table

CALLS = 15_000
PER_CALL = 7  # 100, INVITE, 180, 200, ACK, BYE, 200


@pytest.fixture
def rig(scratch):
    return Rig(scratch, *make_table(), 8_000)


def test_forwarded_messages_allocate_nothing(rig):
    """More than 100,000 messages, timers and flushes included, and not one block of the interpreter's."""
    assert play_calls(rig, 2_000) == 2_000 * PER_CALL
    counted = [0, 0]  # made before, so that the counts need no new objects themselves
    gc.collect()
    gc.disable()
    try:
        counted[0] = sys.getallocatedblocks()
        sent = play_calls(rig, CALLS)
        counted[1] = sys.getallocatedblocks()
    finally:
        gc.enable()
    assert sent == CALLS * PER_CALL > 100_000
    # The two numbers that were counted, and `sent`: three int objects.
    assert counted[1] - counted[0] <= 3


def test_played_calls_end(rig):
    """They are whole calls: when their clocks have run out, nothing is left of them."""
    play_calls(rig, 500)
    assert rig.counters()["invites"] == 500
    assert rig.counters()["stray_acks"] == 0
    rig.sent()
    rig.advance(400_000)
    assert live_slots(rig) == []
    assert complaints(rig) == []


def test_slots_and_blocks_come_back(rig):
    """The same store serves any number of calls: what is in use depends on the rate alone."""
    play_calls(rig, 2_000)
    before = rig.workspace.store.in_use()
    play_calls(rig, 6_000)
    after = rig.workspace.store.in_use()
    assert abs(after["slots"] - before["slots"]) <= 8
    assert abs(after["block_bytes"] - before["block_bytes"]) <= 16_384


def test_call_that_is_not_forwarded_is_reported(scratch):
    table, cells = make_table(destinations=1)
    cells.set_admin(0, 2)
    with pytest.raises(RuntimeError, match="call 0 of 10"):
        play_calls(Rig(scratch, table, cells), 10)
