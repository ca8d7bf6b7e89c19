"""From one shard to another: a ring that is small, and grows when a burst needs it.

Between any two shards runs a lane each way, so what a lane holds when nothing happens
counts shards x (shards - 1) times.  It begins with one small ring.  When that is full the
producer links a ring of twice the size behind it and goes on there; the consumer follows
the link when the old ring is empty, and gives that back.  So nothing is copied and order is
kept.  Once in a while the producer looks: a large ring that is empty is left for a small one.

What holds:

- One thread pushes, one pops (ring).  A ring that has a follower gets no record any more, so
  a consumer that sees the link, looks once more and finds nothing may leave it.
- A lane grows by LANE_BYTES at most, and all lanes of a router together by their allowance.
  Beyond that a record is refused, and the shard counts it.
- Threads of one process share a lane: the links are pointers.  Nothing of it outlives the process.
"""

cimport cython
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy
from posix.mman cimport MAP_ANONYMOUS, MAP_FAILED, MAP_PRIVATE, PROT_READ, PROT_WRITE, mmap, munmap

from fastsip._core.base.check cimport check
from fastsip._core.base.atomics cimport fetch_add64, load_acquire64, load_relaxed64, store_release64
from fastsip._core.base.ring cimport (
    init_ring, is_empty, pop_begin, pop_done, push_begin, push_done, record_bytes, ring_bytes,
)

cdef enum:
    MOST_GROWN = 8 << 20        # bytes of one lane: some 6,000 INVITEs
    SMALLEST_AREA = 64

LANE_BYTES = MOST_GROWN


# ---------------------------------------------------------------- rings

cdef ring_t *map_ring(uint32_t area_bytes) noexcept nogil:
    """NULL when there is no memory."""
    check(area_bytes & (area_bytes - 1) == 0)
    cdef void *at = mmap(NULL, ring_bytes(area_bytes), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    if at == MAP_FAILED:
        return NULL
    init_ring(<ring_t *>at, area_bytes)
    return <ring_t *>at


cdef inline void unmap_ring(ring_t *ring) noexcept nogil:
    munmap(ring, ring_bytes(ring.size_bytes))


cdef bint take_bytes(uint64_t *used, uint64_t count, uint64_t limit) noexcept nogil:
    """Added first and judged then: of two lanes that grow at once one may be refused what would have fitted alone,
    but never do both together go beyond the limit.
    """
    if fetch_add64(used, count) + count <= limit:
        return True
    check(load_relaxed64(used) >= count)        # what was added above, whatever others do meanwhile
    fetch_add64(used, -count)
    return False


cdef bint may_grow(lane_t *lane, uint64_t count) noexcept nogil:
    if not take_bytes(&lane.grown_bytes, count, MOST_GROWN):
        return False
    if take_bytes(&lane.allowance.used_bytes, count, lane.allowance.limit_bytes):
        return True
    check(load_relaxed64(&lane.grown_bytes) >= count)
    fetch_add64(&lane.grown_bytes, -count)
    return False


cdef void ungrow(lane_t *lane, uint32_t area_bytes) noexcept nogil:
    """Rings of the size that it begins with are not counted."""
    if area_bytes > lane.base_bytes:
        check(load_relaxed64(&lane.grown_bytes) >= area_bytes)
        check(load_relaxed64(&lane.allowance.used_bytes) >= area_bytes)
        fetch_add64(&lane.grown_bytes, -<uint64_t>area_bytes)
        fetch_add64(&lane.allowance.used_bytes, -<uint64_t>area_bytes)


cdef inline void follow_with(lane_t *lane, ring_t *fresh) noexcept nogil:
    check(load_relaxed64(&lane.writing.next) == 0)
    check(is_empty(fresh))
    store_release64(&lane.writing.next, <uint64_t><void *>fresh)
    lane.writing = fresh


# ---------------------------------------------------------------- the producer

cdef bint grow(lane_t *lane, uint32_t len) noexcept nogil:
    cdef uint32_t area = min(lane.writing.size_bytes << 1, <uint32_t>LARGEST_AREA)
    cdef ring_t *fresh
    if lane.allowance == NULL or record_bytes(len) > LARGEST_AREA >> 1:
        return False
    while area >> 1 < record_bytes(len):
        area <<= 1
    check(area <= LARGEST_AREA)
    if not may_grow(lane, area):
        return False
    fresh = map_ring(area)
    if fresh == NULL:
        ungrow(lane, area)
        return False
    check(fresh.size_bytes > lane.base_bytes)   # only such rings are counted, so only such are given back
    follow_with(lane, fresh)
    return True


cdef uint8_t *lane_push(lane_t *lane, uint32_t len) noexcept nogil:
    cdef uint8_t *place = push_begin(lane.writing, len)
    if place == NULL and grow(lane, len):
        place = push_begin(lane.writing, len)
        check(place != NULL)        # the ring was made for this record
    return place


cdef void lane_pushed(lane_t *lane, uint32_t len) noexcept nogil:
    check(load_relaxed64(&lane.writing.next) == 0)      # a ring with a follower gets no record any more
    push_done(lane.writing, len)


cdef bint is_crowded(const lane_t *lane) noexcept nogil:
    return (load_relaxed64(&lane.grown_bytes) > MOST_GROWN // 2
            or (lane.allowance != NULL
                and load_relaxed64(&lane.allowance.used_bytes) > lane.allowance.limit_bytes // 2))


cdef void shrink_lane(lane_t *lane) noexcept nogil:
    cdef ring_t *fresh
    if lane.writing.size_bytes > lane.base_bytes and is_empty(lane.writing):
        fresh = map_ring(lane.base_bytes)
        if fresh != NULL:
            follow_with(lane, fresh)
        check(lane.writing.size_bytes >= lane.base_bytes)


# ---------------------------------------------------------------- the consumer

cdef uint8_t *lane_pop(lane_t *lane, uint32_t *len) noexcept nogil:
    """The second look: what was pushed before the link was made can be seen by whoever sees the link."""
    cdef ring_t *left
    cdef ring_t *following
    cdef uint8_t *record
    while True:
        record = pop_begin(lane.reading, len)
        if record != NULL:
            return record
        following = <ring_t *><void *>load_acquire64(&lane.reading.next)
        if following == NULL:
            return NULL
        record = pop_begin(lane.reading, len)
        if record != NULL:
            return record
        check(is_empty(lane.reading))
        check(following != lane.reading)
        left, lane.reading = lane.reading, following
        ungrow(lane, left.size_bytes)
        unmap_ring(left)


cdef void lane_popped(lane_t *lane) noexcept nogil:
    check(not is_empty(lane.reading))
    pop_done(lane.reading)


cdef bint lane_is_empty(const lane_t *lane) noexcept nogil:
    """A ring that is to be left counts as something to do."""
    return is_empty(lane.reading) and load_acquire64(&lane.reading.next) == 0


cdef uint64_t lane_bytes(const lane_t *lane) noexcept nogil:
    """By the consumer, who alone gives rings back: none of those that follow goes away meanwhile."""
    cdef const ring_t *ring = lane.reading
    cdef uint64_t found = 0
    while ring != NULL:
        check(load_acquire64(&ring.head) >= load_relaxed64(&ring.tail))
        found += load_acquire64(&ring.head) - load_relaxed64(&ring.tail)
        ring = <const ring_t *><void *>load_acquire64(&ring.next)
    return found


# ---------------------------------------------------------------- owners

@cython.final
cdef class Allowance:
    """Allowance(limit_bytes): how far all lanes that share it may grow together."""

    def __cinit__(self, uint64_t limit_bytes):
        self.allowance = <allowance_t *>calloc(1, sizeof(allowance_t))
        if self.allowance == NULL:
            raise MemoryError("no memory for an allowance")
        self.allowance.limit_bytes = limit_bytes

    def __dealloc__(self):
        free(self.allowance)

    @property
    def used_bytes(self) -> int:
        return load_relaxed64(&self.allowance.used_bytes)


@cython.final
cdef class Lane:
    """Lane(base_bytes, allowance=None): base_bytes is a power of two from 64 to 4 MiB; without an allowance it
    never grows.  One thread pushes (and shrinks), one pops.
    """

    def __cinit__(self, uint32_t base_bytes, Allowance allowance=None):
        if not SMALLEST_AREA <= base_bytes <= LARGEST_AREA or base_bytes & (base_bytes - 1):
            raise ValueError(f"a lane that begins with {base_bytes} bytes: a power of two from {SMALLEST_AREA} "
                             f"to {LARGEST_AREA} is wanted")
        self.allowance = allowance
        self.lane = <lane_t *>calloc(1, sizeof(lane_t))
        if self.lane == NULL:
            raise MemoryError("no memory for a lane")
        self.lane.base_bytes = base_bytes
        self.lane.writing = self.lane.reading = map_ring(base_bytes)
        if self.lane.writing == NULL:
            raise MemoryError(f"cannot map {base_bytes} bytes for a lane")
        if allowance is not None:
            self.lane.allowance = allowance.allowance

    def __dealloc__(self):
        cdef ring_t *ring
        cdef ring_t *following
        if self.lane == NULL:
            return
        ring = self.lane.reading
        while ring != NULL:
            following = ring.next
            # An object that is taken apart by the collector of cycles may have lost its allowance.
            unmap_ring(ring)
            ring = following
        free(self.lane)

    def push(self, bytes record not None):
        """Appends a record; False when there is no room."""
        cdef uint32_t size = <uint32_t>len(record)
        cdef uint8_t *place = lane_push(self.lane, size)
        if place == NULL:
            return False
        memcpy(place, <const char *>record, size)
        lane_pushed(self.lane, size)
        return True

    def pop(self):
        """Takes the oldest record; None when there is none."""
        cdef uint32_t size = 0
        cdef uint8_t *record = lane_pop(self.lane, &size)
        if record == NULL:
            return None
        taken = (<char *>record)[:size]
        lane_popped(self.lane)
        return taken

    def shrink(self):
        """Goes back to a small ring, if a large one is empty."""
        shrink_lane(self.lane)

    @property
    def empty(self) -> bool:
        return lane_is_empty(self.lane)

    @property
    def waiting_bytes(self) -> int:
        """Of records that wait, with their heads."""
        return lane_bytes(self.lane)

    @property
    def crowded(self) -> bool:
        return is_crowded(self.lane)

    @property
    def grown_bytes(self) -> int:
        """Bytes of areas beyond the one that it begins with."""
        return load_relaxed64(&self.lane.grown_bytes)
