"""fastsip.supervisor: what is held against whom when a router dies, without a process."""

import os
import signal
import types

import pytest

from fastsip.changes import StartError, read_file
from fastsip.quarantine import Deaths, Marks, read_quarantine
from fastsip.supervisor import Supervisor
from fastsip.watch import Watch
from tests.unit.test_quarantine import DATAGRAM, SLOT, write_mark

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


@pytest.fixture
def supervisor(tmp_path):
    one = Supervisor.__new__(Supervisor)
    router = types.SimpleNamespace(state_dir=str(tmp_path), shards=SHARDS)
    one.config = types.SimpleNamespace(router=router)
    one.notifier = types.SimpleNamespace(watchdog_s=0)
    one.marks, one.deaths, one.drop = Marks(str(tmp_path)), Deaths(), []
    one.hung_at, one.seen_at, one.slow_loop, one.short_lives = [], {}, False, 0
    return one


async def hang(supervisor, stands: set[int], at: dict[int, bytes]) -> None:
    """A router in which these stand still (0 = the loop) until it is ended; its shards are at these datagrams."""
    router, watch = Router(), Watch(PATIENCE, PATIENCE)
    for look in range(2 * PATIENCE):
        for shard, content in at.items():
            write_mark(supervisor.marks, shard, DATAGRAM, content=content, beats=0 if 1 + shard in stands else look)
        supervisor.marks.page(0)[0] = 0 if 0 in stands else look
        if router.status is None:
            await supervisor.look_after(router, watch, due=True)
    assert router.status == -signal.SIGABRT
    supervisor.note_death(router)
    supervisor.marks.clear()


def kept(tmp_path) -> int:
    return len(read_quarantine(str(tmp_path)))


async def test_a_hang_of_the_loop_is_no_datagrams_fault(supervisor, tmp_path):
    for _ in range(4):
        await hang(supervisor, {0}, {0: b"innocent", 1: b"as well"})
    assert kept(tmp_path) == 0


async def test_of_a_hang_only_what_the_shard_stood_at_is_put_aside(supervisor, tmp_path):
    for _ in range(2):
        await hang(supervisor, {1}, {0: b"guilty", 1: b"innocent"})
    (found,) = (tmp_path / "quarantine").iterdir()
    assert found.read_bytes() == b"guilty"


async def test_what_passes_by_a_busy_shard_is_not_what_it_stood_at(supervisor, tmp_path):
    """Its count stood still for a moment; at the next look it was at something else."""
    router, watch = Router(), Watch(PATIENCE, PATIENCE)
    for look in range(PATIENCE + 1):
        write_mark(supervisor.marks, 0, DATAGRAM, content=b"number %d" % look)
        write_mark(supervisor.marks, 1, DATAGRAM, content=b"stands", beats=0)
        if router.status is None:
            await supervisor.look_after(router, watch, due=True)
    assert [mark.datagram for mark in supervisor.hung_at] == [b"stands"]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_whom_we_kill_has_died_of_nothing(supervisor, tmp_path, number):
    """It did not leave in time, or was not wanted any more: its shards were at something, as always."""
    for _ in range(4):
        router = Router()
        write_mark(supervisor.marks, 0, DATAGRAM, content=b"innocent")
        write_mark(supervisor.marks, 1, SLOT, ref=7, generation=1)
        router.kill(number)
        supervisor.note_death(router)
    assert kept(tmp_path) == 0 and supervisor.drop == []


async def test_an_own_death_after_one_by_us_counts_for_itself(supervisor, tmp_path):
    """What the one before had stood at is not asked again."""
    await hang(supervisor, {1}, {0: b"stood at"})
    for _ in range(2):
        router = Router()
        router.status = -signal.SIGSEGV
        write_mark(supervisor.marks, 0, DATAGRAM, content=b"guilty")
        supervisor.note_death(router)
    (found,) = (tmp_path / "quarantine").iterdir()
    assert found.read_bytes() == b"guilty"


def test_a_reload_does_not_wait_for_a_pipe(tmp_path):
    """Nor would all that come after it."""
    os.mkfifo(tmp_path / "config.toml")
    with pytest.raises(StartError, match="is a pipe"):
        read_file(str(tmp_path / "config.toml"))
