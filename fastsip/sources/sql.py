"""A table of destinations in a SQL database, read whole: Kamailio's or OpenSIPS' `dispatcher`, or a `load_balancer`.

    database = Database(Table(url="postgresql://kamailio:...@db.example.net/kamailio"))
    reading = database.read()       # or SourceAway, which says why

One read is one SELECT in a transaction that may only read, over a connection of its own (engines.py says why), and
takes at most `limit_s`.  Before it the columns of the table are asked for, since it may have fewer than Kamailio's, or
more: the user needs SELECT on the whole table, or on a view that has what is wanted.  A column that is missing has
Kamailio's default; only set and destination must be there.  Large and small letters in names of columns are the same.
Rows come in the order of the column `id`, so that equal priorities keep their order.

Nothing tells cheaply and rightly on all engines that a table did not change, so it is always read.  Texts that are no
UTF-8 and columns of bytes are taken as list files are, with what cannot be read replaced.

Needs the extra `sql`.  No text, repr or log has the password.
"""

import functools
import math
import time
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from fastsip.base.plain import printable
from fastsip.sources import engines
from fastsip.sources.apart import Table
from fastsip.sources.columns import MOST_ROWS, gather
from fastsip.sources.kamailio import read_columns
from fastsip.sources.opensips import read_dispatcher, read_load_balancer
from fastsip.sources.rows import Misfit, Reading, Row, SourceAway

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

LONGEST_ROW = 4096          # letters of all its columns, as a line of a list file
MOST_LETTERS = 16 << 20     # of a table, as a list file; looked at after each batch
MOST_LONG_ROWS = 100        # that are said one by one
LONGEST_ID = 40             # of what stands in a log for a row
BATCH = 1000                # rows
PLAIN = {int, str, type(None)}
CONNECT_S, LIMIT_S = 3.0, 10.0


class Kind(NamedTuple):
    """A table as some router has it: columns, the required ones first, which are texts, and what reads a row."""

    columns: tuple[str, ...]
    required: int
    texts: frozenset[str]
    read: Callable[[dict[str, object], str], Row]


KINDS = {
    "kamailio": Kind(("setid", "destination", "flags", "priority", "attrs"), 2, frozenset({"destination", "attrs"}),
                     read_columns),
    "opensips": Kind(("setid", "destination", "socket", "state", "probe_mode", "weight", "priority", "attrs",
                      "description"), 2, frozenset({"destination", "socket", "weight", "attrs", "description"}),
                     read_dispatcher),
    "load_balancer": Kind(("group_id", "dst_uri", "resources", "probe_mode", "attrs", "description"), 2,
                          frozenset({"dst_uri", "resources", "attrs", "description"}), read_load_balancer),
}  # fmt: skip


class Fetched(NamedTuple):
    """The rows of a table, `id` first if it has one, and how many letters each has."""

    names: list[str]
    rows: list[tuple[Any, ...]]
    lengths: list[int]


class Database:
    """Reads one table again and again, from one thread.

    `connect_s` is for each address that the host's name has, `limit_s` for a whole read.
    """

    def __init__(self, table: Table, connect_s: float = CONNECT_S, limit_s: float = LIMIT_S):
        self.table, self.kind = table, KINDS[table.kind]
        self._connect_s, self._limit_s = connect_s, limit_s
        self._engine: Engine | None = None
        self._limit = engines.Limit(limit_s)

    def __repr__(self) -> str:
        return f"Database({self.table!r})"

    def read(self) -> Reading:
        """All rows as they are now, or SourceAway."""
        at = time.time()
        url, way = engines.read_url(self.table.url)
        self._limit = engines.Limit(self._limit_s)
        if self._engine is None:
            self._engine = engines.open_engine(url, way, self._connect_s, self._limit_s, lambda: self._limit)
        secrets = engines.secrets_of(url)
        with self._limit as limit:
            try:
                with self._engine.connect() as connection:
                    found = self._fetch(connection, way)
            except SourceAway as away:
                raise SourceAway(engines.without(secrets, str(away))) from None
            except Exception as error:  # whatever a driver makes of what a server sends
                raise SourceAway(engines.why(error, limit, secrets)) from None
        return _reading(self.kind, found, at)

    def close(self) -> None:
        """A later read opens it again."""
        if self._engine is not None:
            self._engine.dispose()
            self._engine = None

    def _fetch(self, connection: "Connection", way: engines.Way) -> Fetched:
        try:
            way.begin(connection, self._limit_s)
            return _rows(connection, self.table.name, self.kind, way.streams)
        except BaseException:
            connection.invalidate()     # else what is still to come would be read, to its end
            raise


def _rows(connection: "Connection", name: str, kind: Kind, streams: bool) -> Fetched:
    from sqlalchemy import column, func, literal_column, select, table
    from sqlalchemy.sql import quoted_name

    schema, _, last = name.rpartition(".")
    where = table(quoted_name(last, True), schema=quoted_name(schema, True) if schema else None)
    there = list(connection.execute(select(literal_column("*")).select_from(where).limit(0)).keys())
    found = Fetched([each for each in ("id", *kind.columns) if _spelled(each, there)], [], [])
    for each in kind.columns[: kind.required]:
        if each not in found.names:
            raise SourceAway(f"the table {name} has no column {each}")
    # Those that are there: SQLite would take the quoted name of another one for a text.
    columns: list[Any] = [column(quoted_name(_spelled(each, there), True)) for each in found.names]
    wanted = columns if streams else [func.left(each, LONGEST_ROW + 1) if name in kind.texts else each
                                      for name, each in zip(found.names, columns, strict=True)]  # fmt: skip
    query = select(*wanted).select_from(where).limit(MOST_ROWS + 1)
    if found.names[0] == "id":
        query = query.order_by(columns[0])
    letters = 0
    with connection.execution_options(stream_results=streams, max_row_buffer=BATCH).execute(query) as batches:
        for batch in batches.partitions(BATCH):
            rows = [row if PLAIN.issuperset(map(type, row)) else tuple(map(_plain, row)) for row in batch]
            lengths = [sum([len(value) for value in row if type(value) is str]) for row in rows]
            found.rows.extend(rows)
            found.lengths.extend(lengths)
            letters += sum(lengths)
            if len(found.rows) > MOST_ROWS:
                raise SourceAway(f"the table {name} has more than {MOST_ROWS} rows")
            if letters > MOST_LETTERS:
                raise SourceAway(f"the table {name} is larger than {MOST_LETTERS >> 20} MiB")
    return found


def _spelled(name: str, there: list[str]) -> str:
    """As the table has it; "" when it does not."""
    return name if name in there else next((each for each in there if each.lower() == name), "")


def _plain(value: object) -> object:
    """Columns of other types than Kamailio's own: bytes are text, and whole numbers whole."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).decode(errors="replace")
    if isinstance(value, float | Decimal) and math.isfinite(value) and abs(float(value)) < 1 << 63:
        return int(value) if value == int(value) else str(value)
    return value if value is None or isinstance(value, int) else str(value)


# A table of thousands is read again and again with one row changed.
@functools.lru_cache(maxsize=1 << 15)
def _row(read: Callable[[dict[str, object], str], Row], names: tuple[str, ...], values: tuple[Any, ...],
         where: str) -> Row:
    return read(dict(zip(names, values, strict=True)), where)


def _reading(kind: Kind, found: Fetched, at: float) -> Reading:
    """A row that is too long is left out by itself, as any other that cannot be used."""
    ids = found.names[0] == "id"
    names = found.names[ids:]
    long: list[Misfit] = []
    fit: list[tuple[str, Callable[[], Row]]] = []
    for number, (row, length) in enumerate(zip(found.rows, found.lengths, strict=True), 1):
        named = ids and row[0] is not None
        where = f"id {printable(str(row[0])[:LONGEST_ID])}" if named else f"row {number}"
        if length > LONGEST_ROW:
            long.append(Misfit(where=where, why=f"longer than {LONGEST_ROW} characters"))
        else:
            fit.append((where, partial(_row, kind.read, tuple(names), tuple(row[ids:]), where)))
    reading = gather(fit, at)
    said = long[:MOST_LONG_ROWS]
    if len(long) > len(said):
        said.append(Misfit(where=f"{len(long) - len(said)} more", why=f"longer than {LONGEST_ROW} characters"))
    return msgspec.structs.replace(reading, misfits=(*reading.misfits, *said))
