"""Which events there are, and the fields that each may have; docs/events.md has the same table.

A name and a field never change their meaning: programs of others hang on them.  What an event of a destination says is
its state from then on, so that who missed one and sees the next knows where things stand.
"""

from collections.abc import Iterable
from fnmatch import fnmatchcase

OF_DESTINATION = ("destination", "uri", "set", "state", "cause", "code", "why")
OF_SOURCE = ("source", "origin", "why")
LOST = "events.lost"

# Name -> the fields that it may have beside `id`, `at`, `event`, `node` and `initial`.
EVENTS: dict[str, tuple[str, ...]] = {
    "destination.unknown": OF_DESTINATION,
    "destination.up": OF_DESTINATION,
    "destination.trying": OF_DESTINATION,
    "destination.down": OF_DESTINATION,
    "destination.enabled": OF_DESTINATION,
    "destination.draining": OF_DESTINATION,
    "destination.disabled": OF_DESTINATION,
    "destination.limit": OF_DESTINATION,
    "set.limit": ("set", "state"),
    "source.failed": OF_SOURCE,
    "source.back": OF_SOURCE,
    "config.reloaded": ("cause", "version", "added", "removed", "changed"),
    "config.refused": ("cause", "why"),
    "router.started": ("cause", "pid", "release"),
    "router.draining": ("limit_s",),
    "router.drained": ("open",),
    "router.resumed": (),
    LOST: ("count", "webhook", "why"),
}


def fits(event: str, patterns: Iterable[str]) -> bool:
    """Is it one of these?  A pattern is a name, or has a * for any letters: destination.*"""
    return any(fnmatchcase(event, pattern) for pattern in patterns)
