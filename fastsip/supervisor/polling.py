"""Looks at sources in databases at their intervals, and takes what they say when it is another thing.

Nothing of a database is in the way of a call: the desk reads, and a thread of ours makes the configuration.  What has
not changed since costs the look at it alone.
"""

import asyncio
import time

from fastsip.base.plain import reason
from fastsip.dispatcher.diff import compare
from fastsip.log import log
from fastsip.supervisor import changes, databases
from fastsip.supervisor.state import State

LOOK_S = 1.0
Key = tuple[str, str]   # name and origin of a source


async def watch(here: State) -> None:
    """As long as the supervisor lives."""
    looked: dict[Key, float] = {}
    reads: dict[Key, asyncio.Task[bool]] = {}
    while True:
        await asyncio.sleep(LOOK_S)
        try:
            look(here, looked, reads)
            if await ended(here, reads) and here.untaken:
                await take(here)
        except Exception:
            log.exception("sources are not looked at, by a fault of fastsip")


def look(here: State, looked: dict[Key, float], reads: dict[Key, asyncio.Task[bool]]) -> None:
    """Begins to read those whose interval is over.  looked: when each was looked at last, by what is read now."""
    now = time.monotonic()
    sources = {(one.name, one.origin): one for one in databases.sql_sources(here.config) if one.interval_ms}
    for key in looked.keys() - sources:
        del looked[key]
    for key, source in sources.items():
        if key not in reads and looked.setdefault(key, now) + source.interval_ms / 1000 <= now:
            looked[key] = now
            reads[key] = asyncio.get_running_loop().create_task(databases.read(here, source))


async def ended(here: State, reads: dict[Key, asyncio.Task[bool]]) -> bool:
    """Has one been read?  One that does not answer keeps no other one waiting."""
    if not reads:
        return False
    done, _ = await asyncio.wait(reads.values(), timeout=LOOK_S, return_when=asyncio.FIRST_COMPLETED)
    for key in [key for key, task in reads.items() if task in done]:
        here.untaken |= reads.pop(key).result()
    return bool(done)


async def take(here: State) -> None:
    """What sources have said since, with the configuration that runs; what cannot be is tried at the next look."""
    async with here.busy:
        config = here.config
        try:
            fresh = await databases.read_again(here)
            diff = compare(config, fresh)
            await changes.apply(here, fresh, here.text)
        except Exception as error:
            log.error("what a source says is not taken, the old configuration runs on",
                      extra={"fields": {"why": reason(error)}})
            if here.told_refused != reason(error):      # at each look it is the same
                here.told_refused = reason(error)
                here.events.tell("config.refused", cause="source", why=here.told_refused)
            return
        here.untaken = False
        changes.note_reload(here, diff, "source")
