"""Sources in databases: the desk reads them and keeps what they say, a process that may hang or die.

Why one cannot be read is known here, until it is read again.
"""

import asyncio
from collections.abc import Iterable

from fastsip.base.plain import reason
from fastsip.config import Config, load_text
from fastsip.config.model import Source
from fastsip.config.sources import none_of_them
from fastsip.log import log
from fastsip.process import messages
from fastsip.sources.away import write_away
from fastsip.supervisor import desks
from fastsip.supervisor.destinations import check_kept
from fastsip.supervisor.state import State, with_told

READ_LIMIT_S = 20.0     # the desk's own limits end a read after half of it


def sql_sources(config: Config) -> list[Source]:
    return [source for source in config.sources if source.kind == "sql"]


async def read_all(here: State, sources: Iterable[Source]) -> bool:
    """All of them at once: does one of them say another thing than before?"""
    return any(await asyncio.gather(*(read(here, source) for source in sources)))


async def look_at_all(here: State) -> None:
    """Before the configuration is read with what they say.  If it is refused then, polling still takes that."""
    if await read_all(here, sql_sources(here.config)):
        here.untaken = True


async def read(here: State, source: Source) -> bool:
    """Does it say another thing than before?  Why it cannot be read stands in `here.away`."""
    order = messages.ReadTable(
        name=source.name, origin=source.origin, url=source.url, table=source.table, columns=source.columns,
        state_dir=here.config.router.state_dir,
    )  # fmt: skip
    said = await desks.ask(here, order, messages.TableRead, READ_LIMIT_S)
    if isinstance(said, messages.TableRead):
        note(here, source, said.away)
        return said.changed
    note(here, source, said)
    return False


def note(here: State, source: Source, why: str) -> None:
    """Once when it goes away, and once when it is back.  Of one that a reload removed meanwhile, nothing."""
    key = (source.name, source.origin)
    if key not in _known(here.config):
        return
    before = here.away.pop(key, "")
    if why:
        here.away[key] = why
    fields = {"source": source.name, "origin": source.origin}
    if why and not before:
        log.warning("a source is away, what was read last counts", extra={"fields": {**fields, "why": why}})
    elif before and not why:
        log.info("a source is back", extra={"fields": fields})
    tell_away(here)


def _known(config: Config) -> set[tuple[str, str]]:
    return {(source.name, source.origin) for source in sql_sources(config)}


def tell_away(here: State) -> None:
    """Which sources, of whatever kind, have gone away and come back since this was told last."""
    reasons = {(one.name, one.origin): here.away.get((one.name, one.origin), "") if one.kind == "sql" else one.away
               for one in here.config.sources}
    now = {key: why for key, why in reasons.items() if why}
    for (name, origin), why in now.items():
        if (name, origin) not in here.told_away:
            here.events.tell("source.failed", source=name, origin=origin, why=why)
    for name, origin in here.told_away.keys() & reasons.keys() - now.keys():
        here.events.tell("source.back", source=name, origin=origin)
    if now == here.told_away:
        return
    here.told_away = now
    try:
        write_away(here.config.router.state_dir, now)
    except OSError as error:
        log.error("which sources are away is not kept", extra={"fields": {"why": reason(error)}})


def forget_removed(here: State) -> None:
    """Who comes back later is not away because it was when it went."""
    known = _known(here.config)
    here.away = {key: why for key, why in here.away.items() if key in known}


def names_away(here: State) -> list[str]:
    """Of lists it is known since they were read for this configuration, of databases since the last look."""
    return [one.name for one in here.config.sources
            if (one.kind == "sql" and (one.name, one.origin) in here.away) or (one.kind != "sql" and one.away)]


def with_away(here: State, config: Config) -> Config:
    """Who is away is known of a read, not of what was kept.  One that was just read for this says it by itself."""
    return with_told(config, here.away)


async def read_again(here: State) -> Config:
    """The text that runs, with what its sources and DNS said last and what operators have added now."""
    await asyncio.to_thread(check_kept, here.config)
    config = await asyncio.to_thread(load_text, here.text, here.config.file, fresh=none_of_them,
                                     answers=dict(here.names.answers))
    return with_away(here, config)
