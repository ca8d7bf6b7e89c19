"""What operators hear of a router that runs, as plain values for JSON: of the command line and over HTTP the same.

Each function asks over control.sock, or reads the mapped files of run_dir, or both.  Nothing is printed or served here.

Raises Refused (NoAnswer: nobody says whether it is done), NotRunning, and Unreadable for files that cannot be read.
"""

import contextlib
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import msgspec

from fastsip._core.base.mapped import Damaged as DamagedFile
from fastsip.api.socket import Answer, ask
from fastsip.base.plain import reason
from fastsip.dispatcher import history
from fastsip.dispatcher.words import STATES, Press
from fastsip.observe import counters, transactions
from fastsip.observe.destinations import read_seen, whole_sets
from fastsip.observe.measures import read_measured
from fastsip.observe.metrics import Known, look, text
from fastsip.observe.names import in_order


class Unreadable(Exception):
    """A file of the router is not there, or damaged; the text says which."""


class Unknown(Exception):
    """There is no such set or destination."""


@contextlib.contextmanager
def readable(what: str) -> Iterator[None]:
    try:
        yield
    except (OSError, DamagedFile, counters.Damaged) as error:
        raise Unreadable(f"{what} cannot be read: {reason(error)}") from None


def last_answer(run_dir: str, command: str, **fields: Any) -> Answer:
    """Without the word that says that it is the last one."""
    with contextlib.closing(ask(run_dir, command, **fields)) as found:
        *_, last = found
    return last


def _without_done(answer: Answer) -> Answer:
    return {name: value for name, value in answer.items() if name != "done"}


# ---------------------------------------------------------------- what is


def status(run_dir: str) -> Answer:
    return _without_done(last_answer(run_dir, "status"))


def sets(run_dir: str, wanted: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Each set with its destinations and what is known of them, in the order of the configuration.

    wanted: these only, by name or setid.  Unknown: none of them is there.
    """
    parts = list(ask(run_dir, "destinations"))
    with readable("what is known of destinations"):
        found = whole_sets(parts, read_seen(run_dir))
    if not wanted:
        return found
    found = [one for one in found
             if one["name"] in wanted or (one["setid"] is not None and str(one["setid"]) in wanted)]  # fmt: skip
    if not found:
        raise Unknown(f"there is no set {', '.join(wanted)}")
    return found


def destination(run_dir: str, identity: str) -> dict[str, Any]:
    """One of them with its set, what is `open` there, and all `changes` that are kept.  Unknown: it is not there."""
    for group in sets(run_dir):
        for one in in_order(group):
            if one["id"] == identity:
                return {"set": group["name"], **one, **_of_one(run_dir, one)}
    raise Unknown(f"there is no destination {identity}")


def _measured(run_dir: str, identity: str) -> dict[str, Any]:
    """What was measured there: numbers, ratios of RFC 6076 and medians, None where there was nothing to measure."""
    with readable("what was measured of destinations"):
        found = read_measured(run_dir)
    return (found.of(identity) if found else None) or {}


def _of_one(run_dir: str, one: dict[str, Any]) -> dict[str, Any]:
    """What stands in no listing; of a name it is that of its targets together."""
    mine = {one["id"], *one.get("targets", ())}
    with readable("what is kept of changes"):
        kept = history.read(last_answer(run_dir, "status")["state_dir"])
    changes = [history.facts(change) for change in kept if change.id in mine]
    return {"open": _open_at(run_dir, mine), **_measured(run_dir, one["id"]), "changes": changes}


def _open_at(run_dir: str, ids: Collection[str]) -> int | None:
    """Transactions that are in progress at these; None: the store cannot be read."""
    try:
        found = transactions.Reader(run_dir).transactions(transactions.Filter())
        return sum(1 for one in found
                   if any(each.destination in ids and each.last_status < 200 for each in one.branches))
    except transactions.NoStore:
        return None


def counted(run_dir: str) -> dict[str, int]:
    """Gauges, and counters of all shards together; of the last router when none runs any more."""
    with readable("what the router has counted"):
        return counters.read(run_dir)


def known(run_dir: str) -> Known:
    """All that is known of the router and of its destinations at this moment."""
    known_status = last_answer(run_dir, "status")
    parts = list(ask(run_dir, "destinations"))
    with readable("what the router has counted"):
        return look(run_dir, known_status, parts)


def metrics(run_dir: str, *, openmetrics: bool, names: str) -> str:
    """For Prometheus."""
    return text(known(run_dir), openmetrics=openmetrics, names=names)


# ---------------------------------------------------------------- what is ordered


def say(run_dir: str, order: str, ids: Sequence[str], sets: Sequence[str], why: str,
        press: Press | None = None) -> Answer:  # fmt: skip
    """order: enable, drain or disable.  With `again` the same press was done before."""
    pressed = msgspec.structs.asdict(press) if press else {}
    return last_answer(run_dir, "admin", ids=ids, sets=sets, state=STATES[order], why=why, **pressed)


def probe(run_dir: str, ids: Sequence[str], sets: Sequence[str]) -> Answer:
    return _without_done(last_answer(run_dir, "probe", ids=ids, sets=sets))


def add(run_dir: str, group: str, **columns: str | int) -> Answer:
    """columns: of Kamailio's table, but for the set."""
    return _without_done(last_answer(run_dir, "add", set=group, **columns))


def remove(run_dir: str, identity: str) -> Answer:
    return _without_done(last_answer(run_dir, "remove", id=identity))


def reload(run_dir: str) -> Answer:
    return _without_done(last_answer(run_dir, "reload"))
