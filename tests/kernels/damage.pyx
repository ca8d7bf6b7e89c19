"""Random damage to SIP messages: octets, lines, folds, names, numbers, lengths, order, two in one.

What it is: a table of small changes, each aware of one thing that messages are made of,
picked by a random number.  The same numbers do the same damage, so that a finding can be
played again.

Must never: write outside of `text`, or be part of a running router.
Called by fuzz_doors and, through damaged(), by the fuzzer of the shard.
"""

from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memmove, strlen

from fastsip._core.base.types cimport MAX_MESSAGE
from fastsip._core.sip.chars cimport C_ALPHA, C_DIGIT, C_LWS, is_class, scan_byte, scan_class

cdef enum:
    SPICES = 48
    NUMBERS = 24
    NAMES = 24
    REPEATS = 8

ctypedef void (*change_t)(damaged_t *d) noexcept nogil

cdef const char *SPICE[SPICES]
SPICE[:] = [
    b"\r\n", b"\n", b"\r", b"\r\n ", b"\r\n\t", b"\r\n\r\n", b" ", b"\t", b":", b";", b",", b"<", b">", b'"', b"\\",
    b"=", b"@", b"[", b"]", b"%", b"%00", b"\xff", b"\xc3\x28", b"SIP/2.0", b"SIP/2.0/UDP ", b"z9hG4bK", b";fs=",
    b";branch=", b";rport", b";rport=1", b";received=", b";received=[::1]", b";tag=", b";lr", b"sip:", b"tel:+1",
    b"[::1]", b"[fe80::1%25a]", b"[::ffff:1.2.3.4]", b"Via:", b"v:SIP/2.0/UDP a\r\n",
    b"Route: <sip:10.0.0.254:5060;lr>\r\n", b"Record-Route: <sip:a;lr>,<sip:b>\r\n", b"Content-Length: 0\r\n",
    b"l:1\r\n", b"Max-Forwards: 0\r\n", b"CSeq: 1 CANCEL\r\n", b"i:x\r\n",
]

# Where ranges of numbers, and of the room for them, begin and end.
cdef const char *NUMBER[NUMBERS]
NUMBER[:] = [
    b"0", b"1", b"-1", b"00", b"255", b"256", b"65535", b"65536", b"2147483647", b"2147483648", b"4294967295",
    b"4294967296", b"9223372036854775807", b"9223372036854775808", b"18446744073709551616",
    b"999999999999999999", b"1000000000000000000", b"99", b"100", b"699", b"700", b"", b"1 ", b"0x1",
]

# Long and compact names, in pairs.
cdef const char *NAME[NAMES]
NAME[:] = [
    b"Via", b"v", b"From", b"f", b"To", b"t", b"Call-ID", b"i", b"Contact", b"m", b"Content-Length", b"l",
    b"Content-Type", b"c", b"Supported", b"k", b"Session-Expires", b"x", b"Subject", b"s", b"CSeq", b"Max-Forwards",
    b"Route", b"Record-Route",
]

cdef uint32_t[REPEATS] REPEAT = [1, 1, 1, 2, 3, 16, 64, 128]


# ---------------------------------------------------------------- tools

cdef uint64_t next_random(uint64_t *random) noexcept nogil:
    """xorshift64*: fast, and good enough to pick places."""
    random[0] ^= random[0] >> 12
    random[0] ^= random[0] << 25
    random[0] ^= random[0] >> 27
    return random[0] * <uint64_t>0x2545F4914F6CDD1D


cdef inline uint32_t below(damaged_t *d, uint32_t limit) noexcept nogil:
    """0 to limit - 1; 0 for limit 0."""
    return <uint32_t>((next_random(&d.random) >> 32) * limit >> 32)


cdef void replace(damaged_t *d, uint32_t off, uint32_t cut, const char *text, uint32_t len) noexcept nogil:
    """`text`, which may lie in the message itself before `off`, instead of [off, off + cut); nothing when full."""
    if d.len - cut + len > DAMAGE_ROOM:
        return
    memmove(d.text + off + len, d.text + off + cut, d.len - off - cut)
    memmove(d.text + off, text, len)
    d.len = d.len - cut + len


cdef void insert_times(damaged_t *d, uint32_t off, const char *text, uint32_t len) noexcept nogil:
    cdef uint32_t times = REPEAT[below(d, REPEATS)]
    while times:
        replace(d, off, 0, text, len)
        times -= 1


cdef uint32_t line_begin(const char *text, uint32_t len, uint32_t off) noexcept nogil:
    while off and text[off - 1] != c'\n':
        off -= 1
    return off


cdef inline uint32_t line_end(const char *text, uint32_t len, uint32_t off) noexcept nogil:
    """One past the LF."""
    cdef uint32_t end = scan_byte(text, off, len, c'\n')
    return end + (end < len)


cdef void pick_line(damaged_t *d, uint32_t *begin, uint32_t *end) noexcept nogil:
    cdef uint32_t off = below(d, d.len)
    begin[0] = line_begin(d.text, d.len, off)
    end[0] = line_end(d.text, d.len, off)


# ---------------------------------------------------------------- octets

cdef void flip_bits(damaged_t *d) noexcept nogil:
    cdef uint32_t times = 1 + below(d, 4)
    while times and d.len:
        d.text[below(d, d.len)] ^= <char>(1 << below(d, 8))
        times -= 1


cdef void set_octets(damaged_t *d) noexcept nogil:
    cdef uint32_t times = 1 + below(d, 4)
    while times and d.len:
        d.text[below(d, d.len)] = <char>below(d, 256)
        times -= 1


cdef void insert_spice(damaged_t *d) noexcept nogil:
    cdef const char *spice = SPICE[below(d, SPICES)]
    insert_times(d, below(d, d.len + 1), spice, <uint32_t>strlen(spice))


cdef void cut_range(damaged_t *d) noexcept nogil:
    cdef uint32_t off = below(d, d.len + 1)
    replace(d, off, min(1 + below(d, 40), d.len - off), b"", 0)


cdef void cut_end(damaged_t *d) noexcept nogil:
    d.len = below(d, d.len + 1)


cdef void copy_range(damaged_t *d) noexcept nogil:
    """A piece again, further on."""
    cdef uint32_t off = below(d, d.len + 1)
    cdef uint32_t len = below(d, min(d.len - off, <uint32_t>200) + 1)
    insert_times(d, off + len + below(d, d.len - off - len + 1), d.text + off, len)


cdef void fill_up(damaged_t *d) noexcept nogil:
    """To the largest message, one octet more or less, by one letter."""
    cdef uint32_t wanted = MAX_MESSAGE - 2 + below(d, 4)
    cdef uint32_t off = below(d, d.len + 1)
    cdef uint32_t i, more
    if below(d, 50) or d.len >= wanted:        # seldom: large messages are slow
        flip_bits(d)
        return
    more = wanted - d.len
    memmove(d.text + off + more, d.text + off, d.len - off)
    for i in range(more):
        d.text[off + i] = c'x'
    d.len = wanted


# ---------------------------------------------------------------- lines

cdef void drop_line(damaged_t *d) noexcept nogil:
    cdef uint32_t begin, end
    pick_line(d, &begin, &end)
    replace(d, begin, end - begin, b"", 0)


cdef void repeat_line(damaged_t *d) noexcept nogil:
    cdef uint32_t begin, end
    pick_line(d, &begin, &end)
    insert_times(d, end, d.text + begin, end - begin)


cdef void move_line(damaged_t *d) noexcept nogil:
    """To a place further on."""
    cdef uint32_t begin, end, place
    pick_line(d, &begin, &end)
    place = line_end(d.text, d.len, end + below(d, d.len - end + 1))
    replace(d, place, 0, d.text + begin, end - begin)
    replace(d, begin, end - begin, b"", 0)


cdef void fold_line(damaged_t *d) noexcept nogil:
    """At the next white space or separator, where the grammar lets a line be folded."""
    cdef uint32_t at = below(d, d.len + 1)
    while at < d.len and not is_class(d.text[at], C_LWS) and d.text[at] not in (c':', c';', c',', c'=', c'<'):
        at += 1
    replace(d, at, 0, b"\r\n\t", 3)


cdef void respell_name(damaged_t *d) noexcept nogil:
    """Another case of some letters, or another name."""
    cdef uint32_t begin, end, i
    cdef const char *name = NAME[below(d, NAMES)]
    pick_line(d, &begin, &end)
    end = scan_byte(d.text, begin, end, c':')
    if below(d, 2):
        replace(d, begin, end - begin, name, <uint32_t>strlen(name))
        return
    for i in range(begin, end):
        if is_class(d.text[i], C_ALPHA) and below(d, 2):
            d.text[i] ^= 0x20


cdef void respell_line_end(damaged_t *d) noexcept nogil:
    cdef uint32_t end = scan_byte(d.text, below(d, d.len), d.len, c'\n')
    if end == d.len or end == 0:
        return
    if d.text[end - 1] == c'\r':
        replace(d, end - 1, 2, b"\n" if below(d, 3) else b"\r", 1)
    else:
        replace(d, end, 0, b"\r", 1)


cdef void change_number(damaged_t *d) noexcept nogil:
    cdef const char *number = NUMBER[below(d, NUMBERS)]
    cdef uint32_t begin = below(d, d.len)
    while begin < d.len and not is_class(d.text[begin], C_DIGIT):
        begin += 1
    replace(d, begin, scan_class(d.text, begin, d.len, C_DIGIT) - begin, number, <uint32_t>strlen(number))


# ---------------------------------------------------------------- two messages

cdef void splice(damaged_t *d) noexcept nogil:
    """The beginning of this one and the end of the other, at line ends."""
    cdef uint32_t begin = line_begin(d.text, d.len, below(d, d.len + 1))
    cdef uint32_t off = line_begin(d.other, d.other_len, below(d, d.other_len + 1))
    replace(d, begin, d.len - begin, d.other + off, d.other_len - off)


cdef void borrow_line(damaged_t *d) noexcept nogil:
    cdef uint32_t off = line_begin(d.other, d.other_len, below(d, d.other_len + 1))
    cdef uint32_t end = line_end(d.other, d.other_len, off)
    insert_times(d, line_begin(d.text, d.len, below(d, d.len + 1)), d.other + off, end - off)


cdef void borrow_piece(damaged_t *d) noexcept nogil:
    cdef uint32_t off = below(d, d.other_len + 1)
    cdef uint32_t len = below(d, min(d.other_len - off, <uint32_t>60) + 1)
    cdef uint32_t place = below(d, d.len + 1)
    replace(d, place, min(below(d, 60), d.len - place), d.other + off, len)


# ---------------------------------------------------------------- the table

cdef enum:
    CHANGES = 18

cdef change_t[CHANGES] CHANGE = [
    flip_bits, set_octets, insert_spice, insert_spice, cut_range, cut_end, copy_range, fill_up,
    drop_line, repeat_line, move_line, fold_line, respell_name, respell_line_end, change_number,
    splice, borrow_line, borrow_piece,
]


cdef void damage(damaged_t *d) noexcept nogil:
    cdef uint32_t times = 1 + below(d, 4)
    while times:
        if d.len == 0:
            insert_spice(d)
        CHANGE[below(d, CHANGES)](d)
        times -= 1


def damaged(bytes text not None, bytes other not None, uint64_t seed) -> bytes:
    """`text` with one to four kinds of damage, pieces of `other` among it; at most a datagram's size."""
    cdef damaged_t d
    if len(text) > MAX_MESSAGE or len(other) > MAX_MESSAGE:
        raise ValueError(f"at most {MAX_MESSAGE} bytes are a message")
    d.random = seed * <uint64_t>0x9E3779B97F4A7C15 | 1
    d.text = <char *>malloc(DAMAGE_ROOM)
    if d.text == NULL:
        raise MemoryError("no memory for a message")
    memcpy(d.text, <const char *>text, len(text))
    d.len = <uint32_t>len(text)
    d.other = other
    d.other_len = <uint32_t>len(other)
    damage(&d)
    result = d.text[:min(d.len, <uint32_t>MAX_MESSAGE)]
    free(d.text)
    return result
