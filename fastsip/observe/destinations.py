"""What is known of each destination now: its health and what was counted, out of run_dir, where shards write it.

The supervisor knows which destinations there are and what operators have said of them; nobody is asked for the rest.
"""

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from fastsip._core.base.clock import now_ms
from fastsip._core.base.files import look_at
from fastsip._core.dispatcher.cells import HEALTH_NAMES, Cell, read_lines
from fastsip._core.dispatcher.paces import Pace, read_paces
from fastsip.base.run_dir import CELLS, PACES, REGISTRY
from fastsip.routing.registry import read_names

HEALTH = dict(enumerate(HEALTH_NAMES))
# Of words of health and of what operators say, where there are colours.
COLOURS = {"up": "green", "down": "red", "unresolved": "red", "trying": "yellow", "unknown": "bright_black",
           "draining": "yellow", "disabled": "red"}  # fmt: skip
NO_PACE = Pace(limited=0, latency_us=0, downs=0, last_down_ms=0)


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What shards know of one destination.

    since, retry_after   seconds since 1970; None: never, none
    chosen, failed       calls and other requests, and those of them that counted against its health (`mark` of the
                         policy, or a refused connection), since the file was made
    rtt_ms               of the last probe
    latency_ms           decaying mean of first replies, to probes and calls; None: not measured
    limited              choices that passed it over for its limit of calls a second
    downs                how often it went down in close succession (`damping` of its set), at the last time
    last_code            of what changed the health last
    """

    health: str
    since: float | None
    retry_after: float | None
    chosen: int
    failed: int
    probes_sent: int
    probes_failed: int
    rtt_ms: float | None
    latency_ms: float | None
    limited: int
    downs: int
    last_code: int


UNSEEN = Seen(health="unknown", since=None, retry_after=None, chosen=0, failed=0, probes_sent=0, probes_failed=0,
              rtt_ms=None, latency_ms=None, limited=0, downs=0, last_code=0)  # fmt: skip


def read_seen(run_dir: str | Path, names: dict[int, tuple[str, str]] | None = None) -> dict[str, Seen]:
    """By id; `names` are those of the registry, if somebody has read it.

    OSError or Damaged: there is no such file, or none that can be read.
    """
    names = read_names(Path(run_dir) / REGISTRY) if names is None else names
    now, clock = time.time(), now_ms()
    paces = _paces(run_dir, clock)
    found = {}
    for cell in read_lines(look_at(Path(run_dir) / CELLS)):
        kind, name = names.get(cell.destination_id, ("", ""))
        if kind == "destination":
            found[name] = _seen(cell, paces.get(cell.destination_id, NO_PACE), now - clock / 1000, clock)
    return found


def _paces(run_dir: str | Path, clock: int) -> dict[int, Pace]:
    """None while a router runs that keeps none, before an upgrade."""
    try:
        return read_paces(look_at(Path(run_dir) / PACES), clock)
    except FileNotFoundError:
        return {}


def _seen(cell: Cell, pace: Pace, boot: float, clock: int) -> Seen:
    """boot: when CLOCK_BOOTTIME was 0, as the clock on the wall counts now."""
    return Seen(
        health=HEALTH.get(cell.health, "unknown"),     # a line may be damaged
        since=round(boot + cell.since_ms / 1000, 3) if cell.since_ms else None,
        retry_after=round(boot + cell.retry_after_ms / 1000, 3) if cell.retry_after_ms > clock else None,
        chosen=cell.chosen,
        failed=_of_calls(cell),
        probes_sent=cell.probes_sent,
        probes_failed=cell.probes_failed,
        rtt_ms=cell.rtt_us / 1000 if cell.probes_sent else None,
        latency_ms=pace.latency_us / 1000 if pace.latency_us else None,
        limited=pace.limited,
        downs=pace.downs,
        last_code=cell.last_code,
    )


def _of_calls(cell: Cell) -> int:
    """The line counts what went against its health, probes too, each in 32 bits, and those are read one by one."""
    failed = (cell.failed - cell.probes_failed) & 0xFFFF_FFFF
    return failed if failed < 1 << 31 else 0


def with_seen(part: dict[str, Any], seen: dict[str, Seen]) -> dict[str, Any]:
    """A set of the supervisor's listing, each destination with what is known of it."""
    members = [one | msgspec.to_builtins(seen.get(one["id"], UNSEEN)) for one in part["destinations"]]
    return {**part["set"], "destinations": members}


def whole_sets(parts: Iterable[dict[str, Any]], seen: dict[str, Seen]) -> list[dict[str, Any]]:
    """All that the supervisor answers to `destinations`: each set once, with all its destinations, in their order."""
    whole: dict[str, dict[str, Any]] = {}
    for part in parts:
        if "set" in part:
            one = with_seen(part, seen)
            whole.setdefault(one["name"], {**one, "destinations": []})["destinations"] += one["destinations"]
    return list(whole.values())


def takes_calls(one: dict[str, Any]) -> bool:
    """Would it get a new call, as far as its state says?"""
    return one["admin"] == "enabled" and one["health"] != "down" and one["retry_after"] is None
