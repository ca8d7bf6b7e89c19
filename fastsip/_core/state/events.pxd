# Events of the shards, for the control plane.  See events.pyx.

from libc.stdint cimport uint32_t, uint64_t
from fastsip._core.state.memory cimport EVENT_TEXT
from fastsip._core.state.shard cimport shard_t

# A record of the event ring to the control plane (a hint, docs/core.md#events-and-commands).
cdef enum event_kind:
    EVENT_HEALTH = 1            # reason = health_event | what it was seen by << CAUSE_SHIFT
    EVENT_FAILOVER = 2          # reason = failure_reason or 0, status
    EVENT_EXHAUSTED = 3
    EVENT_QUESTION = 4          # text = a name whose targets are wanted, status = what is asked of it (name_kind)
    EVENT_PROBED = 5            # the end of a probe that was asked for: reason = alive, status; after_ms = how long

# What a health_event was seen by: a probe, or a call, by which of the failure_reasons (0 = a response).
cdef enum health_cause:
    BY_PROBE = 0
    BY_CALL = 1                 # + failure_reason
    CAUSE_SHIFT = 8

cdef struct event_t:
    uint32_t kind
    uint32_t destination_id
    uint32_t reason
    uint32_t status
    uint64_t at_ms
    uint32_t after_ms           # since the search began
    uint32_t text_len
    char text[EVENT_TEXT]       # the Call-ID, cut, or the name

# False (and counted) when it found no room.
cdef bint emit_event(shard_t *shard, int kind, uint32_t destination_id, uint32_t reason, uint32_t status,
                     uint64_t since_ms, const char *text, uint32_t len) noexcept nogil
