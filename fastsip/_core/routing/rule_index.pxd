# Rules under the keys of what they ask for.  See rule_index.pyx.

from libc.stdint cimport uint32_t, uint64_t
from fastsip._core.base.address cimport addr_t
from fastsip._core.base.arena cimport Arena
from fastsip._core.routing.types cimport condition_t, network_t, table_t

cdef enum:
    MOST_PREFIX = 63        # letters of a prefix that are part of its key
    OF_VALUE = 32           # beside condition_id: of name and value of a header
    OF_NAME = 33            # of a header's name

# Fills table.by_key, when there are rules enough; after the other indexes.
cdef int lay_out_rule_index(table_t *table, Arena arena) except -1

# Of the header that a condition names.
cdef uint64_t name_key(const condition_t *condition) noexcept nogil

# Of a header's value, without case and with each run of white space as one blank; 0 = longer than `longest`.
cdef uint64_t value_key(uint64_t name, const char *at, uint32_t len, uint32_t longest) noexcept nogil

# Of the network of this width that the address lies in.
cdef uint64_t network_key(const network_t *width, const unsigned char *ip) noexcept nogil
