"""Who looks at messages just now, and for how long yet: then the shards show nothing to nobody, and the rings are gone.

A look that nobody renews ends by itself, whatever became of who asked.  A router begins without any, and takes away
what the one before it left.
"""

import asyncio
from concurrent.futures import Executor

from fastsip._core.state.mirror import MOST_AT_ONCE
from fastsip.base.plain import reason
from fastsip.log import log
from fastsip.process.messages import Looked
from fastsip.router.views import Views

LONGEST_S = 30.0
AGAIN_S = 1.0


class Looking:
    """One for a router, on its loop.  beside: runs one thing after the other, reloads among them."""

    def __init__(self, views: Views, beside: Executor):
        self.views, self.beside = views, beside
        self.looks: dict[str, tuple[Looked, float]] = {}    # by name: what, and until when on the loop's clock
        self.shown: list[Looked] = []
        self.one_change = asyncio.Lock()
        self.timer: asyncio.TimerHandle | None = None
        self.tasks: set[asyncio.Task[None]] = set()

    def begin(self) -> None:
        """Nobody looks, whoever looked at the router before."""
        self.views.clear()

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
                await loop.run_in_executor(self.beside, self.views.look_at, wanted)
                self.shown = wanted
        finally:
            whens = [until for _, until in self.looks.values()]
            if wanted != self.shown:
                whens.append(loop.time() + AGAIN_S)
            if whens:
                self.timer = loop.call_at(min(whens), self.begin_expiry)

    def begin_expiry(self) -> None:
        task = asyncio.get_running_loop().create_task(self.expire())
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def expire(self) -> None:
        """What could not be is tried again: nobody waits for it, and no message is to be shown for longer."""
        async with self.one_change:
            self.forget()
            try:
                await self.follow()
            except (OSError, MemoryError) as error:
                log.warning("a look has not ended yet", extra={"fields": {"why": reason(error)}})

    def leave(self) -> None:
        """When no shard runs any more: the next router begins without."""
        if self.timer:
            self.timer.cancel()
        self.views.clear()
