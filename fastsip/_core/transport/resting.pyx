"""Resting places: targets of names that did not answer, by address and port (docs/names.md#resting-places).

A place that cannot be reached, or says nothing to two INVITEs in a row, rests for 30 s, then for twice as long each
time, up to five minutes; one that answers 503 with Retry-After rests as long as that says, a minute at most.  What
belongs to a call that it has goes there all the same unless it cannot be reached: others do not know that call, and
silence may be that of somebody behind it.  Any answer wakes it, but for the time that it has named itself.
A resting place is tried after all others and never left out (names), so what stands here is a hint: it may
be lost, or be about another place, and costs a request its order at worst.

Therefore there is no lock.  Shards write the fields of an entry each by itself, and two that take one entry for two
places leave it with fields of both: a rest of five minutes at most for a place that did not earn it.

Bounds: RESTING_PLACES in rows of RESTING_WAYS; the hash of a place says its row.  Whoever sends requests that fail
holds MOST_OF_SOURCE places of a row, so a stranger who names a thousand dead places takes a quarter of the table,
and of these his own oldest give way.  Private to the process: the next router learns anew what is dead.

Must never: say that somebody is not to be tried.
"""

from libc.string cimport memcpy

from fastsip._core.base.check cimport check
from fastsip._core.base.address cimport is_well_formed
from fastsip._core.base.atomics cimport (
    load_acquire64, load_relaxed32, load_relaxed64, store_relaxed32, store_release64,
)
from fastsip._core.base.hashing cimport mix

cdef enum:
    MOST_RESTS = 8              # counted: by then they are the longest


cdef uint64_t place_hash(const addr_t *addr, uint64_t key) noexcept nogil:
    cdef uint64_t words[2]
    check(is_well_formed(addr))
    memcpy(words, addr.ip, 16)
    return mix(mix(key, words[0]), words[1] ^ addr.port)


cdef inline uint32_t row_of(uint64_t hash) noexcept nogil:
    """The first entry of the row."""
    return <uint32_t>(hash >> 32) % (RESTING_PLACES // RESTING_WAYS) * RESTING_WAYS


cdef int find_place(const resting_t *resting, uint64_t hash) noexcept nogil:
    """The entry of this place, or -1."""
    cdef uint32_t row = row_of(hash)
    cdef uint32_t i
    check(hash != 0)                # which says that an entry is free
    check(row + RESTING_WAYS <= RESTING_PLACES)
    for i in range(row, row + RESTING_WAYS):
        if load_acquire64(&resting.places[i].hash) == hash:
            return <int>i
    return -1


cdef inline uint64_t hash_here(const resting_t *resting, const addr_t *addr) noexcept nogil:
    check(addr.port > 0)            # the one that a request goes to, or two places would be one
    return place_hash(addr, resting.key) | 1


cdef bint is_resting(const resting_t *resting, const addr_t *addr, bint inside, uint64_t now_ms) noexcept nogil:
    cdef const place_t *place
    cdef int found
    if now_ms >= load_relaxed64(&resting.last_ms):
        return False                    # nothing rests: no call pays for this table
    found = find_place(resting, hash_here(resting, addr))
    if found < 0:
        return False
    place = &resting.places[found]
    if now_ms < load_relaxed64(&place.until_ms):
        return True
    return not inside and (now_ms < load_relaxed64(&place.busy_ms) or now_ms < load_relaxed64(&place.quiet_ms))


cdef bint gives_way(const place_t *place, const place_t *other, uint64_t source, bint of_source) noexcept nogil:
    """Of two entries of a row, is the first one rather given to another place?

    of_source: the source has what one may have, so it is one of its own.  Else a free one; else what is forgotten
    first.
    """
    check(place != other)
    if of_source and (load_relaxed64(&place.source) == source) != (load_relaxed64(&other.source) == source):
        return load_relaxed64(&place.source) == source
    return gone_at(place) < gone_at(other)


cdef inline uint64_t gone_at(const place_t *place) noexcept nogil:
    return load_relaxed64(&place.gone_ms) if load_acquire64(&place.hash) else 0


cdef place_t *take_place(resting_t *resting, uint64_t hash, uint64_t source, uint64_t now_ms) noexcept nogil:
    """The entry of this place, which it may have had already."""
    cdef int found = find_place(resting, hash)
    cdef place_t *row = &resting.places[row_of(hash)]
    cdef place_t *taken = row
    cdef uint32_t own = 0
    cdef uint32_t i
    check(source != 0)
    if found >= 0 and now_ms < load_relaxed64(&resting.places[found].gone_ms):
        return &resting.places[found]
    for i in range(RESTING_WAYS):
        own += load_relaxed64(&row[i].source) == source and now_ms < gone_at(&row[i])
    for i in range(1, RESTING_WAYS):
        if gives_way(&row[i], taken, source, own >= MOST_OF_SOURCE):
            taken = &row[i]
    if found >= 0:
        taken = &resting.places[found]      # what is forgotten begins anew where it stood
    store_release64(&taken.hash, 0)
    store_release64(&taken.until_ms, 0)
    store_release64(&taken.quiet_ms, 0)
    store_release64(&taken.busy_ms, 0)
    store_release64(&taken.gone_ms, now_ms + FORGET_MS)
    store_release64(&taken.source, source)
    store_relaxed32(&taken.silences, 0)
    store_relaxed32(&taken.rests, 0)
    store_release64(&taken.hash, hash)
    return taken


cdef void count_until(resting_t *resting, place_t *place, uint64_t until_ms) noexcept nogil:
    """Until when the entry counts, and with it the table."""
    check(until_ms > 0)
    store_release64(&place.gone_ms, until_ms + FORGET_MS)
    if until_ms > load_relaxed64(&resting.last_ms):
        store_release64(&resting.last_ms, until_ms)


cdef bint note_failed(resting_t *resting, const addr_t *addr, uint64_t source, bint refused,
                      uint64_t now_ms) noexcept nogil:
    """What fails while its place rests began before, or had no better way: it makes no rest longer, or a hundred calls
    that were on their way together would make it the longest one at once.
    """
    cdef place_t *place = take_place(resting, hash_here(resting, addr), source, now_ms)
    cdef uint32_t silences = min(load_relaxed32(&place.silences) + 1, <uint32_t>SILENCES)
    cdef uint32_t rests = load_relaxed32(&place.rests)
    cdef uint64_t until_ms
    check(silences >= 1)
    if now_ms < load_relaxed64(&place.until_ms) or (not refused and now_ms < load_relaxed64(&place.quiet_ms)):
        return False
    store_relaxed32(&place.silences, silences)
    store_release64(&place.gone_ms, now_ms + FORGET_MS)
    if not refused and silences < SILENCES:
        return False
    store_relaxed32(&place.rests, min(rests + 1, <uint32_t>MOST_RESTS))
    until_ms = now_ms + min(<uint64_t>FIRST_REST_MS << min(rests, <uint32_t>MOST_RESTS), <uint64_t>LONGEST_REST_MS)
    store_release64(&place.until_ms if refused else &place.quiet_ms, until_ms)
    count_until(resting, place, until_ms)
    return True


cdef bint note_busy(resting_t *resting, const addr_t *addr, uint64_t source, uint64_t seconds,
                    uint64_t now_ms) noexcept nogil:
    cdef place_t *place
    cdef uint64_t until_ms = now_ms + min(seconds * 1000, <uint64_t>LONGEST_BUSY_MS)
    if seconds == 0:
        return False
    place = take_place(resting, hash_here(resting, addr), source, now_ms)
    store_release64(&place.busy_ms, until_ms)
    count_until(resting, place, until_ms)
    return True


cdef void note_alive(resting_t *resting, const addr_t *addr, uint64_t now_ms) noexcept nogil:
    """The entry is free again, unless it is busy; most answers find that there is none."""
    cdef int found = find_place(resting, hash_here(resting, addr))
    cdef place_t *place
    if found < 0:
        return
    place = &resting.places[found]
    if now_ms >= load_relaxed64(&place.busy_ms):
        store_release64(&place.hash, 0)
        return
    store_release64(&place.until_ms, 0)
    store_release64(&place.quiet_ms, 0)
    store_relaxed32(&place.silences, 0)
    store_relaxed32(&place.rests, 0)


# ---------------------------------------------------------------- at import

assert RESTING_PLACES % RESTING_WAYS == 0 and MOST_OF_SOURCE * 4 <= RESTING_WAYS
