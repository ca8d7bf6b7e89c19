# Names of next hops and their addresses, which shards read while one writer changes them.  See names.pyx.

cimport cython
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from fastsip._core.base.check cimport check
from fastsip._core.base.address cimport addr_t

cdef enum:
    SEGMENT_NAMES = 4096        # that room is made for at once
    MOST_SEGMENTS = 64
    MOST_NAMES = 262144         # static ones and those of DNS, whatever the configuration allows
    MOST_ADDRESSES = 32         # of one name
    NAME_BYTES = 253            # of a name without its final dot (RFC 1035 section 2.3.4)
    NAME_BUCKETS = 524288

cdef enum name_state:
    NAME_FREE = 0
    NAME_STATIC = 1             # of the configuration
    NAME_KNOWN = 2              # by DNS; when its time has run out it is stale, and still used
    NAME_NEGATIVE = 3           # it does not exist, as far as is known until its time runs out

# What is known of a name.  Published as a whole.
cdef struct name_answer_t:
    uint64_t until_ms           # from then on it wants to be asked for; a static one never
    uint8_t state               # name_state
    uint8_t count               # of the addresses
    uint8_t name_len
    uint8_t reserve[5]
    addr_t addrs[MOST_ADDRESSES]  # port 0 = none given
    char name[256]              # lower case, without final dot

cdef struct name_entry_t:
    uint64_t word               # publications so far; its lowest bit says which answer counts
    uint64_t used_ms            # when a shard last looked; a hint, to the second
    uint32_t next               # in the bucket: number of the next entry + 1, 0 = none
    uint32_t reserve
    name_answer_t answers[2]

cdef struct name_table_t:
    uint64_t key[2]             # of the hash: callers choose the names
    uint32_t *heads             # NAME_BUCKETS; number of the first entry + 1
    name_entry_t any            # what stands for every name that is not in the table
    name_entry_t *segments[MOST_SEGMENTS]  # each of SEGMENT_NAMES entries; made when needed, given back at the end

cdef inline name_entry_t *entry_at(const name_table_t *names, uint32_t number) noexcept nogil:
    check(number < MOST_NAMES)
    check(names.segments[number // SEGMENT_NAMES] != NULL)
    return &names.segments[number // SEGMENT_NAMES][number % SEGMENT_NAMES]

# What a request wants of a name.
cdef struct wanted_t:
    uint64_t key                # its Call-ID chooses among several addresses
    uint32_t families           # bit 4 for IPv4, bit 6 for IPv6
    uint16_t port               # what its URI says, 0 = nothing: that of the address, else usual_port
    uint16_t usual_port         # by the URI's scheme and transport
    uint16_t tried_count
    const uint32_t *tried       # place_mark of those that are wanted no more

# The hash by which questions and answers name a name; never 0.
cdef uint64_t hash_name(const name_table_t *names, const char *name, uint32_t len) noexcept nogil

# An address and port in 32 bits, never 0: by these a search remembers where it has been.
cdef uint32_t place_mark(const addr_t *addr) noexcept nogil

# The address of a name of at most NAME_BYTES for a request; addr.port is 0 when the table names none.  OK;
# E_UNRESOLVED: it must be asked for; E_NONE: it has no such address, or none left.  *due: it can be used, and must
# be asked for.
cdef int find_address(name_table_t *names, const char *name, uint32_t len, const wanted_t *wanted, uint64_t now_ms,
                      addr_t *addr, bint *due) noexcept nogil

# Replaces what is known of an entry's name; by one thread at a time.
cdef void publish_answer(name_entry_t *entry, const name_answer_t *answer) noexcept nogil

@cython.final
cdef class Names:
    cdef name_table_t *table
    cdef dict numbers           # name -> number of its entry
    cdef list unused            # numbers of free entries
    cdef uint32_t made          # entries that there is room for
    cdef uint32_t limit         # names at most
    cdef dict fixed             # static name -> its addresses, "*" among them
    cdef object turn            # name -> when it was used, as of its place in turn
    cdef dict denied            # names that do not exist

    cdef int publish(self, str name, const name_answer_t *answer, uint64_t now_ms) except -1
    cdef uint32_t take_entry(self) except? 0xFFFFFFFF
    cdef int make_segment(self) except -1
    cdef bint has_room(self)
    cdef note_kind(self, str name, int state)
    cdef str one_to_go(self)
    cdef const name_answer_t *answer_of(self, str name) except? NULL
