# Which rule of the route table a request meets (docs/config.md).  See rules.pyx.

from libc.stdint cimport uint32_t, uint64_t
from fastsip._core.base.types cimport text_t
from fastsip._core.base.address cimport T_NONE, T_TLS, addr_t, origin_t
from fastsip._core.sip.types cimport SIP_PORT, S_SIPS, message_t, uri_t
from fastsip._core.sip.uri cimport CANONICAL_ROOM, usual_port
from fastsip._core.routing.types cimport table_t

# Index of the first rule whose conditions all hold, or E_NONE; with a To tag, of those that ask for one.
cdef int match_rules(const table_t *table, const message_t *m, const uri_t *ruri, const origin_t *origin) noexcept nogil

# What the headers that routing looks at say here, hashed.
cdef uint64_t headers_looked_at(const table_t *table, const message_t *m) noexcept nogil

# Is the address in one of the trusted networks?
cdef bint is_trusted(const table_t *table, const addr_t *addr) noexcept nogil

# Is host:port (port 0 = SIP_PORT) one of ours?
cdef bint is_own(const table_t *table, const char *host, uint32_t len, uint32_t port) noexcept nogil

# Has any listener this transport?
cdef inline bint is_served(const table_t *table, int transport) noexcept nogil:
    return table.transports >> transport & 1

# The port that a URI or Via means, if it means us; of a transport that no listener has it is read as SIP_PORT.
cdef inline uint32_t port_of(const table_t *table, int scheme, int transport, uint32_t port) noexcept nogil:
    if port:
        return port
    if scheme == S_SIPS and transport == T_NONE:
        transport = T_TLS
    return usual_port(scheme, transport) if is_served(table, transport) else <uint32_t>SIP_PORT

# Is it the address of a destination, or in a trusted network?
cdef bint is_known(const table_t *table, const addr_t *addr) noexcept nogil

# What the matchers look at.  Host and user are written out once, when the first condition asks.
cdef struct subject_t:
    const table_t *table
    const message_t *m
    const uri_t *ruri
    const origin_t *origin
    int host_len            # -1 = not written yet
    char host[256]          # HOST_ROOM
    text_t user             # canonical; at NULL = not asked for yet
    char user_room[CANONICAL_ROOM]

# Index of the first rule that the request meets, asked one after the other, whatever index there is; or E_NONE.
cdef int match_each(const table_t *table, subject_t *subject) noexcept nogil
