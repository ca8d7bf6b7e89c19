"""Every order over the line between supervisor and router is answered, whatever it meets; so is the next one."""

import asyncio
import os
import threading
import types

import msgspec
import pytest

from fastsip.process import messages
from fastsip.process.launch import pair
from fastsip.process.line import Line, Received, memory_file, received_config, text_file
from fastsip.process.messages import Message
from fastsip.router import control_plane
from fastsip.router.control_plane import ControlPlane
from fastsip.supervisor import child
from fastsip.supervisor.child import Child
from tests.unit.config_text import SMALL, read

LIMIT_S = 20
RELOAD, DRAIN = messages.Reload(file="test.toml"), messages.Drain(on=True)
WAYS = ["received_config", "release_unnamed", "compile_table", "compile_names"]


class Fault(Exception):
    """Nobody has thought of it."""


class Shards:
    """As far as orders go."""

    event_rings: tuple = ()

    def __init__(self):
        self.table, self.faults = None, []

    def __len__(self):
        return 1

    def show(self, views):
        if self.faults:
            raise self.faults.pop()

    def switch_to(self, table):
        if self.faults:
            raise self.faults.pop()
        self.table = table

    def name_changed(self, number):
        return True

    def set_draining(self, on):
        if self.faults:
            raise self.faults.pop()


class Lines(list):
    """As many cells, all of them free."""

    assigned = types.MappingProxyType({})

    def limited(self):
        return {}

    def limited_since(self, _):
        return []


@pytest.fixture
def ends():
    """The supervisor's end, and a control plane at the other, whose configuration is compiled to "a table"."""
    ours, theirs = pair()
    router = types.SimpleNamespace(
        names=types.SimpleNamespace(set_limit=lambda most: None, set_static=lambda fixed: None),
        line=Line(theirs), shards=Shards(),
        config=read(SMALL), cells=Lines(range(600)), registry=types.SimpleNamespace(name=None), version=1,
        table=None, admin_lines=[],
        store=types.SimpleNamespace(count_open=lambda: 0),
        measures=types.SimpleNamespace(follow=lambda assigned: None),
    )  # fmt: skip
    theirs.setblocking(False)
    yield Line(ours), router
    ours.close()
    theirs.close()


@pytest.fixture
def compiling(monkeypatch):
    monkeypatch.setattr(control_plane, "compile_table", lambda *_: types.SimpleNamespace(version=2))
    monkeypatch.setattr(control_plane, "release_unnamed", lambda *_: None)
    monkeypatch.setattr(control_plane, "admin_lines", lambda *_: [])


@pytest.fixture
def probing(ends, monkeypatch):
    """Destinations "a" and "b" have lines 0 and 1; "a" answers at once, "b" never, and "c" is not there."""
    _, router = ends
    numbers = {"a": 7, "b": 8}
    router.registry = types.SimpleNamespace(find=lambda kind, name: numbers.get(name), name=None)
    router.cells = types.SimpleNamespace(assigned={7: 0, 8: 1}, limited=dict, limited_since=lambda _: [])
    event = types.SimpleNamespace(kind="probed", destination_id=7, reason="alive", status=200, after_ms=3)

    def probe(line):
        if line == 0:
            asyncio.get_running_loop().call_soon(router.control.report, event)
        return True

    router.shards.probe = probe
    return router


def test_a_probe_that_ends_is_told_and_one_that_does_not_keeps_nobody(ends, probing, monkeypatch):
    usual = ControlPlane.__init__

    def note(self, router):
        usual(self, router)
        router.control = self

    monkeypatch.setattr(ControlPlane, "__init__", note)
    order = messages.Probe(ids=["a", "b", "c"], limit_s=0.05)
    first, second = orders(ends, (nothing, order), (nothing, order))
    end = messages.ProbeEnd(id="a", alive=True, code=200, ms=3)
    assert first == messages.Probed(ends=[end], number=0) and second == messages.Probed(ends=[end], number=1)
    assert set(probing.control.probing.waiting) == {8}


async def talk(line: Line, one: ControlPlane, order: Message) -> Message:
    """One order, and the first thing that is said to it."""
    loop = asyncio.get_running_loop()
    heard: asyncio.Future[Message] = loop.create_future()
    loop.add_reader(line.fileno(), lambda: heard.done() or heard.set_result(line.receive().message))
    one.obey(Received(order, [text_file(SMALL)] if isinstance(order, messages.Reload) else []))
    try:
        return await asyncio.wait_for(heard, LIMIT_S)
    finally:
        loop.remove_reader(line.fileno())


def orders(ends, *steps) -> list[Message]:
    line, router = ends

    async def main():
        one = ControlPlane(router)
        said = []
        for before, order in steps:
            before(router)
            said.append(await talk(line, one, msgspec.structs.replace(order, number=len(said))))
        return said

    return asyncio.run(main())


def nothing(router):
    pass


@pytest.mark.parametrize("way", [*WAYS, "switch_to"])
def test_a_reload_is_answered_and_so_is_the_next_one(ends, compiling, monkeypatch, way):
    usual = getattr(control_plane, way, None)

    def break_it(router):
        if way == "switch_to":
            router.shards.faults.append(Fault("of a table"))
        else:
            monkeypatch.setattr(control_plane, way, broken)

    def broken(*_):
        raise Fault("of a table")

    def mend(router):
        if usual:
            monkeypatch.setattr(control_plane, way, usual)

    first, second = orders(ends, (break_it, RELOAD), (mend, RELOAD))
    assert first == messages.ReloadRefused(why="Fault: of a table", larger=False, number=0)
    assert second == messages.Reloaded(number=1)


def test_other_orders_are_answered_too(ends, compiling):
    def break_it(router):
        router.shards.faults.append(Fault("of a shard"))

    first, second, third = orders(ends, (break_it, messages.Drain(on=True)), (nothing, messages.Unknown(word="dance")),
                                  (nothing, messages.Drain(on=False)))  # fmt: skip
    assert first == messages.Failed(why="Fault: of a shard", number=0)
    assert second == messages.Failed(why="NotUnderstood: dance", number=1)
    assert third == messages.Draining(open=0, number=2)


def test_who_looks_is_answered_and_a_shard_that_fails_leaves_nothing(ends, compiling, scratch):
    """The second one looks although the first one could not."""
    def break_it(router):
        router.shards.faults.append(OSError(28, "No space left on device"))

    router = ends[1]
    place = msgspec.structs.replace(router.config.router, run_dir=str(scratch))
    router.config = msgspec.structs.replace(router.config, router=place)
    look = messages.Show(name="me", looked=messages.Looked(share=1.0), seconds=20)
    first, second, third = orders(ends, (break_it, look), (nothing, look),
                                  (nothing, msgspec.structs.replace(look, seconds=0)))  # fmt: skip
    assert first == messages.Shown(why="No space left on device", number=0)
    assert (second, third) == (messages.Shown(number=1), messages.Shown(number=2))
    assert not list((scratch / "mirror").iterdir())


def test_a_reason_without_end_is_heard_all_the_same(ends, compiling, monkeypatch):
    def broken(*_):
        raise OSError("x" * 1_000_000)

    monkeypatch.setattr(control_plane, "compile_table", broken)
    (said,) = orders(ends, (nothing, RELOAD))
    assert isinstance(said, messages.ReloadRefused) and len(said.why) < 10_000


def test_the_loop_goes_round_while_a_table_is_built(ends, compiling, monkeypatch):
    turns = threading.Event()
    table = types.SimpleNamespace(version=2)
    monkeypatch.setattr(control_plane, "compile_table", lambda *_: turns.wait(LIMIT_S) and table)

    def turn_soon(router):
        asyncio.get_running_loop().call_later(0, turns.set)

    (said,) = orders(ends, (turn_soon, RELOAD))
    assert isinstance(said, messages.Reloaded) and ends[1].version == 2


# ---------------------------------------------------------------- the supervisor's end


class Pretender:
    """A child without a process: what the other end says is up to the test."""

    def __init__(self):
        ours, theirs = pair()
        self.line = Line(theirs)
        self.child = Child.__new__(Child)
        self.child.line, self.child.inbox, self.child.status = Line(ours), [], None
        self.child._numbers, self.child._news, self.child._asked = iter(range(1, 99)), asyncio.Event(), set()
        asyncio.get_running_loop().add_reader(ours.fileno(), self.child._read)


async def test_an_answer_that_never_comes_is_not_waited_for():
    with pytest.raises(TimeoutError):
        await Pretender().child.order(RELOAD, messages.Reloaded, limit_s=0.01)


async def test_a_late_answer_is_not_taken_for_the_next_one():
    other = Pretender()
    with pytest.raises(TimeoutError):
        await other.child.order(RELOAD, messages.Reloaded, limit_s=0.01)
    asking = asyncio.ensure_future(
        other.child.order(RELOAD, messages.Reloaded, messages.ReloadRefused, limit_s=LIMIT_S))
    await asyncio.sleep(0)
    other.line.send(messages.Reloaded(number=1))
    other.line.send(messages.ReloadRefused(number=2, why="no"))
    assert (await asking) == messages.ReloadRefused(number=2, why="no")


async def test_each_of_several_orders_gets_its_own_answer():
    """Of one kind, in any order."""
    other = Pretender()
    asking = [asyncio.ensure_future(other.child.order(DRAIN, messages.Draining, limit_s=LIMIT_S)) for _ in range(3)]
    await asyncio.sleep(0)
    for number in (3, 1, 2):
        other.line.send(messages.Draining(number=number, open=number))
    assert [said.open for said in await asyncio.gather(*asking)] == [1, 2, 3]
    assert other.child.inbox == []


async def test_a_router_of_another_release_answers_without_a_number():
    other = Pretender()
    asking = asyncio.ensure_future(other.child.order(DRAIN, messages.Draining, limit_s=LIMIT_S))
    await asyncio.sleep(0)
    other.line.send(messages.Draining(open=3))
    assert (await asking).open == 3


async def test_nonsense_over_the_line_harms_nobody(caplog):
    other = Pretender()
    other.child.pid = 1
    other.line.sock.send(b"{")
    other.line.sock.send(b"[1]")
    other.line.send(messages.Draining(open=3))
    assert (await asyncio.wait_for(other.child.hear(messages.Draining), LIMIT_S)).open == 3


def test_a_configuration_is_handed_over_as_it_was_read():
    more = 'probe = { interval = "5s" }\n[names]\n"a.b" = "192.0.2.9"\n[failure.f]\non = [500, "timeout"]\n'
    config = read(SMALL + more)
    with child.handed(config, SMALL) as fds:
        mine = [os.dup(fd) for fd in fds]
        assert received_config(messages.Prepare(file="test.toml"), mine) == config


@pytest.mark.parametrize("packed", [b"", b"nonsense", b"\x80", b"\x81\xa3new\x01"])
def test_what_another_release_has_packed_is_read_from_the_text(packed, monkeypatch, tmp_path):
    text = f'[router]\nstate_dir = "{tmp_path}"\n{SMALL}'
    fds = [text_file(text), memory_file(packed)]
    assert received_config(messages.Prepare(file="test.toml"), fds).sets[0].name == "media"
