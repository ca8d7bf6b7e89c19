"""What a router counts and knows, for Prometheus: by our names, or by those that Kamailio's exporters made usual.

`look` reads the mapped files of run_dir and asks nobody: what only the supervisor knows, its caller brings.  A Writer
makes the text that a scrape gets; who keeps it lays out names and labels once.  No counter is a difference of others:
shards count while they are read, and one that went down by 1 would look like a router that was started anew.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from fastsip.base.run_dir import REGISTRY
from fastsip.observe import families
from fastsip.observe.counters import named, read_rows
from fastsip.observe.destinations import read_seen, whole_sets
from fastsip.observe.exposition import HISTOGRAM_SAMPLES, Exposition, Kept, Value, histogram, joined, labels
from fastsip.observe.families import Facts, Family
from fastsip.observe.kamailio_metrics import kamailio_metrics
from fastsip.observe.measures import Measured, read_measured
from fastsip.observe.transactions import count_states
from fastsip.routing.registry import read_names

MOST_DESTINATIONS = 10_000  # shown, in the order of the configuration; a scrape of them is 11 MB
MOST_MEASURED = 1_000       # of which what was measured is shown, some 80 series each
MOST_SETS = 10_000
NAMES = ("fastsip", "kamailio")
OTHERS = {"destination": "(others)"}    # of no set: those whose measured numbers are added up
PER_SECOND = {"us": 1_000_000, "ms": 1_000}


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """What is known at one moment.

    status        what the supervisor answers to `status`
    gauges        of the store
    shards        the counters of each, by the names that the file of counters has
    sets          as observe.destinations.whole_sets gives them
    transactions  how many are in each state, of observe.transactions.count_states
    measured      of destinations; None: nothing yet
    counted_by    the process of the router whose counters these are; 0: it does not say
    """

    status: Facts
    gauges: dict[str, int]
    shards: list[dict[str, int]]
    sets: list[Facts]
    transactions: list[Facts] = []
    measured: Measured | None = None
    counted_by: int = 0


def look(run_dir: str | Path, status: Facts, parts: Iterable[Facts]) -> Known:
    """`parts`: what the supervisor answers to `destinations`.

    OSError, counters.Damaged or mapped.Damaged: a file of the router is not there, or cannot be read.
    """
    head, rows = read_rows(run_dir)
    names = read_names(Path(run_dir) / REGISTRY)
    return Known(
        status=status,
        gauges=named(head["gauges"], rows[0]),
        shards=[named(head["counters"], row) for row in rows[1:]],
        sets=whole_sets(parts, read_seen(run_dir, names)),
        transactions=count_states(run_dir),
        measured=read_measured(run_dir, names),
        counted_by=head.get("pid", 0),
    )


def text(known: Known, *, openmetrics: bool = False, names: str = "fastsip") -> str:
    """In Prometheus' text format or in OpenMetrics; `names` is one of NAMES."""
    return Writer(openmetrics=openmetrics, names=names).text(known)


class Writer:
    """Writes one scrape after the other; what is the same in all of them is kept."""

    def __init__(self, *, openmetrics: bool = False, names: str = "fastsip"):
        if names not in NAMES:
            raise ValueError(f"names are one of {', '.join(NAMES)}")
        self._openmetrics, self._names = openmetrics, names
        self._kept: Kept = {}
        self._texts: dict[tuple, str] = {}      # labels() of these values
        self._lists: dict[str, tuple[list[str], list[str]]] = {}    # family -> labels before its own, and with them

    def text(self, known: Known) -> str:
        found = Exposition(self._openmetrics, self._kept)
        if self._names == "kamailio":
            for each in kamailio_metrics(known.status, known.gauges, summed(known.shards), shown(known.sets)):
                found.add(*each)
            return found.text()
        self._write_router(found, known)
        self._write_sets(found, known)
        return found.text()

    def _labels(self, **pairs: Any) -> str:
        """Text that was made once; labels that come and go are forgotten with the others when there are very many."""
        key = (*pairs, *pairs.values())
        inside = self._texts.get(key)
        if inside is None:
            if len(self._texts) > 8 * MOST_DESTINATIONS:
                self._texts.clear()
            inside = self._texts[key] = labels(pairs)
        return inside

    def _worded(self, family: Family, one: Facts, inside: str = "") -> str:
        if not family.words:
            return inside
        return joined(inside, self._labels(**{word: one.get(word) for word in family.words}))

    # ------------------------------------------------------------ the router

    def _write_router(self, found: Exposition, known: Known) -> None:
        for family in (*families.STATUS, *families.SPANS):
            self._put(found, family, [self._worded(family, known.status)], [_value(family, known.status)])
        webhooks = known.status.get("webhooks", ())
        for family in families.WEBHOOKS:
            self._put(found, family, [self._labels(webhook=one["name"]) for one in webhooks],
                      [_value(family, one) for one in webhooks])
        for family in families.STORE:
            self._put_counters(found, family, [("", known.gauges)])
        self._put(found, families.TRANSACTIONS,
                  [self._worded(families.TRANSACTIONS, one) for one in known.transactions],
                  [_value(families.TRANSACTIONS, one) for one in known.transactions])
        total = summed(known.shards)
        shards = [(self._labels(shard=number), row) for number, row in enumerate(known.shards)]
        for family in families.COUNTERS:
            self._put_counters(found, family, shards if family.by_shard else [("", total)])
        self._put_others(found, families.OTHER_COUNTERS, total, families.COUNTERS)
        self._put_others(found, families.OTHER_GAUGES, known.gauges, families.STORE)

    def _put(self, found: Exposition, family: Family, insides: Sequence[str], values: Iterable[Value]) -> None:
        found.put(family.name, family.kind, family.help, insides, values)

    def _put_counters(self, found: Exposition, family: Family, rows: list[tuple[str, dict[str, int]]]) -> None:
        if family.kind == "histogram":
            there = [(inside, row) for inside, row in rows if row.keys() >= family.of.keys()]
            self._put(found, family, [inside for inside, _ in there],
                      [value for _, row in there for value in _histogram(family, row)])
            return
        self._put(found, family, self._insides(family, [inside for inside, _ in rows], family.of.values()),
                  [row.get(name) for _, row in rows for name in family.of])

    def _put_others(
        self, found: Exposition, family: Family, values: dict[str, int], known_by: Iterable[Family]
    ) -> None:
        """What no family of the table holds."""
        held = {name for each in known_by for name in each.of}
        others = {name: value for name, value in values.items() if name not in held}
        self._put(found, family, [self._labels(**{family.label: name}) for name in others], others.values())

    # ------------------------------------------------------------ sets and destinations

    def _write_sets(self, found: Exposition, known: Known) -> None:
        whole = [*islice(known.sets, MOST_SETS)]
        insides = [self._labels(**_of_set(group)) for group in whole]
        for family in families.SETS:
            self._put(found, family, insides, [_value(family, group) for group in whole])
        members = [(self._labels(**_of_set(group), destination=one["id"]), one)
                   for group in shown(known.sets) for one in group["destinations"]]  # fmt: skip
        for family in families.DESTINATIONS:
            self._put(found, family, [self._worded(family, one, inside) for inside, one in members],
                      [_value(family, one) for _, one in members])
        if known.measured is not None:
            self._write_measured(found, known.measured, [(inside, one["id"]) for inside, one in members],
                                 (one["id"] for group in known.sets for one in group["destinations"]))  # fmt: skip
        there = sum(len(group["destinations"]) for group in known.sets)
        self._put(found, families.LEFT_OUT, [self._labels(kind="destinations"), self._labels(kind="sets")],
                  [there - len(members), len(known.sets) - len(whole)])

    def _write_measured(
        self, found: Exposition, measured: Measured, members: list[tuple[str, str]], identities: Iterable[str]
    ) -> None:
        """Those behind the bound are one more destination, with all that share a line, if there is anything to say.

        identities: of all destinations that there are.
        """
        place = measured.place
        alone = [(inside, place[identity]) for inside, identity in members if identity in place][:MOST_MEASURED]
        insides, rows = [inside for inside, _ in alone], np.array([row for _, row in alone], np.intp)
        shown_rows = {*rows.tolist()}
        others = {place[identity] for identity in identities if identity in place} - shown_rows
        if measured.rest is not None and measured.numbers["attempts"][measured.rest]:
            others.add(measured.rest)
        beyond = np.array(sorted(others), np.intp) if others else None
        if others:
            insides.append(labels(OTHERS))
        for family in families.MEASURED:
            texts = _measured_texts(family, measured, rows, beyond)
            found.put_texts(family.name, family.kind, family.help,
                            self._insides(family, insides, family.measured[1:] or ("",)), texts)

    def _insides(self, family: Family, before: list[str], words: Iterable[str]) -> list[str]:
        """Each of these labels with each value of the family's own; the same list as long as nothing has changed."""
        kept = self._lists.get(family.name)
        if kept is None or kept[0] != before:
            own = [labels({family.label: word}) if word else "" for word in words]
            kept = self._lists[family.name] = before, [joined(inside, word) for inside in before for word in own]
        return kept[1]


def _column(measured: Measured, name: str, rows: np.ndarray, beyond: np.ndarray | None) -> np.ndarray:
    """One row for each destination, and one for the sum of those beyond, as a matrix."""
    numbers = measured.numbers[name].reshape(len(measured.numbers[name]), -1)
    found = numbers[rows]
    return found if beyond is None else np.vstack((found, numbers[beyond].sum(axis=0, dtype=np.uint64)))


def _measured_texts(family: Family, measured: Measured, rows: np.ndarray, beyond: np.ndarray | None) -> list[str]:
    """All numbers of a family, written in bulk."""
    name = family.measured[0]
    if family.kind != "histogram":
        return [*map(str, _column(measured, name, rows, beyond).ravel().tolist())]
    buckets = np.cumsum(_column(measured, f"{name}.counts", rows, beyond), axis=1).tolist()
    sums = (_column(measured, f"{name}.sum_ms", rows, beyond).ravel() / PER_SECOND["ms"]).tolist()
    found = [str(value) for below, of_all in zip(buckets, sums, strict=True) for value in (*below, of_all, below[-1])]
    assert len(found) == len(buckets) * HISTOGRAM_SAMPLES
    return found


def _histogram(family: Family, row: dict[str, int]) -> list[Value]:
    """Of counters of a shard: those of the buckets in their order, and the sum, whose name ends with its unit."""
    *buckets, sum_of = family.of
    return histogram(row[sum_of] / PER_SECOND[sum_of.rpartition("_")[2]], [row[name] for name in buckets])


def summed(shards: list[dict[str, int]]) -> dict[str, int]:
    return {name: sum(row[name] for row in shards) for name in (shards[0] if shards else ())}


def shown(sets: list[Facts]) -> Iterator[Facts]:
    """The first sets and destinations, as many as the bounds allow; of the set at the bound only a part."""
    left = MOST_DESTINATIONS
    for group in islice(sets, MOST_SETS):
        members = group["destinations"][:left]
        left -= len(members)
        yield {**group, "destinations": members}


def _value(family: Family, facts: Facts) -> Value:
    return family.value(facts) if family.value else None


def _of_set(group: Facts) -> dict[str, Any]:
    return {"set": group["name"], "setid": group["setid"]}
