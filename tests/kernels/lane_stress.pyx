"""Two threads at the ends of a lane, for tests: one pushes numbered records, the other judges each.

Both draw the same pseudo-random lengths and bytes from the record's number, so that the reader needs not be told.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset
from posix.unistd cimport read

from fastsip._core.base.ring cimport Sleeper, fall_asleep, is_empty, record_bytes, sleeper_t, wake, wake_up
from fastsip._core.base.lanes cimport (
    LARGEST_AREA, Lane, lane_is_empty, lane_pop, lane_popped, lane_push, lane_pushed, lane_t, shrink_lane,
)

cdef extern from "poll.h" nogil:
    struct pollfd:
        int fd
        short events
        short revents
    int POLLIN
    int poll(pollfd *fds, unsigned long count, int timeout_ms)

cdef extern from "sched.h" nogil:
    int sched_yield()


cdef inline uint64_t mix(uint64_t x) noexcept nogil:
    x = (x ^ (x >> 30)) * <uint64_t>0xBF58476D1CE4E5B9
    x = (x ^ (x >> 27)) * <uint64_t>0x94D049BB133111EB
    return x ^ (x >> 31)


cdef inline uint32_t length_of(uint64_t number, uint32_t longest) noexcept nogil:
    """The record's number takes eight bytes, the rest varies."""
    return 8 + <uint32_t>(mix(number) % (longest - 7))


cdef inline uint8_t byte_of(uint64_t number, uint32_t i) noexcept nogil:
    return <uint8_t>(number * 31 + i * 7)


cdef int push_numbered(lane_t *lane, sleeper_t *sleeper, uint64_t number, uint32_t longest,
                       uint64_t patience) noexcept nogil:
    cdef uint32_t size = length_of(number, longest)
    cdef uint64_t tries = 0
    cdef uint32_t i
    cdef uint8_t *place = lane_push(lane, size)
    while place == NULL:
        tries += 1
        if tries > patience:
            return -1
        wake(sleeper)
        sched_yield()
        place = lane_push(lane, size)
    memcpy(place, &number, 8)
    for i in range(8, size):
        place[i] = byte_of(number, i)
    lane_pushed(lane, size)
    wake(sleeper)
    return 0


def stress_produce(Lane lane not None, Sleeper sleeper not None, uint64_t count, uint32_t longest,
                   uint64_t patience=20_000_000):
    """Pushes ``count`` numbered records of 8 to ``longest`` bytes without the GIL.

    Now and then it lets the lane run empty and shrinks it, so that the consumer falls asleep.
    Returns the count pushed: less when the lane stayed full for ``patience`` looks.
    """
    cdef uint64_t number = 0
    cdef uint64_t tries
    if longest < 8 or record_bytes(longest) > LARGEST_AREA >> 1:
        raise ValueError(f"records of {longest} bytes do not fit a lane")
    with nogil:
        while number < count:
            if push_numbered(lane.lane, sleeper.sleeper, number, longest, patience) < 0:
                break
            number += 1
            if mix(number) % 16 == 0:
                tries = 0
                while not is_empty(lane.lane.writing) and tries < patience:
                    tries += 1
                    sched_yield()
                shrink_lane(lane.lane)
    return number


cdef struct consumed_t:
    uint64_t popped
    uint64_t wrong          # records not as pushed
    uint64_t falls          # times the consumer said "asleep"
    uint64_t sleeps         # times it then found nothing and really slept
    uint64_t wakes          # wake-ups read from the eventfd


cdef bint sleep_until_woken(lane_t *lane, sleeper_t *sleeper, int timeout_ms, consumed_t *tally) noexcept nogil:
    """False when nobody woke us in time."""
    cdef pollfd wanted
    cdef uint64_t wakes = 0
    tally.falls += 1
    fall_asleep(sleeper)
    if not lane_is_empty(lane):
        wake_up(sleeper)
        return True
    tally.sleeps += 1
    wanted.fd = sleeper.event_fd
    wanted.events = POLLIN
    wanted.revents = 0
    if poll(&wanted, 1, timeout_ms) != 1:
        return False
    read(sleeper.event_fd, &wakes, sizeof(wakes))
    tally.wakes += wakes
    wake_up(sleeper)
    return True


cdef bint is_as_pushed(const uint8_t *record, uint32_t size, uint64_t number, uint32_t longest) noexcept nogil:
    cdef uint64_t found
    cdef uint32_t i
    if size != length_of(number, longest):
        return False
    memcpy(&found, record, 8)
    if found != number:
        return False
    for i in range(8, size):
        if record[i] != byte_of(number, i):
            return False
    return True


def stress_consume(Lane lane not None, Sleeper sleeper not None, uint64_t count, uint32_t longest,
                   int timeout_ms=5000):
    """Pops ``count`` records without the GIL, judging order, length and each byte.

    Returns a dict of ``popped``, ``wrong``, ``falls`` (times it said "asleep"),
    ``sleeps`` (times it really slept) and ``wakes`` (wake-ups read).  It stops
    early at a wrong record, and when no wake-up came within ``timeout_ms``.
    """
    cdef consumed_t tally
    cdef uint32_t size = 0
    cdef uint8_t *record
    memset(&tally, 0, sizeof(tally))
    with nogil:
        while tally.popped < count and not tally.wrong:
            record = lane_pop(lane.lane, &size)
            if record == NULL:
                if not sleep_until_woken(lane.lane, sleeper.sleeper, timeout_ms, &tally):
                    break
                continue
            tally.wrong += not is_as_pushed(record, size, tally.popped, longest)
            lane_popped(lane.lane)
            tally.popped += 1
    return tally
