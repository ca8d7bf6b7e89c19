"""Questions about names (docs/names.md#shares-of-questions): what the shard asks the control plane, once or again.

Limited per source, and to one per name and second.  Events are hints, which find no room when the ring is full;
but a question that nobody hears is a request that fails.  So it is kept, and asked again by the timer of a
request that waits.
"""

from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcpy

from fastsip._core.base.check cimport check
from fastsip._core.transport.names cimport hash_name
from fastsip._core.state.counters cimport N_NAMES_ASKED, N_NAMES_REFUSED
from fastsip._core.state.memory cimport ASKED_LATELY, MOST_LOST, asked_t, lost_t
from fastsip._core.state.shard cimport count
from fastsip._core.state.events cimport EVENT_QUESTION, emit_event
from fastsip._core.state.quota cimport take_turn

cdef enum:
    ASK_AGAIN_MS = 1000     # a name


cdef bint ask_name(shard_t *shard, const text_t *name, const addr_t *source) noexcept nogil:
    """One question per name and ASK_AGAIN_MS: an answer takes a moment, and a lost question is asked again.

    False: `source` has had too many asked.  NULL: the name is known, and asked for again for all who use it.
    """
    cdef uint64_t hash = hash_name(shard.names, name.at, name.len)
    cdef asked_t *asked = &shard.waiting.asked[hash % ASKED_LATELY]
    if asked.name == hash and shard.now_ms < asked.at_ms + ASK_AGAIN_MS:
        return True
    if source != NULL and not take_turn(shard, source):
        count(shard, N_NAMES_REFUSED)
        return False
    if emit_event(shard, EVENT_QUESTION, 0, 0, 0, 0, name.at, name.len):
        asked.name = hash
        asked.at_ms = shard.now_ms
        count(shard, N_NAMES_ASKED)
    else:
        keep_lost(shard.waiting, hash, name)
    return True


cdef void keep_lost(waiting_t *waiting, uint64_t hash, const text_t *name) noexcept nogil:
    """Of two questions for one place the later one is kept: whoever asks anew asks that."""
    cdef lost_t *lost = &waiting.lost[hash % MOST_LOST]
    lost.len = min(name.len, <uint32_t>sizeof(lost.name))
    memcpy(lost.name, name.at, lost.len)


cdef bint has_lost(const waiting_t *waiting) noexcept nogil:
    cdef uint32_t i
    for i in range(MOST_LOST):
        if waiting.lost[i].len:
            return True
    return False


cdef void ask_lost(shard_t *shard) noexcept nogil:
    cdef text_t name
    cdef uint32_t i
    for i in range(MOST_LOST):
        check(shard.waiting.lost[i].len <= sizeof(shard.waiting.lost[i].name))
        name.at = shard.waiting.lost[i].name
        name.len = shard.waiting.lost[i].len
        # First, as whoever finds no room again is kept in the same place.
        shard.waiting.lost[i].len = 0
        if name.len:
            ask_name(shard, &name, NULL)
