"""A look that is renewed: over another router, over a supervisor that goes, and to its end."""

import asyncio
import errno
import time
from collections.abc import AsyncIterator

import pytest

from fastsip._core.state.mirror_ring import KIND_RECEIVED, MirrorRing
from fastsip.api.socket import NotRunning, Refused, Server
from fastsip.base.run_dir import mirror_file
from fastsip.trace import watch
from fastsip.trace.watch import Watch


class Supervisor:
    """Answers `look` and `status` on a real control.sock; `why` refuses looks.  looks: their seconds."""

    def __init__(self, run_dir):
        self.run_dir, self.router, self.why = str(run_dir), 7, ""
        self.looks: list[tuple[dict, float]] = []
        self.server = Server(self.run_dir, {"look": self.look, "status": self.status})

    async def look(self, _, asked) -> AsyncIterator[dict]:
        if self.why:
            raise Refused(self.why)
        self.looks.append((asked["filter"], asked["seconds"]))
        yield {"done": "looking"}

    async def status(self, *_) -> AsyncIterator[dict]:
        yield {"done": "status", "router": self.router}

    async def renewed(self) -> None:
        """Twice more: the first may have been under way.  The test's own limit ends it."""
        wanted = len(self.looks) + 2
        while len(self.looks) < wanted:
            await asyncio.sleep(0.01)


@pytest.fixture
def place(scratch, monkeypatch):
    monkeypatch.setattr(watch, "RENEW_S", 0.01)
    return scratch


async def notes_of(one: Watch) -> list[str]:
    while not (found := one.take_notes()):
        await asyncio.sleep(0.01)
    return found


async def test_it_is_renewed_says_who_took_over_and_is_given_up_at_the_end(place):
    there = Supervisor(place)
    await there.server.start()
    one = await asyncio.to_thread(Watch, str(place), call_id="a@b")
    await there.renewed()
    assert {tuple(looked.items()) for looked, _ in there.looks} == {(("call_id", "a@b"),)}
    assert one.take_notes() == [] and one.read() == []
    there.router = None     # nobody routes just now
    await there.renewed()
    there.router = 8
    assert await notes_of(one) == ["another router (pid 8) has taken over; the trace goes on"]
    await asyncio.to_thread(one.close)
    assert there.looks[-1][1] == 0 and all(seconds > 0 for _, seconds in there.looks[:-1])
    await there.server.close()


async def test_what_is_shown_is_read_and_a_refusal_that_passes_ends_nothing(place):
    there = Supervisor(place)
    await there.server.start()
    one = await asyncio.to_thread(Watch, str(place), share=1.0)
    mirror_file(place, 0).parent.mkdir()
    MirrorRing(str(mirror_file(place, 0)), 0).put(KIND_RECEIVED, time.time_ns(), b"INVITE")
    assert [seen.message for seen in one.read()] == [b"INVITE"] and one.lost == 0
    there.why = "a router is just starting; ask again"
    assert await notes_of(one) == ["nothing is shown now: a router is just starting; ask again"]
    there.why = ""
    await there.renewed()
    assert one.read() == [] and one.take_notes() == []
    await asyncio.to_thread(one.close)
    await there.server.close()


@pytest.mark.parametrize("gone", [True, False])
async def test_when_nothing_is_shown_for_long_it_says_why(place, monkeypatch, gone):
    monkeypatch.setattr(watch, "PATIENCE_S", 0.0)
    there = Supervisor(place)
    await there.server.start()
    one = await asyncio.to_thread(Watch, str(place), share=0.5)
    if gone:
        await there.server.close()
    there.why = "8 look already"
    with pytest.raises(NotRunning if gone else Refused, match="no router runs" if gone else "8 look already"):
        while True:
            one.read()
            await asyncio.sleep(0.01)
    await asyncio.to_thread(one.close)
    await there.server.close()


@pytest.mark.parametrize("fails", [KeyError("router"), ZeroDivisionError(), MemoryError()])
async def test_what_nobody_thought_of_is_raised_where_it_is_read(place, monkeypatch, fails):
    there = Supervisor(place)
    await there.server.start()
    one = await asyncio.to_thread(Watch, str(place), share=0.5)

    def fail():
        raise fails

    monkeypatch.setattr(one._look, "renew", fail)
    with pytest.raises(type(fails)):
        while True:
            one.read()
            await asyncio.sleep(0.01)
    await asyncio.to_thread(one.close)
    await there.server.close()


async def test_a_machine_that_has_no_descriptor_just_now_is_waited_for(place, monkeypatch):
    there = Supervisor(place)
    await there.server.start()
    one = await asyncio.to_thread(Watch, str(place), share=0.5)
    renew = one._look.renew

    def fail():
        monkeypatch.setattr(one._look, "renew", renew)
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(one._look, "renew", fail)
    assert await notes_of(one) == ["nothing is shown now: Too many open files"]
    await there.renewed()
    assert one.read() == [] and one.take_notes() == []
    await asyncio.to_thread(one.close)
    await there.server.close()


async def test_who_is_refused_at_the_beginning_has_nothing_open(place):
    there = Supervisor(place)
    await there.server.start()
    there.why = "8 look already"
    with pytest.raises(Refused, match="8 look already"):
        await asyncio.to_thread(Watch, str(place), share=1.0)
    await there.server.close()
    with pytest.raises(NotRunning):
        await asyncio.to_thread(Watch, str(place), share=1.0)
