"""Destinations that operators add to the router that runs, and take away again; no file of theirs is read for that.

They are kept (sources/added) and come into force as a configuration of the text that runs, with what the sources said
last: what somebody is just writing into CONFIG or into a list is not taken by this.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any

from fastsip.api.socket import Answer, Refused
from fastsip.base.plain import reason
from fastsip.base.run_dir import ADDED
from fastsip.config import Config, ConfigError
from fastsip.config.errors import Wrong
from fastsip.config.rows import identity_of
from fastsip.config.targets import ids_of
from fastsip.config.values import destination_uri
from fastsip.dispatcher.diff import Diff, compare
from fastsip.log import log
from fastsip.sources.added import NAME, added_row, read_added, write_added
from fastsip.sources.rows import Row
from fastsip.supervisor.changes import apply, note_reload, with_first
from fastsip.supervisor.databases import read_again
from fastsip.supervisor.state import StartError, State


async def add(here: State, group: str, columns: dict[str, Any]) -> Answer:
    """A destination for the set of this name or setid; `id`.  Refused: nothing has changed."""
    async with here.busy:
        row = _row(here.config, group, columns)
        rows = await _rows(here)
        await _apply(here, rows, (*rows, row))
        return {"id": _id(here.config, row)}


async def remove(here: State, identity: str) -> Answer:
    """Of those that operators added.  Calls that are up go on.  Refused: it stands elsewhere, or is not there."""
    async with here.busy:
        rows = await _rows(here)
        left = tuple(row for row in rows if identity != _id(here.config, row))
        if left == rows:
            words = "stands in the configuration or a source: take it out there, or disable it"
            known = identity in set(ids_of(here.config))
            raise Refused(f"{identity} {words if known else 'is not there'}")
        await _apply(here, rows, left)
        return {"id": identity}


async def _rows(here: State) -> tuple[Row, ...]:
    try:
        return (await asyncio.to_thread(read_added, here.config.router.state_dir, needed=True)).rows
    except OSError as error:
        raise Refused(f"{reason(error)}\nnothing has changed") from None


def _row(config: Config, group: str, columns: dict[str, Any]) -> Row:
    """Refused says what is wrong with it."""
    for one in config.sets:
        if group in (one.name, str(one.setid)):
            if one.setid is None:
                raise Refused(f"set {group} has no `setid`, by which rows find their set: give it one")
            group = str(one.setid)
    try:
        return added_row({**columns, "setid": group})
    except ValueError as error:
        raise Refused(str(error)) from None


def _id(config: Config, row: Row) -> str:
    """Of the destination that this row is, or would be when its set or its URI were right."""
    uri, name = row.uri, next((group.name for group in config.sets if group.setid == row.setid), str(row.setid))
    with contextlib.suppress(Wrong):
        uri = destination_uri(row.uri).text
    return identity_of(name, row, uri)


async def _apply(here: State, before: Sequence[Row], rows: Sequence[Row]) -> None:
    """These rows and none other count from now on; Refused: those before do."""
    state_dir = here.config.router.state_dir
    try:
        write_added(state_dir, rows)    # in no thread: one that nobody waits for any more would write on
    except OSError as error:
        raise Refused(f"it cannot be kept, and nothing has changed: {reason(error)}") from None
    try:
        fresh = await with_first(here, await read_again(here))
        diff = compare(here.config, fresh)
        for row in rows[len(before) :]:
            _check(fresh, diff, row)
        await apply(here, fresh, here.text)
    except BaseException as error:
        words = _put_back(state_dir, before)
        if isinstance(error, ConfigError | StartError | OSError):
            raise Refused(f"{reason(error)}\n{words}") from None
        raise
    note_reload(here, diff, "operator")


def _put_back(state_dir: str, rows: Sequence[Row]) -> str:
    """What became of it, in words."""
    try:
        write_added(state_dir, rows)
    except OSError as error:
        words = f"it stays in {state_dir}/{ADDED} and will be tried at the next reload or start: {reason(error)}"
        log.error("what was refused cannot be taken back", extra={"fields": {"why": words}})
        return words
    return "nothing has changed"


def _check(fresh: Config, diff: Diff, row: Row) -> None:
    """StartError: no set takes in the row that is new."""
    if _id(fresh, row) not in diff.added:
        left_out = [one for source in fresh.sources if source.name == NAME for one in source.left_out]
        raise StartError(next((one.why for one in reversed(left_out) if one.found == row.uri[:80]), "no set has it"))
