"""What a router counts and knows, for Prometheus: by our names, or by those that Kamailio's exporters made usual.

`look` reads the mapped files of run_dir and asks nobody: what only the supervisor knows, its caller brings.  `text` is
what a scrape gets.  No counter is a difference of others: shards count while they are read, and one that went down by 1
would look like a router that was started anew.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from fastsip.observe import families
from fastsip.observe.counters import named, read_rows
from fastsip.observe.destinations import read_seen, whole_sets
from fastsip.observe.exposition import Exposition, Sample, Value, joined, labels
from fastsip.observe.families import Facts, Family
from fastsip.observe.kamailio_metrics import kamailio_metrics

MOST_DESTINATIONS = 10_000  # shown, in the order of the configuration; a scrape of them is 11 MB
MOST_SETS = 10_000
NAMES = ("fastsip", "kamailio")


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """What is known at one moment.

    status  what the supervisor answers to `status`
    gauges  of the store
    shards  the counters of each, by the names that the file of counters has
    sets    as observe.destinations.whole_sets gives them
    """

    status: Facts
    gauges: dict[str, int]
    shards: list[dict[str, int]]
    sets: list[Facts]


def look(run_dir: str | Path, status: Facts, parts: Iterable[Facts]) -> Known:
    """`parts`: what the supervisor answers to `destinations`.

    OSError, counters.Damaged or mapped.Damaged: a file of the router is not there, or cannot be read.
    """
    head, rows = read_rows(run_dir)
    return Known(
        status=status,
        gauges=named(head["gauges"], rows[0]),
        shards=[named(head["counters"], row) for row in rows[1:]],
        sets=whole_sets(parts, read_seen(run_dir)),
    )


def text(known: Known, *, openmetrics: bool = False, names: str = "fastsip") -> str:
    """In Prometheus' text format or in OpenMetrics; `names` is one of NAMES."""
    if names not in NAMES:
        raise ValueError(f"names are one of {', '.join(NAMES)}")
    found = Exposition(openmetrics)
    if names == "kamailio":
        for each in kamailio_metrics(known.status, known.gauges, summed(known.shards), shown(known.sets)):
            found.add(*each)
        return found.text()
    for family, rows in _samples(known):
        found.add(family.name, family.kind, family.help, rows)
    return found.text()


def summed(shards: list[dict[str, int]]) -> dict[str, int]:
    return {name: sum(row[name] for row in shards) for name in (shards[0] if shards else ())}


def shown(sets: list[Facts]) -> Iterator[Facts]:
    """The first sets and destinations, as many as the bounds allow; of the set at the bound only a part."""
    left = MOST_DESTINATIONS
    for group in islice(sets, MOST_SETS):
        members = group["destinations"][:left]
        left -= len(members)
        yield {**group, "destinations": members}


def _samples(known: Known) -> Iterator[tuple[Family, list[Sample]]]:
    """Each family of families.FAMILIES, in their order."""
    for family in families.STATUS:
        yield family, [(labels({word: known.status.get(word) for word in family.words}), _value(family, known.status))]
    for family in families.WEBHOOKS:
        yield family, [(labels({"webhook": one["name"]}), _value(family, one))
                       for one in known.status.get("webhooks", ())]  # fmt: skip
    for family in families.STORE:
        yield family, _by_label(family, known.gauges)
    total = summed(known.shards)
    for family in families.COUNTERS:
        yield family, _by_shard(family, known.shards) if family.by_shard else _by_label(family, total)
    yield families.OTHER_COUNTERS, _others(families.OTHER_COUNTERS, total, families.COUNTERS)
    yield families.OTHER_GAUGES, _others(families.OTHER_GAUGES, known.gauges, families.STORE)
    whole = [(labels(_of_set(group)), group) for group in islice(known.sets, MOST_SETS)]
    for family in families.SETS:
        yield family, [(inside, _value(family, group)) for inside, group in whole]
    members = [(labels({**_of_set(group), "destination": one["id"]}), one)
               for group in shown(known.sets) for one in group["destinations"]]  # fmt: skip
    for family in families.DESTINATIONS:
        yield family, [(joined(inside, labels({word: one[word] for word in family.words})), _value(family, one))
                       for inside, one in members]  # fmt: skip
    there = sum(len(group["destinations"]) for group in known.sets)
    yield families.LEFT_OUT, [(labels({"kind": "destinations"}), there - len(members)),
                              (labels({"kind": "sets"}), len(known.sets) - len(whole))]  # fmt: skip


def _value(family: Family, facts: Facts) -> Value:
    return family.value(facts) if family.value else None


def _of_set(group: Facts) -> dict[str, Any]:
    return {"set": group["name"], "setid": group["setid"]}


def _by_shard(family: Family, shards: list[dict[str, int]]) -> list[Sample]:
    return [sample for number, row in enumerate(shards) for sample in _by_label(family, row, labels({"shard": number}))]


def _by_label(family: Family, values: dict[str, int], before: str = "") -> list[Sample]:
    return [(joined(before, labels({family.label: value} if value else {})), values.get(name))
            for name, value in family.of.items()]  # fmt: skip


def _others(family: Family, values: dict[str, int], known_by: Iterable[Family]) -> list[Sample]:
    """What no family of the table holds."""
    held = {name for each in known_by for name in each.of}
    return [(labels({family.label: name}), value) for name, value in values.items() if name not in held]
