"""Events of the shards, for the control plane (hints, never truth: docs/core.md#events-and-commands).

A shard writes a record (emit_event) and wakes the control plane, whose thread takes it (take_events).
"""

from collections import namedtuple

from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcpy

from fastsip._core.base.check cimport check
from fastsip._core.base.scarcity cimport SCARCE_EVENT, runs_short
from fastsip._core.base.ring cimport Ring, pop_begin, pop_done, push_begin, push_done, wake
from fastsip._core.routing.types cimport F_PROGRESS, F_RING, F_TIMEOUT, F_TRANSPORT
from fastsip._core.dispatcher.cells cimport WENT_DOWN, WENT_TRYING, WENT_UP
from fastsip._core.state.counters cimport N_EVENTS_DROPPED
from fastsip._core.state.memory cimport EVENT_TEXT
from fastsip._core.state.shard cimport shard_t, count

from fastsip._core.transport.names import PREFIXES

Event = namedtuple("Event", "kind destination_id reason status at_ms after_ms call_id name cause")

KINDS = {EVENT_HEALTH: "health", EVENT_FAILOVER: "failover", EVENT_EXHAUSTED: "exhausted",
         EVENT_QUESTION: "question", EVENT_PROBED: "probed"}
HEALTH = {WENT_UP: "up", WENT_DOWN: "down", WENT_TRYING: "trying"}
LIFE = {0: "dead", 1: "alive"}
ASKED = dict(enumerate(PREFIXES))
REASONS = {0: "response", F_TIMEOUT: "timeout", F_PROGRESS: "progress", F_RING: "ring", F_TRANSPORT: "transport"}


def cause_name(cause) -> str:
    """What a change of health was seen by: "probe", or how a call ended."""
    return "probe" if cause == BY_PROBE else REASONS.get(cause - BY_CALL, "?")


def take_events(Ring ring not None, int most=1000) -> list:
    """The oldest `most` events of the ring, taken out of it."""
    cdef event_t *event
    cdef uint32_t len
    taken = []
    while most > 0:
        event = <event_t *>pop_begin(ring.ring, &len)
        if event == NULL:
            break
        check(len == sizeof(event_t))
        check(event.text_len <= EVENT_TEXT)
        names = {EVENT_HEALTH: HEALTH, EVENT_PROBED: LIFE}.get(event.kind, REASONS)
        of_health = event.kind == EVENT_HEALTH
        reason = names.get(event.reason & 0xFF)
        cause = cause_name(event.reason >> CAUSE_SHIFT) if of_health else ""
        text = event.text[:event.text_len].decode("latin-1")
        of_call = event.kind != EVENT_QUESTION
        if not of_call:
            text = ASKED.get(event.status, "") + text
        taken.append(Event(KINDS.get(event.kind, "?"), event.destination_id, reason or "?", event.status, event.at_ms,
                           event.after_ms, text if of_call else "", "" if of_call else text, cause))
        pop_done(ring.ring)
        most -= 1
    return taken


cdef bint emit_event(shard_t *shard, int kind, uint32_t destination_id, uint32_t reason, uint32_t status,
                     uint64_t since_ms, const char *text, uint32_t len) noexcept nogil:
    cdef event_t *event
    check(kind >= EVENT_HEALTH)
    check(kind <= EVENT_PROBED)
    # A rig of tests may have no control plane to tell.
    if shard.events == NULL:
        return False
    event = NULL if runs_short(SCARCE_EVENT) else <event_t *>push_begin(shard.events, sizeof(event_t))
    if event == NULL:
        count(shard, N_EVENTS_DROPPED)
        return False
    event.kind = kind
    event.destination_id = destination_id
    event.reason = reason
    event.status = status
    event.at_ms = shard.now_ms
    event.after_ms = <uint32_t>(shard.now_ms - since_ms) if since_ms else 0
    event.text_len = min(len, <uint32_t>EVENT_TEXT)
    if event.text_len:
        memcpy(event.text, text, event.text_len)
    push_done(shard.events, sizeof(event_t))
    if shard.control != NULL:
        wake(shard.control)
    return True
