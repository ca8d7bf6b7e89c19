"""What an id of a slot, or an address, names in today's table: listener, destination, set, policy.

Stored state holds ids alone (docs/core.md#ids-instead-of-indexes); each look-up may find nothing.
"""

from libc.stdint cimport uint32_t

from fastsip._core.base.types cimport E_NONE
from fastsip._core.base.address cimport addr_t
from fastsip._core.routing.types cimport listener_t, table_t
from fastsip._core.routing.index cimport AT_ADDRESS, ID_DESTINATION, ID_POLICY, ID_SET, find_id, find_place


cdef const listener_t *find_listener(const table_t *table, uint32_t listener_id) noexcept nogil:
    cdef int index = find_listener_index(table, listener_id)
    return NULL if index < 0 else &table.listeners[index]


cdef int find_listener_index(const table_t *table, uint32_t listener_id) noexcept nogil:
    cdef uint32_t i
    for i in range(table.listener_count):
        if table.listeners[i].id == listener_id:
            return i
    return E_NONE


cdef int find_destination(const table_t *table, uint32_t destination_id, uint32_t hint) noexcept nogil:
    """Its index in this table; `hint` is where it was when the caller last looked."""
    if destination_id == 0:
        return E_NONE
    if hint < table.destination_count and table.destinations[hint].id == destination_id:
        return hint
    return find_id(table, ID_DESTINATION, destination_id)


cdef int find_set(const table_t *table, uint32_t set_id) noexcept nogil:
    return find_id(table, ID_SET, set_id)


cdef int find_policy(const table_t *table, uint32_t policy_id) noexcept nogil:
    return find_id(table, ID_POLICY, policy_id)


cdef int find_by_address(const table_t *table, const addr_t *addr) noexcept nogil:
    """The first destination of this address and port, as index."""
    return find_place(table, AT_ADDRESS, addr, 0)
