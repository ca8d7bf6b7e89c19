"""`fastsip top` beside a real router: what calls do to it, orders that it follows, and routers that come and go."""

import asyncio
import errno
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from contextlib import asynccontextmanager
from fcntl import ioctl

import pytest
from ua import UserAgent

from fastsip.top.screen import Destinations, Top
from tests.conftest import ROOT

from .edge import NUMBER, connect, edge_config, expect_call, refuse, sip_uri
from .lives import Home, command
from .test_probes import Responder

POLICY = 'on = [503, "timeout", "transport"]\nmark = "down"'
PROBE = '{ interval = "1h", timeout = "2s", mode = "only-failed" }'
LIMIT_S = 60
ESCAPES = re.compile(r"\x1b\[[0-9;]*m")
COLOURS = re.compile(r"\x1b\[(?:[0-9;]*;)?(?:3[0-8]|4[0-8]|9[0-7])[;m]")


@pytest.fixture
def edge(free_port):
    return "127.0.0.1", free_port()


class Watched:
    """An app in textual's pilot: its keys, and the whole of its screen as text."""

    def __init__(self, app: Top, pilot):
        self.app, self.pilot = app, pilot

    def shown(self) -> str:
        return "\n".join(strip.text for strip in self.app.screen._compositor.render_strips())

    async def until(self, *texts: str, without: str = "\0") -> None:
        """All of these stand on the screen at once."""
        async with asyncio.timeout(LIMIT_S):
            while not all(text in self.shown() for text in texts) or without in self.shown():
                await self.pilot.pause(0.05)

    async def choose(self, identity: str) -> None:
        """By the keys that an operator has."""
        table = self.app.query_one(Destinations)
        await self.pilot.press("home")
        for _ in table.rows:
            if table.chosen.id == identity:
                return
            await self.pilot.press("j")
        raise AssertionError(identity)

    async def order(self, key: str, identity: str) -> None:
        await self.choose(identity)
        await self.pilot.press(key)
        await self.until(f"{identity}?  y / n")
        await self.pilot.press("y")


@asynccontextmanager
async def watching(home: Home):
    app = Top(str(home.place / "run"), 0.5, "name", "")
    async with app.run_test(size=(100, 30)) as pilot:
        watched = Watched(app, pilot)
        await watched.until("OPEN")
        yield watched
    assert app.fault is None


def identity(ua: UserAgent) -> str:
    return f"media/{sip_uri(ua.address)}"


def row(watched: Watched, ua: UserAgent) -> dict[str, str]:
    """The cells of a line of the table, by the heads of their columns."""
    lines = watched.shown().splitlines()
    head = next(line for line in lines if line.startswith("ID "))
    line = next(line for line in lines if line.startswith(identity(ua)) and " of media" not in line)
    return dict(zip(head.split(), line.rstrip().replace(" %", "%").split(None, 6), strict=False))


async def until_row(watched: Watched, ua: UserAgent, **cells: str) -> None:
    async with asyncio.timeout(LIMIT_S):
        while not cells.items() <= row(watched, ua).items():
            await watched.pilot.pause(0.05)


async def see_calls(watched: Watched, alice, bob, carol, edge) -> None:
    call = alice.invite(NUMBER, edge)
    invite = await expect_call(bob, call)
    await until_row(watched, bob, OPEN="1")
    bob.reply(invite, 503)
    await refuse(carol, call)
    await until_row(watched, bob, HEALTH="down", WHY="by 503", OPEN="0", FAILED="100%")
    assert "2 destinations, 1 takes calls" in watched.shown()
    alice_leg, _ = await connect(alice, carol, edge)
    await watched.until("accepted 1")
    assert re.search(r"first reply 50 % \d|answer 50 % \d", watched.shown())
    alice_leg.bye()
    carol.reply(await carol.expect("BYE"), 200)


async def give_orders(home, watched: Watched, alice, bob, carol, edge) -> None:
    async with Responder(bob, 200):
        await watched.order("p", identity(bob))
        await watched.until(f"{identity(bob)}: alive, 200 after")
    await until_row(watched, bob, HEALTH="up")
    await watched.order("d", identity(bob))
    await watched.until(f"draining: {identity(bob)}")
    await until_row(watched, bob, ADMIN="draining", WHY="fastsip top")
    await refuse(carol, alice.invite(NUMBER, edge))
    await watched.order("D", identity(carol))
    await watched.until(f"disabled: {identity(carol)}; nobody of set media takes new calls now")
    await alice.invite(NUMBER, edge).refused(500)
    await watched.order("e", identity(carol))
    await watched.until(f"enabled: {identity(carol)}")
    await watched.order("e", identity(bob))
    await until_row(watched, bob, ADMIN="enabled")
    await watched.order("e", identity(bob))
    await watched.until(f"enabled: {identity(bob)}, as before")
    shown = await asyncio.to_thread(command, "dispatcher", "show", identity(bob), "--config", home.config)
    assert "fastsip top" in shown.stdout


async def live_through_routers(home, life, watched: Watched, alice, bob, edge):
    """One that is killed under it, one that is stopped, and another start."""
    life.kill_router()
    await life.logged("router took over", 2)
    await watched.until(f"router {life.router_pid()} routes", without="seen last")
    await refuse(bob, alice.invite(NUMBER, edge))
    assert (await asyncio.to_thread(command, "stop", home.config)).returncode == 0
    await watched.until("no router runs in", "what was seen last", identity(bob))
    await watched.order("d", identity(bob))
    await watched.until(f"drain {identity(bob)}: no router runs in")
    again = home.start()
    await asyncio.to_thread(again.ready)
    await watched.until(f"router {again.router_pid()} routes", without="seen last")
    assert watched.app.picture.status["router"] == again.router_pid()


async def test_a_router_is_watched_and_ordered_and_outlived(home, edge):
    async with UserAgent(name="alice") as alice, UserAgent(name="bob") as bob, UserAgent(name="carol") as carol:
        life = home.start(edge_config(edge, [bob.address, carol.address], policy=POLICY, probe=PROBE)).ready()
        async with watching(home) as watched:
            await see_calls(watched, alice, bob, carol, edge)
            await give_orders(home, watched, alice, bob, carol, edge)
            await live_through_routers(home, life, watched, alice, bob, edge)


# ---------------------------------------------------------------- from outside


def in_terminal(*words: object, columns: int = 80, keys: tuple[str, bytes] = ("", b""), **environment: str):
    """A command in a terminal of its own: its exit code, and what it wrote there.

    keys: a text, and what is pressed when it is there.
    """
    ours, theirs = pty.openpty()
    ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    argv = [sys.executable, "-m", "fastsip", *map(str, words)]
    variables = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS")}
    process = subprocess.Popen(argv, cwd=ROOT, stdin=theirs, stdout=theirs, stderr=theirs,
                               env=variables | {"TERM": "xterm"} | environment)  # fmt: skip
    os.close(theirs)
    written = b""
    try:
        while part := os.read(ours, 65536):
            written += part
            if keys[1] and keys[0].encode() in written:
                os.write(ours, keys[1])
                keys = ("", b"")
    except OSError as error:    # what a terminal says at its end
        assert error.errno == errno.EIO
    finally:
        os.close(ours)
    return process.wait(LIMIT_S), written.decode()


def test_a_terminal_and_a_pipe_have_what_is_theirs(home, edge):
    """A pipe has all without colours, a terminal its columns, and none of the colours after NO_COLOR."""
    one = f"media/{sip_uri(('127.0.0.1', 9))}"
    home.start(edge_config(edge, [("127.0.0.1", 9)])).ready()
    assert command("dispatcher", "disable", one, "--why", "x\x1b[2J\u202e", "--config", home.config).returncode == 0
    once = ("top", home.config, "--once", "--interval", "100ms", "--filter", "DISABLED")
    piped = command(*once).stdout
    assert one in piped and "\x1b" not in piped and "x\\u001b[2J\\u202e" in piped and '1 with "DISABLED"' in piped
    code, text = in_terminal(*once)
    assert code == 0 and COLOURS.search(text) and "\x1b[2J" not in text
    assert max(len(ESCAPES.sub("", line)) for line in text.splitlines()) <= 80
    code, text = in_terminal(*once, NO_COLOR="1")
    assert code == 0 and "\x1b" not in text and "disabled" in text
    listing = ("dispatcher", "list", "--config", home.config)
    assert COLOURS.search(in_terminal(*listing)[1]) and "\x1b" not in in_terminal(*listing, NO_COLOR="1")[1]
    code, text = in_terminal("top", home.config, keys=("OPEN", b"q"), NO_COLOR="1")
    assert code == 0 and not COLOURS.search(text) and "Traceback" not in text
