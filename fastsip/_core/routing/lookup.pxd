# What an id or an address names in today's table.  See lookup.pyx.

from libc.stdint cimport uint32_t
from fastsip._core.base.address cimport addr_t
from fastsip._core.routing.types cimport listener_t, table_t

cdef const listener_t *find_listener(const table_t *table, uint32_t listener_id) noexcept nogil
cdef int find_listener_index(const table_t *table, uint32_t listener_id) noexcept nogil
cdef int find_destination(const table_t *table, uint32_t destination_id, uint32_t hint) noexcept nogil
cdef int find_set(const table_t *table, uint32_t set_id) noexcept nogil
cdef int find_policy(const table_t *table, uint32_t policy_id) noexcept nogil
cdef int find_by_address(const table_t *table, const addr_t *addr) noexcept nogil
