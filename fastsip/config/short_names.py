"""Names whose short ids are the same: a token could not say which one it means (docs/wire.md#record-route-token).

Listener tags have 10 bits of a hash in tokens, destinations 30 and 10 of their set.  Of few tags two rarely clash, but
16 of them do with a probability of 11 %; of 10,000 destinations in one set some do with 4 %.
"""

import functools

from fastsip._core.base.short_ids import LISTENER_BITS, SET_BITS, destination_short_id, short_id
from fastsip.config.errors import shown
from fastsip.config.model import DestinationSet, Listener
from fastsip.config.reader import Report

HINT = "tokens in Record-Route would not tell the two apart: call one of them otherwise"


@functools.lru_cache(maxsize=1 << 15)
def short_ids_of(group: str, destination: str) -> tuple[int, int]:
    """What tokens call a set and a destination of it."""
    return short_id(group, SET_BITS), destination_short_id(destination.encode())


def check_tags(listeners: tuple[Listener, ...], report: Report) -> None:
    seen: dict[int, str] = {}
    for index, listener in enumerate(listeners):
        other = seen.setdefault(short_id(listener.tag, LISTENER_BITS), listener.tag)
        if other != listener.tag:
            allowed = f"allowed: a tag whose short id is not that of {shown(other)}"
            report.add(("listen", index, "tag"), shown(listener.tag), allowed, HINT)


def check_destinations(sets: tuple[DestinationSet, ...], report: Report) -> None:
    seen: dict[tuple[int, int], str] = {}
    for group in sets:
        for one in group.destinations:
            other = seen.setdefault(short_ids_of(group.name, one.id), one.id)
            if other != one.id:
                allowed = f"allowed: an id whose short id is not that of {shown(other)}"
                report.add(("set", group.name, "destinations"), shown(one.id), allowed, HINT)
