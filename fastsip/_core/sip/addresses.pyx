"""Numeric addresses: texts of IPv4 and IPv6 to addr_t and back, and which addresses name one host.

Implements RFC 4291 section 2.2 (the three ways to write an IPv6 address), RFC 5952 (the one way in which we write it)
and the IPv4address of RFC 3261 section 25.1.  Where a host begins and ends within a URI or a Via is found in uri.

Must never: allocate, resolve a name, or read outside the text.

Stricter than some readers on purpose: an IPv4 number with a leading zero ("01") is refused, because some take such a
number for octal, and two servers must not understand one address as two.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.string cimport memcpy, memset

from fastsip._core.base.types cimport E_BAD, OK
from fastsip._core.base.check cimport check
from fastsip._core.base.address cimport addr_t, is_well_formed
from fastsip._core.sip.types cimport HOST_IPV4, HOST_IPV6
from fastsip._core.sip.chars cimport C_HEX, scan_class


cdef int parse_address(const char *text, uint32_t len, uint8_t kind, uint16_t port, addr_t *addr) noexcept nogil:
    """Turn a numeric host (no brackets) into an address; OK or E_BAD.

    The other fields of *addr are zero, its transport is the caller's to set.  An
    IPv4 address mapped into IPv6 becomes the IPv4 address that it is reached by.
    """
    cdef bint good = False
    memset(addr, 0, sizeof(addr_t))
    addr.port = port
    if kind == HOST_IPV4:
        good = read_ipv4(text, len, &addr.ip[12])
        addr.ip[10] = addr.ip[11] = 0xFF
        addr.family = 4
    elif kind == HOST_IPV6:
        good = read_ipv6(text, len, &addr.ip[0])
        addr.family = 4 if is_mapped(&addr.ip[0]) else 6
    if not good:
        memset(addr, 0, sizeof(addr_t))
        return E_BAD
    check(is_well_formed(addr))
    return OK


# ::ffff:0:0/96 (RFC 4291 section 2.5.5.2): who writes an IPv4 address so means the same host.
cdef inline bint is_mapped(const uint8_t *ip) noexcept nogil:
    cdef int i
    for i in range(10):
        if ip[i]:
            return False
    return ip[10] == 0xFF and ip[11] == 0xFF


cdef bint is_unicast(const addr_t *addr) noexcept nogil:
    """A request that names a group or "any" as its next hop would reach many hosts, or our own machine, by our hand."""
    cdef uint32_t i
    check(is_well_formed(addr))
    if addr.family == 4:
        return 0 < addr.ip[12] < 224        # also not 240.0.0.0/4, to which 255.255.255.255 belongs
    for i in range(16):
        if addr.ip[i]:
            return addr.ip[0] != 0xFF
    return False


cdef bint is_loopback(const addr_t *addr) noexcept nogil:
    """127.0.0.0/8 and ::1: what listens there trusts whoever can reach it."""
    cdef uint32_t i
    check(is_well_formed(addr))
    if addr.family == 4:
        return addr.ip[12] == 127
    for i in range(15):
        if addr.ip[i]:
            return False
    return addr.ip[15] == 1


# All of the text, not only its beginning: "1.2.3.4.example.org" is a name.
cdef inline bint read_ipv4(const char *text, uint32_t len, uint8_t *ip) noexcept nogil:
    return len > 0 and scan_ipv4(text, 0, len, ip) == len


# RFC 4291 section 2.2, all three forms: eight groups, groups with "::", either with an IPv4 address at the end.
cdef bint read_ipv6(const char *text, uint32_t len, uint8_t *ip) noexcept nogil:
    cdef uint8_t tail[16]
    cdef uint32_t at = 0
    cdef uint32_t stop, value
    cdef uint32_t count = 0         # bytes read
    cdef int gap = -1               # bytes before "::", -1 = not seen
    # Groups go to `tail` as if there were no gap; what stands behind the gap is moved to the address's end at last.
    memset(&tail[0], 0, 16)
    if len >= 2 and text[0] == c':' and text[1] == c':':
        gap = 0
        at = 2
    while at < len:
        stop = scan_class(text, at, len, C_HEX)
        if stop < len and text[stop] == c'.':
            if count > 12 or not read_ipv4(text + at, len - at, &tail[count]):
                return False
            count += 4
            break
        if stop == at or stop - at > 4 or count > 14:
            return False
        value = 0
        while at < stop:
            value = value * 16 + hex_value(text[at])
            at += 1
        tail[count] = <uint8_t> (value >> 8)
        tail[count + 1] = <uint8_t> (value & 255)
        count += 2
        if at == len:
            break
        if text[at] != c':' or at + 1 == len:
            return False
        at += 1
        if text[at] == c':':
            if gap >= 0:
                return False
            gap = <int> count
            at += 1
    # "::" stands for at least one group, and without it there are eight
    if (count < 16) != (gap >= 0):
        return False
    if gap < 0:
        gap = 16
    check(count <= 16)
    memset(ip, 0, 16)
    memcpy(ip, &tail[0], gap)
    memcpy(ip + 16 - (count - gap), &tail[gap], count - gap)
    return True


# ---------------------------------------------------------------- writing

cdef int write_address(const addr_t *addr, char *room, bint brackets) noexcept nogil:
    """Write "1.2.3.4" or "[::1]" (RFC 5952) into at least ADDRESS_ROOM bytes; returns the length."""
    cdef uint32_t at = 0
    cdef uint32_t i
    check(is_well_formed(addr))
    if addr.family == 4:
        for i in range(4):
            if i:
                room[at] = c'.'
                at += 1
            at = write_number(room, at, addr.ip[12 + i], 10)
        return <int> at
    if brackets:
        room[at] = c'['
        at += 1
    at = write_groups(addr.ip, room, at)
    if brackets:
        room[at] = c']'
        at += 1
    check(at < ADDRESS_ROOM)
    return <int> at


cdef inline uint32_t write_number(char *room, uint32_t at, uint32_t number, uint32_t base) noexcept nogil:
    cdef char digits[8]
    cdef uint32_t count = 0
    while number or not count:
        digits[count] = b"0123456789abcdef"[number % base]
        number //= base
        count += 1
    while count:
        count -= 1
        room[at] = digits[count]
        at += 1
    return at


# Where the longest run of at least two zero groups begins, the first of equals (RFC 5952 section 4.2); 8 = none.
cdef inline uint32_t find_gap(const uint8_t *ip, uint32_t *longest) noexcept nogil:
    cdef uint32_t begin = 8
    cdef uint32_t run = 0
    cdef uint32_t i
    longest[0] = 1
    for i in range(8):
        run = 0 if ip[2 * i] or ip[2 * i + 1] else run + 1
        if run > longest[0]:
            longest[0] = run
            begin = i + 1 - run
    check(begin + longest[0] <= 8 + 1)
    return begin


# Each group without leading zeros, in lower case, the longest gap as "::" (RFC 5952 sections 4.1 to 4.3).
cdef inline uint32_t write_groups(const uint8_t *ip, char *room, uint32_t at) noexcept nogil:
    cdef uint32_t longest
    cdef uint32_t gap = find_gap(ip, &longest)
    cdef uint32_t i = 0
    check(at <= 1)                      # the bracket alone may stand before them
    while i < 8:
        if i == gap:
            room[at] = room[at + 1] = c':'
            at += 2
            i += longest
            continue
        if i and i != gap + longest:
            room[at] = c':'
            at += 1
        at = write_number(room, at, <uint32_t> ip[2 * i] << 8 | ip[2 * i + 1], 16)
        i += 1
    return at
