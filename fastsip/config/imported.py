"""What another router's file has, written in our own language: sets that mean what the same file means as a source.

A set is made by its number and has no tiers, and an id is what a source would give, as take_rows (sources.py) has it.
What only the whole configuration shows, as an address of our own among the destinations, is left for `check`.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec

from fastsip.base.plain import counted
from fastsip.base.toml import toml_comment, toml_value
from fastsip.config import values
from fastsip.config.errors import Wrong
from fastsip.config.rows import Identities, listener_of, weight_of
from fastsip.config.sets import listener_name
from fastsip.sources.rows import Misfit, Reading, Row, SourceAway
from fastsip.sources.table_files import read_kamailio_file, read_opensips_file

READERS: dict[str, Callable[[str], Reading]] = {"kamailio": read_kamailio_file, "opensips": read_opensips_file}

# Attributes that say something there and nothing here, yet.
IDLE = ("maxload", "ping_socket", "obproxy", "latency", "cc", "resources")


class Imported(msgspec.Struct, frozen=True, kw_only=True):
    """`away`: why nothing could be read, "" when something was."""

    text: str = ""  # TOML
    left_out: tuple[Misfit, ...] = ()
    away: str = ""


def import_file(router: str, path: str) -> Imported:
    """`router` is one of READERS."""
    try:
        reading = READERS[router](path)
    except SourceAway as away:
        return Imported(away=str(away))
    return import_rows(router, reading)


def import_rows(router: str, reading: Reading) -> Imported:
    by_setid: dict[int, list[Row]] = {}
    for row in reading.rows:
        by_setid.setdefault(row.setid, []).append(row)
    identities = Identities([])
    groups = [_Group(setid, rows, identities) for setid, rows in by_setid.items()]
    left_out = (*reading.misfits, *(one for group in groups for one in group.left_out))
    count = sum(group.count for group in groups)
    if not count:
        return Imported(left_out=left_out, away="no destination is in it that can be used here")
    lines = [*_head(router, groups, count, len(left_out)), *(line for group in groups for line in group.lines())]
    return Imported(text="".join(f"{line}\n" for line in lines), left_out=left_out)


def _head(router: str, groups: list["_Group"], count: int, missing: int) -> Iterator[str]:
    used = [group for group in groups if group.count]
    yield toml_comment(f"{counted(count, 'destination')} in {counted(len(used), 'set')}, as `fastsip import {router}` "
                       f"read them" + (f"; {missing:,} left out" if missing else ""))
    yield toml_comment("How calls are spread is said in the script there, and here by `algorithm` of each set.")
    listeners = dict.fromkeys(name for group in used for name in group.listeners)
    if listeners:
        yield toml_comment(f"A [[listen]] with this address or tag is needed for each of: {', '.join(listeners)}")


class _Group:
    """The rows of one set as lines of text."""

    def __init__(self, setid: int, rows: Iterable[Row], identities: Identities) -> None:
        self.setid, self.identities = setid, identities
        self.left_out: list[Misfit] = []
        self.listeners: dict[str, None] = {}
        self.idle: Counter[str] = Counter()
        self.count = 0
        self.items = [self._item(row) for row in rows]

    def lines(self) -> Iterator[str]:
        yield ""
        if not self.count:
            yield toml_comment(f"[set.{self.setid}] has no destination that can be used here")
            yield from self.items
            return
        yield f"[set.{self.setid}]"
        yield f"setid = {self.setid}"
        yield "tiers = false  # there, priorities order a set for one algorithm and make no tiers"
        for name, count in self.idle.items():
            yield toml_comment(f"`{name}` of {counted(count, 'destination')} is kept in attrs and does nothing yet")
        yield "destinations = ["
        yield from (f"  {item}" for item in self.items)
        yield "]"

    def _item(self, row: Row) -> str:
        try:
            keys = self._keys(row)
        except Wrong as wrong:
            why = wrong.allowed + (f" ({wrong.hint})" if wrong.hint else "")
            misfit = Misfit(where=row.where, why=why, found=row.uri[:80])
            self.left_out.append(misfit)
            return toml_comment(f"left out: {misfit}")
        self.count += 1
        self.idle.update(_idle(row))
        self.listeners.update(dict.fromkeys(filter(None, [listener_of(row)])))
        other = weight_of(row, "relative-weight")
        note = f'with algorithm = "relative-weight": weight = {other}' if other != weight_of(row, "") else ""
        return f"{toml_value(keys)}," + (f"  {toml_comment(note)}" if note else "")

    def _keys(self, row: Row) -> dict[str, Any]:
        """Those of a destination that differ from the defaults.  Wrong says why it cannot be one."""
        uri = values.destination_uri(row.uri).text
        listener = listener_of(row)
        if listener:
            listener_name(listener)
        probe = _probe(row)
        return {"uri": uri, "id": values.identity(self.identities.take(str(self.setid), row, uri))} | {
            key: value
            for key, value, default in (
                ("weight", weight_of(row, ""), 1),
                ("priority", row.priority, 0),
                ("listen", listener, ""),
                ("admin", row.admin, "enabled"),
                ("starts_down", row.starts_down, False),
                ("probe", probe, None),
                ("attrs", dict(row.attrs), {}),
            )
            if value != default
        }


def _probe(row: Row) -> dict[str, str] | bool | None:
    """What its key `probe` says; None: it is not there."""
    if not row.probed:
        return row.probed
    found = {"mode": row.probe_mode, "from": values.from_uri(row.probe_from) if row.probe_from else ""}
    return {key: value for key, value in found.items() if value}


def _idle(row: Row) -> Iterator[str]:
    for name, value in row.attrs:
        if name in IDLE or (name == "weight" and value and row.weight is None):
            yield name
