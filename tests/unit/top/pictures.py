"""Looks at a router that are made up, for tests of what `fastsip top` makes of them."""

import numpy as np

from fastsip._core.state.counters import COUNTER_NAMES
from fastsip.observe.counters import GAUGES
from fastsip.observe.destinations import with_seen
from fastsip.observe.measures import LINE, Measured
from fastsip.observe.metrics import Known
from fastsip.top.course import Moment, Row

STATUS = {"node": "edge1", "router": 4, "routes_since_s": 90_061, "draining": False, "sources_away": []}
MEMBER = {"uri": "sip:192.0.2.1", "priority": 0, "weight": 1, "attrs": {}, "listener": "udp:1", "probe": "all",
          "admin": "enabled", "configured": "enabled", "said_at": None, "why": ""}  # fmt: skip


def member(identity: str, **facts) -> dict:
    """A destination as observe.destinations has it."""
    return with_seen({"set": {}, "destinations": [MEMBER | {"id": identity}]}, {})["destinations"][0] | facts


def moment(at: float, *members: dict, counters: list[dict[str, int]] | None = None, counted_by: int = 4,
           timed: dict[str, dict[int, int]] | None = None, **status) -> Moment:
    """timed: "reply" or "answer" -> bucket -> how many."""
    lines = np.zeros((1, 1), LINE)
    lines["destination_id"] = 7
    for name, counts in (timed or {}).items():
        for bucket, count in counts.items():
            lines[f"{name}.counts"][0, 0, bucket] = count
    nothing = dict.fromkeys(COUNTER_NAMES, 0)
    known = Known(
        status=STATUS | status, gauges=dict.fromkeys(GAUGES, 0),
        shards=[nothing | row for row in counters or [{}]],
        sets=[{"name": "m", "setid": None, "algorithm": "call-id", "destinations": list(members)}],
        measured=Measured(lines, {7: ("destination", "m/a")}), counted_by=counted_by,
        transactions=[{"kind": "server_invite", "state": "proceeding", "count": 3},
                      {"kind": "client_invite", "state": "calling", "count": 9}],
    )  # fmt: skip
    return Moment(at=at, known=known, open={})


def row(identity: str, **facts) -> Row:
    usual = {"uri": "sip:192.0.2.1", "group": "m", "health": "up", "admin": "enabled", "open": 0, "rate": 0.0,
             "failing": 0.0, "failed": None, "rtt_ms": None, "why": ""}  # fmt: skip
    return Row(id=identity, **{**usual, **facts})
