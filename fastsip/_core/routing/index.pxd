# Where the things of a routing table are found by what names them.  See index.pyx.

from libc.stdint cimport uint32_t, uint64_t
from fastsip._core.base.address cimport addr_t
from fastsip._core.base.arena cimport Arena
from fastsip._core.routing.types cimport index_t, table_t

cdef enum:
    NO_VALUE = 0xFFFFFFFF

cdef enum id_kind:
    ID_SET = 1
    ID_DESTINATION
    ID_POLICY
    ID_NAMED                # the first destination of a short id
    ID_RULE

# What of a destination is looked for together with its address.
cdef enum place_kind:
    AT_ADDRESS = 1          # the first of all
    SHARED_AT_ADDRESS       # the first of a shared set
    SHARED_BY_NAME          # of a shared set, and with this short id
    MEMBER_AT_ADDRESS       # of this set

# An index of the arena for that many keys; put_key keeps the first value of a key.  A key is never 0.
cdef int make_index(index_t *index, Arena arena, size_t keys) except -1
cdef void put_key(index_t *index, uint64_t key, uint32_t value) noexcept nogil
cdef uint32_t find_key(const index_t *index, uint64_t key) noexcept nogil

# Of bytes, and of bytes with A-Z lowered; 0 is never one.
cdef uint64_t key_of(uint64_t kind, const char *at, uint32_t len) noexcept nogil
cdef uint64_t key_of_lower(uint64_t kind, const char *at, uint32_t len) noexcept nogil
cdef uint64_t key_of_number(uint64_t kind, uint64_t number) noexcept nogil
cdef uint64_t key_of_address(uint64_t kind, const addr_t *addr) noexcept nogil

# Fills table.ids and table.places.
cdef int lay_out_indexes(table_t *table, Arena arena) except -1

# Index in the table, or E_NONE.
cdef int find_id(const table_t *table, int kind, uint32_t id) noexcept nogil
cdef int find_place(const table_t *table, int kind, const addr_t *addr, uint32_t detail) noexcept nogil
cdef int find_short(const table_t *table, uint32_t set_index, uint32_t short_id) noexcept nogil
