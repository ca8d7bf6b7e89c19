"""Where things stand now, as events: for whoever begins to follow and must know what was before.

    1  take the place at the end of the record (events.follow.position_at_end)
    2  ask for the states
    3  follow from that place

What changes between 1 and 2 is told twice, and nothing is told never.
"""

import time
from collections.abc import Iterator
from typing import Any

from fastsip.events.follow import Event


def states(status: dict[str, Any], sets: list[dict[str, Any]], number: int) -> Iterator[Event]:
    """status: what the supervisor answers to `status`; sets: as of destinations.whole_sets; number: of the event that
    comes next.  Each has the `id` of the last event before it, so that who goes on behind that misses nothing.
    """
    now = round(time.time(), 3)
    common = {"node": status["node"], "initial": True}

    def event(name: str, at: float | None, **fields: Any) -> Event:
        kept = {key: value for key, value in fields.items() if value not in ("", None)}
        return {"id": number - 1, "at": now if at is None else at, "event": name, **common, **kept}

    if status["router"] is not None:
        yield event("router.started", now - status["routes_since_s"], pid=status["router"], release=status["version"])
    if status["draining"]:
        yield event("router.draining", None)
    for name in status["sources_away"]:
        yield event("source.failed", None, source=name)
    for group in sets:
        for one in group["destinations"]:
            about = {"destination": one["id"], "uri": one["uri"], "set": group["name"]}
            yield event(f"destination.{one['health']}", one["since"], **about, state=one["health"],
                        code=one["last_code"] or None)
            yield event(f"destination.{one['admin']}", one["said_at"], **about, state=one["admin"], why=one["why"])
