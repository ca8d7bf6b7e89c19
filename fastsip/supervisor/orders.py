"""What operators ask of a running router, by the names of control's commands.

Called by supervisor, which does what is asked for.
"""

import os
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from fastsip import __version__
from fastsip.api.socket import Answer, Client, Handler, Refused
from fastsip.base.plain import reason
from fastsip.log import log
from fastsip.supervisor import draining, upgrade

if TYPE_CHECKING:
    from fastsip.supervisor.supervisor import Supervisor

LONGEST_DRAIN_S = 86_400


def handlers(supervisor: "Supervisor") -> dict[str, Handler]:
    orders = Orders(supervisor)
    return {name: getattr(orders, name) for name in ("status", "reload", "drain", "upgrade", "stop")}


class Orders:
    """A handler for each command; the last answer of each has `done`."""

    def __init__(self, supervisor: "Supervisor"):
        self.supervisor = supervisor

    async def status(self, client: Client, asked: dict[str, Any]) -> AsyncIterator[Answer]:
        here = self.supervisor
        yield {
            "done": "status",
            "version": __version__,
            "pid": os.getpid(),
            "router": here.router.pid if here.router else None,
            "routes_since_s": round(time.monotonic() - here.router.began) if here.router else None,
            "spare": here.spare.pid if here.spare else None,
            "configuration": here.version,
            "shards": here.config.router.shards,
            "listeners": [listener.uri for listener in here.config.listeners],
            "draining": here.draining,
        }

    async def reload(self, client: Client, asked: dict[str, Any]) -> AsyncIterator[Answer]:
        await self.supervisor.reload()
        yield {"done": "reloaded", "configuration": self.supervisor.version}

    async def stop(self, client: Client, asked: dict[str, Any]) -> AsyncIterator[Answer]:
        yield {"done": "leaving"}
        self.supervisor.stop()

    async def drain(self, client: Client, asked: dict[str, Any]) -> AsyncIterator[Answer]:
        """`limit_s`, `then` = "stop" or nothing; `undo`: takes new calls again."""
        here = self.supervisor
        if asked.get("undo"):
            await draining.undo(here)
            yield {"done": "new calls are taken"}
            return
        left, limit_s = None, asked.get("limit_s", draining.PATIENCE_S)
        if not isinstance(limit_s, int | float) or not 0 <= limit_s <= LONGEST_DRAIN_S:
            raise Refused(f"limit_s is a number of seconds from 0 to {LONGEST_DRAIN_S}")
        async for answer in draining.drain(here, float(limit_s)):
            left = answer["open"]
            yield answer
        if not here.draining:
            raise Refused("somebody has undone the draining")
        yield {"done": "drained" if left == 0 else "the time is over", "open": left}
        if asked.get("then") == "stop":
            here.stop()

    async def upgrade(self, client: Client, asked: dict[str, Any]) -> AsyncIterator[Answer]:
        """The new code answers, when the router's code is new, too."""
        here = self.supervisor
        async with here.busy:
            words = await upgrade.objection(here.config.file)
            if words:
                log.error("upgrade refused, the old code runs on", extra={"fields": {"why": words}})
                raise Refused(f"{words}\nthe old code runs on")
            try:
                await here.replace(client.keep())
            except OSError as error:
                raise Refused(f"{reason(error)}\nthe old code runs on") from None
        yield {"done": "nothing"}
