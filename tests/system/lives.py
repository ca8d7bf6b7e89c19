"""Routers whose beginning and end are the test: started twice, killed, refused, reloaded.

The `router` fixture holds a router to a plain life; this is for all others.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from fastsip.observe import counters
from tests.conftest import READY_LINE, ROOT, Router

LIMIT_S = 20


class Life(Router):
    """A router process that may end in any way; the test says which was right."""

    def wait_for(self, found: Callable[[list[str]], bool], limit_s: float = LIMIT_S) -> None:
        """Until what it wrote so far satisfies `found`; fails when it ends or says nothing more before."""
        with self._changed:
            self._changed.wait_for(lambda: found(self.lines) or self._ended, limit_s)
            assert found(self.lines), f"not within {limit_s} s:\n{self.text}"

    def ready(self) -> "Life":
        self.wait_for(lambda lines: READY_LINE in lines)
        return self

    def router_pid(self) -> int:
        """The process that routes now, or did last."""
        return counters.read_rows(self.config.parent / "run")[0]["pid"]

    def kill_router(self, number: signal.Signals = signal.SIGKILL) -> None:
        """The signal to the process that routes, not to its supervisor."""
        os.kill(self.router_pid(), number)

    def records(self, event: str) -> list[dict]:
        """What it logged so far under that event."""
        lines = [json.loads(line) for line in self.lines if line.startswith("{")]
        return [line for line in lines if line["event"].startswith(event)]

    async def logged(self, event: str, count: int = 1) -> dict:
        """The record of that event, when there are `count` of them."""
        await asyncio.to_thread(self.wait_for, lambda _: len(self.records(event)) >= count)
        return self.records(event)[count - 1]

    def ended(self, limit_s: float = LIMIT_S) -> int:
        """Its exit code, when it has ended by itself and all it wrote is read."""
        code = self.process.wait(limit_s)
        self._reader.join(limit_s)
        return code

    def end(self, number: signal.Signals, limit_s: float = LIMIT_S) -> int:
        """Sends the signal to the process alone and waits for its end."""
        self.process.send_signal(number)
        return self.ended(limit_s)


class Home:
    """One config file with its directories, and all routers that were started on it."""

    def __init__(self, place: Path):
        self.place, self.config = place, place / "config.toml"
        self.lives: list[Life] = []
        for name in ("run", "state"):
            (place / name).mkdir(parents=True)

    def write(self, text: str) -> Path:
        """Replaces the config file in one step, as an editor or a deployment does."""
        fresh = self.place / "config.new"
        text = text.replace("@RUN_DIR@", str(self.place / "run"))
        fresh.write_text(text.replace("@STATE_DIR@", str(self.place / "state")))
        os.replace(fresh, self.config)
        return self.config

    def start(self, text: str = "", life: type[Life] = Life) -> Life:
        """Starts a router, on the text when one is given, and does not wait for it."""
        if text:
            self.write(text)
        self.lives.append(life(self.config))
        return self.lives[-1]


async def killed_and_back(life: Life, home: Home) -> Life:
    """SIGKILL, and another router on the same directories; the new one, ready."""
    assert await asyncio.to_thread(life.end, signal.SIGKILL) == -signal.SIGKILL
    again = home.start()
    await asyncio.to_thread(again.ready)
    return again


def command(*words: object) -> subprocess.CompletedProcess[str]:
    """One run of the command line to its end."""
    argv = [sys.executable, "-m", "fastsip", *map(str, words)]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=30)
    assert "Traceback" not in done.stderr and "[Errno" not in done.stderr, done.stderr  # words for people, always
    return done
