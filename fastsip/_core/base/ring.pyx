"""Single-producer, single-consumer rings of records in a shared mapping.

Shards hand datagrams to each other through these rings, and the planes pass
events and commands.  A record is eight bytes of header (its length) and the
bytes themselves, padded to eight; a record never wraps: when it does not fit
before the end of the area, a marker sends the reader back to the beginning.

What holds:

- One thread pushes, one pops.  Neither ever waits for the other, neither makes
  a system call, except the one write that wakes a sleeper.
- ``head`` is stored with release after the record's bytes, ``tail`` with
  release after the reader is done with them.  A producer that dies between
  push_begin and push_done has published nothing.
- Only offsets are stored, so that each process may map the ring elsewhere.
- A record over half of the area is refused always, not just at some positions.
- A ring that never holds much touches little of its memory: at each RESTART_BYTES the producer looks
  whether it is empty, and if so begins at the beginning again, by the same marker.

Sleeping is Dekker's agreement: the consumer says "asleep", fences and looks at
its rings again; the producer publishes, fences and looks at the word.  At least
one of the two sees the other, so that no wake-up is lost; the producer that
takes the word is the only one that writes, so an awake consumer is left alone.
"""

cimport cython
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset
from posix.mman cimport MAP_ANONYMOUS, MAP_FAILED, MAP_SHARED, PROT_READ, PROT_WRITE, mmap, munmap
from posix.unistd cimport write

from fastsip._core.base.check cimport check
from fastsip._core.base.atomics cimport (
    cas32, fetch_add64, full_fence, load_acquire64, load_relaxed32, load_relaxed64, store_relaxed32, store_release32,
    store_release64,
)

cdef enum:
    RECORD_HEADER = 8
    RESTART_BYTES = 32768   # of the area, a power of two
    WRAP = 0xFFFFFFFF       # in place of a length: the next record is at the beginning
    SMALLEST_RING = 64
    LARGEST_RING = 1 << 30


# ---------------------------------------------------------------- the ring

cdef uint64_t record_bytes(uint32_t len) noexcept nogil:
    """Header, bytes and padding: the next record begins on eight bytes, too."""
    return RECORD_HEADER + ((<uint64_t>len + 7) & ~<uint64_t>7)


cdef inline uint8_t *record_at(const ring_t *ring, uint64_t position) noexcept nogil:
    check(position & 7 == 0)
    return <uint8_t *>ring + sizeof(ring_t) + (position & (ring.size_bytes - 1))


cdef inline uint64_t to_end_of(const ring_t *ring, uint64_t position) noexcept nogil:
    check(ring.size_bytes & (ring.size_bytes - 1) == 0)
    return ring.size_bytes - (position & (ring.size_bytes - 1))


cdef uint64_t ring_bytes(uint32_t size_bytes) noexcept nogil:
    return sizeof(ring_t) + <uint64_t>size_bytes


cdef void init_ring(ring_t *ring, uint32_t size_bytes) noexcept nogil:
    check(size_bytes >= SMALLEST_RING)
    memset(ring, 0, sizeof(ring_t))
    ring.size_bytes = size_bytes


cdef inline void count_drop(ring_t *ring) noexcept nogil:
    """The producer's own counter, which others only read."""
    store_relaxed32(&ring.dropped, load_relaxed32(&ring.dropped) + 1)


cdef bint may_restart(ring_t *ring, uint64_t head, uint64_t need) noexcept nogil:
    """Is it empty, where the record would touch memory that has not been touched lately?"""
    if not (head ^ (head + need)) & ~<uint64_t>(RESTART_BYTES - 1) or need > head & (ring.size_bytes - 1):
        return False
    check(need <= ring.size_bytes >> 1)     # a larger one is refused before anybody asks where it would stand
    ring.tail_seen = load_acquire64(&ring.tail)
    return ring.tail_seen == head


cdef uint8_t *push_begin(ring_t *ring, uint32_t len) noexcept nogil:
    cdef uint64_t need = record_bytes(len)
    cdef uint64_t head = load_relaxed64(&ring.head)
    cdef uint64_t to_end = to_end_of(ring, head)
    cdef uint64_t skip = 0
    check(head - ring.tail_seen <= ring.size_bytes)
    if need > ring.size_bytes >> 1:
        count_drop(ring)
        return NULL
    if need > to_end or may_restart(ring, head, need):
        skip = to_end
    if head + skip + need - ring.tail_seen > ring.size_bytes:
        # The reader's line is touched only when the last look says "full".
        ring.tail_seen = load_acquire64(&ring.tail)
        if head + skip + need - ring.tail_seen > ring.size_bytes:
            count_drop(ring)
            return NULL
    if skip:
        (<uint32_t *>record_at(ring, head))[0] = WRAP
    ring.skip_bytes = <uint32_t>skip
    check(head & 7 == 0)
    check(head + skip + need - ring.tail_seen <= ring.size_bytes)
    return record_at(ring, head + skip) + RECORD_HEADER


cdef void push_done(ring_t *ring, uint32_t len) noexcept nogil:
    cdef uint64_t head = load_relaxed64(&ring.head) + ring.skip_bytes
    check(record_bytes(len) <= ring.size_bytes >> 1)
    check(record_bytes(len) <= to_end_of(ring, head))
    (<uint32_t *>record_at(ring, head))[0] = len
    check(head + record_bytes(len) - ring.tail_seen <= ring.size_bytes)
    store_release64(&ring.head, head + record_bytes(len))


cdef uint8_t *pop_begin(ring_t *ring, uint32_t *len) noexcept nogil:
    cdef uint64_t tail = load_relaxed64(&ring.tail)
    cdef uint8_t *record
    if tail == ring.head_seen:
        ring.head_seen = load_acquire64(&ring.head)
        if tail == ring.head_seen:
            return NULL
    check(ring.head_seen - tail <= ring.size_bytes)
    record = record_at(ring, tail)
    if (<uint32_t *>record)[0] == WRAP:
        # Marker and record are published together: behind it one always stands.
        tail += to_end_of(ring, tail)
        check(tail != ring.head_seen)
        store_release64(&ring.tail, tail)
        record = record_at(ring, tail)
    len[0] = (<uint32_t *>record)[0]
    check(record_bytes(len[0]) <= ring.head_seen - tail)
    check(record_bytes(len[0]) <= to_end_of(ring, tail))
    return record + RECORD_HEADER


cdef void pop_done(ring_t *ring) noexcept nogil:
    cdef uint64_t tail = load_relaxed64(&ring.tail)
    cdef uint32_t len = (<uint32_t *>record_at(ring, tail))[0]
    check(tail != ring.head_seen)
    check(record_bytes(len) <= ring.head_seen - tail)
    store_release64(&ring.tail, tail + record_bytes(len))


cdef bint is_empty(const ring_t *ring) noexcept nogil:
    return load_acquire64(&ring.head) == load_acquire64(&ring.tail)


# ---------------------------------------------------------------- sleeping

cdef void fall_asleep(sleeper_t *sleeper) noexcept nogil:
    store_release32(&sleeper.asleep, 1)
    full_fence()


cdef void wake_up(sleeper_t *sleeper) noexcept nogil:
    store_release32(&sleeper.asleep, 0)


cdef bint wake(sleeper_t *sleeper) noexcept nogil:
    cdef uint64_t one = 1
    full_fence()
    # Of several producers one takes the word, and only that one writes.
    if not load_relaxed32(&sleeper.asleep) or not cas32(&sleeper.asleep, 1, 0):
        return False
    fetch_add64(&sleeper.wakes, 1)
    # Cannot fail: the counter of an eventfd is read to zero long before 2**64.
    write(sleeper.event_fd, &one, sizeof(one))
    return True


# ---------------------------------------------------------------- owners

cdef void *map_shared(uint64_t bytes_count, int fd) except NULL:
    cdef int flags = MAP_SHARED if fd >= 0 else MAP_SHARED | MAP_ANONYMOUS
    cdef void *at = mmap(NULL, bytes_count, PROT_READ | PROT_WRITE, flags, fd, 0)
    if at == MAP_FAILED:
        raise MemoryError(f"cannot map {bytes_count} bytes for a ring")
    return at


@cython.final
cdef class Ring:
    """A ring in a mapping of its own.

    size_bytes: of the record area, a power of two from 64 to 2**30.
    fd: a file of at least ``Ring.file_bytes(size_bytes)`` to map; -1 = anonymous
        memory, which forked children share.
    attach: the file holds a ring already; else it is initialised.

    Raises ValueError for a wrong size or a file that holds another ring,
    MemoryError when it cannot be mapped.
    """

    def __cinit__(self, uint32_t size_bytes, int fd=-1, bint attach=False):
        if not SMALLEST_RING <= size_bytes <= LARGEST_RING or size_bytes & (size_bytes - 1):
            raise ValueError(f"a ring of {size_bytes} bytes: a power of two from 64 to 2**30 is wanted")
        if attach and fd < 0:
            raise ValueError("only a ring in a file can be attached")
        self.mapped_bytes = ring_bytes(size_bytes)
        self.ring = <ring_t *>map_shared(self.mapped_bytes, fd)
        if not attach:
            init_ring(self.ring, size_bytes)
        elif self.ring.size_bytes != size_bytes:
            raise ValueError(f"the file holds a ring of {self.ring.size_bytes} bytes, not {size_bytes}")

    def __dealloc__(self):
        if self.ring != NULL:
            munmap(self.ring, self.mapped_bytes)

    @staticmethod
    def file_bytes(uint32_t size_bytes):
        """Bytes that a file must have to hold a ring of this size."""
        return ring_bytes(size_bytes)

    def push(self, bytes record not None):
        """Appends a record; False (and counted in ``dropped``) when there is no room."""
        cdef uint32_t size
        cdef uint8_t *place
        if len(record) >= WRAP:
            raise ValueError("a record of 4 GiB")
        size = <uint32_t>len(record)
        place = push_begin(self.ring, size)
        if place == NULL:
            return False
        memcpy(place, <const char *>record, size)
        push_done(self.ring, size)
        return True

    def pop(self):
        """Takes the oldest record; None when the ring is empty."""
        cdef uint32_t size = 0
        cdef uint8_t *record = pop_begin(self.ring, &size)
        if record == NULL:
            return None
        taken = (<char *>record)[:size]
        pop_done(self.ring)
        return taken

    @property
    def empty(self):
        return is_empty(self.ring)

    @property
    def dropped(self):
        """Records that found no room."""
        return self.ring.dropped


@cython.final
cdef class Sleeper:
    """One consumer's word "asleep" in anonymous shared memory.

    event_fd: the eventfd that wakes it; borrowed, not closed here.
    """

    def __cinit__(self, int event_fd):
        self.sleeper = <sleeper_t *>map_shared(sizeof(sleeper_t), -1)
        self.sleeper.event_fd = event_fd

    def __dealloc__(self):
        if self.sleeper != NULL:
            munmap(self.sleeper, sizeof(sleeper_t))

    def fall_asleep(self):
        """Says "asleep"; look at the rings once more before really sleeping."""
        fall_asleep(self.sleeper)

    def wake_up(self):
        """Says "awake"."""
        wake_up(self.sleeper)

    def wake(self):
        """True when the consumer slept and this call wrote to its eventfd."""
        return wake(self.sleeper)

    @property
    def wakes(self):
        return self.sleeper.wakes
