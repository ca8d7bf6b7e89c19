# Which of our addresses the kernel would send from.  See local.pyx.

from libc.stdint cimport uint32_t, uint64_t
from fastsip._core.base.address cimport addr_t

# An answer of the kernel's, for a while.
cdef struct local_answer_t:
    addr_t to               # port 0
    addr_t local            # family 0 = there is no way
    uint64_t until_ms

cdef struct local_t:
    int fds[2]              # IPv4, IPv6; -1 = this family cannot be asked for
    local_answer_t answers[256]
    local_answer_t *routes  # not NULL: of a rig, in place of the kernel's
    uint32_t route_count

# OK and the address, port 0; E_NONE when there is no way to that place.
cdef int local_address(local_t *local, const addr_t *to, uint64_t now_ms, addr_t *found) noexcept nogil

# From now on such a place is reached from that address, ports 0, and none that nobody named.
cdef int add_route(local_t *local, const addr_t *to, const addr_t *ours) except -1

cdef local_t *open_local() except NULL
cdef void close_local(local_t *local) noexcept
