"""Events of the shards, for the control plane (hints, never truth: docs/core.md#events-and-commands).

Called by router's loop; the records are written by shard.emit_event.
"""

from collections import namedtuple

from libc.stdint cimport uint32_t

from fastsip._core.base.ring cimport Ring, pop_begin, pop_done
from fastsip._core.state.shard cimport EVENT_EXHAUSTED, EVENT_FAILOVER, EVENT_HEALTH, EVENT_QUESTION, event_t

Event = namedtuple("Event", "kind destination_id reason status at_ms after_ms call_id name")

KINDS = {EVENT_HEALTH: "health", EVENT_FAILOVER: "failover", EVENT_EXHAUSTED: "exhausted",
         EVENT_QUESTION: "question"}
HEALTH = {1: "up", 2: "down", 3: "trying"}
REASONS = {0: "response", 1: "timeout", 2: "progress", 4: "ring", 8: "transport"}


def take_events(Ring ring not None, int most=1000) -> list:
    """The oldest `most` events of the ring, taken out of it."""
    cdef event_t *event
    cdef uint32_t len
    taken = []
    while most > 0:
        event = <event_t *>pop_begin(ring.ring, &len)
        if event == NULL:
            break
        names = HEALTH if event.kind == EVENT_HEALTH else REASONS
        text = event.text[:event.text_len].decode("latin-1")
        of_call = event.kind != EVENT_QUESTION
        taken.append(Event(KINDS.get(event.kind, "?"), event.destination_id, names.get(event.reason, "?"), event.status,
                           event.at_ms, event.after_ms, text if of_call else "", "" if of_call else text))
        pop_done(ring.ring)
        most -= 1
    return taken
