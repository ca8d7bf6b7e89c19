"""The control plane: however much the shards report, the loop goes round; and what a reload leaves to the collector."""

import asyncio
import gc
import itertools
import os
import subprocess
import sys
import types

import pytest

from fastsip import log
from fastsip.process import messages
from fastsip.process.line import Received
from fastsip.router import control_plane
from fastsip.router.control_plane import CONTROL_NICE, EVENTS_DROPPED, EVENTS_PER_TURN, ControlPlane

TURNS = 50


class Lines(list):
    """As many cells, all of them free."""

    assigned = types.MappingProxyType({})


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

    monkeypatch.setattr(control_plane, "take_events", take)
    monkeypatch.setattr(ControlPlane, "report", report)
    return found


@pytest.fixture
def one(rings):
    made = ControlPlane.__new__(ControlPlane)
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
    one = ControlPlane.__new__(ControlPlane)
    one.router = types.SimpleNamespace(config=None, table=None, cells=Lines(range(10)), registry=None, version=1,
                                       measures=types.SimpleNamespace(follow=lambda assigned: None),
                                       admin_lines=[])
    one.shards = types.SimpleNamespace(switch_to=lambda table: None)
    group = types.SimpleNamespace(destinations=[], names=[])
    walks = []

    def many(*_):
        return types.SimpleNamespace(sets=[group], parts=[[number] for number in range(100_000)],
                                     router=types.SimpleNamespace(state_dir="/nonexistent"))

    monkeypatch.setattr(control_plane, "received_config", many)
    monkeypatch.setattr(control_plane, "release_unnamed", lambda *_: None)
    monkeypatch.setattr(control_plane, "admin_lines", lambda *_: [])
    monkeypatch.setattr(control_plane, "compile_table", many)
    note = lambda phase, info: walks.append(info["generation"])  # noqa: E731
    gc.callbacks.append(note)
    try:
        fresh = one.read(None, [])
        table, *_ = one.build(fresh)
        assert not walks and gc.isenabled()
        assert gc.get_freeze_count() > 200_000 and fresh is not table
    finally:
        gc.callbacks.remove(note)
        gc.unfreeze()


@pytest.mark.parametrize("kind", ["health", "failover", "exhausted"])
def test_an_outage_is_a_few_lines_a_second_of_each_kind(monkeypatch, kind):
    """However many destinations go down, and calls with them; what was left out is said with the next line."""
    monkeypatch.setattr(log.time, "monotonic", lambda: 1000.0)
    lines = []
    monkeypatch.setattr(log.log, "info", lambda event, extra: lines.append((event, extra["fields"])))
    router = types.SimpleNamespace(
        line=None, shards=(), names=None, cells=types.SimpleNamespace(limited=dict, limited_since=lambda _: []),
        config=types.SimpleNamespace(listeners=[], router=types.SimpleNamespace(state_dir="/nonexistent",
                                                                                      run_dir="/nonexistent")),
        registry=types.SimpleNamespace(name=lambda number: ("destination", f"sip:{number}")),
    )  # fmt: skip
    one = ControlPlane(router)
    noted = []
    monkeypatch.setattr(one.journal, "note", noted.append)
    try:
        for number in range(5_000):
            one.report(types.SimpleNamespace(kind=kind, destination_id=number, reason="down", status=503,
                                             call_id=f"{number}@a", after_ms=1, at_ms=1, cause="probe"))  # fmt: skip
        assert 0 < len(lines) <= 20 and {fields["destination"] for _, fields in lines} == {
            f"sip:{number}" for number in range(len(lines))
        }
        monkeypatch.setattr(log.time, "monotonic", lambda: 1001.0)
        one.report(types.SimpleNamespace(kind=kind, destination_id=1, reason="up", status=200, call_id="z@a",
                                         after_ms=1, at_ms=1, cause="probe"))  # fmt: skip
        assert lines[-1][1]["left_out"] == 5_001 - len(lines)
        assert len(noted) == (5_001 if kind == "health" else 0)  # of health, none is left out of the history
    finally:
        one.beside.shutdown()


def test_a_probe_that_fails_is_answered_all_the_same(one):
    """Whoever asked would wait for it."""
    def find(*_):
        raise ZeroDivisionError("nobody thought of this")

    sent = []
    one.line = types.SimpleNamespace(send=sent.append)
    one.router = types.SimpleNamespace(registry=types.SimpleNamespace(find=find),
                                       cells=types.SimpleNamespace(assigned={}))  # fmt: skip
    one.reloads = set()

    async def main():
        one.obey(Received(messages.Probe(ids=["m/a"], limit_s=1, number=5), []))
        await asyncio.gather(*one.reloads)

    asyncio.run(main())
    assert sent == [messages.Failed(why="ZeroDivisionError: nobody thought of this", number=5)]


def test_what_the_shards_had_no_room_for_is_told_once(one, monkeypatch):
    rows = [[0] * 128, [0] * 128]
    one.router, one.dropped = types.SimpleNamespace(stats=types.SimpleNamespace(shards=rows)), 0
    told = []
    tell = lambda event, **fields: told.append((event, fields["count"]))  # noqa: E731
    one.journal = types.SimpleNamespace(events=types.SimpleNamespace(tell=tell))
    for first, second in ((0, 0), (3, 1), (3, 1), (3, 2)):
        rows[0][EVENTS_DROPPED], rows[1][EVENTS_DROPPED] = first, second
        one.note_dropped()
    assert told == [("events.lost", 4), ("events.lost", 1)]


# ---------------------------------------------------------------- a service that is not root's


@pytest.mark.parametrize("nice", [0, 10, 18])
def test_its_thread_steps_back_whatever_the_service_may(nice):
    """Without CAP_SYS_NICE nobody gets nearer to the cores than he was, and a router that tries does not start."""
    program = ("import os; from fastsip.router.control_plane import step_back; "
               "os.setpriority(os.PRIO_PROCESS, 0, {nice}); os.getuid() or os.setuid(65534); "
               "step_back(); print(os.getpriority(os.PRIO_PROCESS, 0))")
    done = subprocess.run([sys.executable, "-c", program.format(nice=nice)], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == (f"{min(nice + CONTROL_NICE, 19)}\n", "")
