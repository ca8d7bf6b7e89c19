# Network addresses, and where a message came from or goes to.

from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.string cimport memcmp
from fastsip._core.base.check cimport check

cdef enum transport_id:
    T_NONE = 0              # not given
    T_UDP
    T_TCP
    T_TLS
    T_WS
    T_WSS
    T_SCTP
    T_OTHER

# A network address.  All 24 bytes are compared and hashed, so zero it first.
cdef struct addr_t:
    uint8_t ip[16]          # IPv4 in the last four bytes, ::ffff: before them
    uint16_t port           # host order
    uint8_t family          # 4 or 6; 0 = no address
    uint8_t transport       # transport_id
    uint32_t scope          # IPv6 link-local only

# Where a message came from or goes to.  Named by listener id, never by socket:
# sockets do not survive the process, and streams come later.
cdef struct flow_t:
    addr_t remote
    uint32_t listener_id
    uint32_t conn_id        # streams; 0 for UDP
    uint32_t conn_generation
    uint32_t reserve

# Where a message came from, as it came in: filled once (udp, lookup.set_origin), and passed on to all that work on it.
cdef struct origin_t:
    flow_t flow
    uint32_t listener       # its index in today's table

# For checks: does an IPv4 address stand where comparisons and hashes look for it, behind ::ffff:?
cdef inline bint is_well_formed(const addr_t *addr) noexcept nogil:
    return (addr.family != 4 or memcmp(addr.ip, b"\0\0\0\0\0\0\0\0\0\0\xff\xff", 12) == 0) and addr.family <= 6

# Does what is sent there arrive, or the sender hear that it did not (17)?  Then nothing is repeated on its account.
cdef inline bint is_reliable(const addr_t *addr) noexcept nogil:
    return T_TCP <= addr.transport <= T_SCTP

cdef inline bint same_place(const addr_t *a, const addr_t *b) noexcept nogil:
    return a.port == b.port and memcmp(a.ip, b.ip, 16) == 0
