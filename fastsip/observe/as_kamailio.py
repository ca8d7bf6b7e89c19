"""Sets and destinations as Kamailio shows its own (`kamcmd dispatcher.list`), for eyes and scripts that know that.

Two letters say the state: A active, I inactive, T trying, D disabled; behind it P probed or X not.  Who drains is D:
no new calls go there.  Sets without a number are none that Kamailio could have.  A name is one destination there, too,
whatever addresses it has; one without any is inactive.
"""

import re
from collections.abc import Iterable
from typing import Any

from fastsip.observe.names import UNRESOLVED, as_written

LETTERS = {"up": "A", "unknown": "A", "trying": "T", "down": "I", UNRESOLVED: "I"}
LINE_END = "\n"     # a text of a database may have one, and must not look like another line of ours
ABSENT = "<null string>"    # as kamcmd writes an attribute that was not given
TEXTS = ("duid", "socket", "sockname", "obproxy")
NUMBERS = ("maxload", "weight", "rweight")
ORDER = ("duid", *NUMBERS, *TEXTS[1:])


def flags(one: dict[str, Any]) -> str:
    state = LETTERS[one["health"]] if one["admin"] == "enabled" else "D"
    return state + ("X" if one["probe"] == "none" else "P")


def record(one: dict[str, Any]) -> dict[str, Any]:
    """One destination of observe.names.as_written."""
    attrs = one["attrs"] or ({"weight": one["weight"]} if one["weight"] != 1 else {})
    found = {"URI": one["uri"], "FLAGS": flags(one), "PRIORITY": one["priority"]}
    if attrs:
        found["ATTRS"] = {"BODY": ";".join(f"{key}={value}" if value != "" else key for key, value in attrs.items())}
        for name in ORDER:
            found["ATTRS"][name.upper()] = number(attrs.get(name, 0)) if name in NUMBERS else attrs.get(name)
    return found


def number(value: Any) -> int:
    """Attributes of a list are texts, and one that is no number counts as none there."""
    return int(value) if re.fullmatch(r"[+-]?\d{1,9}", str(value)) else 0


def records(sets: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """As its JSON-RPC answers; the highest priority first, and the order of the list among equals."""
    numbered = [group for group in sets if group["setid"] is not None]
    return {
        "NRSETS": len(numbered),
        "RECORDS": [
            {"SET": {"ID": group["setid"],
                     "TARGETS": [{"DEST": record(one)}
                                 for one in sorted(as_written(group), key=lambda one: -one["priority"])]}}
            for group in numbered
        ],
    }  # fmt: skip


def as_text(found: dict[str, Any]) -> str:
    """As kamcmd prints such an answer."""
    return "\n".join(("{", *_lines(found, 1), "}"))


def _lines(found: dict[str, Any], depth: int) -> Iterable[str]:
    indent = "\t" * depth
    for name, value in found.items():
        if not isinstance(value, list | dict):
            yield f"{indent}{name}: {ABSENT if value is None else str(value).replace(LINE_END, ' ')}"
            continue
        yield f"{indent}{name}: {{"
        for inner in value if isinstance(value, list) else (value,):
            yield from _lines(inner, depth + 1)
        yield f"{indent}}}"
