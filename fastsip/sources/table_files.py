r"""A router's table in a file.  Its first line says which of two forms it has, its columns which table it is.

db_text, of which both routers have a module that reads such files as their database:

    id(int,auto) setid(int) destination(string) attrs(string,null)
    7:1:sip\:192.0.2.1\:5060:

One row a line, `:` between; \: \\ \n \r \t \0 in texts, and nothing between two colons is NULL.

A dump, as `mysql --batch` prints it, COPY ... WITH (HEADER) of PostgreSQL, or `psql --no-align` with tabs between
(which escapes nothing: there, no text may have a tab or a line end):

    id	setid	destination	attrs
    7	1	sip:192.0.2.1:5060	NULL

The names of the columns first, tabs between; \N and NULL are NULL, and \\ \n \r \t \0 stand for what they stand for
in the programs that write them.  psql closes with a line "(7 rows)", which is none.
"""

import re
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

from fastsip.sources import kamailio, opensips
from fastsip.sources.columns import LONGEST_LINE, Columns, Unfit, check_length, gather, numbered, open_text
from fastsip.sources.rows import Reading, Row, SourceAway

Reader = Callable[[Columns, str], Row]

DB_TEXT_COLUMN = re.compile(r" *([^\s()]{1,64}) *\( *[a-zA-Z][^()]*\) *")
DB_TEXT_PIECE = re.compile(r"\\.|[^\\:]+|:|\\$")
ROW_COUNT = re.compile(r"\(\d+ rows?\)")
ESCAPE = re.compile(r"\\(.)", re.DOTALL)
ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "0": "\0", "\\": "\\", ":": ":"}


class Table(NamedTuple):
    """What a first line says: the names of the columns, and how a line of values is taken apart."""

    columns: tuple[str, ...]
    split: Callable[[str], list[str | None]]


def read_kamailio_file(path: str) -> Reading:
    """A list, or a dump or db_text file of Kamailio's table.  SourceAway when it is none of them, or not there."""
    text = open_text(path)
    table = _table(text)
    if table is None:
        return kamailio.read_list(text, time.time())
    return _read(text, table, kamailio_reader(table.columns), time.time())


def read_opensips_file(path: str) -> Reading:
    """A dump or db_text file of one of OpenSIPS' tables.  SourceAway when it is neither, or not there."""
    text = open_text(path)
    table = _table(text)
    if table is None:
        raise SourceAway("its first line does not say the columns of a table: allowed are a file of db_text, and a dump"
                         " that begins with the names of the columns and has tabs between, as of `mysql --batch`")
    return _read(text, table, opensips_reader(table.columns), time.time())


def kamailio_reader(columns: tuple[str, ...]) -> Reader:
    if "state" in columns or "dst_uri" in columns:
        raise SourceAway("its columns are those of a table of OpenSIPS")
    return kamailio.read_columns


def opensips_reader(columns: tuple[str, ...]) -> Reader:
    if "dst_uri" in columns:
        return opensips.read_load_balancer
    if "flags" in columns and "state" not in columns:
        raise SourceAway("its columns are those of Kamailio's table, or of OpenSIPS before 1.11")
    return opensips.read_dispatcher


def _table(text: str) -> Table | None:
    """None: the first line that is not empty is no list of columns with a destination among them."""
    line = next((line for _, line in numbered(text) if line.strip()), "")[:LONGEST_LINE]
    declared = DB_TEXT_COLUMN.findall(line)
    if declared and not DB_TEXT_COLUMN.sub("", line).strip():
        table = Table(tuple(name.lower() for name in declared), _db_text_values)
    else:
        table = Table(tuple(name.strip().strip('"').lower() for name in line.split("\t")), _dump_values)
    return table if {"destination", "dst_uri"} & set(table.columns) else None


def _read(text: str, table: Table, read: Reader, at: float) -> Reading:
    return gather(_rows(text, table, read), at)


def _rows(text: str, table: Table, read: Reader) -> Iterator[tuple[str, Callable[[], Row]]]:
    lines = ((number, line) for number, line in numbered(text) if line.strip())
    next(lines, None)  # the columns
    for number, line in lines:
        if table.split is _dump_values and ROW_COUNT.fullmatch(line):
            continue
        yield f"line {number}", partial(_row, table, read, line, f"line {number}")


def _row(table: Table, read: Reader, line: str, where: str) -> Row:
    check_length(line)
    values = table.split(line)
    if len(values) != len(table.columns):
        raise Unfit(f"{len(table.columns)} columns are wanted, {len(values)} are there")
    return read(dict(zip(table.columns, values, strict=True)), where)


def _db_text_values(line: str) -> list[str | None]:
    """Divided at each colon that no backslash stands before."""
    parts = [""]
    for piece in DB_TEXT_PIECE.findall(line):
        if piece == ":":
            parts.append("")
        else:
            parts[-1] += piece
    return [_unescaped(part) or None for part in parts]


def _dump_values(line: str) -> list[str | None]:
    return [None if part in ("\\N", "NULL") else _unescaped(part) for part in line.split("\t")]


def _unescaped(text: str) -> str:
    """An escape that nobody writes stays as it is: psql without alignment escapes nothing."""
    return ESCAPE.sub(lambda found: ESCAPES.get(found[1], found[0]), text)
