"""supervisor.desks and door: who hangs is ended, and the socket is there before anything changes."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
import types

import pytest

from fastsip.process.launch import launch
from fastsip.process.line import Line
from fastsip.supervisor import desks, door
from fastsip.supervisor.child import Child
from fastsip.supervisor.door import Door

LIMIT_S = 20


def child(work: str) -> Child:
    pid, line = launch((sys.executable, "-c", work))
    return Child(pid, Line(line))


def run(test) -> None:
    asyncio.run(asyncio.wait_for(test, 60))


# ---------------------------------------------------------------- who hangs, who dies


def test_one_that_does_not_answer_is_ended(monkeypatch, caplog):
    monkeypatch.setattr(desks, "LOOK_S", 0.01)
    monkeypatch.setattr(desks, "ANSWER_LIMIT_S", 0.1)

    async def test():
        desk = child("import signal; signal.pause()")
        assert await desks.goes_on(desk) is False and desk.status == -signal.SIGKILL

    run(test())
    assert "the desk hangs" in caplog.text


def test_one_that_answers_goes_on(monkeypatch):
    monkeypatch.setattr(desks, "LOOK_S", 0.01)

    async def test():
        pid, line = launch((sys.executable, "-m", "fastsip.desk"))
        desk = Child(pid, Line(line))
        assert await desks.goes_on(desk) is True
        desk.send(desks.messages.Leave(keep=[]))
        async with asyncio.timeout(LIMIT_S):
            await desk.hear()
        assert desk.status == 0

    run(test())


@pytest.mark.parametrize(("young", "seconds"), [(0, 0), (1, 1), (2, 2), (5, 16), (6, 30), (2000, 30)])
def test_the_pause_grows_and_has_a_bound(young, seconds):
    assert desks.pause_s(young) == seconds


def state(**more) -> types.SimpleNamespace:
    router = types.SimpleNamespace(run_dir="/nowhere")
    config = types.SimpleNamespace(file="c.toml", router=router, api=None)
    return types.SimpleNamespace(**{
        "program": (sys.executable,), "desk": None, "config": config, "door": Door(), "desk_wish": asyncio.Event(),
        "stopping": False, "replacing": False, "lives": 1, "visitors": [], **more})  # fmt: skip


@pytest.mark.parametrize(("more", "begun"), [
    ({}, False), ({"door": Door(("127.0.0.1", 1), 99)}, True),
    ({"door": Door(("127.0.0.1", 1), 99), "lives": 0}, False),
    ({"door": Door(("127.0.0.1", 1), 99), "replacing": True}, False),
])  # fmt: skip
def test_one_is_begun_when_somebody_may_come(monkeypatch, more, begun):
    """And when a router routes, which comes first."""
    monkeypatch.setattr(desks, "running", lambda here: "begun")

    async def test():
        assert desks.wanted(state(**more)) == ("begun" if begun else None)

    run(test())


def test_at_the_end_nobody_is_begun_for_a_visitor():
    async def test():
        ours, theirs = socket.socketpair()
        here = state(stopping=True)
        desks.hand_over(here, theirs)
        assert here.desk is None and ours.recv(1) == b""

    run(test())


def test_during_an_upgrade_a_bounded_number_of_visitors_waits():
    async def test():
        pairs = [socket.socketpair() for _ in range(desks.MOST_WAITING + 1)]
        here = state(replacing=True)
        for _, theirs in pairs:
            desks.hand_over(here, theirs)
        assert here.desk is None and len(here.visitors) == desks.MOST_WAITING and pairs[-1][0].recv(1) == b""
        desks.let_in(here)
        assert len(here.visitors) == desks.MOST_WAITING     # not yet
        here.replacing, here.stopping = False, True
        desks.let_in(here)
        assert not here.visitors and {ours.recv(1) for ours, _ in pairs} == {b""}

    run(test())


def test_a_desk_that_takes_nobody_costs_the_visitor_alone(caplog):
    """Its line is full; who asks on is let go, and nothing waits."""
    async def test():
        desk = child("import signal; signal.pause()")
        here = state(desk=desk)
        with contextlib.suppress(OSError):
            while True:
                desk.line.send(desks.messages.Look(number=1))
        ours, theirs = socket.socketpair()
        desks.hand_over(here, theirs)
        assert ours.recv(1) == b""
        desk.kill()
        await desk.hear()

    run(test())
    assert "nobody speaks HTTP now" in caplog.text


# ---------------------------------------------------------------- the socket


def api(port: int, host: str = "127.0.0.1") -> types.SimpleNamespace:
    return types.SimpleNamespace(host=host, port=port)


@pytest.fixture
def ports():
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        found = [each.getsockname()[1] for each in (one, other)]
    return found


def listens(port: int, host: str = "127.0.0.1") -> bool:
    with contextlib.suppress(OSError), socket.create_connection((host, port), LIMIT_S):
        return True
    return False


def test_it_is_open_before_and_closed_behind_what_is_done(ports):
    first, second = ports
    found = Door()
    with found.opened(api(first)):
        assert listens(first) and found.fd == -1
    with found.opened(api(second)):
        assert listens(first) and listens(second)
    assert not listens(first) and listens(second) and found.place == ("127.0.0.1", second)
    before = found.fd
    with found.opened(api(second)):     # who waits in it is not sent away
        pass
    assert found.fd == before and found.passed_on() == ("127.0.0.1", second, before)
    with found.opened(None):
        assert listens(second)
    assert not listens(second) and found.passed_on() is None


def test_when_what_is_done_fails_all_is_as_before(ports):
    first, second = ports
    found = Door()
    with found.opened(api(first)):
        pass
    for wanted in (api(second), None):
        with pytest.raises(ZeroDivisionError), found.opened(wanted):
            raise ZeroDivisionError
        assert listens(first) and not listens(second) and found.place == ("127.0.0.1", first)
    os.close(found.fd)


def test_an_address_that_cannot_be_had_is_named(ports):
    found, before = Door(), len(os.listdir("/proc/self/fd"))
    with socket.create_server(("127.0.0.1", ports[0])) as used:
        words = rf"api.listen: 127.0.0.1 port {ports[0]}: Address already in use$"
        with pytest.raises(OSError, match=words), found.opened(api(ports[0])):
            pytest.fail("nothing is done then")
        assert used.fileno() >= 0
    assert found.place is None and len(os.listdir("/proc/self/fd")) == before


def test_ipv6_has_an_address_of_its_own(ports):
    found = Door()
    with found.opened(api(ports[0], "::1")):
        pass
    assert listens(ports[0], "::1") and not listens(ports[0])
    door.close(found.fd)
