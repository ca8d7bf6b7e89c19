"""Questions about names (docs/names.md#shares-of-questions): what the shard asks the control plane.

Limited per source, and to one per name and second.  Events are hints, which find no room when the ring is full;
but a question that nobody hears is a request that fails.  So whoever asks is told, and asks again (parking).
"""

from libc.stdint cimport uint32_t, uint64_t

from fastsip._core.base.hashing cimport mix
from fastsip._core.transport.names cimport hash_name
from fastsip._core.state.counters cimport N_NAMES_ASKED, N_NAMES_REFUSED
from fastsip._core.state.memory cimport ASKED_LATELY, asked_t
from fastsip._core.state.shard cimport count
from fastsip._core.state.events cimport EVENT_QUESTION, emit_event
from fastsip._core.state.quota cimport take_turn

cdef enum:
    ASK_AGAIN_MS = 1000     # a name


cdef int ask_name(shard_t *shard, const text_t *name, int kind, const addr_t *source) noexcept nogil:
    cdef uint64_t hash = mix(hash_name(shard.names, name.at, name.len), <uint64_t>kind)
    cdef asked_t *asked = &shard.waiting.asked[hash % ASKED_LATELY]
    if asked.name == hash and shard.now_ms < asked.at_ms + ASK_AGAIN_MS:
        return ASKED
    if source != NULL and not take_turn(shard, source):
        count(shard, N_NAMES_REFUSED)
        return NOT_ASKED
    if not emit_event(shard, EVENT_QUESTION, 0, 0, <uint32_t>kind, 0, name.at, name.len):
        return UNHEARD
    asked.name = hash
    asked.at_ms = shard.now_ms
    count(shard, N_NAMES_ASKED)
    return ASKED
