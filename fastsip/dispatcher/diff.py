"""What a reload changes, by the ids of destinations: whatever is learned stays with the id."""

from typing import Any

import msgspec

from fastsip.config import Config, Destination, NamedDestination

MOST_NAMED = 100  # of each kind, for an answer or a record


class Diff(msgspec.Struct, frozen=True, kw_only=True):
    """Ids of destinations, of names among them, and of the targets of these, in the order of the configuration."""

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
        changed=tuple(one for one, member in new.items() if one in old and _differ(old[one], member)),
    )


# A destination, behind its set and the listener that it is reached from, whose place may change.  A plain tuple: there
# are thousands, and names for its places cost as much as all that is done with them.
_Member = tuple[str, str, Destination | NamedDestination]


def _members(config: Config) -> dict[str, _Member]:
    """By id."""
    uris = [listener.uri for listener in config.listeners]
    found: dict[str, _Member] = {}
    for group in config.sets:
        for one in group.names:
            # What an answer of DNS makes of a name is said of its targets.
            alone = msgspec.structs.replace(one, behind=0, left_out=(), resting=())
            found[one.id] = (group.name, one.listen, alone)
        found |= {one.id: (group.name, uris[one.listener], one) for one in group.destinations}
    return found


def _differ(old: _Member, new: _Member) -> bool:
    if old == new:
        return False
    before, after = old[2], new[2]
    if old[:2] != new[:2] or not (isinstance(before, Destination) and isinstance(after, Destination)):
        return True
    return before != msgspec.structs.replace(after, listener=before.listener)
