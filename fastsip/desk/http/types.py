"""What is asked and answered, field by field.  Answers are the values of api.answers; these types describe them, and a
test holds each answer of a real router against its own.
"""

from typing import Any

import msgspec


class Asked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A body: a field that is not known would be one that does nothing."""


class Some(Asked, frozen=True, kw_only=True):
    """Destinations by id, and all of these sets, by name or setid; at least one."""

    ids: list[str] = []
    sets: list[str] = []


class Said(Some, frozen=True, kw_only=True):
    """why: kept with the change, at most 200 letters."""

    why: str = ""


class NewDestination(Asked, frozen=True, kw_only=True):
    """set: name or setid of a set that has a setid; the others as in the columns of Kamailio's table."""

    set: str | int
    destination: str
    flags: int = 0
    priority: int = 0
    attrs: str = ""


class ToExplain(Asked, frozen=True, kw_only=True):
    """`message`: a whole SIP request; or `uri` for a plain one with these values.

    source: host:port that it comes from; listen: tag or URI of the listener that it comes in by, "" = the first.
    """

    message: str = ""
    uri: str = ""
    method: str = "INVITE"
    call_id: str = "explain@invalid"
    sender: str = msgspec.field(default="sip:explain@invalid", name="from")
    source: str = "192.0.2.1:5060"
    listen: str = ""


# ---------------------------------------------------------------- answers


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """The process that serves this goes round."""

    ok: bool


class Readiness(msgspec.Struct, frozen=True, kw_only=True):
    """A router routes, and takes new calls."""

    ready: bool


class WebhookCounts(msgspec.Struct, frozen=True, kw_only=True):
    """Events that it has taken, attempts that failed, events that it will not be told, and those that wait."""

    name: str
    sent: int
    failed: int
    dropped: int
    waiting: int
    why: str


class SpanCounts(msgspec.Struct, frozen=True, kw_only=True):
    """Of all spans of calls since the machine booted.  why: the last attempt failed, "" when it did not."""

    sent: int
    lost: int
    passed_over: int
    unseen: int
    why: str


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """`router` and `spare` are process ids, null: there is none.  spans: null without [otel]."""

    version: str
    node: str
    pid: int
    router: int | None
    routes_since_s: int | None
    spare: int | None
    configuration: int
    shards: int
    listeners: list[str]
    draining: bool
    sources_away: list[str]
    names_unresolved: list[str]
    webhooks: list[WebhookCounts]
    spans: SpanCounts | None
    state_dir: str


class Configured(msgspec.Struct, frozen=True, kw_only=True):
    """What configuration and operators say of a destination.  parent: the name that leads to it, "" = none."""

    id: str
    uri: str
    priority: int
    weight: int
    attrs: dict[str, str | int | float | bool]
    listener: str
    probe: str
    admin: str
    configured: str
    said_at: float | None
    why: str
    calls_per_second: int | None
    parent: str
    address: str


class NamedDestination(Configured, frozen=True, kw_only=True):
    """A destination that is a name.  trouble: what is wrong with DNS; left_out: what of its answer does not count."""

    resolved: bool
    trouble: str
    left_out: list[str]


class Destination(Configured, frozen=True, kw_only=True):
    """Times are seconds since 1970; numbers count since the file of states was made."""

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


class DestinationSet(msgspec.Struct, frozen=True, kw_only=True):
    """In the order of the configuration."""

    name: str
    setid: int | None
    algorithm: str
    calls_per_second: int | None
    destinations: list[Destination]
    names: list[NamedDestination] = []


class Sets(msgspec.Struct, frozen=True, kw_only=True):
    """All of them, or those that were asked for."""

    sets: list[DestinationSet]


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """Of health or admin state; by: probe, response, timeout, progress, ring, transport, operator, configuration."""

    at: float
    id: str
    now: str
    by: str
    code: int = 0
    why: str = ""


class ShownDestination(Destination, frozen=True, kw_only=True):
    """open: transactions in progress there, null: not known.  changes: all that are kept, oldest first.

    attempts to probe_ms    what was measured: numbers, ratios (RFC 6076) and medians, null: nothing to measure
    resolved to targets     of a name
    """

    set: str
    open: int | None
    changes: list[Change]
    attempts: int = 0
    answers: dict[str, int] = {}
    silences: dict[str, int] = {}
    failovers: int = 0
    ser: float | None = None
    seer: float | None = None
    isa: float | None = None
    probes: dict[str, int] = {}
    reply_ms: float | None = None
    answer_ms: float | None = None
    probe_ms: float | None = None
    resolved: bool = True
    trouble: str = ""
    left_out: list[str] = []
    targets: list[str] = []


class StateSaid(msgspec.Struct, frozen=True, kw_only=True):
    """done: enabled, draining or disabled.  changed: how many were not so before.

    empty: sets where nobody is enabled.
    """

    done: str
    destinations: list[str]
    changed: int
    empty: list[str]


class ProbeEnd(msgspec.Struct, frozen=True, kw_only=True):
    """alive: null when it has not ended in time."""

    id: str
    alive: bool | None
    code: int
    ms: int


class Probed(msgspec.Struct, frozen=True, kw_only=True):
    """How each probe ended."""

    ends: list[ProbeEnd]


class OfDestination(msgspec.Struct, frozen=True, kw_only=True):
    """Which one was added or removed."""

    id: str


class Members(msgspec.Struct, frozen=True, kw_only=True):
    """How many there are, and the ids of the first hundred."""

    count: int
    ids: list[str]


class Reloaded(msgspec.Struct, frozen=True, kw_only=True):
    """configuration: its number.  left_out: what sources have that counts for nothing."""

    configuration: int
    added: Members
    removed: Members
    changed: Members
    left_out: list[str]


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """Who would be tried, or why not."""

    id: str
    address: str
    why: str


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """As `fastsip explain --json`."""

    rule: str
    action: str
    answer: str
    tried: list[Candidate]
    others: list[Candidate]
    sent: list[str]
    turns: bool


Counters = dict[str, int]
RpcAnswer = dict[str, Any] | list[dict[str, Any]]
