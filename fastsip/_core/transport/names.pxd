# Names of next hops and their addresses, which shards read while one writer changes them.  See names.pyx.

cimport cython
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from fastsip._core.base.check cimport check
from fastsip._core.base.address cimport addr_t
from fastsip._core.transport.resting cimport resting_t

cdef enum:
    SEGMENT_NAMES = 4096        # that room is made for at once
    MOST_SEGMENTS = 64
    MOST_NAMES = 262144         # static ones and those of DNS, whatever the configuration allows
    MOST_TARGETS = 32           # of one name
    NAME_BYTES = 253            # of a name without its final dot (RFC 1035 section 2.3.4)
    NAME_BUCKETS = 524288

cdef enum name_state:
    NAME_FREE = 0
    NAME_STATIC = 1             # of the configuration
    NAME_KNOWN = 2              # by DNS; when its time has run out it is stale, and still used
    NAME_NEGATIVE = 3           # it does not exist, as far as is known until its time runs out

# What is asked of a name (RFC 3263 section 4): what its URI leaves open.  In the order of PREFIXES.
cdef enum name_kind:
    OF_ALL = 0                  # of the configuration: the answer to whatever is asked
    OF_HOST = 1                 # "a:", the port is given: addresses
    OF_SERVICE = 2              # "s:udp:", the transport is given: SRV, else addresses
    OF_DOMAIN = 3               # "n:sip:", neither is: NAPTR, else SRV, else addresses

# One place that a name leads to.
cdef struct target_t:
    addr_t addr                 # with its transport; port 0 = none given
    uint32_t weight             # among those of its tier, at least 1
    uint16_t tier               # the lowest comes first
    uint16_t reserve

# What is known of a name.  Published as a whole.
cdef struct name_answer_t:
    uint64_t until_ms           # from then on it wants to be asked for; a static one never
    uint8_t state               # name_state
    uint8_t kind                # name_kind
    uint8_t count               # of the targets
    uint8_t name_len
    uint8_t cut                 # there were more of them
    uint8_t reserve[3]
    target_t targets[MOST_TARGETS]
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
    resting_t *resting
    name_entry_t *segments[MOST_SEGMENTS]  # each of SEGMENT_NAMES entries; made when needed, given back at the end

cdef inline name_entry_t *entry_at(const name_table_t *names, uint32_t number) noexcept nogil:
    check(number < MOST_NAMES)
    check(names.segments[number // SEGMENT_NAMES] != NULL)
    return &names.segments[number // SEGMENT_NAMES][number % SEGMENT_NAMES]

# What a request wants of a name.
cdef struct wanted_t:
    int kind                    # name_kind, never OF_ALL
    uint64_t key                # its Call-ID chooses among several targets
    uint32_t families           # bit 4 for IPv4, bit 6 for IPv6
    uint32_t first_family       # of these the one that comes before the other; 0 = they are alike
    bint inside                 # it belongs to a call that a target has: who is busy is not passed over
    uint32_t preferred          # place_mark of the one that has its call, 0 = nobody knows
    uint16_t port               # what its URI says, 0 = nothing: that of the target, else usual_port
    uint16_t usual_port         # by the URI's scheme and transport
    uint16_t tried_count
    const uint32_t *tried       # place_mark of those that are wanted no more

cdef struct found_t:
    addr_t addr                 # port 0: the name says none
    uint32_t count              # how many there were to choose from, this one among them
    uint32_t cut                # the name has more than are kept

# The hash by which answers name a name, whatever was asked of it; never 0.
cdef uint64_t hash_name(const name_table_t *names, const char *name, uint32_t len) noexcept nogil

# An address and port in 32 bits, never 0: by these a search remembers where it has been.
cdef uint32_t place_mark(const addr_t *addr) noexcept nogil

# The target of a name of at most NAME_BYTES that a request goes to.  OK; E_UNRESOLVED: it must be asked for;
# E_NONE: it has no such target, or none left.  *due: it can be used, and must be asked for.
cdef int find_target(name_table_t *names, const char *name, uint32_t len, const wanted_t *wanted, uint64_t now_ms,
                     found_t *found, bint *due) noexcept nogil

# Replaces what is known of an entry's name; by one thread at a time.
cdef void publish_answer(name_entry_t *entry, const name_answer_t *answer) noexcept nogil

@cython.final
cdef class Names:
    cdef name_table_t *table
    cdef dict numbers           # key -> number of its entry
    cdef list unused            # numbers of free entries
    cdef uint32_t made          # entries that there is room for
    cdef uint32_t limit         # names at most
    cdef dict fixed             # static name -> its addresses, "*" among them
    cdef object turn            # key -> when it was used, as of its place in turn
    cdef dict denied            # keys of names that do not exist

    cdef int publish(self, str key, const name_answer_t *answer, uint64_t now_ms) except -1
    cdef uint32_t take_entry(self) except? 0xFFFFFFFF
    cdef int make_segment(self) except -1
    cdef bint has_room(self)
    cdef note_state(self, str key, int state)
    cdef str one_to_go(self)
    cdef const name_answer_t *answer_of(self, str key) except? NULL
