# SIP, SIPS and tel URIs, hosts and numeric addresses.  See uri.pyx.

from libc.stdint cimport uint8_t, uint16_t, uint32_t
from fastsip._core.base.types cimport span_t, text_t
from fastsip._core.base.address cimport T_NONE, T_OTHER, T_TLS, T_UDP, T_WS, T_WSS, addr_t
from fastsip._core.base.check cimport check
from fastsip._core.sip.types cimport SIPS_PORT, SIP_PORT, S_SIPS, WSS_PORT, WS_PORT, uri_t

# Cimported from here, too.
from fastsip._core.sip.addresses cimport ADDRESS_ROOM, is_loopback, is_unicast, parse_address, write_address

cdef enum:
    CANONICAL_ROOM = 1024       # bytes of a canonical user; what is longer is cut
    CANONICAL_URI_ROOM = 2048   # bytes of a URI with a canonical user

# The URI that fills [off, off + len) of buf; of another scheme than sip, sips and
# tel only its name (scheme S_OTHER).  E_URI when it cannot be read.
cdef int parse_uri(const char *buf, uint32_t off, uint32_t len, uri_t *uri) noexcept nogil

# Where host[:port] of a URI that was read begins and ends, brackets included.
cdef void host_port_place(const uri_t *uri, uint32_t *begin, uint32_t *end) noexcept nogil

# The user as rules compare it, in `room` of CANONICAL_ROOM bytes where that differs from what came.
cdef text_t canonical_user(const char *buf, const uri_t *uri, char *room) noexcept nogil
# The URI in `text` as it is hashed: with its canonical user, in `room` of CANONICAL_URI_ROOM bytes where that differs.
cdef text_t canonical_uri(const char *buf, span_t text, char *room) noexcept nogil

# "host", "1.2.3.4", "[::1]" in [off, end): sets host and kind; returns the
# offset behind it or a code below zero.
cdef int parse_host(const char *buf, uint32_t off, uint32_t end, span_t *host, uint8_t *kind) noexcept nogil
# The same with optional ":port".
cdef int parse_host_port(const char *buf, uint32_t off, uint32_t end, span_t *host,
                         uint8_t *kind, uint16_t *port) noexcept nogil

# The transport that a URI asks for; UDP when it names none.
cdef inline uint8_t transport_of(const uri_t *uri) noexcept nogil:
    check(uri.transport <= T_OTHER)
    return uri.transport if uri.transport != T_NONE else <uint8_t>T_UDP

# The port where no URI and no Via names one (19.1.2, 26.2.2, RFC 7118).
cdef inline uint16_t usual_port(int scheme, int transport) noexcept nogil:
    if transport == T_WS or transport == T_WSS:
        return WSS_PORT if transport == T_WSS or scheme == S_SIPS else WS_PORT
    return SIPS_PORT if transport == T_TLS or (scheme == S_SIPS and transport != T_UDP) else SIP_PORT

# The numeric address that a URI names (maddr before host, the usual port without one); E_BAD for a name.
cdef int uri_address(const char *buf, const uri_t *uri, addr_t *addr) noexcept nogil

# Host names are equal without regard to case; addresses by value.
cdef bint same_text(const char *a, uint32_t a_len, const char *b, uint32_t b_len) noexcept nogil

# transport_id of a Via's transport or a transport parameter's value (any case).
cdef int match_transport(const char *text, uint32_t len) noexcept nogil
