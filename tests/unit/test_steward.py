"""fastsip.steward: however much the shards report, the loop goes round; and what a reload leaves to the collector."""

import asyncio
import gc
import itertools
import os
import types

import pytest

from fastsip import steward
from fastsip.steward import EVENTS_PER_TURN, Steward

TURNS = 50


class Control:
    """The loop's end of the wake-ups."""

    def __init__(self):
        self.said = []

    def wake_up(self):
        self.said.append("awake")

    def fall_asleep(self):
        self.said.append("asleep")


@pytest.fixture
def rings(monkeypatch):
    """What still lies in each of the rings; reported events count up `reported`."""
    found = types.SimpleNamespace(left=[], reported=0)

    def take(ring, most):
        taken = min(most, found.left[ring])
        found.left[ring] -= taken
        return [types.SimpleNamespace(kind="any")] * taken

    def report(self, event):
        found.reported += 1

    monkeypatch.setattr(steward, "take_events", take)
    monkeypatch.setattr(Steward, "report", report)
    return found


@pytest.fixture
def one(rings):
    made = Steward.__new__(Steward)
    fd = os.eventfd(0, os.EFD_NONBLOCK)
    made.shards = types.SimpleNamespace(control_fd=fd, control=Control(), event_rings=[])
    yield made
    os.close(fd)


@pytest.mark.parametrize("shards", [1, 3, 64])
def test_an_outage_leaves_everybody_else_of_the_loop_his_turn(one, rings, shards):
    """All rings are full and stay so: the shards report faster than anybody reads."""
    rings.left, one.shards.event_rings = [10**9] * shards, list(range(shards))
    beats = []

    async def main():
        one.take_events()
        for _ in range(TURNS):
            beats.append(rings.reported)
            await asyncio.sleep(0)

    asyncio.run(main())
    steps = [after - before for before, after in itertools.pairwise(beats)]
    assert max(steps) <= EVENTS_PER_TURN and min(steps) > EVENTS_PER_TURN // 2
    assert "asleep" not in one.shards.control.said
    assert len({10**9 - left for left in rings.left}) == 1  # and no shard before the others


@pytest.mark.parametrize("most", [0, 1, EVENTS_PER_TURN, 10 * EVENTS_PER_TURN + 1])
def test_what_was_reported_is_taken_to_the_end_and_then_it_sleeps(one, rings, most):
    rings.left, one.shards.event_rings = [most, 0, 7], [0, 1, 2]

    async def main():
        one.take_events()
        while any(rings.left):
            await asyncio.sleep(0)
        for _ in range(3):
            await asyncio.sleep(0)

    asyncio.run(main())
    assert rings.reported == most + 7 and one.shards.control.said[-1] == "asleep"


def test_the_collector_does_not_walk_over_what_a_reload_makes(monkeypatch):
    one = Steward.__new__(Steward)
    one.router = types.SimpleNamespace(config=None, cells=range(10), registry=None, version=1)
    one.shards = types.SimpleNamespace(switch_to=lambda table: None)
    group = types.SimpleNamespace(destinations=[])
    walks = []

    def many(*_):
        return types.SimpleNamespace(sets=[group], parts=[[number] for number in range(100_000)])

    monkeypatch.setattr(steward, "received_config", many)
    monkeypatch.setattr(steward, "release_unnamed", lambda *_: None)
    monkeypatch.setattr(steward, "compile_table", many)
    note = lambda phase, info: walks.append(info["generation"])  # noqa: E731
    gc.callbacks.append(note)
    try:
        built = one.build(None)
        assert not walks and gc.isenabled()
        assert gc.get_freeze_count() > 200_000 and len(built) == 2
    finally:
        gc.callbacks.remove(note)
        gc.unfreeze()
