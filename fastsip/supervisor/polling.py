"""Looks at sources in databases at their intervals, and takes what they say when it is another thing.

Nothing of a database is in the way of a call: the desk reads, and a thread of ours makes the configuration.  What has
not changed since costs the look at it alone.
"""

import asyncio
import time

from fastsip.base.plain import reason
from fastsip.config import load_text
from fastsip.dispatcher.diff import compare
from fastsip.log import log
from fastsip.supervisor import changes, tables
from fastsip.supervisor.state import State

LOOK_S = 1.0


async def watch(here: State) -> None:
    """As long as the supervisor lives."""
    due: dict[str, float] = {}
    while True:
        await asyncio.sleep(LOOK_S)
        try:
            await look(here, due)
        except Exception:
            log.exception("sources are not looked at, by a fault of fastsip")


async def look(here: State, due: dict[str, float]) -> None:
    """due: when to look at each source again, by name and origin."""
    now, sources = time.monotonic(), [source for source in tables.databases(here.config) if source.interval_ms]
    ready = [source for source in sources if due.setdefault(source.origin, now + source.interval_ms / 1000) <= now]
    for source in ready:
        due[source.origin] = now + source.interval_ms / 1000
    for origin in due.keys() - {source.origin for source in sources}:
        del due[origin]
    if ready and await tables.read_all(here, ready):
        here.untaken = True
    if here.untaken and ready:
        await take(here)


async def take(here: State) -> None:
    """What sources have said since, with the configuration that runs; what cannot be is tried at the next look."""
    async with here.busy:
        config = here.config
        try:
            fresh = tables.with_away(here, await asyncio.to_thread(load_text, here.text, config.file, fresh=()))
            diff = compare(config, fresh)
            await changes.apply(here, fresh, here.text)
        except Exception as error:
            log.error("what a source says is not taken, the old configuration runs on",
                      extra={"fields": {"why": reason(error)}})
            return
        here.untaken = False
        here.version += 1
        changes.note_reload(here, diff)
