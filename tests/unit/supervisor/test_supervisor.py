"""fastsip.supervisor: what is held against whom when a router dies, without a process."""

import asyncio
import inspect
import json
import os
import re
import signal
import socket
import sys
import types

import pytest

from fastsip.api.socket import STOPPED, Refused
from fastsip.events.teller import Teller
from fastsip.process.marks import Marks
from fastsip.process.quarantine import Deaths, read_quarantine
from fastsip.supervisor import changes, state, upgrade, watching
from fastsip.supervisor.changes import read_file
from fastsip.supervisor.door import Door
from fastsip.supervisor.known_names import KnownNames
from fastsip.supervisor.orders import Orders
from fastsip.supervisor.state import StartError, State
from fastsip.supervisor.supervisor import Supervisor
from fastsip.supervisor.watch import Watch
from tests.unit.process.test_quarantine import DATAGRAM, SLOT, write_mark

PATIENCE = 3
SHARDS = 2


class Router:
    """One that dies at once of any signal, and says so."""

    pid, began, status, killed = 1, 0.0, None, False

    def kill(self, number=signal.SIGKILL):
        if self.status is None:
            self.killed, self.status = True, -number

    def show_stacks(self):
        pass

    async def hear(self, *_):
        return None

    async def bury(self, patience_s):
        self.kill()


@pytest.fixture
def here(tmp_path):
    one = State.__new__(State)
    router = types.SimpleNamespace(state_dir=str(tmp_path), shards=SHARDS)
    one.config = types.SimpleNamespace(router=router)
    one.notifier = types.SimpleNamespace(watchdog_s=0)
    one.events = Teller(str(tmp_path), lambda: "edge1")
    one.marks, one.deaths, one.drop = Marks(str(tmp_path)), Deaths(), []
    one.hung_at, one.seen_at, one.slow_loop, one.short_lives = [], {}, False, 0
    one.server, one.desk, one.desk_wish, one.visitors = None, None, asyncio.Event(), []
    one.door, one.config.api = Door(), None
    return one


async def hang(here, stands: set[int], at: dict[int, bytes]) -> None:
    """A router in which these stand still (0 = the loop) until it is ended; its shards are at these datagrams."""
    router, watch = Router(), Watch(PATIENCE, PATIENCE)
    for look in range(2 * PATIENCE):
        for shard, content in at.items():
            write_mark(here.marks, shard, DATAGRAM, content=content, beats=0 if 1 + shard in stands else look)
        here.marks.page(0)[0] = 0 if 0 in stands else look
        if router.status is None:
            await watching.look_after(here, router, watch, due=True)
    assert router.status == -signal.SIGABRT
    watching.note_death(here, router)
    here.marks.clear()


def kept(tmp_path) -> int:
    return len(read_quarantine(str(tmp_path)))


async def test_a_hang_of_the_loop_is_no_datagrams_fault(here, tmp_path):
    for _ in range(4):
        await hang(here, {0}, {0: b"innocent", 1: b"as well"})
    assert kept(tmp_path) == 0


async def test_of_a_hang_only_what_the_shard_stood_at_is_put_aside(here, tmp_path):
    for _ in range(2):
        await hang(here, {1}, {0: b"guilty", 1: b"innocent"})
    (found,) = (tmp_path / "quarantine").iterdir()
    assert found.read_bytes() == b"guilty"


async def test_what_passes_by_a_busy_shard_is_not_what_it_stood_at(here, tmp_path):
    """Its count stood still for a moment; at the next look it was at something else."""
    router, watch = Router(), Watch(PATIENCE, PATIENCE)
    for look in range(PATIENCE + 1):
        write_mark(here.marks, 0, DATAGRAM, content=b"number %d" % look)
        write_mark(here.marks, 1, DATAGRAM, content=b"stands", beats=0)
        if router.status is None:
            await watching.look_after(here, router, watch, due=True)
    assert [mark.datagram for mark in here.hung_at] == [b"stands"]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_whom_we_kill_has_died_of_nothing(here, tmp_path, number):
    """It did not leave in time, or was not wanted any more: its shards were at something, as always."""
    for _ in range(4):
        router = Router()
        write_mark(here.marks, 0, DATAGRAM, content=b"innocent")
        write_mark(here.marks, 1, SLOT, ref=7, generation=1)
        router.kill(number)
        watching.note_death(here, router)
    assert kept(tmp_path) == 0 and here.drop == []


async def test_an_own_death_after_one_by_us_counts_for_itself(here, tmp_path):
    """What the one before had stood at is not asked again."""
    await hang(here, {1}, {0: b"stood at"})
    for _ in range(2):
        router = Router()
        router.status = -signal.SIGSEGV
        write_mark(here.marks, 0, DATAGRAM, content=b"guilty")
        watching.note_death(here, router)
    (found,) = (tmp_path / "quarantine").iterdir()
    assert found.read_bytes() == b"guilty"


def test_the_table_of_states_names_what_is_there():
    found = re.findall(r"^    (\w+) {2,}", state.__doc__.partition("What attributes mean")[2], re.M)
    assert found[:2] == ["attribute", "router"] and len(found) > 8
    assert set(found[1:]) <= set(re.findall(r"self\.(\w+)\b", inspect.getsource(State.__init__)))


def test_a_reload_does_not_wait_for_a_pipe(tmp_path):
    """Nor would all that come after it."""
    os.mkfifo(tmp_path / "config.toml")
    with pytest.raises(StartError, match="is a pipe"):
        read_file(str(tmp_path / "config.toml"))


# ---------------------------------------------------------------- orders at the end of all


class Asker:
    """A client of which a descriptor is kept; `heard` is what was said over it."""

    def __init__(self):
        self.ours, self.theirs = socket.socketpair()

    def keep(self) -> int:
        return os.dup(self.theirs.fileno())

    def heard(self) -> bytes:
        self.theirs.close()
        with self.ours:
            return self.ours.makefile("rb").read()


async def refused(here, asker) -> str:
    with pytest.raises(Refused) as found:
        async for _ in Orders(Supervisor(here)).upgrade(asker, {}):
            pass
    return str(found.value)


@pytest.fixture
def upgradable(here, monkeypatch):
    async def nothing(file):
        return ""

    monkeypatch.setattr(upgrade, "objection", nothing)
    monkeypatch.setattr(upgrade, "replace", lambda state: pytest.fail("another program goes on"))
    here.config.file, here.busy = "c.toml", asyncio.Lock()
    here.spare = here.router = here.desk = None
    here.stopping = here.draining = False
    return here


async def test_an_upgrade_between_two_routers_is_refused_in_words(upgradable):
    asker = Asker()
    assert await refused(upgradable, asker) == "a router is just starting; ask again\nthe old code runs on"
    assert asker.heard() == b""


async def test_who_was_told_to_stop_does_not_go_on_as_another_program(upgradable):
    """It would know nothing of that order."""
    asker = Asker()
    upgradable.router, upgradable.stopping = Router(), True
    assert await refused(upgradable, asker) == STOPPED
    assert asker.heard() == b""


@pytest.mark.parametrize("where", ["busy", "taking over"])
async def test_a_client_from_before_an_upgrade_hears_of_the_end(upgradable, monkeypatch, where):
    reached, asker = asyncio.Event(), Asker()

    async def take_over(here, config, text, cause):
        reached.set()
        await asyncio.Event().wait()

    upgradable.config.sources = upgradable.config.listeners = upgradable.config.sets = ()
    upgradable.names = KnownNames({})
    monkeypatch.setattr(changes, "read_change", lambda before, answers: (before, ""))
    monkeypatch.setattr(changes.databases, "with_away", lambda here, config: config)
    monkeypatch.setattr(changes, "take_over", take_over)
    if where == "busy":
        await upgradable.busy.acquire()
        reached.set()
    task = asyncio.create_task(changes.finish_upgrade(upgradable, asker.keep()))
    await asyncio.wait_for(reached.wait(), 10)
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert json.loads(asker.heard()) == {"error": STOPPED}


async def test_what_the_new_code_objects_to_has_its_prefix_once(monkeypatch, tmp_path):
    """The client puts its own before it."""
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    (tmp_path / "python").write_text("#!/bin/sh\necho 'fastsip: a kernel is not built' >&2; exit 1\n")
    (tmp_path / "python").chmod(0o755)
    assert await upgrade.objection("c.toml") == "a kernel is not built"
