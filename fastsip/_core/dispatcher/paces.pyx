# cython: boundscheck=True, wraparound=True
"""How calls come to a destination and how fast it answers: limits of calls a second, latency, flapping.

A limit is a token bucket, kept as one number (the virtual scheduling of ITU-T I.371, Annex A): when the next call would
be due if all came evenly.  A call may be early by `slack_ns`, which is what the bucket holds.  All shards move
that number by compare-and-set, so a limit is that of the router and not of a shard.

Latency is a mean that forgets: a sample counts an eighth, or more when the last one is long ago, and a mean that nobody
has confirmed for HALF_LIFE_MS falls by half in each such time, so whoever was slow once is asked again.

Flapping: each time a destination goes down within the window of the time before, twice as many successes bring
it back, up to 32 times.

Must never: lock, or move a line.
"""

from collections import namedtuple
from pathlib import Path

from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcpy, memset

from fastsip._core.base.atomics cimport cas64, fetch_add32, load_relaxed64, store_release64
from fastsip._core.base.check cimport check

from fastsip._core.dispatcher.lines import Lines, content_of

cdef enum:
    NS = 1_000_000              # of a ms
    LONGEST_MARGIN_MS = 15_000  # no limit of the configuration leads further ahead, whatever another shard's clock says
    HALF_LIFE_MS = 10_000       # of a mean
    SHARE = 8                   # a sample counts 1 / SHARE at least
    LONGEST_MS = 1_048_576      # of a sample: more than any clock of a branch
    RISE_MAX = 255              # the streak of a cell is eight bits
    DOUBLINGS = 5

cdef uint64_t MAGIC = 0x3145434150535346    # "FSSPACE1", least significant byte first

Pace = namedtuple("Pace", "limited latency_us downs last_down_ms")


def open_paces(str path, count):
    """Lines beside those of this file of cells, or anonymous ones."""
    return Lines(str(Path(path).with_name("paces")) if path else "", count, sizeof(pace_t), MAGIC, "paces")


def read_paces(bytes content not None, now_ms) -> dict:
    """destination id -> Pace, of all that a file holds, for who only looks; {} of another boot.

    Damaged when it is no file of paces, or of another layout.
    """
    cdef pace_t line
    cdef bytes lines = content_of(content, MAGIC, sizeof(pace_t), "paces")
    cdef const char *at = lines
    cdef uint32_t index
    found = {}
    for index in range(len(lines) // sizeof(pace_t)):
        memcpy(&line, at + <size_t>index * sizeof(pace_t), sizeof(line))
        if line.destination_id:
            found[line.destination_id] = read_pace(&line, now_ms)
    return found


cdef object read_pace(const pace_t *pace, uint64_t now_ms):
    cdef uint64_t downs = load_relaxed64(&pace.downs)
    return Pace(pace.limited, latency_us(pace, now_ms), downs & 0xFF, downs >> 8)


cdef void begin_pace(pace_t *pace, uint32_t destination_id) noexcept nogil:
    check(destination_id > 0)
    memset(pace, 0, sizeof(pace_t))
    pace.destination_id = destination_id


# ---------------------------------------------------------------- calls a second

cdef inline bint is_early(uint64_t next_ns, const call_limit_t *limit, uint64_t now_ns) noexcept nogil:
    """Is a call refused now?  Not if the number is none that any limit can lead to: a file may be damaged."""
    return next_ns > now_ns + limit.slack_ns and next_ns <= now_ns + <uint64_t>LONGEST_MARGIN_MS * NS


cdef bint has_turn(const pace_t *pace, const call_limit_t *limit, uint64_t now_ms) noexcept nogil:
    check(limit.interval_ns > 0)
    return not is_early(load_relaxed64(&pace.next_call_ns), limit, now_ms * NS)


cdef bint take_turn(pace_t *pace, const call_limit_t *limit, uint64_t now_ms) noexcept nogil:
    cdef uint64_t now_ns = now_ms * NS
    cdef uint64_t next_ns, after_ns
    check(limit.interval_ns > 0)
    check(now_ns // NS == now_ms)
    while True:
        next_ns = load_relaxed64(&pace.next_call_ns)
        if is_early(next_ns, limit, now_ns):
            return False
        after_ns = next_ns + limit.interval_ns
        if next_ns < now_ns or next_ns > now_ns + limit.slack_ns:
            after_ns = now_ns + limit.interval_ns
        if cas64(&pace.next_call_ns, next_ns, after_ns):
            return True


cdef void note_limited(pace_t *pace, uint64_t now_ms) noexcept nogil:
    fetch_add32(&pace.limited, 1)
    store_release64(&pace.limited_ms, now_ms)


# ---------------------------------------------------------------- latency

cdef inline uint32_t age_ms(uint64_t word, uint64_t now_ms) noexcept nogil:
    """A time of another shard's batch may be a little ahead of ours; after 2**31 ms without a sample it is 0 again."""
    cdef uint32_t age = <uint32_t>now_ms - <uint32_t>word
    return age if age < <uint32_t>1 << 31 else 0


cdef void note_latency(pace_t *pace, uint64_t elapsed_ms, uint64_t now_ms) noexcept nogil:
    """Two shards at once: one sample is lost, which a mean does not miss.

    The clock counts whole milliseconds, so half of one is what an answer within the same took.
    """
    cdef uint64_t sample_us = min(elapsed_ms, <uint64_t>LONGEST_MS) * 1000 + 500
    cdef uint64_t word = load_relaxed64(&pace.latency)
    cdef uint64_t mean_us = word >> 32
    cdef uint64_t age = age_ms(word, now_ms)
    cdef uint64_t weight = max(<uint64_t>HALF_LIFE_MS // SHARE, age)    # of HALF_LIFE_MS
    if word == 0 or weight >= HALF_LIFE_MS:
        mean_us = sample_us
    else:
        mean_us = (mean_us * (HALF_LIFE_MS - weight) + sample_us * weight) // HALF_LIFE_MS
    check(mean_us > 0)          # else it would count as not measured
    check(mean_us >> 32 == 0)
    store_release64(&pace.latency, mean_us << 32 | <uint32_t>now_ms)


cdef uint32_t latency_us(const pace_t *pace, uint64_t now_ms) noexcept nogil:
    cdef uint64_t word = load_relaxed64(&pace.latency)
    cdef uint32_t halvings
    if word == 0:
        return 0
    halvings = age_ms(word, now_ms) // HALF_LIFE_MS
    return <uint32_t>max(word >> 32 >> min(halvings, <uint32_t>31), <uint64_t>1)


# ---------------------------------------------------------------- flapping

cdef inline bint is_close(uint64_t downs, uint32_t window_ms, uint64_t now_ms) noexcept nogil:
    """Was it down last within the window?"""
    return downs != 0 and now_ms < (downs >> 8) + window_ms


cdef void note_down(pace_t *pace, uint32_t window_ms, uint64_t now_ms) noexcept nogil:
    cdef uint64_t before = load_relaxed64(&pace.downs)
    cdef uint64_t number = (before & 0xFF) + 1 if is_close(before, window_ms, now_ms) else 1
    check(number > 0)
    check(now_ms >> 56 == 0)
    store_release64(&pace.downs, now_ms << 8 | min(number, <uint64_t>0xFF))


cdef uint32_t damped_rise(const pace_t *pace, uint32_t rise, uint32_t window_ms, uint64_t now_ms) noexcept nogil:
    cdef uint64_t downs = load_relaxed64(&pace.downs)
    cdef uint32_t doublings
    check(0 < rise <= RISE_MAX)
    if not is_close(downs, window_ms, now_ms):
        return rise
    check(downs & 0xFF != 0)
    doublings = <uint32_t>min((downs & 0xFF) - 1, <uint64_t>DOUBLINGS)
    return min(rise << doublings, <uint32_t>RISE_MAX)
