# Numeric addresses, read and written.  See addresses.pyx.

from libc.stdint cimport uint8_t, uint16_t, uint32_t
from fastsip._core.base.check cimport check
from fastsip._core.base.address cimport addr_t
from fastsip._core.sip.chars cimport C_DIGIT, C_HEX, is_class

# A numeric host (no brackets) to an address with this port; E_BAD for a name.
cdef int parse_address(const char *text, uint32_t len, uint8_t kind, uint16_t port, addr_t *addr) noexcept nogil

# Does the address name one host: no broadcast, no group, not "any"?
cdef bint is_unicast(const addr_t *addr) noexcept nogil
# Is it the machine's own?
cdef bint is_loopback(const addr_t *addr) noexcept nogil

# "1.2.3.4" or "[::1]" into room of at least ADDRESS_ROOM bytes; returns the length.
cdef int write_address(const addr_t *addr, char *room, bint brackets) noexcept nogil

cdef enum:
    ADDRESS_ROOM = 48


# The offset behind the IPv4 address that begins at `off`, or off when none does:
# four decimal numbers of at most three digits; "01" is refused, readers differ on it.
cdef inline uint32_t scan_ipv4(const char *text, uint32_t off, uint32_t end, uint8_t *ip) noexcept nogil:
    cdef uint32_t at = off
    cdef uint32_t group, start, number
    check(off <= end)
    for group in range(4):
        if group:
            if at == end or text[at] != c'.':
                return off
            at += 1
        start = at
        number = 0
        while at < end and is_class(text[at], C_DIGIT) and at - start < 4:
            number = number * 10 + <uint8_t> text[at] - c'0'
            at += 1
        if at == start or number > 255 or at - start > 3 or (at - start > 1 and text[start] == c'0'):
            return off
        ip[group] = <uint8_t> number
    return at


# Of a letter that is C_HEX.
cdef inline uint32_t hex_value(char letter) noexcept nogil:
    cdef uint32_t value = <uint8_t> letter
    check(is_class(letter, C_HEX))
    return (value & 15) + (9 if value > c'9' else 0)
