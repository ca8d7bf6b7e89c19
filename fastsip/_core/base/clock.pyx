"""The one clock of shards, store and files: it runs on while the machine sleeps, and no step of the wall clock
moves it.

Must never: be read once a message; a shard reads it once a round and keeps the time.  unix_ns is another one, which
nothing here goes by: a shard reads it once for each message that it shows somebody (state/mirror), and else never.
"""

from libc.stdint cimport uint64_t
from posix.time cimport CLOCK_REALTIME, clock_gettime, clockid_t, timespec

cdef extern from "<time.h>" nogil:
    clockid_t CLOCK_BOOTTIME        # Linux alone has it, and Cython's posix.time does not know it


cdef uint64_t clock_us() noexcept nogil:
    cdef timespec now
    clock_gettime(CLOCK_BOOTTIME, &now)
    return <uint64_t>now.tv_sec * 1000000 + <uint64_t>now.tv_nsec // 1000


cdef uint64_t clock_ms() noexcept nogil:
    return clock_us() // 1000


cdef uint64_t unix_ns() noexcept nogil:
    """For what people compare with the clocks of other machines."""
    cdef timespec now
    clock_gettime(CLOCK_REALTIME, &now)
    return <uint64_t>now.tv_sec * 1000000000 + <uint64_t>now.tv_nsec


def now_ms() -> int:
    """CLOCK_BOOTTIME, of which the store keeps its times."""
    return clock_ms()
