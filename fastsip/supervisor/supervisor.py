"""The supervisor: holds what outlives a router, and sees to it that one routes, never two.

It alone acts on signals, and answers operators.  What it holds and in which state it is stands in state, how one
router follows the other in succession, what changes a running service in changes, who hangs in watching.

Never: touch a call.
"""

import asyncio
import contextlib
import functools
import os
import signal
import time
from collections.abc import AsyncIterator
from typing import Any

from fastsip import __version__
from fastsip.api.socket import Answer, Client, Refused, Server
from fastsip.dispatcher.words import Press
from fastsip.process import messages
from fastsip.supervisor import (
    added,
    changes,
    databases,
    desks,
    destinations,
    draining,
    looking,
    names,
    orders,
    polling,
    succession,
    telling,
    upgrade,
    watching,
)
from fastsip.supervisor.state import State


class Supervisor:
    """Serves until the end of all; what operators may ask of it is orders.Service."""

    def __init__(self, state: State):
        self.state = state

    async def serve(self) -> int:
        """The exit code."""
        here, loop = self.state, asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.terminate)
        loop.add_signal_handler(signal.SIGHUP, lambda: here.start_task(self.hang_up()))
        inherited, unheard = (here.inherited.control, here.inherited.unheard) if here.inherited else (-1, [])
        server = here.server = Server(here.config.router.run_dir, orders.handlers(self), inherited,
                                      functools.partial(desks.hand_over, here), unheard)  # fmt: skip
        here.control = await server.start()
        try:
            await self.reign()
        finally:
            await server.close()
        await succession.end_all(here)
        await here.events.close()
        return 0

    async def reign(self) -> None:
        here = self.state
        succession.inherit_router(here)
        if here.inherited:
            here.start_task(changes.finish_upgrade(here, here.inherited.client))
        upgrade.signals_may_come()
        here.start_task(watching.beat(here))
        here.start_task(polling.watch(here))
        here.start_task(telling.watch(here))
        if not here.inherited:      # finish_upgrade tells it, after it has looked
            databases.tell_away(here)
        here.start_task(desks.keep(here))
        here.start_task(names.watch(here))
        await succession.reign_on(here)

    def terminate(self) -> None:
        """SIGTERM: at once, or when it is empty if so configured; a second one is not patient."""
        here = self.state
        if here.config.router.stop_mode == "drain" and not here.draining:
            here.start_task(draining.drain_away(here))
        else:
            here.stop()

    async def hang_up(self) -> None:
        with contextlib.suppress(Refused):
            await changes.reload(self.state)

    # ------------------------------------------------------------ what operators ask for

    @property
    def draining(self) -> bool:
        return self.state.draining

    def status(self) -> Answer:
        here = self.state
        return {
            "version": __version__,
            "node": here.config.router.name,
            "pid": os.getpid(),
            "router": here.router.pid if here.router else None,
            "routes_since_s": round(time.monotonic() - here.router.began) if here.router else None,
            "spare": here.spare.pid if here.spare else None,
            "configuration": here.version,
            "shards": here.config.router.shards,
            "listeners": [listener.uri for listener in here.config.listeners],
            "draining": here.draining,
            "sources_away": databases.names_away(here),
            "webhooks": telling.counted(here),
            "spans": telling.spans(here),
            "names_unresolved": destinations.unresolved(here),
            "state_dir": here.config.router.state_dir,
        }

    async def reload(self) -> Answer:
        return await changes.reload(self.state)

    def destinations(self) -> AsyncIterator[Answer]:
        return destinations.listing(self.state)

    async def say_admin(self, ids: list[str], sets: list[str], state: str, why: str, press: Press) -> Answer:
        return await destinations.say(self.state, ids, sets, state, why, press)

    async def probe(self, ids: list[str], sets: list[str]) -> Answer:
        return await destinations.probe(self.state, ids, sets)

    async def look(self, name: str, looked: messages.Looked, seconds: float) -> None:
        await looking.look(self.state, name, looked, seconds)

    async def add(self, group: str, columns: dict[str, Any]) -> Answer:
        return await added.add(self.state, group, columns)

    async def remove(self, identity: str) -> Answer:
        return await added.remove(self.state, identity)

    def drain(self, limit_s: float) -> AsyncIterator[Answer]:
        return draining.drain(self.state, limit_s)

    async def undo_drain(self) -> None:
        await draining.undo(self.state)

    async def upgrade(self, client: Client) -> None:
        await changes.upgrade_all(self.state, client)

    def stop(self) -> None:
        self.state.stop()
