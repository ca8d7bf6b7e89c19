# Bytes in, offsets out (RFC 3261 section 7, 25.1).  See parser.pyx.

from libc.stdint cimport uint32_t
from fastsip._core.base.types cimport MAX_MESSAGE, span_t
from fastsip._core.base.check cimport check
from fastsip._core.sip.chars cimport is_letters, scan_byte, trim_end
from fastsip._core.sip.types cimport is_chain, message_t, via_t

# Single values; cimported from here, too.
from fastsip._core.sip.values cimport find_param, parse_name_addr, parse_number, parse_via

# One pass: start line, header boundaries and ids, Content-Length, body.
# Returns OK or a result code below zero; on an error the index holds what was
# found before it, so that a 400 can still be built if the five headers stand.
cdef int parse_message(const char *buf, uint32_t len, message_t *m) noexcept nogil

# The same of what a sender made as long as he liked: E_LONG_HEAD where start line and headers, the empty line
# with them, have more than max_head bytes, twice as many in a response.  What lies behind is not looked at.
cdef int parse_datagram(const char *buf, uint32_t len, uint32_t max_head, message_t *m) noexcept nogil

# The values a router needs of every message: topmost Via, tags, Call-ID, CSeq,
# Max-Forwards.  Idempotent.
cdef int parse_routing(message_t *m) noexcept nogil

# How much of a datagram parse_datagram reads for its head at the most.
cdef inline uint32_t most_read(uint32_t len, uint32_t max_head) noexcept nogil:
    check(max_head <= MAX_MESSAGE)
    return len if len < 2 * max_head else 2 * max_head

cdef inline bint is_sip_slash(const char *buf, uint32_t off, uint32_t end) noexcept nogil:
    return end - off >= 4 and is_letters(buf + off, b"sip", 3) and buf[off + 3] == c'/'

cdef inline uint32_t find_last_word(const char *buf, uint32_t off, uint32_t end) noexcept nogil:
    cdef uint32_t at = end
    while at > off and buf[at - 1] != c' ' and buf[at - 1] != c'\t':
        at -= 1
    return at

# Is there a start line of SIP, right or wrong?  What parse_datagram calls E_EMPTY or E_NOT_SIP has none.
cdef inline bint has_start_line(const char *buf, uint32_t len, uint32_t max_head) noexcept nogil:
    cdef uint32_t head = len if len < max_head else max_head
    cdef uint32_t at = 0
    cdef uint32_t end, word
    while at < head and (buf[at] == c'\r' or buf[at] == c'\n'):
        at += 1
    end = scan_byte(buf, at, head, c'\n')
    if is_sip_slash(buf, at, end):
        return True
    end = trim_end(buf, at, end)
    word = find_last_word(buf, at, end)
    return word != at and is_sip_slash(buf, word, end)

# Only the Call-ID's value, for handing a datagram over; does not judge.  Who parses with a bound gives it most_read
# bytes: it must find each Call-ID that is found then, or a shard would work on another one's calls.
cdef int scan_call_id(const char *buf, uint32_t len, span_t *call_id) noexcept nogil

# The next Via after the topmost one (same header after a comma, or the next
# Via header).  E_NONE when there is none.
cdef int parse_second_via(const message_t *m, via_t *via) noexcept nogil

# How many Via values stand in the message; E_TOO_MANY_VIAS above MAX_VIAS.
cdef int count_vias(const message_t *m) noexcept nogil
cdef bint has_too_many_vias(const message_t *m) noexcept nogil

# The first header of an id-less name (any case), as index; NO_HEADER when absent.
cdef int find_header(const message_t *m, const char *name, uint32_t name_len) noexcept nogil

# Index of the first header of this id, or NO_HEADER.
cdef inline int first_of(const message_t *m, int id) noexcept nogil:
    check(is_chain(m, id))
    return m.first[id]
