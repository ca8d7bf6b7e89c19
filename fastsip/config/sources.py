"""The tables [[source]]: lists of other routers, whose rows become destinations of the sets with their `setid`.

A row is checked as a destination of the file is, but what is wrong with it leaves out the row and nothing else.
A set that no table describes is made by its number, as the other router would have it.  What was read last is kept,
and counts while the source is away (docs/config.md#source).
"""

import re
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from fastsip.base.plain import reason
from fastsip.base.run_dir import ADDED
from fastsip.config import values
from fastsip.config.errors import Wrong
from fastsip.config.language import MAX_ID_BYTES, MAX_NAMED_DESTINATIONS, MAX_SOURCES, MAX_TARGET_BYTES
from fastsip.config.model import Destination, DestinationSet, Listener, NamedDestination, Probe, Source
from fastsip.config.reader import Section
from fastsip.config.rows import Identities, identity_of, listener_of, weight_of
from fastsip.config.secrets import text_or_secret
from fastsip.config.sets import OfRows, find_listener, from_listener, in_places
from fastsip.log import log
from fastsip.sources import added
from fastsip.sources.apart import Table, origin_of, read_apart
from fastsip.sources.kamailio import read_list_file
from fastsip.sources.kept import is_news, read_kept, write_kept
from fastsip.sources.rows import Misfit, Reading, Row, SourceAway

KINDS = ("list", "sql")
OF_KIND = {"list": ("path",), "sql": ("url", "table", "columns", "interval")}   # keys that one kind has alone
COLUMNS = {"kamailio": "dispatcher", "opensips": "dispatcher", "load_balancer": "load_balancer"}   # and their table
MAX_INTERVAL_MS = 86_400_000


class Spec(NamedTuple):
    """One table [[source]], and where what it said last is kept."""

    name: str
    kind: str
    origin: str
    state_dir: Path
    url: str = ""
    table: str = ""
    columns: str = ""
    interval_ms: int = 0

    def read(self) -> Reading:
        """SourceAway says why not."""
        if self.kind == "list":
            return read_list_file(self.origin)
        return read_apart(Table(url=self.url, name=self.table, kind=self.columns))


Fresh = Callable[[Spec], bool]   # is this source read anew?  Of others what is kept counts, if there is any


def all_of_them(_: Spec) -> bool:
    return True


def none_of_them(_: Spec) -> bool:
    return False


class Taken:
    """One source while the configuration is read: its rows, and what becomes of them."""

    def __init__(self, spec: Spec, reading: Reading, away: str = "") -> None:
        self.spec, self.away = spec, away
        self.rows = reading.rows
        self.left_out = list(reading.misfits)

    def leave_out(self, row: Row, why: str, found: str = "") -> None:
        self.left_out.append(Misfit(where=row.where, why=why, found=found))

    def facts(self) -> Source:
        spec = self.spec
        return Source(name=spec.name, kind=spec.kind, origin=spec.origin, row_count=len(self.rows), away=self.away,
                      left_out=tuple(self.left_out), url=spec.url, table=spec.table, columns=spec.columns,
                      interval_ms=spec.interval_ms)


def read_sources(
    root: Section, base: Path, state_dir: Path, *, keep: bool, fresh: Fresh = all_of_them
) -> tuple[Taken, ...]:
    """All sources in the order of the file, and behind them what operators added.

    keep: what is read is kept in state_dir.

    They are read at the same time, for one that does not answer takes seconds.  The sets that they name and no table
    describes stand in `root` afterwards, for whoever refers to them.
    """
    specs = _specs(root, base, state_dir)
    found: list[Taken] = []
    if specs:
        with ThreadPoolExecutor(len(specs), "source") as pool:
            read = pool.map(lambda one: _read(one[1], keep, fresh(one[1])), specs)
            for (section, spec), taken in zip(specs, read, strict=True):
                if isinstance(taken, Taken):
                    found.append(taken)
                else:
                    key = "path" if spec.kind == "list" else "url"
                    section.report.add((*section.path, key), f'"{spec.origin}"', taken)
    if (mine := added.read_added(state_dir)).rows:
        found.append(Taken(Spec(added.NAME, added.NAME, str(state_dir / ADDED), state_dir), mine))
    if found:
        _name_sets(root, found)
    return tuple(found)


def _specs(root: Section, base: Path, state_dir: Path) -> list[tuple[Section, Spec]]:
    """Those that can be read, as many as there may be; the report says what is wrong with others."""
    found = []
    names = {added.NAME}
    for index, section in enumerate(root.listed("source", "source")):
        spec = _spec(section, index, base, state_dir)
        if spec.name in names:
            root.report.add((*section.path, "name"), f'"{spec.name}"',
                            "allowed: a name of its own; another source has it")
        names.add(spec.name)
        if spec.origin:
            found.append((section, spec))
    if len(found) > MAX_SOURCES:
        root.report.add(("source",), f"{len(found)} sources", f"allowed: at most {MAX_SOURCES}")
    return found[:MAX_SOURCES]


def _spec(section: Section, index: int, base: Path, state_dir: Path) -> Spec:
    """With an empty origin when it cannot be read; the report says why."""
    kind = section.need("kind", values.one_of(*KINDS), "", 'it says what is read: "list" or "sql"')
    name = section.take("name", values.name, "") or f"source-{index + 1}"
    for key in OF_KIND["sql" if kind == "list" else "list"] if kind else ():
        if key in section.raw:
            section.report.add((*section.path, key), "", f'refused: kind = "{kind}" has no such key')
    if kind == "sql":
        return _sql_spec(section, name, base, state_dir)
    path = section.need("path", values.text, "", 'the list file, such as "/etc/kamailio/dispatcher.list"')
    return Spec(name, kind, str(base / Path(path).expanduser()) if kind and path else "", state_dir)


def _sql_spec(section: Section, name: str, base: Path, state_dir: Path) -> Spec:
    url = section.need("url", text_or_secret(base), "", 'such as "postgresql://USER@HOST/DATABASE", or "file:PATH"')
    columns = section.take("columns", values.one_of(*COLUMNS), "kamailio")
    table = section.take("table", values.text, COLUMNS.get(columns, ""))
    interval_ms = section.take("interval", values.duration(0, MAX_INTERVAL_MS), 60_000)
    wanted = Table(url=url, name=table, kind=columns)
    return Spec(name, "sql", origin_of(wanted) if url else "", state_dir, url, table, columns, interval_ms)


def _read(spec: Spec, keep: bool, fresh: bool) -> Taken | str:
    """The source as it is, or as it was when it is away or not to be read; why there is neither."""
    kept = read_kept(spec.state_dir, spec.name, spec.origin)
    if kept and not fresh:
        return Taken(spec, kept)
    try:
        reading = spec.read()
        news = is_news(kept, reading)
    except SourceAway as away:
        if kept:
            return Taken(spec, kept, str(away))
        return str(away)
    if keep and news:
        _keep(spec, reading)
    return Taken(spec, reading)


def _keep(spec: Spec, reading: Reading) -> None:
    try:
        write_kept(spec.state_dir, spec.name, spec.origin, reading)
    except OSError as error:
        log.warning("what a source said is not kept: if it is away at the next start, that start fails",
                    extra={"fields": {"source": spec.name, "why": reason(error)}})


def _name_sets(root: Section, sources: list[Taken]) -> None:
    """A raw table for each set that only sources know, and for each that rules name by its number though its last
    row went: then calls find it empty, and the rest of the configuration counts."""
    sets = root.raw.setdefault("set", {})
    if not isinstance(sets, dict):
        return
    known = {str(raw.get("setid")) for raw in sets.values() if isinstance(raw, dict)}
    numbers = dict.fromkeys(str(row.setid) for source in sources for row in source.rows)
    for name in (*_texts(root.raw.get("route"), "to"), *_texts(root.raw.get("failure"), "then")):
        if re.fullmatch("0|[1-9][0-9]{0,8}", name):
            numbers.setdefault(name)
    for number in numbers:
        if number not in known:
            # There, priorities order a list and do not make tiers.
            sets.setdefault(number, {"setid": int(number), "tiers": False})


def _texts(tables: object, key: str) -> Iterator[str]:
    """What stands under `key` in each of these raw tables."""
    inner = tables.values() if isinstance(tables, dict) else tables if isinstance(tables, list) else ()
    for table in inner:
        if isinstance(table, dict) and isinstance(table.get(key), str):
            yield table[key]


def take_rows(
    sources: tuple[Taken, ...],
    sets: list[tuple[DestinationSet, OfRows]],
    listeners: tuple[Listener, ...],
    router_name: str,
) -> tuple[DestinationSet, ...]:
    """The sets, with what the sources have for each behind what the file has."""
    if not sources:
        return tuple(group for group, _ in sets)
    by_setid: dict[int, list[tuple[Taken, Row]]] = {}
    for source in sources:
        for row in source.rows:
            by_setid.setdefault(row.setid, []).append((source, row))
    known = [(group.name, one.id) for group, _ in sets for one in group.destinations]
    known += [(group.name, one.id) for group, _ in sets for one in group.names]
    identities = Identities(known)
    room = NameRoom(MAX_NAMED_DESTINATIONS - sum(len(group.names) for group, _ in sets))
    grown = []
    for group, of_rows in sets:
        rows = by_setid.pop(group.setid, []) if group.setid is not None else []
        grown.append(_Taker(group, of_rows, listeners, router_name, identities, room).grown(rows) if rows else group)
    for left in by_setid.values():
        for source, row in left:
            source.leave_out(row, "a set with another number, or none, has its name", str(row.setid))
    return tuple(grown)


class NameRoom:
    """How many more names there may be among the destinations of all sets."""

    def __init__(self, left: int) -> None:
        self.left = left

    def check(self) -> None:
        if self.left <= 0:
            raise Wrong(f"there are {MAX_NAMED_DESTINATIONS:,} names among the destinations already")


class _Taker:
    """Takes rows into one set."""

    def __init__(
        self,
        group: DestinationSet,
        of_rows: OfRows,
        listeners: tuple[Listener, ...],
        router_name: str,
        identities: Identities,
        room: NameRoom,
    ) -> None:
        """`identities` and `room` of all sets: they change."""
        self.of_rows, self.room = of_rows, room
        self.group, self.listeners, self.router_name, self.identities = group, listeners, router_name, identities
        self.own = {(listener.host, listener.port) for listener in listeners}

    def grown(self, rows: Iterable[tuple[Taken, Row]]) -> DestinationSet:
        found: list[Destination | NamedDestination] = list(self.group.destinations)
        for name in reversed(self.group.names):
            found.insert(name.behind, name)
        for source, row in rows:
            try:
                found.append(self._destination(row))
            except Wrong as wrong:
                source.leave_out(row, wrong.allowed + (f" ({wrong.hint})" if wrong.hint else ""), row.uri[:80])
        destinations, names = in_places(found)
        return msgspec.structs.replace(self.group, destinations=destinations, names=names)

    def _destination(self, row: Row) -> Destination | NamedDestination:
        """Wrong says why it cannot be."""
        uri = values.destination_uri(row.uri)
        if self.group.answering:
            raise Wrong("a set with `answering` takes no destinations of a source")
        address = uri.address
        if address is None:
            return self._named(row, uri)
        if (address.host, address.port) in self.own:
            raise Wrong("this is our own [[listen]] address: calls would go round in a loop")
        listener = self._listener(row, address.family)
        probe = self._probe(row, listener)
        # Last, so that a row that is wrong elsewhere keeps no other one from the id.
        identity = self.identities.take(self.group.name, row, uri.text)
        return Destination(
            id=identity,
            uri=uri.text,
            host=address.host,
            port=address.port,
            family=address.family,
            listener=listener,
            probe=probe,
            **self._common(row),
        )

    def _named(self, row: Row, uri: values.SipUri) -> NamedDestination:
        wanted = self._wanted(row)
        if all(find_listener(self.listeners, family, wanted) is None for family in (4, 6)):
            raise Wrong(f"no [[listen]] {wanted} has an address to send from")
        if len(identity_of(self.group.name, row, uri.text).encode()) > MAX_ID_BYTES - MAX_TARGET_BYTES:
            raise Wrong("its id would be too long for a name: give it a `duid`")
        probe = self._probe_keys(row)
        self.room.check()
        identity = self.identities.take(self.group.name, row, uri.text)
        self.room.left -= 1
        return NamedDestination(
            id=identity,
            uri=uri.text,
            host=uri.host,
            port=uri.port,
            transport=uri.transport,
            listen=wanted,
            probe=probe,
            behind=0,
            **self._common(row),
        )

    def _common(self, row: Row) -> dict[str, Any]:
        """What an address and a name of a row both have."""
        return {
            "weight": weight_of(row, self.group.algorithm),
            "priority": row.priority,
            "attrs": row.attrs,
            "admin": row.admin,
            "starts_down": row.starts_down,
            "calls": self.of_rows.calls,
        }

    def _wanted(self, row: Row) -> str:
        """By its socket, else the set's."""
        return listener_of(row) or self.group.listen

    def _listener(self, row: Row, family: int) -> int:
        wanted = self._wanted(row)
        index = find_listener(self.listeners, family, wanted)
        if index is not None:
            return index
        raise Wrong(f"no [[listen]] {wanted + ' ' if wanted else ''}has an IPv{family} address to send from")

    def _probe(self, row: Row, listener: int) -> Probe | None:
        probe = self._probe_keys(row)
        return from_listener(probe, self.listeners, listener, self.router_name) if probe else None

    def _probe_keys(self, row: Row) -> Probe | None:
        """Without a From, unless the row or the set gives one."""
        wanted, probe, _ = self.of_rows
        if wanted == "none" or row.probed is False or (wanted == "flagged" and not row.probed):
            return None
        if wanted == "flagged" and row.probe_mode:
            probe = msgspec.structs.replace(probe, mode=row.probe_mode)
        if row.probe_from:
            probe = msgspec.structs.replace(probe, from_uri=values.from_uri(row.probe_from))
        return probe
