"""An exception at each await of the supervisor, one after the other: whoever has given an order hears one last word,
the supervisor goes on, and no process, descriptor or task is left over.

The awaits are found by leading the coroutines by hand until they end without having been struck.  Routers are played
in the same loop: a process that does nothing, and a line over which everything is answered at once.
"""

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import sys
import types
from collections import Counter
from pathlib import Path

import pytest

from fastsip.api.socket import Server
from fastsip.config import load_text
from fastsip.process import messages
from fastsip.process.launch import Newborn, pair
from fastsip.process.line import Line, close_all
from fastsip.supervisor import changes, child, draining, limits, telling, upgrade
from fastsip.supervisor.orders import handlers
from fastsip.supervisor.run import take_hold
from fastsip.supervisor.supervisor import Supervisor
from tests.unit.config_text import SET

LIMIT_S = 10
MOST_AWAITS = 60
WATCHES = 5     # tasks that live as long as the supervisor: heartbeats, sources, names, events, the desk
TEXT = '[router]\nrun_dir = "{place}"\nstate_dir = "{place}"\nshards = {shards}\nstop_mode = "{stop_mode}"\n{listen}'


class Fault(Exception):
    """Nobody has thought of it."""


class Strike:
    """An exception at the `at`-th await from `armed` on: instead of what is waited for, or `late`, when that has come;
    `twice`: at the next one, too."""

    def __init__(self, at: int, error: type[Exception], late: bool = False, twice: bool = False):
        self.ats, self.error, self.late, self.armed, self.seen = {at, at + twice}, error, late, False, 0

    @property
    def struck(self) -> bool:
        return self.seen >= min(self.ats)

    def due(self, late: bool) -> Exception | None:
        if not self.armed or late != self.late:
            return None
        self.seen += 1
        return self.error("struck") if self.seen in self.ats else None


class Led:
    """Awaited like the coroutine that it leads."""

    def __init__(self, work, strike: Strike):
        self.work, self.strike = work, strike

    def __await__(self):
        error = None
        while True:
            try:
                waited = self.work.throw(error) if error else self.work.send(None)
            except StopIteration as end:
                return end.value
            error = self.strike.due(late=False)
            if error is None:
                try:
                    yield waited
                except BaseException as cancelled:
                    error = cancelled
                else:
                    error = self.strike.due(late=True)


async def led(work, strike: Strike):
    return await Led(work, strike)


class Router:
    """The other end of a line, and a process that only lives."""

    def __init__(self):
        ours, theirs = pair()
        theirs.setblocking(False)
        self.line, self.open = Line(theirs), 1
        self.pid = os.posix_spawn("/bin/sleep", ["sleep", "60"], {})
        self.pidfd = os.pidfd_open(self.pid)
        asyncio.get_running_loop().add_reader(theirs.fileno(), self.read)
        self.born = Newborn(self.pid, ours)

    def read(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while received := self.line.receive():
                close_all(received.fds)
                self.answer(received.message)
                if isinstance(received.message, messages.Leave):
                    break
            self.end()

    def answer(self, message) -> None:
        said = {
            "prepare": messages.Warm, "go": messages.Started, "leave": messages.Released,
            "reload": lambda: messages.Reloaded(number=message.number),
            "drain": lambda: messages.Draining(number=message.number, open=self.open),
            "admin": lambda: messages.AdminSet(number=message.number, changed=1),
            "probe": lambda: messages.Probed(number=message.number, ends=[]),
            "show": lambda: messages.Shown(number=message.number),
        }  # fmt: skip
        if message.what in said:
            with contextlib.suppress(OSError):  # who asked has killed us meanwhile
                self.line.send(said[message.what]())
        self.open = 0

    def end(self) -> None:
        asyncio.get_running_loop().remove_reader(self.line.fileno())
        self.line.close()
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
        os.close(self.pidfd)


def children() -> set[int]:
    """Processes of ours, the dead that nobody has waited for among them."""
    found: set[int] = set()
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found.update(map(int, (task / "children").read_text().split()))
    return found


def descriptors() -> Counter[str]:
    """How many there are of each kind."""
    found: Counter[str] = Counter()
    for fd in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found[re.sub(r"\d+", "", os.readlink(fd))] += 1
    return found


class Asker:
    """A client whose descriptor may be kept."""

    def __init__(self):
        self.ours, self.theirs = socket.socketpair()
        self.ours.settimeout(LIMIT_S)  # a descriptor that is left over would keep it open

    def keep(self) -> int:
        return os.dup(self.theirs.fileno())

    def heard(self) -> list[dict]:
        self.theirs.close()
        with self.ours, self.ours.makefile("rb") as lines:
            return [json.loads(line) for line in lines]


class Life:
    """A supervisor whose routers are played, and who asks it."""

    def __init__(self, place: Path, strike: Strike, where: str, port: int, stack: contextlib.ExitStack):
        self.place, self.strike, self.where, self.shards, self.number = place, strike, where, 1, 0
        self.file = str(place / "c.toml")
        self.listen = f'[[listen]]\nuri = "udp:127.0.0.1:{port}"\n'
        self.before = children()
        text = self.write()
        self.here = take_hold(load_text(text, self.file), text, stack, program=())
        self.supervisor = Supervisor(self.here)
        self.server = Server(str(place), handlers(self.supervisor))
        begin = self.here.start_task
        self.here.start_task = lambda work: begin(self.lead(work, "tasks"))

    def lead(self, work, where: str):
        return led(work, self.strike) if self.where == where and (where == "serve" or self.strike.armed) else work

    def write(self, shards: int = 0, stop_mode: str = "leave") -> str:
        """Another text than before."""
        self.number, self.shards = self.number + 1, shards or self.shards
        text = TEXT.format(place=self.place, shards=self.shards, stop_mode=stop_mode, listen=self.listen)
        text += f"# {self.number}\n{SET}setid = 9\n"
        Path(self.file).write_text(text)
        return text

    async def ask(self, command: str, **fields) -> list[dict]:
        """Nobody else has anything to do with it: all answers, the last one among them."""
        asker = Asker()
        words = [answer async for answer in self.server._answers(asker, {"command": command, **fields})]
        return words + asker.heard()

    async def settled(self) -> None:
        """One routes, one waits, and nothing is under way."""
        here = self.here
        async with asyncio.timeout(LIMIT_S):
            while not (here.router and here.spare and any(isinstance(said, messages.Warm) for said in here.spare.inbox)
                       and here.router.line.fileno() >= 0   # else it has left, and is only not reaped yet
                       and not here.events.beside.underway and not here.planned and not here.underway
                       and not here.busy.locked() and len(here.tasks) == WATCHES
                       and children() - self.before == {here.router.pid, here.spare.pid}):  # fmt: skip
                await asyncio.sleep(0.001)

    async def others_end(self, tasks: int) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LIMIT_S):
                while len(asyncio.all_tasks()) != tasks:
                    await asyncio.sleep(0.001)
        assert len(asyncio.all_tasks()) == tasks, [str(task) for task in asyncio.all_tasks()]

    async def lines_close(self, fds: Counter[str]) -> None:
        """Those of the dead, a moment after them."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LIMIT_S):
                while descriptors() != fds:
                    await asyncio.sleep(0.001)
        assert descriptors() == fds


# ---------------------------------------------------------------- what is asked for


async def reload_in_place(life):
    life.write()
    return await life.ask("reload")


async def reload_behind_another(life):
    """The order before is not done yet."""
    await life.here.busy.acquire()
    asyncio.get_running_loop().call_later(0.002, life.here.busy.release)
    return await reload_in_place(life)


async def reload_by_takeover(life):
    life.write(3 - life.shards)
    return await life.ask("reload")


async def drain(life):
    return await life.ask("drain", limit_s=5)


async def undo(life):
    return await life.ask("drain", undo=True)


async def ask_to_upgrade(life):
    return await life.ask("upgrade")


async def ask_new_code_that_is_silent(life):
    slow = life.place / "slow"
    slow.write_text("#!/bin/sh\nexec sleep 60\n")
    slow.chmod(0o700)
    upgrade.sys.executable = str(slow)
    return await life.ask("upgrade")


async def drain_a_destination(life):
    return await life.ask("admin", sets=["media"], state="draining")


async def probe(life):
    return await life.ask("probe", sets=["media"])


async def look(life):
    return await life.ask("look", name="me", filter={"share": 1}, seconds=5)


async def add(life):
    """And take it away, so that the next one finds none."""
    heard = await life.ask("add", set="9", destination="sip:192.0.2.9")
    if "id" in heard[-1]:
        await life.ask("remove", id=heard[-1]["id"])
    return heard


async def finish_upgrade(life):
    await life.here.busy.acquire()
    asyncio.get_running_loop().call_later(0.002, life.here.busy.release)
    asker = Asker()
    try:
        await changes.finish_upgrade(life.here, asker.keep())
    finally:
        life.heard = asker.heard()
    return life.heard


async def stop(life):
    return await life.ask("stop")


async def hang_up(life):
    life.write(3 - life.shards)
    version = life.here.version
    signal.raise_signal(signal.SIGHUP)
    async with asyncio.timeout(LIMIT_S):
        while life.here.version == version and not life.strike.struck:
            await asyncio.sleep(0.001)


async def die(life):
    lives = life.here.lives
    os.kill(life.here.router.pid, signal.SIGKILL)
    async with asyncio.timeout(LIMIT_S):
        while life.here.lives == lives and not life.strike.struck:
            await asyncio.sleep(0.001)


async def terminate(life):
    life.here.config = load_text(life.write(stop_mode="drain"), life.file)
    signal.raise_signal(signal.SIGTERM)


ORDERS = [reload_in_place, reload_behind_another, reload_by_takeover, drain, undo, ask_to_upgrade,
          ask_new_code_that_is_silent, drain_a_destination, probe, look, add, finish_upgrade]
EVENTS = [hang_up, die]
ENDS = [stop, terminate]
CASES = [(thing, where) for thing in [*ORDERS, *EVENTS, *ENDS] for where in ("client", "serve", "tasks")
         if thing in ORDERS or where != "client"]
STRIKES = {
    "OSError": {"error": OSError},
    "ValueError": {"error": ValueError},
    "TimeoutError": {"error": TimeoutError},
    "anything": {"error": Fault},
    "late": {"error": Fault, "late": True},
    "twice": {"error": Fault, "twice": True},
}


@pytest.fixture
def live(scratch, free_port, monkeypatch):
    """A function that lives through one thing with a strike at its n-th await: was there one?"""
    for name, value in {"LONGEST_PAUSE_S": 0.001, "WARM_LIMIT_S": 1, "START_LIMIT_S": 1}.items():
        monkeypatch.setattr(limits, name, value)
    monkeypatch.setattr(draining, "LOOK_S", 0.001)
    monkeypatch.setattr(telling, "keep", lambda *_: None)   # opens files, just when others are counted
    monkeypatch.setattr(upgrade, "CHECK_LIMIT_S", 0.05)
    monkeypatch.setattr(child, "launch", lambda program: Router().born)
    monkeypatch.setattr(upgrade, "sys", types.SimpleNamespace(executable="/bin/true", orig_argv=sys.orig_argv))

    def refuse(state):
        raise OSError("another program cannot be begun")

    monkeypatch.setattr(upgrade, "replace", refuse)
    port, before = free_port(), children()

    async def one(thing, where: str, strike: Strike) -> bool:
        with contextlib.ExitStack() as stack:
            life = Life(scratch, strike, where, port, stack)
            serving = asyncio.create_task(life.lead(life.supervisor.serve(), "serve"))
            try:
                await see_through(life, thing, serving)
            finally:
                for fd in life.here.sockets.all():
                    os.close(fd)
        return strike.struck

    yield lambda *parts: asyncio.run(one(*parts))
    for pid in children() - before:
        os.kill(pid, signal.SIGKILL)


async def see_through(life, thing, serving) -> None:
    await life.settled()
    tasks, fds = len(asyncio.all_tasks()), descriptors()
    life.strike.armed = True
    async with asyncio.timeout(LIMIT_S):
        try:
            heard = await life.lead(thing(life), "client")
        except (Fault, OSError, ValueError):
            assert thing is finish_upgrade
            heard = life.heard
    if thing in ENDS:
        async with asyncio.timeout(LIMIT_S):
            await asyncio.wait((serving,))
        assert serving.exception() is None or life.where == "serve"
        async with asyncio.timeout(LIMIT_S):
            while any(is_alive(pid) for pid in children() - life.before):  # what is killed takes a moment
                await asyncio.sleep(0.001)
        return
    if thing in ORDERS:
        assert [bool(answer.keys() & {"done", "error"}) for answer in heard] == [False] * (len(heard) - 1) + [True]
    if thing in (reload_in_place, reload_by_takeover):
        assert "done" in heard[-1] or heard[-1]["error"].endswith(changes.OLD_RUNS_ON)
    await life.settled()
    await life.others_end(tasks)
    if thing is reload_by_takeover and life.where == "serve":
        assert ("error" in heard[-1]) == (life.here.text != Path(life.file).read_text()), heard
    life.strike.armed = False
    assert "done" in (await life.ask("drain", undo=True))[-1]
    for shards in (2, 1):
        life.write(shards)
        assert (await life.ask("reload"))[-1].get("done") == "reloaded"
    await life.settled()
    await life.others_end(tasks)
    await life.lines_close(fds)
    life.here.stop()
    assert await serving == 0
    assert children() == life.before


def is_alive(pid: int) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


@pytest.mark.parametrize("how", STRIKES)
@pytest.mark.parametrize("thing, where", CASES, ids=[f"{thing.__name__}-{where}" for thing, where in CASES])
def test_whatever_an_await_raises(live, thing, where, how):
    for at in range(1, MOST_AWAITS):
        if not live(thing, where, Strike(at, **STRIKES[how])):
            return
    pytest.fail("it waits without end")
