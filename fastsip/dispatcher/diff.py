"""What a reload changes, by the ids of destinations: whatever is learned stays with the id."""

from typing import Any

import msgspec

from fastsip.config import Config, Destination

MOST_NAMED = 100  # of each kind, for an answer or a record


class Diff(msgspec.Struct, frozen=True, kw_only=True):
    """Ids of destinations, in the order of the configuration that has them."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]

    def facts(self) -> dict[str, int]:
        return {"added": len(self.added), "removed": len(self.removed), "changed": len(self.changed)}

    def named(self) -> dict[str, dict[str, Any]]:
        """How many there are, and their ids, of many the first."""
        kinds = {"added": self.added, "removed": self.removed, "changed": self.changed}
        return {kind: {"count": len(ids), "ids": list(ids[:MOST_NAMED])} for kind, ids in kinds.items()}


def compare(before: Config, after: Config) -> Diff:
    """A destination has changed when anything is said of it that was not said before, or when its set says so."""
    old, new = _members(before), _members(after)
    return Diff(
        added=tuple(one for one in new if one not in old),
        removed=tuple(one for one in old if one not in new),
        changed=tuple(one for one, member in new.items() if one in old and old[one] != member),
    )


def _members(config: Config) -> dict[str, tuple[str, Destination, str]]:
    """By id: its set, itself, and the listener that it is reached from, whose place may change."""
    return {
        one.id: (group.name, msgspec.structs.replace(one, listener=0), config.listeners[one.listener].uri)
        for group in config.sets
        for one in group.destinations
    }
