"""Destinations that are names: what is known of one is what is known of its targets together."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

Facts = dict[str, Any]
BEST_FIRST = ("up", "unknown", "trying", "down")
UNRESOLVED = "unresolved"
SUMS = ("chosen", "failed", "probes_sent", "probes_failed", "limited")


def names_of(group: Facts) -> dict[str, Facts]:
    """Names of a set (observe.destinations.whole_sets) by id, each with what is known of it as a destination."""
    targets: defaultdict[str, list[Facts]] = defaultdict(list)
    for one in group["destinations"]:
        targets[one.get("parent", "")].append(one)
    return {name["id"]: _together(name, targets[name["id"]]) for name in group.get("names", ())}


def _together(name: Facts, targets: list[Facts]) -> Facts:
    """It is up if one of its targets is."""
    health = next((word for word in BEST_FIRST if any(one["health"] == word for one in targets)), UNRESOLVED)
    alike = [one["since"] for one in targets if one["health"] == health and one["since"] is not None]
    resting = [one["retry_after"] for one in targets if one["retry_after"] is not None]
    return {
        **name,
        "health": health,
        # Up since the first of them is, down since the last of them is.
        "since": (max if health == "down" else min)(alike, default=None),
        "retry_after": min(resting) if resting and len(resting) == len(targets) else None,
        **{key: sum(one[key] for one in targets) for key in SUMS},
        "rtt_ms": None,
        "latency_ms": None,
        "downs": max((one["downs"] for one in targets), default=0),
        "last_code": 0,
        "targets": [one["id"] for one in targets],
    }


def in_order(group: Facts) -> Iterator[Facts]:
    """Destinations, each name before its targets, and names that have none at the end."""
    names = names_of(group)
    for one in group["destinations"]:
        name = names.pop(one.get("parent", ""), None)
        if name:
            yield name
        yield one
    yield from names.values()


def as_written(group: Facts) -> Iterator[Facts]:
    """Destinations as the configuration has them, with names instead of their targets."""
    return (one for one in in_order(group) if not one.get("parent"))
