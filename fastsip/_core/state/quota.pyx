"""Each source has its share: of questions about names, and of the room for requests that wait for an answer.

Whoever may name next hops could name thousands that nobody knows, and each costs a question, an answer that is
late, and a place to wait.  So a source has names_per_source questions a second, and names_burst at once (a bucket
that fills); each shard gives it its part of that.  A name that is known, or that was asked for a moment ago, costs
nothing.  Of places to wait one source has at most a quarter once half of them are taken.

A source is an IPv4 address or the first half of an IPv6 address.  The table has a fixed size: of the sources that
fall into one row the one gives way that has asked least lately.

Must never: refuse what is known.
"""

from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcpy

from fastsip._core.base.check cimport check
from fastsip._core.base.hashing cimport mix
from fastsip._core.state.memory cimport MOST_HELD, MOST_PARKED, SOURCES, source_t

cdef enum:
    WAYS = 4                # sources in a row
    PER_MILLE = 1000
    LONG_MS = 60000         # time enough for any rate: a bucket holds at most what comes in it


cdef uint64_t source_key(const shard_t *shard, const addr_t *source) noexcept nogil:
    cdef uint64_t words[2]
    memcpy(words, source.ip, 16)
    if source.family == 6:
        words[1] = 0
    return mix(mix(shard.names.key[0], words[0]), words[1] ^ source.family) | 1


cdef inline uint64_t question_cost(const shard_t *shard) noexcept nogil:
    """In what `names_per_source` brings all shards in a millisecond: a shard's part of it needs no rounding."""
    return <uint64_t>shard.count * PER_MILLE


cdef inline uint64_t bucket_size(const shard_t *shard) noexcept nogil:
    """Of a shard: its part of names_burst, never less than one question."""
    check(shard.count > 0)
    return <uint64_t>max(shard.table.names_burst, shard.count) * PER_MILLE


cdef source_t *find_source(shard_t *shard, uint64_t key) noexcept nogil:
    cdef source_t *row = &shard.waiting.sources[key % (SOURCES // WAYS) * WAYS]
    cdef source_t *oldest = row
    cdef uint32_t i
    check(key != 0)                     # which says that a place is free
    for i in range(WAYS):
        if row[i].key == key:
            return &row[i]
        if row[i].at_ms < oldest.at_ms:
            oldest = &row[i]
    oldest.key = key
    oldest.at_ms = shard.now_ms
    oldest.credit = bucket_size(shard)
    return oldest


cdef bint take_turn(shard_t *shard, const addr_t *source) noexcept nogil:
    cdef source_t *found = find_source(shard, source_key(shard, source))
    check(shard.now_ms >= found.at_ms)  # the clock of a shard never goes back: all that time would be credit
    cdef uint64_t passed = min(shard.now_ms - found.at_ms, <uint64_t>LONG_MS)
    found.credit = min(bucket_size(shard), found.credit + passed * shard.table.names_per_source)
    found.at_ms = shard.now_ms
    if found.credit < question_cost(shard):
        return False
    found.credit -= question_cost(shard)
    return True


cdef bint is_greedy(const shard_t *shard, const addr_t *source) noexcept nogil:
    cdef uint64_t key = source_key(shard, source)
    cdef uint32_t i
    cdef uint32_t n = 0
    check(shard.waiting.parked_count <= MOST_PARKED)
    # As long as half of the places are free nobody stands in another's way, so nothing is counted.
    if shard.waiting.parked_count < MOST_PARKED // 2:
        return False
    for i in range(shard.waiting.parked_count):
        n += shard.waiting.parked[i].source == key
    return n >= MOST_PARKED // 4


cdef bint holds_much(const shard_t *shard, const addr_t *source) noexcept nogil:
    """Of requests without a transaction."""
    cdef uint64_t key = source_key(shard, source)
    cdef uint32_t i
    cdef uint32_t n = 0
    cdef uint32_t all = 0
    for i in range(MOST_HELD):
        if shard.waiting.held[i].name:
            all += 1
            n += source_key(shard, &shard.waiting.held[i].origin.flow.remote) == key
    return all >= MOST_HELD // 2 and n >= MOST_HELD // 4
