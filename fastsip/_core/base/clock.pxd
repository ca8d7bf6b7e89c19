# The shards' clock.  See clock.pyx.

from libc.stdint cimport uint64_t

# CLOCK_BOOTTIME in microseconds and in ms.
cdef uint64_t clock_us() noexcept nogil
cdef uint64_t clock_ms() noexcept nogil
# CLOCK_REALTIME in nanoseconds.
cdef uint64_t unix_ns() noexcept nogil
