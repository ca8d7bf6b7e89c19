# Which rule of the route table a request meets (docs/config.md).  See rules.pyx.

from libc.stdint cimport uint32_t, uint64_t
from fastsip._core.base.address cimport addr_t
from fastsip._core.sip.types cimport message_t, uri_t
from fastsip._core.routing.types cimport table_t

# Index of the first rule whose conditions all hold, or E_NONE; with a To tag, of those that ask for one.
cdef int match_rules(const table_t *table, const message_t *m, const uri_t *ruri,
                     const addr_t *source, uint32_t listener) noexcept nogil

# What the headers that routing looks at say here, hashed.
cdef uint64_t headers_looked_at(const table_t *table, const message_t *m) noexcept nogil

# Is the address in one of the trusted networks?
cdef bint is_trusted(const table_t *table, const addr_t *addr) noexcept nogil

# Is host:port (port 0 = 5060) one of ours?
cdef bint is_own(const table_t *table, const char *host, uint32_t len, uint32_t port) noexcept nogil
