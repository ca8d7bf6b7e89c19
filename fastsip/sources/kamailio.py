"""Kamailio's dispatcher: the lines of its list file, and the columns of its table, which mean the same.

    setid destination [flags [priority [attrs]]]

White space between, `#` begins a comment, `attrs` are `key=value` with `;` between and no blanks.  Flags are a number,
decimal or, with 0x, hexadecimal.  What an attribute of Kamailio's means here is said in a field of the row; all
attributes stand in `attrs`, too, so that nothing of a list is lost.
"""

import time
from collections.abc import Callable, Iterator
from functools import partial

from fastsip.sources.columns import (
    LEAST_PRIORITY,
    LONGEST_LINE,
    MOST_PRIORITY,
    MOST_SETID,
    Columns,
    Unfit,
    check_length,
    gather,
    numbered,
    open_text,
    share,
    sip_uri,
    text_of,
    whole,
)
from fastsip.sources.rows import Reading, Row

# Flags of a destination.  `TRYING` is a state that may be used, and `NO_ADDRESS` one that a router finds out.
INACTIVE, TRYING, DISABLED, PROBING, NO_ADDRESS, NO_PING = 1, 2, 4, 8, 16, 32
ALL_FLAGS = INACTIVE | TRYING | DISABLED | PROBING | NO_ADDRESS | NO_PING

LONGEST_NAME = 64        # of a duid
COLUMNS = ("setid", "destination", "flags", "priority", "attrs")


def read_list_file(path: str) -> Reading:
    """SourceAway when there is no such file, or none that can be read."""
    return read_list(open_text(path), time.time())


def read_list(text: str, at: float) -> Reading:
    """All lines of a list file; `at` is when it was read."""
    return gather(_lines(text), at)


def _lines(text: str) -> Iterator[tuple[str, Callable[[], Row]]]:
    for number, line in numbered(text):
        where = f"line {number}"
        words = line[: LONGEST_LINE + 1].partition("#")[0].split()
        if words:
            yield where, partial(_from_line, words, where, line)


def _from_line(words: list[str], where: str, line: str) -> Row:
    check_length(line)
    if len(words) < 2:
        raise Unfit("a set and a destination are the least", words[0])
    if len(words) > len(COLUMNS):
        raise Unfit("more than five words; attributes have no blanks between", words[len(COLUMNS)])
    return read_columns(dict(zip(COLUMNS, words, strict=False)), where)


def read_columns(columns: Columns, where: str) -> Row:
    """One row of the table; a column that is absent or NULL has Kamailio's default."""
    flags = whole(columns, "flags", 0, ALL_FLAGS, hexadecimal=True)
    attrs = _attrs(text_of(columns, "attrs"))
    found = dict(attrs)
    parked = flags & INACTIVE and not flags & PROBING   # nothing would ever say that it is alive
    return Row(
        where=where,
        setid=whole(columns, "setid", 0, MOST_SETID),
        uri=sip_uri(columns, "destination"),
        name=_name(found.get("duid", "")),
        priority=whole(columns, "priority", LEAST_PRIORITY, MOST_PRIORITY),
        weight=share(found, "weight"),
        relative_weight=share(found, "rweight"),
        admin="disabled" if flags & DISABLED or parked else "enabled",
        starts_down=bool(flags & INACTIVE and flags & PROBING),
        probed=False if flags & NO_PING else True if flags & PROBING else None,
        socket=found.get("socket", ""),
        listener_tag=found.get("sockname", ""),
        probe_from=found.get("ping_from", ""),
        attrs=attrs,
    )


def _attrs(text: str) -> tuple[tuple[str, str], ...]:
    """`key=value` with `;` between; of two with one name the last counts, as there."""
    pairs: dict[str, str] = {}
    for part in text.split(";"):
        name, equals, value = part.partition("=")
        if name.strip():
            pairs[name.strip()] = value.strip() if equals else ""
    return tuple(pairs.items())


def _name(duid: str) -> str:
    """It becomes a part of an id, which stands in logs and commands."""
    if len(duid) > LONGEST_NAME or not duid.isprintable():
        raise Unfit(f"duid: allowed are {LONGEST_NAME} letters that can be printed", ascii(duid))
    return duid
