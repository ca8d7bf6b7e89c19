# Single-producer, single-consumer rings of records in a shared mapping.  See ring.pyx.

from libc.stdint cimport uint8_t, uint32_t, uint64_t

# The header of a ring; the records follow it.  Offsets only: the mapping may
# be attached at another address by another process.  head and tail stand on
# cache lines of their own.
cdef struct ring_t:
    uint32_t size_bytes     # of the record area, a power of two
    uint32_t reserve0[13]
    ring_t *next            # the one that goes on when this is empty (lanes); only inside of one process
    uint64_t head           # bytes ever written; the producer's
    uint32_t dropped        # records that did not fit; the producer's
    uint32_t skip_bytes     # wrapped over by the record begun; the producer's
    uint64_t tail_seen      # the tail as last read; the producer's
    uint32_t reserve1[10]
    uint64_t tail           # bytes ever read; the consumer's
    uint64_t head_seen      # the head as last read; the consumer's
    uint32_t reserve2[12]

# Is somebody asleep, and how to wake him.  One per consumer.
cdef struct sleeper_t:
    uint32_t asleep         # 1 = in, or about to enter, epoll_wait
    int event_fd
    uint64_t wakes          # wake-ups that were written
    uint32_t reserve[12]

cdef uint64_t ring_bytes(uint32_t size_bytes) noexcept nogil
# Header, bytes and padding of a record.
cdef uint64_t record_bytes(uint32_t len) noexcept nogil
cdef void init_ring(ring_t *ring, uint32_t size_bytes) noexcept nogil

# Room for a record of len bytes, or NULL (counted in dropped); publish it with push_done.
cdef uint8_t *push_begin(ring_t *ring, uint32_t len) noexcept nogil
cdef void push_done(ring_t *ring, uint32_t len) noexcept nogil

# The oldest record and its length, or NULL; valid until pop_done.
cdef uint8_t *pop_begin(ring_t *ring, uint32_t *len) noexcept nogil
cdef void pop_done(ring_t *ring) noexcept nogil
cdef bint is_empty(const ring_t *ring) noexcept nogil

# Consumer: call before sleeping, then look at the rings once more, then sleep;
# call wake_up after the sleep.  Producer: call wake after pushing.
cdef void fall_asleep(sleeper_t *sleeper) noexcept nogil
cdef void wake_up(sleeper_t *sleeper) noexcept nogil
cdef bint wake(sleeper_t *sleeper) noexcept nogil

# Owns a mapping with one ring in it; Python sees push and pop.
cdef class Ring:
    cdef ring_t *ring
    cdef uint64_t mapped_bytes

# Owns a mapping with one sleeper in it and borrows the eventfd.
cdef class Sleeper:
    cdef sleeper_t *sleeper
