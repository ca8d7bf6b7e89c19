"""Who looks at messages just now, and for how long yet: then the shards show nothing to nobody, and the rings are gone.

A look that nobody renews ends by itself, whatever became of who asked.  A router begins without any, and takes away
what the one before it left.
"""

import asyncio
import contextlib
import os
from collections.abc import Sequence
from concurrent.futures import Executor
from pathlib import Path

from fastsip._core.base.files import make_folder
from fastsip._core.state.mirror import MOST_AT_ONCE, View
from fastsip._core.state.mirror_ring import MirrorRing
from fastsip.base.plain import reason
from fastsip.base.run_dir import MIRROR, mirror_file
from fastsip.process.messages import Looked
from fastsip.router.shards import Shards

LONGEST_S = 30.0


def words_of(looked: Looked) -> tuple[str, float | bytes | str]:
    """As View wants it."""
    if looked.call_id:
        return "call", looked.call_id.encode()
    return ("peer", looked.peer) if looked.peer else ("share", looked.share)


class Rings:
    """The files, and who may write into them: for one thread at a time, that of reloads."""

    def __init__(self, run_dir: str, shards: Shards):
        self.folder, self.shards = Path(run_dir) / MIRROR, shards
        self.run_dir = run_dir
        self.rings: list[MirrorRing] = []

    def show(self, looks: Sequence[Looked]) -> None:
        """These and no others, from the next round of each shard on.  OSError: no room, nothing has changed."""
        if not looks:
            self.shards.show([None] * len(self.shards))
            self.rings = []
            self.clear()
            return
        if not self.rings:
            self.rings = self.made()
        words = [words_of(looked) for looked in looks]
        self.shards.show([View(words, ring) for ring in self.rings])

    def made(self) -> list[MirrorRing]:
        make_folder(self.folder)
        try:
            return [MirrorRing(str(mirror_file(self.run_dir, shard)), shard) for shard in range(len(self.shards))]
        except BaseException:
            self.clear()
            raise

    def clear(self) -> None:
        """Whoever has one mapped may go on reading it."""
        with contextlib.suppress(FileNotFoundError):
            for name in os.listdir(self.folder):
                (self.folder / name).unlink(missing_ok=True)


class Looking:
    """One for a router, on its loop.  beside: runs one thing after the other, reloads among them."""

    def __init__(self, run_dir: str, shards: Shards, beside: Executor):
        self.rings, self.beside = Rings(run_dir, shards), beside
        self.rings.clear()
        self.looks: dict[str, tuple[Looked, float]] = {}    # by name: what, and until when on the loop's clock
        self.shown: list[Looked] = []
        self.one_change = asyncio.Lock()
        self.timer: asyncio.TimerHandle | None = None
        self.tasks: set[asyncio.Task[None]] = set()

    async def look(self, name: str, looked: Looked, seconds: float) -> str:
        """"" when it is shown from now on; else why it is not."""
        async with self.one_change:
            self.forget()
            if seconds <= 0:
                self.looks.pop(name, None)
            elif name not in self.looks and len(self.looks) >= MOST_AT_ONCE:
                return f"{MOST_AT_ONCE} look already"
            else:
                self.looks[name] = looked, asyncio.get_running_loop().time() + min(seconds, LONGEST_S)
            try:
                await self.follow()
            except (OSError, MemoryError, ValueError) as error:
                self.looks.pop(name, None)
                return reason(error)
            return ""

    def forget(self) -> None:
        """Those whose time is over."""
        now = asyncio.get_running_loop().time()
        self.looks = {name: one for name, one in self.looks.items() if one[1] > now}

    async def follow(self) -> None:
        """The shards show what is looked at; so again when the next look ends."""
        if self.timer:
            self.timer.cancel()
            self.timer = None
        loop, wanted = asyncio.get_running_loop(), [looked for looked, _ in self.looks.values()]
        try:
            if wanted != self.shown:
                await loop.run_in_executor(self.beside, self.rings.show, wanted)
                self.shown = wanted
        finally:
            if self.looks:
                self.timer = loop.call_at(min(until for _, until in self.looks.values()), self.begin_expiry)

    def begin_expiry(self) -> None:
        task = asyncio.get_running_loop().create_task(self.expire())
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def expire(self) -> None:
        async with self.one_change:
            self.forget()
            await self.follow()

    def leave(self) -> None:
        """When no shard runs any more: the next router begins without."""
        if self.timer:
            self.timer.cancel()
        self.rings.clear()
