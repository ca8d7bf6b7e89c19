# What an id or an address names in today's table.  See lookup.pyx.

from libc.stdint cimport uint32_t
from libc.string cimport memset
from fastsip._core.base.address cimport addr_t, origin_t
from fastsip._core.routing.types cimport listener_t, table_t

cdef const listener_t *find_listener(const table_t *table, uint32_t listener_id) noexcept nogil
cdef int find_listener_index(const table_t *table, uint32_t listener_id) noexcept nogil
cdef int find_destination(const table_t *table, uint32_t destination_id, uint32_t hint) noexcept nogil
cdef int find_set(const table_t *table, uint32_t set_id) noexcept nogil
cdef int find_policy(const table_t *table, uint32_t policy_id) noexcept nogil
cdef int find_by_address(const table_t *table, const addr_t *addr) noexcept nogil

# The origin of what came in by this listener of the table: its index.
cdef inline void set_origin(origin_t *origin, const table_t *table, uint32_t listener,
                            const addr_t *source) noexcept nogil:
    memset(origin, 0, sizeof(origin_t))
    origin.flow.remote = source[0]
    origin.flow.listener_id = table.listeners[listener].id
    origin.listener = listener
