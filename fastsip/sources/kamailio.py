"""Kamailio's dispatcher: the lines of its list file, and the columns of its table, which mean the same.

    setid destination [flags [priority [attrs]]]

White space between, `#` begins a comment, `attrs` are `key=value` with `;` between and no blanks.  Flags are a number,
decimal or, with 0x, hexadecimal.  What an attribute of Kamailio's means here is said in a field of the row; all
attributes stand in `attrs`, too, so that nothing of a list is lost.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial

from fastsip._core.base.files import look_into
from fastsip.base.plain import reason
from fastsip.sources.rows import Misfit, Reading, Row, SourceAway

# Flags of a destination.  `TRYING` is a state that may be used, and `NO_ADDRESS` one that a router finds out.
INACTIVE, TRYING, DISABLED, PROBING, NO_ADDRESS, NO_PING = 1, 2, 4, 8, 16, 32
ALL_FLAGS = INACTIVE | TRYING | DISABLED | PROBING | NO_ADDRESS | NO_PING

MOST_BYTES = 16 << 20    # of a list file
LONGEST_LINE = 4096
LONGEST_NAME = 64        # of a duid
MOST_ROWS = 100_000
MOST_MISFITS = 100      # that are said one by one
COLUMNS = ("setid", "destination", "flags", "priority", "attrs")
NUMBER_TEXTS = {"setid": "a whole number from 0 to 2147483647", "flags": "a number from 0 to 63",
                "priority": "a whole number of 32 bits"}


class _Unfit(Exception):
    """What is wrong with a line, and what stood there."""

    def __init__(self, why: str, found: str = ""):
        super().__init__(why)
        self.why, self.found = why, found[:80]


def read_list_file(path: str) -> Reading:
    """SourceAway when there is no such file, or none that can be read."""
    try:
        with open(look_into(path), "rb") as file:
            raw = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise SourceAway(f"the file cannot be read: {reason(error)}") from None
    if len(raw) > MOST_BYTES:
        raise SourceAway(f"the file is larger than {MOST_BYTES >> 20} MiB")
    return read_list(raw.decode(errors="replace"), time.time())


def read_list(text: str, at: float) -> Reading:
    """All lines of a list file; `at` is when it was read."""
    return gather(_lines(text), at)


def gather(read: Iterable[tuple[str, Callable[[], Row]]], at: float) -> Reading:
    """Rows and misfits of a source: each place, and what reads it."""
    rows: list[Row] = []
    misfits: list[Misfit] = []
    more = 0
    for where, take in read:
        try:
            if len(rows) == MOST_ROWS:
                raise _Unfit(f"more than {MOST_ROWS} destinations")
            rows.append(take())
        except _Unfit as unfit:
            more += len(misfits) >= MOST_MISFITS
            if len(misfits) < MOST_MISFITS:
                misfits.append(Misfit(where=where, why=unfit.why, found=unfit.found))
    if more:
        misfits.append(Misfit(where=f"{more} more", why="not shown one by one"))
    return Reading(at=at, rows=tuple(rows), misfits=tuple(misfits))


def _lines(text: str) -> Iterator[tuple[str, Callable[[], Row]]]:
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
        where = f"line {number}"
        words = line[: LONGEST_LINE + 1].partition("#")[0].split()
        if words:
            too_long = len(line) > LONGEST_LINE
            yield where, partial(_from_line, words, where, too_long)


def _from_line(words: list[str], where: str, too_long: bool) -> Row:
    if too_long:
        raise _Unfit(f"longer than {LONGEST_LINE} characters")
    if len(words) < 2:
        raise _Unfit("a set and a destination are the least", words[0])
    if len(words) > len(COLUMNS):
        raise _Unfit("more than five words; attributes have no blanks between", words[len(COLUMNS)])
    return read_columns(dict(zip(COLUMNS, words, strict=False)), where)


def read_columns(columns: dict[str, object], where: str) -> Row:
    """One row of the table; a column that is absent or NULL has Kamailio's default."""
    flags = _number(columns, "flags", 0, ALL_FLAGS)
    attrs = _attrs(str(columns.get("attrs") or ""))
    found = dict(attrs)
    parked = flags & INACTIVE and not flags & PROBING   # nothing would ever say that it is alive
    return Row(
        where=where,
        setid=_number(columns, "setid", 0, 0x7FFF_FFFF),
        uri=_uri(str(columns.get("destination") or "")),
        name=_name(found.get("duid", "")),
        priority=_number(columns, "priority", -(1 << 31), (1 << 31) - 1),
        weight=_share(found, "weight"),
        relative_weight=_share(found, "rweight"),
        admin="disabled" if flags & DISABLED or parked else "enabled",
        starts_down=bool(flags & INACTIVE and flags & PROBING),
        probed=False if flags & NO_PING else True if flags & PROBING else None,
        socket=found.get("socket", ""),
        listener_tag=found.get("sockname", ""),
        probe_from=found.get("ping_from", ""),
        attrs=attrs,
    )


def _number(columns: dict[str, object], column: str, least: int, most: int) -> int:
    raw = columns.get(column)
    text = "0" if raw is None or raw == "" else str(raw).strip()
    try:
        # Not int(text, 0): a leading zero is nothing bad here.
        value = int(text, 16) if column == "flags" and text[:2].lower() == "0x" else int(text)
    except ValueError:
        raise _Unfit(f"{column}: allowed is {NUMBER_TEXTS[column]}", text) from None
    if not least <= value <= most or "_" in text:
        raise _Unfit(f"{column}: allowed is {NUMBER_TEXTS[column]}", text)
    return value


def _uri(text: str) -> str:
    """A scheme that is missing is sip."""
    text = text.strip()
    if not text:
        raise _Unfit("destination: it is missing")
    return text if text.lower().startswith(("sip:", "sips:")) else f"sip:{text}"


def _attrs(text: str) -> tuple[tuple[str, str], ...]:
    """`key=value` with `;` between; of two with one name the last counts, as there."""
    pairs: dict[str, str] = {}
    for part in text.strip().split(";"):
        name, equals, value = part.partition("=")
        if name.strip():
            pairs[name.strip()] = value.strip() if equals else ""
    return tuple(pairs.items())


def _name(duid: str) -> str:
    """It becomes a part of an id, which stands in logs and commands."""
    if len(duid) > LONGEST_NAME or not duid.isprintable():
        raise _Unfit(f"duid: allowed are {LONGEST_NAME} letters that can be printed", ascii(duid))
    return duid


def _share(attrs: dict[str, str], name: str) -> int | None:
    """A weight; there it is 1..100, here any number that a destination may have."""
    if not attrs.get(name):
        return None
    if not attrs[name].isdecimal() or int(attrs[name]) > 1_000_000:
        raise _Unfit(f"{name}: allowed is a whole number from 0 to 1000000", attrs[name])
    return int(attrs[name])
