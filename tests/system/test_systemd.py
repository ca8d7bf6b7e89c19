"""What systemd hears and keeps: a stub of its notify socket, and descriptors handed back at a restart."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from ua import UserAgent

from bench.systemd import HAND_BACK, Systemd
from tests.conftest import ROOT, is_free

from .edge import NUMBER, edge_config, expect_call, settle
from .lives import Home, Life, command

PATIENT = 'on = [500, "timeout", "transport"]\ntimeout = "20s"'


@pytest.fixture
def systemd(scratch, monkeypatch) -> Iterator[Systemd]:
    stub = Systemd(scratch)
    monkeypatch.setenv("NOTIFY_SOCKET", stub.address)
    yield stub
    stub.close()


@pytest.fixture
def edge(free_port):
    return "127.0.0.1", free_port()


class Restarted(Life):
    """Started as systemd does with what it keeps: descriptors from 3 on, and their number in the environment."""

    program = ("-c", HAND_BACK)


def restart(home: Home, systemd: Systemd, monkeypatch, text: str = "") -> Life:
    fds = tuple(systemd.kept.values())
    monkeypatch.setenv("KEPT", ",".join(map(str, fds)))
    monkeypatch.setattr(Restarted, "passed", fds)
    return home.start(text, Restarted).ready()


def test_it_says_when_it_is_ready_and_when_it_leaves(home, edge, systemd):
    life = home.start(edge_config(edge, [("127.0.0.1", 9)], shards=2)).ready()
    systemd.wait_for(lambda s: s.said(READY="1"))
    assert systemd.said(READY="1")[0]["STATUS"] == "routing, 2 shards"
    assert len(systemd.kept) == 2 and all(m["FDPOLL"] == "0" for m in systemd.said(FDSTORE="1"))
    life.process.send_signal(signal.SIGHUP)
    systemd.wait_for(lambda s: s.said(RELOADING="1"))
    systemd.wait_for(lambda s: len(s.said(READY="1")) == 2)
    assert "MONOTONIC_USEC" in systemd.said(RELOADING="1")[0]
    assert life.end(signal.SIGTERM) == 0
    systemd.wait_for(lambda s: s.said(STOPPING="1"))


def test_the_sockets_that_are_kept_are_those_that_are_open(home, edge, systemd, free_port):
    life = home.start(edge_config(edge, [("127.0.0.1", 9)], shards=2)).ready()
    other = ("127.0.0.1", free_port())
    for shards, listeners, count in ((3, [], 3), (3, [other], 6), (1, [], 1)):
        home.write(edge_config(edge, [("127.0.0.1", 9)], shards=shards, listeners=listeners))
        assert command("reload", home.config).returncode == 0
        systemd.wait_for(lambda s, count=count: len(s.kept) == count)
    assert all(name.startswith(f"127.0.0.1_{edge[1]}_") for name in systemd.kept)
    assert life.end(signal.SIGTERM) == 0


def test_the_watchdog_hears_of_a_living_router_only(home, edge, systemd, monkeypatch):
    monkeypatch.setenv("WATCHDOG_USEC", "400000")
    life = home.start(edge_config(edge, [("127.0.0.1", 9)], shards=2)).ready()
    systemd.wait_for(lambda s: len(s.said(WATCHDOG="1")) >= 10)
    os.kill(life.router_pid(), signal.SIGSTOP)  # hang is 5 s: the supervisor waits longer than systemd
    life.wait_for(lambda _: life.records("the router hangs"))
    hangs = len(systemd.said(WATCHDOG="1"))
    life.wait_for(lambda _: len(life.records("router took over")) == 2)
    systemd.wait_for(lambda s: len(s.said(WATCHDOG="1")) >= hangs + 3)
    # Silence began at the second look without a beat: of 5 s it heard of 2 at most, 5 times a second.
    stopped = [m for m in systemd.heard if "WATCHDOG" in m or "READY" in m]
    assert len(stopped) < 10 + 5 * 5


async def test_a_restart_finds_the_sockets_and_what_waited_in_them(home, edge, systemd, monkeypatch):
    """As `systemctl restart` does: between the two lives the sockets are systemd's."""
    async with UserAgent(name="alice") as alice, UserAgent(name="bob") as bob:
        text = edge_config(edge, [bob.address], policy=PATIENT, shards=2)
        life = home.start(text).ready()
        assert await asyncio.to_thread(life.end, signal.SIGTERM) == 0
        assert not is_free(*edge)
        call = alice.invite(NUMBER, edge)  # nobody is there to read it
        stored = len(systemd.said(FDSTORE="1"))
        await asyncio.to_thread(restart, home, systemd, monkeypatch)
        bob.reply(await expect_call(bob, call), 486)
        await call.refused(486)
        assert len(systemd.said(FDSTORE="1")) == stored  # none was opened anew


async def test_kept_sockets_that_do_not_fit_are_given_up(home, edge, systemd, free_port, monkeypatch):
    async with UserAgent(name="alice") as alice:
        other = ("127.0.0.1", free_port())
        life = home.start(edge_config(edge, [("127.0.0.1", 9)], shards=3, listeners=[other])).ready()
        assert await asyncio.to_thread(life.end, signal.SIGTERM) == 0
        text = edge_config(edge, [("127.0.0.1", 9)], shards=1)
        await asyncio.to_thread(restart, home, systemd, monkeypatch, text)
        await asyncio.to_thread(systemd.wait_for, lambda s: len(s.kept) == 1)
        await settle(alice, edge)
        assert is_free(*other)


def test_the_unit_names_this_program_and_the_configuration(home, edge):
    home.write(edge_config(edge, [("127.0.0.1", 9)]))
    unit = command("unit", home.config).stdout
    assert f"ExecStart={Path(sys.executable).parent / 'fastsip'} run {home.config}\n" in unit
    for line in ("Type=notify", "NotifyAccess=main", "Restart=always", "RestartSec=0", "StartLimitIntervalSec=0",
                 "KillMode=mixed", "RuntimeDirectoryPreserve=yes"):  # fmt: skip
        assert f"\n{line}\n" in unit
    assert "@" not in unit


def test_systemd_finds_no_fault_with_the_unit(home, tmp_path, edge):
    home.write(edge_config(edge, [("127.0.0.1", 9)]))
    unit = tmp_path / "fastsip.service"
    unit.write_text(command("unit", home.config).stdout)
    try:
        command_line = ["systemd-analyze", "verify", str(unit)]
        found = subprocess.run(command_line, cwd=ROOT, capture_output=True, text=True, timeout=60)
    except FileNotFoundError:
        pytest.skip("systemd-analyze is not here")
    assert "Unknown" not in found.stderr and "Failed to parse" not in found.stderr
