"""supervisor.telling: the record goes on, and the desk that tells webhooks is there and knows what it is to tell."""

import asyncio
import os
import types

import pytest

from fastsip.config.model import Otel, Webhook
from fastsip.events import file
from fastsip.events.counts import Counts, write_counts
from fastsip.events.follow import Follower, position_at_end
from fastsip.events.teller import Teller
from fastsip.process import messages
from fastsip.process.line import read_memory_file
from fastsip.process.webhooks import Webhooks, unpack
from fastsip.supervisor import telling
from fastsip.supervisor.telling import Telling


class Desk:
    """One that is told, and may die."""

    def __init__(self, now: float):
        self.began, self.status, self.told = now, None, list[Webhooks]()
        self.line = self

    def send(self, message, fds):
        assert message == messages.TellWebhooks()
        self.told.append(unpack(read_memory_file(os.dup(fds[0]))))


def hook(name: str) -> Webhook:
    return Webhook(name=name, url="http://h/", events=("*",), secret="", timeout_ms=100, headers=())


@pytest.fixture
def here(scratch, monkeypatch):
    """A supervisor with the desks that it started."""
    one = types.SimpleNamespace(desk=None, stopping=False, replacing=False, desks=[], events_since=0, now=1000.0)
    router = types.SimpleNamespace(run_dir=str(scratch), state_dir=str(scratch), name="edge1")
    one.config = types.SimpleNamespace(router=router, webhooks=(), otel=None)
    one.events = Teller(scratch, lambda: "edge1")
    telling.begin(one)

    def start(_):
        one.desk = Desk(one.now)
        one.desks.append(one.desk)

    monkeypatch.setattr(telling.desks, "running", start)
    monkeypatch.setattr(telling, "time", types.SimpleNamespace(monotonic=lambda: one.now))
    return one


async def test_who_has_no_webhooks_has_no_desk_for_them(here):
    await Telling(here).look()
    assert here.desks == []


async def test_it_is_told_once_and_again_when_anything_changes(here):
    one = Telling(here)
    here.config.webhooks = (hook("a"),)
    for _ in range(3):
        await one.look()
    (desk,) = here.desks
    assert [(order.since, [each.name for each in order.webhooks]) for order in desk.told] == [
        ({"a": here.events_since}, ["a"])]
    here.events.tell("router.resumed")
    await here.events.settle()
    here.config.webhooks = (hook("a"), hook("b"))
    await one.look()
    assert desk.told[-1].since == {"a": here.events_since, "b": here.events_since + 1}
    here.config.router.name = "edge2"
    await one.look()
    assert desk.told[-1].node == "edge2"
    here.config.webhooks = ()
    for _ in range(3):
        await one.look()
    assert [len(order.webhooks) for order in desk.told] == [1, 2, 2, 0] and len(here.desks) == 1


async def test_one_that_dies_is_replaced_after_a_pause_that_grows(here):
    one, pauses = Telling(here), []
    here.config.webhooks = (hook("a"),)
    await one.look()
    for _ in range(8):
        here.desk.status, count, died = -9, len(here.desks), here.now
        while len(here.desks) == count:
            await one.look()
            here.now += 0.5
        pauses.append(here.now - 0.5 - died)
    assert pauses == [1, 2, 4, 8, 16, 30, 30, 30]
    here.now += telling.SHORT_LIFE_S
    here.desk.status = 1
    await one.look()
    assert here.desk.status is None and here.desk.told[0].since == {"a": here.events_since}


async def test_spans_alone_want_a_desk_and_their_loss_is_said(here, caplog):
    one = Telling(here)
    here.config.otel = Otel(endpoint="http://h/x", sample=0.5, service="edge", timeout_ms=100, headers=())
    await one.look()
    (desk,) = here.desks
    assert [(order.otel.sample, order.webhooks) for order in desk.told] == [(0.5, ())]
    desk.status = -9
    await one.look()
    assert "spans of calls in progress" in caplog.records[-1].fields["lost"]
    here.now += 1.0
    await one.look()
    here.config.otel = None
    await one.look()
    assert [order.otel is None for order in here.desks[1].told] == [False, True]


async def test_who_leaves_starts_nobody(here):
    here.config.webhooks, here.stopping = (hook("a"),), True
    await Telling(here).look()
    assert here.desks == []


async def test_the_record_goes_on_in_another_file_and_comes_back(here, scratch, monkeypatch):
    one, follower = Telling(here), Follower(scratch)
    here.events.tell("router.resumed")
    await here.events.settle()
    await one.keep_record()
    assert not here.events.file.before.exists()
    monkeypatch.setattr(file, "MOST_BYTES", 1)
    await one.keep_record()
    assert here.events.file.before.exists()
    here.events.tell("router.resumed")
    await here.events.settle()
    assert len(follower.read()) == 1 and len(follower.read()) == 1
    here.events.file.place.unlink()
    await one.keep_record()
    assert position_at_end(scratch).number > 0


async def test_a_record_that_cannot_be_kept_is_said_and_ends_nothing(here, monkeypatch, caplog):
    caplog.set_level("INFO")
    monkeypatch.setattr(file, "LOCK_LIMIT_S", 0.0)
    here.events.file.place.unlink()
    here.events.file.place.mkdir()
    await Telling(here).keep_record()
    assert "the record of events is not kept" in caplog.text
    telling.begin(here)
    assert "events are not written down" in caplog.text


def test_what_was_counted_is_shown_of_those_that_there_are(here, scratch):
    assert telling.counted(here) == []
    here.config.webhooks = (hook("a"), hook("b"))
    write_counts(scratch, {"b": Counts(sent=2, why="x"), "gone": Counts()})
    empty = {"sent": 0, "failed": 0, "dropped": 0, "waiting": 0, "why": ""}
    assert telling.counted(here) == [{"name": "a", **empty}, {"name": "b", **empty, "sent": 2, "why": "x"}]


async def test_whatever_fails_is_tried_again(here, monkeypatch, caplog):
    looks = []

    async def look(self):
        looks.append(1)
        raise RuntimeError("a fault")

    monkeypatch.setattr(telling, "LOOK_S", 0.001)
    monkeypatch.setattr(Telling, "look", look)
    task = asyncio.create_task(telling.watch(here))
    while len(looks) < 3:
        await asyncio.sleep(0.001)
    task.cancel()
    await asyncio.wait((task,))
    assert "by a fault of fastsip" in caplog.text
