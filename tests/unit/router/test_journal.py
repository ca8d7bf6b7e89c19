"""router.journal: changes are written beside the loop, what does not fit is counted, and a disk that hangs is left."""

import asyncio
import threading
import types

import pytest

from fastsip.dispatcher.history import Change, read
from fastsip.events import beside
from fastsip.events.file import EventFile
from fastsip.events.follow import Follower
from fastsip.router import journal
from fastsip.router.journal import Journal

LIMIT_S = 10


def change(number: int) -> Change:
    return Change(at=float(number), id="m/a", now="up", by="probe", code=200)


def journal_in(place) -> Journal:
    """Of a router whose folders are this one; the destination m/a is in the set m."""
    EventFile(place).begin()
    router = types.SimpleNamespace(state_dir=str(place), run_dir=str(place), name="edge1")
    group = types.SimpleNamespace(name="m", destinations=[types.SimpleNamespace(id="m/a", uri="sip:192.0.2.1")])
    config = types.SimpleNamespace(router=router, sets=[group])
    return Journal(lambda: config)


async def test_all_is_written_until_the_end(scratch):
    one = journal_in(scratch)
    for number in range(50):
        one.note(change(number))
        await asyncio.sleep(0)
    await one.close()
    assert [each.at for each in read(scratch)] == list(range(50)) and one.beside.lost == 0


async def test_who_ordered_it_and_why(scratch):
    one = journal_in(scratch)
    one.note_admin([("m/a", "draining"), ("m/b", "draining")], "operator", "because")
    one.note_admin([("m/b", "disabled")], "configuration")
    await one.close()
    assert [(each.id, each.now, each.by, each.why) for each in read(scratch)] == [
        ("m/a", "draining", "operator", "because"), ("m/b", "draining", "operator", "because"),
        ("m/b", "disabled", "configuration", "")]


async def test_who_follows_hears_of_it_with_where_it_stands(scratch):
    one = journal_in(scratch)
    one.note(change(7))
    one.note_admin([("m/gone", "disabled")], "configuration")
    await one.close()
    up, disabled = Follower(scratch).read()
    up.pop("id")
    assert up == {"at": 7.0, "event": "destination.up", "node": "edge1", "destination": "m/a", "uri": "sip:192.0.2.1",
                  "set": "m", "state": "up", "cause": "probe", "code": 200}
    assert (disabled["event"], disabled["destination"]) == ("destination.disabled", "m/gone") and "uri" not in disabled


@pytest.fixture
def hanging(monkeypatch):
    """A disk that takes nothing before the end of the test."""
    free = threading.Event()
    monkeypatch.setattr(journal.History, "append", lambda self, changes: free.wait(LIMIT_S))
    yield free
    free.set()


async def test_a_disk_that_hangs_keeps_nobody(scratch, hanging, monkeypatch):
    monkeypatch.setattr(beside, "CLOSE_LIMIT_S", 0.01)
    monkeypatch.setattr(beside, "MOST_WAITING", 5)
    one = journal_in(scratch)
    one.note(change(0))
    while one.beside.waiting:
        await asyncio.sleep(0)
    for number in range(7):
        one.note(change(number))
    assert (len(one.beside.waiting), one.beside.lost) == (5, 2)
    async with asyncio.timeout(LIMIT_S):
        await one.close()


async def test_a_full_disk_is_said_and_the_next_change_is_tried(scratch, monkeypatch, caplog):
    caplog.set_level("INFO")
    full, written = [OSError(28, "No space left on device")], []

    def append(self, changes):
        if full:
            raise full.pop()
        written.extend(changes)    # before the batch is emptied

    monkeypatch.setattr(journal.History, "append", append)
    one = journal_in(scratch)
    one.note(change(1))
    while one.beside.underway:
        await asyncio.sleep(0)
    one.note(change(2))
    await one.close()
    assert written == [change(2)] and one.beside.lost == 1 and "not written down" in caplog.text
