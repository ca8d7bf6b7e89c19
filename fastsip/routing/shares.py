"""A set that has names, as kernels see it, who know none: weights, tiers and turns are of targets there.

A name weighs what its destination says, however many targets it has: they share that.  Behind the priorities of the
set come the tiers of each name (RFC 3263, RFC 2782).  What takes turns or draws lots without weights does so by these
shares.  A set without names is as it stands.  See docs/names.md#destinations-that-are-names.
"""

from collections import Counter
from collections.abc import Callable

import msgspec

from fastsip.config import Destination, DestinationSet
from fastsip.config.language import ALGORITHMS

PARTS = 1_680   # of a weight of 1: 1 to 8 targets share it evenly, and the largest weight times it is one of the table

Order = Callable[[Destination], tuple[int, int]]    # who comes first has more


def laid_out(group: DestinationSet) -> DestinationSet:
    if not group.names:
        return group
    algorithm, by_weight = _algorithm(group)
    order, tiers = _order(group, algorithm)
    whole: Counter[tuple[str, int]] = Counter()
    for one in group.destinations:
        whole[one.parent, one.tier] += one.share
    ranks = {key: rank for rank, key in enumerate(sorted({order(one) for one in group.destinations}))}
    members = []
    for one in group.destinations:
        weight = one.weight if by_weight else min(one.weight, 1)
        members.append(msgspec.structs.replace(one, weight=_part(one, weight, whole[one.parent, one.tier]),
                                               priority=ranks[order(one)]))
    return msgspec.structs.replace(group, destinations=tuple(members), algorithm=algorithm, tiers=tiers,
                                   algorithm_number=ALGORITHMS[algorithm])


def _part(one: Destination, weight: int, whole: int) -> int:
    """`whole`: the shares of all targets that its name has in this tier."""
    if not one.parent or not weight:
        return weight * PARTS
    return max(1, round(weight * PARTS * one.share / whole))


def _algorithm(group: DestinationSet) -> tuple[str, bool]:
    """Which one does, by shares, what this set asks for; and whether the weights of destinations count for it."""
    if group.algorithm == "round-robin":
        return "weight", False
    if group.algorithm == "random":
        # `srv` gives those of weight 0 a chance, and only turns do not.
        return "srv" if all(one.weight for one in group.destinations) else "weight", False
    if group.algorithm == "ordered-round-robin":
        priorities = {one.priority for one in group.destinations}
        return ("weight", False) if len(priorities) == 1 and min(priorities) > 0 else ("priority", True)
    return group.algorithm, True


def _order(group: DestinationSet, algorithm: str) -> tuple[Order, bool]:
    """Who comes before whom, and whether that makes tiers."""
    if algorithm == "priority":
        return (lambda one: (one.priority, -one.tier)), group.tiers
    tiers = group.tiers or group.algorithm == "srv"
    places = _places(group) if algorithm == "parallel" else {}

    def order(one: Destination) -> tuple[int, int]:
        return one.priority if tiers else 0, -places.get(one.id, one.tier)

    return order, True


def _places(group: DestinationSet) -> dict[str, int]:
    """Of targets among those of their name: a call is not offered to two of them at once, for they are one server."""
    seen: Counter[str] = Counter()
    places = {}
    for one in group.destinations:
        if one.parent:
            places[one.id] = seen[one.parent]
            seen[one.parent] += 1
    return places
