"""Bytes in, offsets out: the message parser.

parse_message indexes a datagram in one pass: start line, header boundaries and
ids, Content-Length, body.  Values are read only when asked: parse_routing reads
those that a router needs of every message, `values` reads single ones.

Implements RFC 3261 sections 7, 8.1.1, 18.3 and 25.1; RFC 4475 says what to
make of odd input.

Must never: allocate, copy, undo an escape, judge a header that the router does
not need (16.3 item 1), or read outside [buf, buf + len).

Deliberately liberal: a bare LF ends a line, white space and folds may stand before
the colon, the last line may be followed by no empty one, a start line may have
blanks too many, a Request-URI headers that may not stand there (edit_start_line
takes both off), a response may lack the blank before an empty reason.  A line that
is no header is indexed without a name, and so is a Route without a value.  A lone
CR ends no line; it counts as white space.

How far the head of a datagram is read is the caller's to say (parse_datagram): what
a sender can make long costs no more than that.  What he chooses and we keep or hash -
Call-ID, tags, the branches that are read - has at most MAX_TOKEN bytes.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.string cimport memcmp, memset

from fastsip._core.base.types cimport (
    E_CALL_ID, E_CONTENT_LENGTH, E_CSEQ, E_DUPLICATE, E_EMPTY, E_FROM, E_HEADER, E_LONG_HEAD, E_MAX_FORWARDS, E_NONE,
    E_NOT_SIP, E_START_LINE, E_TO, E_TOO_LARGE, E_TOO_MANY_HEADERS, E_TOO_MANY_VIAS, E_VERSION, E_VIA, MAX_HEADERS,
    MAX_MESSAGE, MAX_TOKEN, MAX_VIAS, NO_HEADER, OK, span_t,
)
from fastsip._core.base.check cimport check
from fastsip._core.sip.types cimport (
    H_CALL_ID, H_CONTENT_LENGTH, H_CSEQ, H_FROM, H_MAX_FORWARDS, H_OTHER, H_ROUTE, H_TO, H_VIA, M_OTHER, header_t,
    is_in_line, is_within, message_t, via_t,
)
from fastsip._core.sip.chars cimport (
    C_DIGIT, C_LWS, C_TOKEN, find_word, is_class, is_inside, is_letters, scan_byte, scan_class, scan_header_line,
    scan_target, scan_word, skip_empty, span, trim_end,
)
from fastsip._core.sip.words cimport COMPACT, HEADERS, match_method
from fastsip._core.sip.uri cimport same_text
from fastsip._core.sip.values cimport count_values, parse_number, parse_via, read_single

cdef enum:
    SHORTEST_VIA = 13       # bytes of "SIP/2.0/UDP a"


# ---------------------------------------------------------------- message

cdef int parse_message(const char *buf, uint32_t len, message_t *m) noexcept nogil:
    """Index one message; OK or the first error, the rest being indexed all the same."""
    return parse_datagram(buf, len, MAX_MESSAGE, m)


cdef int parse_datagram(const char *buf, uint32_t len, uint32_t max_head, message_t *m) noexcept nogil:
    """A response may be longer by what the servers behind us have added to what we let pass."""
    cdef uint32_t head = len if len < max_head else max_head
    cdef uint32_t at = 0
    cdef uint32_t line_end
    cdef int error, later
    begin_message(buf, len, m)
    if len > MAX_MESSAGE:
        return E_TOO_LARGE
    while at < head and (buf[at] == c'\r' or buf[at] == c'\n'):      # 7.5
        at += 1
    if is_blank(buf, at, head):
        return E_EMPTY
    line_end = scan_byte(buf, at, head, c'\n')
    error = parse_start_line(m, at, line_end)
    if error == E_NOT_SIP:
        return error
    if line_end == head:
        m.headers_off = <uint16_t> head
        return error if error != OK else breaks_off(m, head)
    if not m.is_request:
        head = most_read(len, max_head)
    at = line_end + 1
    check(at <= head)
    while at < head and (buf[at] == c' ' or buf[at] == c'\t'):
        # A folded start line.  Step over it: the headers behind it carry the 400.
        error = E_START_LINE if error == OK else error
        at = scan_byte(buf, at, head, c'\n')
        at += at < head
    later = index_headers(m, at, head)
    error = later if error == OK else error
    later = find_body(m)
    check(is_in_order(m))
    return later if error == OK else error


cdef inline bint is_in_order(const message_t *m) noexcept nogil:
    """For a check: start line, headers, empty line and body follow each other, and end where the message does."""
    return m.headers_off <= m.headers_end <= m.body_off and <uint32_t>m.body_off + m.body_len <= m.len


# The index is 1.7 KB; only what a reader looks at before asking is cleared.
cdef inline void begin_message(const char *buf, uint32_t len, message_t *m) noexcept nogil:
    check(buf != NULL)
    m.buf = buf
    m.len = len
    m.is_request = 0
    m.method = M_OTHER
    m.status = 0
    m.method_name = m.ruri = m.reason = span(0, 0)
    m.headers_off = m.headers_end = m.body_off = <uint16_t> (len if len <= MAX_MESSAGE else 0)
    m.body_len = 0
    m.header_count = 0
    memset(&m.first[0], NO_HEADER, sizeof(m.first))
    memset(&m.last[0], NO_HEADER, sizeof(m.last))
    begin_routing(m)


cdef inline void begin_routing(message_t *m) noexcept nogil:
    m.routing_done = 0
    m.cseq_method = M_OTHER
    m.max_forwards = -1
    m.cseq = 0
    m.cseq_method_name = m.call_id = m.from_tag = m.to_tag = span(0, 0)
    memset(&m.via, 0, sizeof(via_t))


# Keep-alives are mostly CR LF; some phones send blanks or NULs.
cdef inline bint is_blank(const char *buf, uint32_t off, uint32_t end) noexcept nogil:
    while off < end and (buf[off] == 0 or is_class(buf[off], C_LWS)):
        off += 1
    return off == end


# ---------------------------------------------------------------- start line

# The start line in [off, end), its LF left out.
cdef inline int parse_start_line(message_t *m, uint32_t off, uint32_t end) noexcept nogil:
    check(end <= m.len)
    if end > off and end < m.len and m.buf[end - 1] == c'\r':
        end -= 1
    if is_sip_slash(m.buf, off, end):
        return parse_status_line(m, off, end)
    return parse_request_line(m, off, end)


# "SIP/2.0" fills [off, end): OK; another number: E_VERSION; else E_START_LINE.
cdef inline int judge_version(const char *buf, uint32_t off, uint32_t end) noexcept nogil:
    cdef uint32_t dot, last
    check(end - off >= 4)       # "SIP/" stands there: a dot is looked for behind it
    if end - off == 7 and memcmp(buf + off + 4, b"2.0", 3) == 0:
        return OK
    dot = scan_class(buf, off + 4, end, C_DIGIT)
    if dot == off + 4 or dot == end or buf[dot] != c'.':
        return E_START_LINE
    last = scan_class(buf, dot + 1, end, C_DIGIT)
    return E_VERSION if last == end and last > dot + 1 else E_START_LINE


# Request-Line = Method SP Request-URI SP SIP-Version (7.1).
# Method and URI are set as far as they can be told apart: an ACK is never
# answered, also when its start line is broken.
cdef int parse_request_line(message_t *m, uint32_t off, uint32_t end) noexcept nogil:
    cdef const char *buf = m.buf
    cdef uint32_t trimmed = trim_end(buf, off, end)
    cdef uint32_t version = find_last_word(buf, off, trimmed)
    cdef uint32_t method_end, uri_off, uri_end
    cdef int judged
    if version == off or not is_sip_slash(buf, version, trimmed):
        return E_NOT_SIP
    m.is_request = 1
    method_end = scan_class(buf, off, version, C_TOKEN)
    m.method_name = span(off, method_end)
    m.method = <uint8_t> match_method(buf + off, method_end - off)
    uri_off = scan_class(buf, method_end, version, C_LWS)
    uri_end = trim_end(buf, uri_off, version)
    m.ruri = span(uri_off, scan_ruri(buf, uri_off, uri_end))
    check(is_within(m, &m.method_name))
    check(is_within(m, &m.ruri))
    judged = judge_version(buf, version, trimmed)
    if judged != OK:
        return judged
    if method_end == off or uri_off == method_end or uri_end == uri_off:
        return E_START_LINE
    return OK if scan_target(buf, uri_off, uri_end) == uri_end else E_START_LINE


# Where a Request-URI ends: before "?" in one of SIP (19.1.1).  In a user, which ends at "@", that is a letter.
cdef inline uint32_t scan_ruri(const char *buf, uint32_t off, uint32_t end) noexcept nogil:
    cdef uint32_t question = scan_byte(buf, off, end, c'?')
    cdef uint32_t mark
    check(question <= end)
    if question == end or end - off < 3 or not is_letters(buf + off, b"sip", 3):
        return end
    mark = scan_byte(buf, off, end, c'@')
    return question if mark == end or mark < question else scan_byte(buf, mark, end, c'?')


# Status-Line = SIP-Version SP Status-Code SP Reason-Phrase (7.2).
cdef int parse_status_line(message_t *m, uint32_t off, uint32_t end) noexcept nogil:
    cdef const char *buf = m.buf
    cdef uint32_t code_off = scan_byte(buf, off, end, c' ')
    cdef int judged = judge_version(buf, off, code_off)
    cdef int i
    cdef uint16_t status = 0
    if judged != OK:
        return judged
    while code_off < end and buf[code_off] == c' ':
        code_off += 1
    if end < code_off + 3 or (end > code_off + 3 and buf[code_off + 3] != c' '):
        return E_START_LINE
    for i in range(3):
        if not is_class(buf[code_off + i], C_DIGIT):
            return E_START_LINE
        status = <uint16_t> (status * 10 + <uint8_t> buf[code_off + i] - c'0')
    if status < 100 or status > 699:
        return E_START_LINE
    m.status = status
    if end > code_off + 4:
        m.reason = span(code_off + 4, end)
    check(is_within(m, &m.reason))
    return OK


# ---------------------------------------------------------------- headers

# What it means that no line ends before `head`.
cdef inline int breaks_off(const message_t *m, uint32_t head) noexcept nogil:
    check(head <= m.len)
    return E_LONG_HEAD if head < m.len else E_HEADER


# Fills the index from `at` to the empty line, `head` at the latest; OK or the first error.
cdef int index_headers(message_t *m, uint32_t at, uint32_t head) noexcept nogil:
    cdef const char *buf = m.buf
    cdef uint32_t end, colon
    cdef int error = OK
    check(m.header_count == 0)
    m.headers_off = <uint16_t> at
    while at < head:
        if buf[at] == c'\n' or (buf[at] == c'\r' and at + 1 < head and buf[at + 1] == c'\n'):
            m.headers_end = <uint16_t> at
            m.body_off = <uint16_t> (at + 1 if buf[at] == c'\n' else at + 2)
            return error
        end = scan_header_line(buf, at, head, &colon) + 1
        while end < head and (buf[end] == c' ' or buf[end] == c'\t'):       # 7.3.1
            end = scan_byte(buf, end, head, c'\n') + 1
        if end > head or end == head < m.len:   # the last line is not complete, or may go on in a fold
            break
        if m.header_count == MAX_HEADERS:
            m.headers_end = <uint16_t> at
            return E_TOO_MANY_HEADERS if error == OK else error
        if not index_header(m, at, colon, end) and error == OK:
            error = E_HEADER
        check(end > at)
        at = end
    if at < head or head < m.len:
        m.headers_end = <uint16_t> at
        return breaks_off(m, head) if error == OK else error
    # No empty line (7), but nothing that could be missing: what goes on gets one (close_headers).
    return error


# The colon behind the name of the header in [at, end), or `end`: at `colon` in its first line, or behind a fold,
# where others may find it, too, and where no name may be hidden from a rule.
cdef inline uint32_t find_colon(const char *buf, uint32_t at, uint32_t colon, uint32_t end) noexcept nogil:
    if colon < end:
        return colon
    check(at < end)
    colon = scan_class(buf, scan_class(buf, at, end, C_TOKEN), end, C_LWS)
    return colon if colon < end and buf[colon] == c':' else end


# Where the value of the line [at, end) ends: nearly always before its CR LF.
cdef inline uint32_t trim_line(const char *buf, uint32_t at, uint32_t end) noexcept nogil:
    if end - at > 2 and buf[end - 1] == c'\n' and buf[end - 2] == c'\r' and not is_class(buf[end - 3], C_LWS):
        return end - 2
    return trim_end(buf, at, end)


# One line with its folds in [at, end), its name before `colon`.  False when nothing stands there but blanks,
# which others may take for the empty line.
cdef inline bint index_header(message_t *m, uint32_t at, uint32_t colon, uint32_t end) noexcept nogil:
    cdef const char *buf = m.buf
    cdef uint32_t index = m.header_count
    cdef header_t *header = &m.headers[index]
    cdef uint32_t value_end = trim_line(buf, at, end)
    cdef uint32_t name_end, value_off, id
    check(index < MAX_HEADERS)
    colon = find_colon(buf, at, colon, end)
    name_end = trim_end(buf, at, colon)
    value_off = scan_class(buf, colon + 1, value_end, C_LWS) if colon + 1 < value_end else colon + 1
    id = find_word(&HEADERS, buf + at, name_end - at)
    if (colon == end or (id == H_OTHER and (name_end == at or scan_class(buf, at, name_end, C_TOKEN) != name_end))
            or (id == H_ROUTE and skip_empty(buf, value_off, value_end) >= value_end)):
        if value_end == at:
            return False
        id = H_OTHER
        name_end = value_off = at
    elif value_end < value_off:
        value_end = value_off
    header.name_off = <uint16_t> at
    header.name_len = <uint16_t> (name_end - at)
    header.value_off = <uint16_t> value_off
    header.value_len = <uint16_t> (value_end - value_off)
    header.end_off = <uint16_t> end
    header.id = <uint8_t> id
    header.next = NO_HEADER
    if m.first[id] == NO_HEADER:
        m.first[id] = <uint8_t> index
    else:
        check(m.headers[m.last[id]].next == NO_HEADER)
        m.headers[m.last[id]].next = <uint8_t> index
    m.last[id] = <uint8_t> index
    m.header_count = <uint16_t> (index + 1)
    check(is_in_line(m, index))
    return True


cdef inline span_t value_span(const message_t *m, uint32_t index) noexcept nogil:
    check(is_in_line(m, index))
    return span(m.headers[index].value_off, m.headers[index].value_off + m.headers[index].value_len)


# The body by Content-Length; what lies behind it is no part of the message and
# goes no further (18.3).
cdef inline int find_body(message_t *m) noexcept nogil:
    cdef uint32_t rest = m.len - m.body_off
    cdef uint32_t index = first_of(m, H_CONTENT_LENGTH)
    cdef long long wanted = -1
    cdef long long value
    check(m.body_off <= m.len)
    m.body_len = <uint16_t> rest
    while index != NO_HEADER:
        check(m.headers[index].id == H_CONTENT_LENGTH)
        value = parse_number(m.buf, value_span(m, index), 18)
        if value < 0 or value > rest or (wanted >= 0 and value != wanted):
            return E_CONTENT_LENGTH
        wanted = value
        index = m.headers[index].next
    if wanted >= 0:
        m.body_len = <uint16_t> wanted
        m.len = m.body_off + m.body_len
    check(m.headers_end <= m.len)
    return OK


cdef int scan_call_id(const char *buf, uint32_t len, span_t *call_id) noexcept nogil:
    """Find the first Call-ID's value, as parse_message would of as many bytes; OK, E_NONE, E_TOO_LARGE, or
    E_CALL_ID for one that is longer than it may be: whoever asks hashes it.
    """
    cdef uint32_t at = 0
    cdef uint32_t end, colon
    call_id[0] = span(0, 0)
    if len > MAX_MESSAGE:
        return E_TOO_LARGE
    while at < len and (buf[at] == c'\r' or buf[at] == c'\n'):
        at += 1
    at = scan_byte(buf, at, len, c'\n') + 1
    while at < len:
        if buf[at] == c'\n' or (buf[at] == c'\r' and at + 1 < len and buf[at + 1] == c'\n'):
            break
        if buf[at] | 0x20 != c'c' and buf[at] | 0x20 != c'i':
            at = scan_byte(buf, at, len, c'\n') + 1
            continue
        end = scan_header_line(buf, at, len, &colon) + 1
        while end < len and (buf[end] == c' ' or buf[end] == c'\t'):
            end = scan_byte(buf, end, len, c'\n') + 1
        if end > len:
            break
        colon = find_colon(buf, at, colon, end)
        if colon < end and find_word(&HEADERS, buf + at, trim_end(buf, at, colon) - at) == H_CALL_ID:
            end = trim_end(buf, colon + 1, end)
            check(end <= len)
            call_id[0] = span(scan_class(buf, colon + 1, end, C_LWS), end)
            return OK if call_id.len <= MAX_TOKEN else E_CALL_ID
        check(end > at)
        at = end
    return E_NONE


# ---------------------------------------------------------------- routing values

cdef int parse_routing(message_t *m) noexcept nogil:
    """Read topmost Via, tags, Call-ID, CSeq and Max-Forwards.

    OK or the first error; the other values are read all the same, as a 400 needs
    them.  routing_done is set only by OK, so that a second call says the same.
    """
    cdef int error = OK
    check(is_in_order(m))
    if m.routing_done:
        return OK
    begin_routing(m)
    error = first_error(error, read_via(m))
    error = first_error(error, read_tag(m, H_FROM, &m.from_tag, E_FROM))
    error = first_error(error, read_tag(m, H_TO, &m.to_tag, E_TO))
    error = first_error(error, read_call_id(m))
    error = first_error(error, read_cseq(m))
    if m.is_request:        # of no meaning to a response, so never judged there
        error = first_error(error, read_max_forwards(m))
    m.routing_done = error == OK
    check(is_read(m))
    return error


cdef inline bint is_read(const message_t *m) noexcept nogil:
    """For a check: what was read for routing stands in the headers, also where an error ended it."""
    return (is_inside(&m.call_id, m.headers_off, m.headers_end) and is_inside(&m.from_tag, m.headers_off, m.headers_end)
            and is_inside(&m.to_tag, m.headers_off, m.headers_end)
            and is_inside(&m.via.branch, m.headers_off, m.headers_end)
            and is_inside(&m.cseq_method_name, m.headers_off, m.headers_end))


# Of headers that may stand once (7.3.1) a second one makes the message unfit: nodes differ in which of two they take.
cdef inline int judge_single(const message_t *m, uint32_t id) noexcept nogil:
    check(m.first[id] != NO_HEADER)
    return OK if m.first[id] == m.last[id] else E_DUPLICATE


cdef inline int first_error(int error, int later) noexcept nogil:
    return later if error == OK else error


cdef inline int read_via(message_t *m) noexcept nogil:
    cdef uint32_t index = first_of(m, H_VIA)
    if index == NO_HEADER:
        return E_VIA
    check(is_in_line(m, index))
    return parse_bounded_via(m.buf, m.headers[index].value_off,
                             <uint32_t> m.headers[index].value_off + m.headers[index].value_len, &m.via)


cdef inline int parse_bounded_via(const char *buf, uint32_t off, uint32_t end, via_t *via) noexcept nogil:
    cdef int code = parse_via(buf, off, end, via)
    if code == OK and via.branch.len > MAX_TOKEN:
        via.len = 0         # as of any other that was read up to a fault
        return E_VIA
    check((code != OK) | (via.off >= off))
    return code


# From and To hold one value each (20.20, 20.39), of which the tag is needed.  RFC 4475 section 3.1.2.15 lets
# nobody hand on a request with bare commas in a display name; in a response it is the caller's or our own business.
cdef inline int read_tag(message_t *m, int id, span_t *tag, int missing) noexcept nogil:
    cdef uint32_t index = m.first[id]
    if index == NO_HEADER:
        return missing
    check(is_in_line(m, index))
    if read_single(m.buf, m.headers[index].value_off,
                   <uint32_t> m.headers[index].value_off + m.headers[index].value_len, not m.is_request, tag) != OK:
        return missing
    if tag.len > MAX_TOKEN or (tag.off and tag.len == 0):
        return missing
    check(is_within(m, tag))
    return judge_single(m, id)


cdef inline int read_call_id(message_t *m) noexcept nogil:
    cdef uint32_t index = first_of(m, H_CALL_ID)
    cdef span_t value
    if index == NO_HEADER:
        return E_CALL_ID
    value = value_span(m, index)
    if value.len == 0 or value.len > MAX_TOKEN:
        return E_CALL_ID
    if scan_word(m.buf, value.off, value.off + value.len) != value.off + value.len:
        return E_CALL_ID
    m.call_id = value
    return judge_single(m, H_CALL_ID)


# CSeq = 1*DIGIT LWS Method; the number should be below 2**31 (8.1.1.5), what 32 bits hold is carried on.
cdef inline int read_cseq(message_t *m) noexcept nogil:
    cdef const char *buf = m.buf
    cdef uint32_t index = first_of(m, H_CSEQ)
    cdef uint32_t off, end, at, method_off
    cdef long long number
    if index == NO_HEADER:
        return E_CSEQ
    check(is_in_line(m, index))
    off = m.headers[index].value_off
    end = off + m.headers[index].value_len
    at = scan_class(buf, off, end, C_DIGIT)
    number = parse_number(buf, span(off, at), 18)
    method_off = scan_class(buf, at, end, C_LWS)
    if number < 0 or number >> 32 or method_off == at or method_off == end:
        return E_CSEQ
    if scan_class(buf, method_off, end, C_TOKEN) != end:
        return E_CSEQ
    m.cseq = <uint32_t> number
    m.cseq_method_name = span(method_off, end)
    check(is_within(m, &m.cseq_method_name))
    m.cseq_method = <uint8_t> match_method(buf + method_off, end - method_off)
    if not m.is_request:
        m.method = m.cseq_method
    elif (end - method_off != m.method_name.len
          or memcmp(buf + method_off, buf + m.method_name.off, end - method_off) != 0):
        return E_CSEQ
    return judge_single(m, H_CSEQ)


cdef inline int read_max_forwards(message_t *m) noexcept nogil:
    cdef uint32_t index = first_of(m, H_MAX_FORWARDS)
    cdef long long number
    if index == NO_HEADER:
        return OK
    number = parse_number(m.buf, value_span(m, index), 18)
    if number < 0 or number > 255:
        return E_MAX_FORWARDS
    m.max_forwards = <short> number
    return judge_single(m, H_MAX_FORWARDS)


cdef int parse_second_via(const message_t *m, via_t *via) noexcept nogil:
    """Read the Via value behind the topmost one; E_NONE when there is none, E_VIA."""
    cdef uint32_t index = first_of(m, H_VIA)
    cdef uint32_t off, end
    if index == NO_HEADER or m.via.len == 0:
        return E_NONE
    if m.via.last:
        index = m.headers[index].next
        if index == NO_HEADER:
            return E_NONE
        off = m.headers[index].value_off
    else:
        off = <uint32_t> m.via.off + m.via.len + 1
    end = <uint32_t> m.headers[index].value_off + m.headers[index].value_len
    check(off >= m.via.off + m.via.len)
    return parse_bounded_via(m.buf, off, end, via)


cdef int count_vias(const message_t *m) noexcept nogil:
    """Count the Via values; E_TOO_MANY_VIAS above MAX_VIAS."""
    cdef uint32_t index = first_of(m, H_VIA)
    cdef uint32_t off
    cdef int count = 0
    while index != NO_HEADER:
        check(m.headers[index].id == H_VIA)
        off = m.headers[index].value_off
        count += count_values(m.buf, off, off + m.headers[index].value_len)
        if count > MAX_VIAS:
            return E_TOO_MANY_VIAS
        index = m.headers[index].next
    return count


cdef bint has_too_many_vias(const message_t *m) noexcept nogil:
    """Counted only where the bytes would be enough for more than MAX_VIAS."""
    cdef uint32_t index = first_of(m, H_VIA)
    cdef uint32_t bytes = 0
    while index != NO_HEADER:
        bytes += m.headers[index].value_len
        index = m.headers[index].next
    check(bytes <= m.len)
    return bytes > MAX_VIAS * SHORTEST_VIA and count_vias(m) < 0


# ---------------------------------------------------------------- names

cdef int find_header(const message_t *m, const char *name, uint32_t name_len) noexcept nogil:
    """Index of the first header of this name (any case, long or compact), or NO_HEADER."""
    cdef uint32_t id = find_word(&HEADERS, name, name_len)
    cdef uint32_t letter, index
    cdef const header_t *header
    if id != H_OTHER:
        return m.first[id]
    letter = find_word(&COMPACT, name, name_len)
    index = first_of(m, H_OTHER)
    while index != NO_HEADER:
        header = &m.headers[index]
        check(is_in_line(m, index))
        if same_text(m.buf + header.name_off, header.name_len, name, name_len):
            return <int> index
        if letter and letter == find_word(&COMPACT, m.buf + header.name_off, header.name_len):
            return <int> index
        index = header.next
    return NO_HEADER
