"""Doors from Python to the table of resting places: for tests only.

Must never: hold a rule of its own.
"""

cimport cython
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memset

from fastsip._core.base.address cimport T_UDP, addr_t
from fastsip._core.base.hashing cimport mix
from fastsip._core.sip.types cimport HOST_IPV4, HOST_IPV6
from fastsip._core.sip.uri cimport parse_address
from fastsip._core.transport.names cimport Names, find_target, found_t, wanted_t
from fastsip._core.transport.resting cimport (
    FIRST_REST_MS, FORGET_MS, LONGEST_BUSY_MS, LONGEST_REST_MS, MOST_OF_SOURCE, RESTING_PLACES, RESTING_WAYS,
    is_resting, note_alive, note_busy, note_failed,
)

BOUNDS = {"places": RESTING_PLACES, "ways": RESTING_WAYS, "of_source": MOST_OF_SOURCE, "first_ms": FIRST_REST_MS,
          "longest_ms": LONGEST_REST_MS, "busy_ms": LONGEST_BUSY_MS, "forget_ms": FORGET_MS}


cdef addr_t address_of(place) except *:
    cdef addr_t addr
    cdef bytes text = place[0].encode()
    memset(&addr, 0, sizeof(addr))
    if parse_address(text, <uint32_t>len(text), HOST_IPV6 if b":" in text else HOST_IPV4, place[1], &addr) < 0:
        raise ValueError(place)
    addr.transport = T_UDP
    return addr


@cython.final
cdef class Places:
    """Places(names): the resting places beside that table of names.  A place is (host, port)."""
    cdef Names names

    def __init__(self, Names names not None):
        self.names = names

    def failed(self, place, uint64_t now_ms, bint refused=False, uint64_t source=1) -> bool:
        cdef addr_t addr = address_of(place)
        return note_failed(self.names.table.resting, &addr, source, refused, now_ms)

    def busy(self, place, uint64_t now_ms, uint64_t seconds, uint64_t source=1) -> bool:
        cdef addr_t addr = address_of(place)
        return note_busy(self.names.table.resting, &addr, source, seconds, now_ms)

    def alive(self, place, uint64_t now_ms=0) -> None:
        cdef addr_t addr = address_of(place)
        note_alive(self.names.table.resting, &addr, now_ms)

    def rests(self, place, uint64_t now_ms, bint inside=False) -> bool:
        cdef addr_t addr = address_of(place)
        return is_resting(self.names.table.resting, &addr, inside, now_ms)

    def count(self, uint64_t now_ms) -> int:
        """Entries that are in use."""
        cdef uint32_t i
        cdef uint32_t n = 0
        for i in range(RESTING_PLACES):
            n += self.names.table.resting.places[i].hash != 0 and now_ms < self.names.table.resting.places[i].gone_ms
        return n

    def stir(self, place, uint64_t times, uint64_t source) -> int:
        """Notes failures and answers of many places so often, without the GIL; how often one rested for too long."""
        cdef addr_t addr = address_of(place)
        cdef uint64_t i, now_ms
        cdef uint64_t wrong = 0
        with nogil:
            for i in range(times):
                now_ms = 1000 + i
                addr.port = <unsigned short>(1 + mix(source, i) % 64)
                note_failed(self.names.table.resting, &addr, source, i & 1, now_ms)
                wrong += is_resting(self.names.table.resting, &addr, False, now_ms + LONGEST_REST_MS + times)
                if i & 7 == 0:
                    note_alive(self.names.table.resting, &addr, now_ms)
        return wrong


def choose_often(Names names not None, str name, int kind, uint64_t times) -> int:
    """Looks a name up so often, as shards do, each time for another call; how many found a target."""
    cdef bytes text = name.encode()
    cdef const char *at = text
    cdef uint32_t size = <uint32_t>len(text)
    cdef wanted_t wanted
    cdef found_t found
    cdef bint due = False
    cdef uint64_t i
    cdef uint64_t n = 0
    memset(&wanted, 0, sizeof(wanted))
    wanted.kind = kind
    wanted.families = 1 << 4 | 1 << 6
    with nogil:
        for i in range(times):
            wanted.key = mix(i, i)
            n += find_target(names.table, at, size, &wanted, 0, &found, &due) == 0
    return n
