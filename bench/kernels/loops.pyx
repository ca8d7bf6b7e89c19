"""Doors from Python to single kernels of the packet path, for bench/micro.py.

What it is: for each kernel a function that runs it `loops` times without the
GIL and returns how often it went well, and an owner of the memory it needs.
What it must never do: be imported by the router, or hold a rule of its own.

The parser's doors stand in parser_doors.  Called by bench/ only.
"""

cimport cython
from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport calloc, free

from fastsip._core.base.types cimport PARTITIONS, put, put_number
from fastsip._core.base.hashing cimport mix, write_base32
from fastsip._core.sip.types cimport H_MAX_FORWARDS, header_t, message_t
from fastsip._core.sip.parser cimport first_of, parse_message, parse_routing
from fastsip._core.sip.edits cimport clear_edits, edit_insert, edit_replace, edits_t, take_room, write_edits
from fastsip._core.store.records cimport KIND_SERVER_INVITE
from fastsip._core.store.slots cimport NO_SLOT, SLOT_BITS, index_entry_t, index_find, index_insert, slot_t, store_t
from fastsip._core.store.wheel cimport (
    NOT_ARMED, NO_TIMER, advance_wheel, arm_timer, disarm_timer, init_wheel, take_expired, timer_node_t, wheel_t,
)
from fastsip._core.dispatcher.choose cimport choose
from fastsip._core.dispatcher.chooser cimport Chooser

cdef enum:
    TOP_ROOM = 512          # our Via and Record-Route
    OUT_ROOM = 4096
    SPREAD_MS = 32000       # 64 T1: how far ahead most timers of a router stand
    ROUNDS_PER_MS = 16      # about what 1,500 calls/s arm and disarm

cdef const char *VIA = b"Via: SIP/2.0/UDP 203.0.113.4:5060;branch=z9hG4bK"
cdef const char *HINT = b";fs=1.2f.7.4a1c\r\n"
cdef const char *RECORD_ROUTE = b"Record-Route: <sip:203.0.113.4:5060;lr>\r\n"


# ---------------------------------------------------------------- edit

cdef int forward(const message_t *m, edits_t *edits, uint64_t branch, char *out) noexcept nogil:
    """What every forwarded request needs (16.6 items 3, 4, 8): the length of the result, or below zero."""
    cdef const header_t *header = &m.headers[first_of(m, H_MAX_FORWARDS)]
    cdef char *top
    cdef char *hops
    cdef int n
    clear_edits(edits)
    top = take_room(edits, TOP_ROOM)
    hops = take_room(edits, 4)
    if top == NULL or hops == NULL:
        return -1
    n = put(top, VIA, 48)
    n += write_base32(branch, 64, top + n)
    n += put(top + n, HINT, 17)
    n += put(top + n, RECORD_ROUTE, 41)
    edit_insert(edits, m.headers_off, top, n)
    edit_replace(edits, header.value_off, header.value_len, hops, put_number(hops, m.max_forwards - 1))
    return write_edits(edits, m.buf, m.len, out, OUT_ROOM)


def edited(bytes text not None) -> bytes:
    """The message as bench_edit writes it the first time, so that a look shows what is measured."""
    cdef message_t m
    cdef edits_t edits
    cdef char out[OUT_ROOM]
    cdef int n
    check_request(text, &m)
    n = forward(&m, &edits, 0, out)
    if n < 0:
        raise ValueError(f"the message cannot be edited: {n}")
    return out[:n]


cdef int check_request(bytes text, message_t *m) except -1:
    if parse_message(text, <uint32_t>len(text), m) < 0 or parse_routing(m) < 0 or not m.is_request:
        raise ValueError("a request that can be read is wanted")
    if m.max_forwards < 1:
        raise ValueError("a request with Max-Forwards above 0 is wanted")
    return 0


def bench_edit(bytes text not None, uint64_t loops) -> int:
    """Composes Via and Record-Route, replaces Max-Forwards, writes the message: `loops` times."""
    cdef message_t m
    cdef edits_t edits
    cdef char out[OUT_ROOM]
    cdef uint64_t i
    cdef uint64_t good = 0
    check_request(text, &m)
    with nogil:
        for i in range(loops):
            good += forward(&m, &edits, i, out) > <int>m.len
    return good


# ---------------------------------------------------------------- choose

def bench_choose(Chooser chooser not None, uint64_t loops) -> int:
    """One choice from the table's first set for each of `loops` different keys."""
    cdef uint32_t of_set = chooser.check_set(0)
    cdef uint64_t i
    cdef uint64_t good = 0
    with nogil:
        for i in range(loops):
            good += choose(chooser.table.table, of_set, mix(i, 1) | 1, NULL, 0, chooser.cells.known(),
                           &chooser.positions.positions, 1) >= 0
    return good


# ---------------------------------------------------------------- match

@cython.final
cdef class Transactions:
    """Transactions(count): that many live server transactions with an index, in private memory."""

    cdef store_t *store
    cdef readonly uint32_t count

    def __cinit__(self, uint32_t count):
        cdef uint32_t i, ref, partition, idx
        cdef uint32_t used[PARTITIONS]
        if not 0 < count <= 1 << 22:
            raise ValueError(f"1 to {1 << 22} transactions, not {count}")
        self.store = <store_t *>calloc(1, sizeof(store_t))
        if self.store == NULL:
            raise MemoryError
        self.count = count
        for i in range(<int>PARTITIONS):
            used[i] = 0
            self.make_partition(i, count // PARTITIONS + 1)
        for i in range(count):
            partition = i % PARTITIONS
            idx = used[partition]
            used[partition] += 1
            ref = (partition << SLOT_BITS) | idx
            self.store.partitions[partition].slots[idx].key = key_of(i)
            self.store.partitions[partition].slots[idx].commit = <uint64_t>KIND_SERVER_INVITE << 24
            index_insert(self.store, ref)

    cdef int make_partition(self, uint32_t number, uint32_t slots) except -1:
        cdef uint32_t size = 1
        while size < 2 * slots:
            size *= 2
        self.store.partitions[number].slot_count = slots
        self.store.partitions[number].slots = <slot_t *>calloc(slots, sizeof(slot_t))
        self.store.partitions[number].index = <index_entry_t *>calloc(size, sizeof(index_entry_t))
        self.store.partitions[number].index_mask = size - 1
        if self.store.partitions[number].slots == NULL or self.store.partitions[number].index == NULL:
            raise MemoryError
        return 0

    def __dealloc__(self):
        cdef int i
        if self.store == NULL:
            return
        for i in range(<int>PARTITIONS):
            free(self.store.partitions[i].slots)
            free(self.store.partitions[i].index)
        free(self.store)


cdef inline uint64_t key_of(uint32_t number) noexcept nogil:
    return mix(number, 7)


cdef inline uint32_t pick(uint64_t i, uint32_t count) noexcept nogil:
    """Any of `count`, in an order that no cache foresees."""
    cdef uint64_t word = mix(i, 3) >> 32
    return <uint32_t>(word * count >> 32)


def bench_match(Transactions held not None, uint64_t loops) -> int:
    """Finds one of the held transactions by its key, `loops` times in random order."""
    cdef uint64_t i
    cdef uint64_t good = 0
    cdef uint32_t n
    with nogil:
        for i in range(loops):
            n = pick(i, held.count)
            good += index_find(held.store, n % PARTITIONS, key_of(n), KIND_SERVER_INVITE) != NO_SLOT
    return good


# ---------------------------------------------------------------- timer

@cython.final
cdef class Timers:
    """Timers(count): a wheel with that many timers armed over the next 32 s."""

    cdef wheel_t *wheel
    cdef timer_node_t *nodes
    cdef timer_node_t *partitions[1]
    cdef readonly uint32_t count
    cdef uint64_t now_ms

    def __cinit__(self, uint32_t count):
        cdef uint32_t i
        if not 0 < count <= 1 << 22:
            raise ValueError(f"1 to {1 << 22} timers, not {count}")
        self.wheel = <wheel_t *>calloc(1, sizeof(wheel_t))
        self.nodes = <timer_node_t *>calloc(count, sizeof(timer_node_t))
        if self.wheel == NULL or self.nodes == NULL:
            raise MemoryError
        self.partitions[0] = self.nodes
        self.count = count
        self.now_ms = 1000
        init_wheel(self.wheel, self.partitions, self.now_ms)
        for i in range(count):
            self.nodes[i].place = NOT_ARMED
            arm_timer(self.wheel, i, self.now_ms + pick(i, SPREAD_MS))

    def __dealloc__(self):
        free(self.wheel)
        free(self.nodes)


cdef inline void turn(wheel_t *wheel, uint64_t now_ms) noexcept nogil:
    """As a shard does: every due timer is taken, here to be armed again."""
    cdef uint32_t ref
    while True:
        advance_wheel(wheel, now_ms)
        ref = take_expired(wheel)
        if ref == NO_TIMER:
            return
        while ref != NO_TIMER:
            arm_timer(wheel, ref, now_ms + SPREAD_MS)
            ref = take_expired(wheel)


def bench_timer(Timers held not None, uint64_t loops) -> int:
    """Disarms one timer, arms it again and, every 16th time, lets a millisecond pass: `loops` times."""
    cdef uint64_t i
    cdef uint64_t good = 0
    cdef uint32_t n
    with nogil:
        for i in range(loops):
            n = pick(i, held.count)
            disarm_timer(held.wheel, n)
            arm_timer(held.wheel, n, held.now_ms + SPREAD_MS - (n & 0xFFF))
            if i % ROUNDS_PER_MS == 0:
                held.now_ms += 1
                turn(held.wheel, held.now_ms)
            good += held.wheel.armed == held.count
    return good
