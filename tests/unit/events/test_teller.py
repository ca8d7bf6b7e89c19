"""events.teller: what is told is in the record, in order, and what is lost is counted and said there."""

import asyncio
import os
import threading

import pytest

from fastsip.events import beside, file, teller
from fastsip.events.file import EventFile
from fastsip.events.follow import Follower
from fastsip.events.teller import Teller

LIMIT_S = 10


@pytest.fixture
def one(scratch):
    EventFile(scratch).begin()
    return Teller(scratch, lambda: "edge1")


def told(scratch) -> list[dict]:
    return [{name: value for name, value in event.items() if name not in ("id", "at")}
            for event in Follower(scratch).read()]


async def test_all_is_told_in_order_and_what_says_nothing_is_left_out(scratch, one):
    one.tell("source.failed", at=7.0, source="db", origin="", why="x")
    for number in range(50):
        one.tell("router.drained", open=number)
        await asyncio.sleep(0)
    await one.close()
    events = told(scratch)
    assert events[0] == {"event": "source.failed", "node": "edge1", "source": "db", "why": "x"}
    assert [event["open"] for event in events[1:]] == list(range(50)) and one.beside.lost == 0
    assert Follower(scratch).read()[0]["at"] == 7.0


def test_an_event_or_a_field_that_is_not_in_the_table_is_a_fault(one):
    for event, fields in (("router.dances", {}), ("router.started", {"destination": "a"})):
        with pytest.raises((KeyError, AssertionError)):
            one.tell(event, **fields)


async def test_what_finds_no_room_is_counted_and_told_first(scratch, one, monkeypatch):
    monkeypatch.setattr(beside, "MOST_WAITING", 3)
    free, append = threading.Event(), one.file.append
    monkeypatch.setattr(one.file, "append", lambda lines: free.wait(LIMIT_S) and append(lines))
    one.tell("router.drained", open=0)
    while one.beside.waiting:
        await asyncio.sleep(0)
    for number in range(1, 6):
        one.tell("router.drained", open=number)
    assert one.beside.lost == 2
    free.set()
    await one.close()
    assert [event.get("open", event.get("count")) for event in told(scratch)] == [0, 2, 1, 2, 3]


async def test_what_a_full_disk_does_not_take_is_told_when_it_does(scratch, one, monkeypatch, caplog):
    caplog.set_level("INFO")
    monkeypatch.setattr(file, "FULL_BYTES", one.file.place.stat().st_size + 100)
    for number in range(3):
        one.tell("router.drained", open=number)
    await one.settle()
    assert "events are not written down" in caplog.text and one.beside.lost == 2
    monkeypatch.undo()
    one.tell("router.drained", open=3)
    await one.close()
    assert [event.get("open", event.get("count")) for event in told(scratch)] == [0, 2, 3]


async def test_without_a_record_nothing_is_kept_waiting(scratch, one, monkeypatch):
    monkeypatch.setattr(file, "LOCK_LIMIT_S", 0.0)
    os.unlink(one.file.place)
    one.tell("router.resumed")
    await one.settle()
    one.file.begin()
    one.tell("router.resumed")
    await one.close()
    assert [event["event"] for event in told(scratch)] == ["events.lost", "router.resumed"]
    assert teller.LOST == "events.lost"
