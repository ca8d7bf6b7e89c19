"""The values of headers, read when asked: Via, name-addr, parameters, numbers.

Implements the grammar of RFC 3261 section 25.1 for Via (20.42), From, To,
Contact, Route and Record-Route (20.10), RFC 3581 for rport and RFC 5118 for
IPv6 in Via.  Folds and white space are accepted wherever the grammar has LWS.

Must never: allocate, copy, undo an escape, read outside [off, end), or look for
the end of a header: that is the parser's.

Deliberately liberal: empty parameters (";;") are skipped outside of Via, and so
are empty values of a list (",,", a last ","); an unquoted parameter value may hold
any visible byte but , ; < > and the quote; a display name need not be made of
tokens, and before the tag of From and To, of which nothing else is needed, it may be
anything but an open quote (RFC 4475 section 3.1.2.6).
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.string cimport memcmp, memset

from fastsip._core.base.types cimport E_BAD, E_VIA, OK, span_t
from fastsip._core.base.check cimport check
from fastsip._core.sip.types cimport name_addr_t, via_t
from fastsip._core.sip.chars cimport (
    C_DIGIT, C_LWS, C_PLAIN, C_TOKEN, find_word, is_class, is_inside, is_letters, learn_word, scan_byte, scan_class,
    scan_quote, scan_value, scan_word, skip_empty, span, trim_end, words_t,
)
from fastsip._core.sip.uri cimport match_transport, parse_host, same_text

cdef enum via_param:
    P_BRANCH = 1
    P_RECEIVED
    P_RPORT
    P_HINT

# One parameter of a header value.
cdef struct param_t:
    span_t name
    span_t value            # as written: with the quotes, if there are any

cdef words_t VIA_PARAMS


# ---------------------------------------------------------------- Via

cdef int parse_via(const char *buf, uint32_t off, uint32_t end, via_t *via) noexcept nogil:
    """Read the Via value at `off` (20.42); OK or E_VIA.

    protocol "/" version "/" transport LWS host [":" port] *(";" param), white
    space wherever the grammar has it.  The version is not judged: that is the
    start line's, and a 505 needs this value.
    """
    cdef int at
    cdef param_t param
    memset(via, 0, sizeof(via_t))
    off = scan_class(buf, off, end, C_LWS)
    via.off = <uint16_t> off
    at = read_sent_protocol(buf, off, end, via)
    if at >= 0:
        at = read_sent_by(buf, <uint32_t> at, end, via)
    if at < 0:
        return E_VIA
    off = <uint32_t> at
    via.params_off = <uint16_t> off
    while off < end and buf[off] == c';':
        at = scan_param(buf, off + 1, end, &param)
        if at < 0 or param.name.len == 0 or note_via_param(buf, &param, via) != OK:
            return E_VIA
        check(<uint32_t> at > off)
        off = <uint32_t> at
    if off < end and buf[off] != c',':
        return E_VIA
    via.len = <uint16_t> (off - via.off)
    via.last = off == end
    check(is_whole(via))
    return OK


cdef inline bint is_whole(const via_t *via) noexcept nogil:
    """For a check: all that was read of the value stands in it, and its parameters behind its host."""
    cdef uint32_t end = <uint32_t>via.off + via.len
    return (is_inside(&via.host, via.off, via.params_off) and via.params_off <= end
            and is_inside(&via.branch, via.params_off, end) and is_inside(&via.received, via.params_off, end)
            and is_inside(&via.hint, via.params_off, end) and via.rport_off <= via.rport_end <= end
            and via.received_off <= via.received_end <= end)


# Returns where the host begins, or E_VIA.  The grammar lets white space stand around both slashes (25.1), and peers
# that break their headers do write it.
cdef inline int read_sent_protocol(const char *buf, uint32_t off, uint32_t end, via_t *via) noexcept nogil:
    cdef uint32_t at = off
    cdef uint32_t part
    cdef uint32_t word_off = off
    if end - off > 8 and memcmp(buf + off, b"SIP/2.0/", 8) == 0 and is_class(buf[off + 8], C_TOKEN):
        word_off = off + 8          # nearly always
        at = scan_class(buf, word_off, end, C_TOKEN)
    else:
        for part in range(3):
            if part:
                at = scan_class(buf, at, end, C_LWS)
                if at == end or buf[at] != c'/':
                    return E_VIA
                at = scan_class(buf, at + 1, end, C_LWS)
            word_off = at
            at = scan_class(buf, at, end, C_TOKEN)
            if at == word_off:
                return E_VIA
    via.transport = <uint8_t> match_transport(buf + word_off, at - word_off)
    off = scan_class(buf, at, end, C_LWS)
    if off == at or at == word_off:
        return E_VIA
    check(off <= end)
    return <int> off


# host [COLON port], where COLON may have white space around it (25.1).  Port 0 is refused: an answer that goes by this
# value would go nowhere.
cdef inline int read_sent_by(const char *buf, uint32_t off, uint32_t end, via_t *via) noexcept nogil:
    cdef uint32_t at, digits
    cdef long long number
    cdef int result = parse_host(buf, off, end, &via.host, &via.host_kind)
    if result < 0:
        return E_VIA
    check(is_inside(&via.host, off, <uint32_t> result))
    at = scan_class(buf, <uint32_t> result, end, C_LWS)
    if at == end or buf[at] != c':':
        return <int> at
    digits = scan_class(buf, at + 1, end, C_LWS)
    at = scan_class(buf, digits, end, C_DIGIT)
    number = parse_number(buf, span(digits, at), 18)
    if number < 1 or number > 65535:
        return E_VIA
    via.port = <uint16_t> number
    return <int> scan_class(buf, at, end, C_LWS)


# Keeps the parameters that a router reads; the first of two equal names counts, as it does in URIs.  The others - ttl,
# maddr, extensions - go on as they came: they are the business of whoever wrote the Via.
cdef inline int note_via_param(const char *buf, const param_t *param, via_t *via) noexcept nogil:
    cdef uint32_t id = find_word(&VIA_PARAMS, buf + param.name.off, param.name.len)
    cdef long long number
    check(param.value.off >= param.name.off + param.name.len)
    if id == P_BRANCH and via.branch.len == 0:
        via.branch = param.value
        # Tokens are equal in any case (7.3.1).  Without the cookie the sender is one of RFC 2543, whose branches
        # are not unique (8.1.1.7): its requests are told apart by more than that (17.2.3).
        via.magic = param.value.len >= 7 and same_text(buf + param.value.off, 7, b"z9hG4bK", 7)
    elif id == P_RPORT and via.rport_off == 0:
        via.rport_off = <uint16_t> (param.name.off + param.name.len)
        via.rport_end = <uint16_t> (param.value.off + param.value.len)
        if param.value.len:
            number = parse_number(buf, param.value, 18)
            if number < 1 or number > 65535:
                return E_VIA
            via.rport = <uint16_t> number
    elif id == P_RECEIVED and via.received_off == 0:
        via.received_off = <uint16_t> (param.name.off + param.name.len)
        via.received_end = <uint16_t> (param.value.off + param.value.len)
        via.received = param.value
        # RFC 5118 section 4.5: an IPv6 address stands here without brackets, but some write them all the same.
        if param.value.len >= 2 and buf[param.value.off] == c'[':
            via.received.off += 1
            via.received.len -= 2 if buf[param.value.off + param.value.len - 1] == c']' else 1
    elif id == P_HINT and via.hint.len == 0:
        via.hint = param.value
    return OK


# ---------------------------------------------------------------- name-addr, parameters

cdef int parse_name_addr(const char *buf, uint32_t off, uint32_t end, name_addr_t *value) noexcept nogil:
    """Read the From, To, Contact, Route or Record-Route value at `off`; OK or E_BAD.

    Without < > all parameters are the header's (20.10).  The URI is not read.
    """
    cdef span_t tag
    return read_name_addr(buf, off, end, value, &tag)


cdef int read_name_addr(const char *buf, uint32_t off, uint32_t end, name_addr_t *value,
                        span_t *tag) noexcept nogil:
    """The tag is found on the way: From and To are read of every message, and would be gone through twice."""
    cdef int at
    cdef uint32_t stop
    tag[0] = span(0, 0)
    memset(value, 0, sizeof(name_addr_t))
    off = skip_empty(buf, off, end)
    value.off = <uint16_t> off
    at = read_address(buf, off, end, value)
    if at < 0:
        return E_BAD
    check(is_inside(&value.uri, off, <uint32_t> at))
    check(is_inside(&value.display, off, value.uri.off))
    stop = scan_class(buf, <uint32_t> at, end, C_LWS)
    at = read_value_params(buf, stop, end, value, tag)
    if at < 0 or (<uint32_t> at < end and buf[at] != c','):
        return E_BAD
    value.len = <uint16_t> (<uint32_t> at - value.off)
    value.last = <uint32_t> at == end or skip_empty(buf, <uint32_t> at, end) == end
    check(is_inside(&value.params, value.off, <uint32_t> at))
    check(is_inside(tag, value.off, <uint32_t> at))
    return OK


cdef int read_single(const char *buf, uint32_t off, uint32_t end, bint commas, span_t *tag) noexcept nogil:
    """As the grammar has it; else, where a display name is none (RFC 4475 section 3.1.2.6), from its bracket on."""
    cdef uint32_t bracket
    check(off <= end)
    if fills(buf, off, end, tag):
        return OK
    bracket = scan_byte(buf, off, end, c'<')
    if bracket == end or not is_display(buf, off, bracket, commas):
        return E_BAD
    return OK if fills(buf, bracket, end, tag) else E_BAD


# Does one value fill [off, end)?  Behind it nothing may stand, not even a comma: our own tag goes there (8.2.6.2), and
# would become part of whatever that is.
cdef inline bint fills(const char *buf, uint32_t off, uint32_t end, span_t *tag) noexcept nogil:
    cdef name_addr_t value
    check(off <= end)
    return read_name_addr(buf, off, end, &value, tag) == OK and <uint32_t> value.off + value.len == end


# Can nothing else be meant?  An open quote may hide the bracket; behind a colon stands a URI, behind a comma
# another value, unless the name itself has commas.
cdef inline bint is_display(const char *buf, uint32_t off, uint32_t end, bint commas) noexcept nogil:
    cdef bint quoted = False
    while off < end:
        if buf[off] == c'"':
            quoted = not quoted
        elif not quoted and (buf[off] == c':' or (buf[off] == c',' and not commas)):
            return False
        off += 2 if buf[off] == c'\\' else 1
    return not quoted


# [display] "<" URI ">" or the bare URI; returns the offset behind it.  The URI itself is judged by parse_uri, and only
# where it has to be: a proxy that refused every Contact it cannot read would break calls that work (16.3 item 1).
cdef inline int read_address(const char *buf, uint32_t off, uint32_t end, name_addr_t *value) noexcept nogil:
    cdef uint32_t at = off
    cdef int close
    if off < end and buf[off] == c'"':
        close = scan_quoted(buf, off, end)
        if close < 0:
            return E_BAD
        check(<uint32_t> close <= end)
        value.display = span(off, <uint32_t> close)
        at = scan_class(buf, <uint32_t> close, end, C_LWS)
        if at == end or buf[at] != c'<':
            return E_BAD
    else:
        at = scan_class(buf, off, end, C_PLAIN)
        if at == end or buf[at] != c'<':
            at = trim_end(buf, off, at)
            value.uri = span(off, at)
            if at == off or scan_word(buf, off, at) != at:
                return E_BAD
            return <int> at
        value.display = span(off, trim_end(buf, off, at))
    at += 1
    off = scan_byte(buf, at, end, c'>')
    if off == end:
        return E_BAD
    value.bracketed = 1
    check(at <= off)
    at = scan_class(buf, at, off, C_LWS)
    value.uri = span(at, trim_end(buf, at, off))
    return <int> off + 1 if value.uri.len else E_BAD


# *(";" param) of a name-addr; returns where they stop.  Of two tags the first one counts, here as everywhere.
cdef inline int read_value_params(const char *buf, uint32_t off, uint32_t end, name_addr_t *value,
                                  span_t *tag) noexcept nogil:
    cdef uint32_t begin = off
    cdef int at
    cdef param_t param
    while off < end and buf[off] == c';':
        at = scan_param(buf, off + 1, end, &param)
        if at < 0:
            return E_BAD
        check(<uint32_t> at > off)
        off = <uint32_t> at
        if tag.off == 0 and param.name.len == 3 and is_letters(buf + param.name.off, b"tag", 3):
            tag[0] = param.value
    check(off <= end)
    if off > begin:
        value.params = span(begin, trim_end(buf, begin, off))
    return <int> off


# One parameter behind its ";": name [EQUAL value].  Returns the offset of what
# follows it (";", "," or end), or E_BAD.  An empty one has name.len 0.
cdef inline int scan_param(const char *buf, uint32_t off, uint32_t end, param_t *param) noexcept nogil:
    cdef uint32_t at = scan_class(buf, off, end, C_LWS)
    cdef uint32_t begin = at
    cdef int close
    at = scan_class(buf, at, end, C_TOKEN)
    param.name = span(begin, at)
    param.value = span(at, at)
    at = scan_class(buf, at, end, C_LWS)
    if at < end and buf[at] == c'=':
        if param.name.len == 0:
            return E_BAD
        begin = scan_class(buf, at + 1, end, C_LWS)
        if begin < end and buf[begin] == c'"':
            close = scan_quoted(buf, begin, end)
            if close < 0:
                return E_BAD
            at = <uint32_t> close
        else:
            at = scan_value(buf, begin, end)
        param.value = span(begin, at)
        at = scan_class(buf, at, end, C_LWS)
    check(at <= end)
    check(param.name.off + param.name.len <= param.value.off)
    if at < end and buf[at] != c';' and buf[at] != c',':
        return E_BAD
    return <int> at


# The offset behind the quoted string that begins at `off`, or E_BAD.
# A backslash takes the next byte with it, whatever that is (25.1 quoted-pair): at the end of the text it takes none.
cdef inline int scan_quoted(const char *buf, uint32_t off, uint32_t end) noexcept nogil:
    cdef uint32_t at = scan_quote(buf, off + 1, end)
    check(buf[off] == c'"')
    while at < end and buf[at] == c'\\':
        at = scan_quote(buf, at + 2, end)
    return <int> at + 1 if at < end else E_BAD


cdef int find_param(const char *buf, span_t params, const char *name, uint32_t name_len,
                    span_t *value) noexcept nogil:
    """Find a parameter of any case in ";a=b;c"; 1 = found, 0 = not.

    The value stands as written, a quoted one with its quotes.  The first fault ends the search, for behind it nobody
    can say what is a parameter.
    """
    cdef uint32_t off = params.off
    cdef uint32_t end = off + params.len
    cdef param_t param
    cdef int at
    value[0] = span(0, 0)
    while off < end and buf[off] == c';':
        at = scan_param(buf, off + 1, end, &param)
        if at < 0:
            return 0
        if same_text(buf + param.name.off, param.name.len, name, name_len):
            value[0] = param.value
            check(is_inside(value, params.off, end))
            return 1
        check(<uint32_t> at > off)
        off = <uint32_t> at
    return 0


cdef int count_values(const char *buf, uint32_t off, uint32_t end) noexcept nogil:
    """How many values stand in [off, end): one more than the commas outside of quotes.

    An estimate from above, for a bound (MAX_VIAS): nothing is parsed, and empty values count as values do.
    """
    cdef int close
    cdef int count = 1
    check(off <= end)
    while off < end:
        if buf[off] == c'"':
            close = scan_quoted(buf, off, end)
            off = <uint32_t> close if close >= 0 else end
            continue
        count += buf[off] == c','
        off += 1
    return count


# ---------------------------------------------------------------- small readers

cdef long long parse_number(const char *buf, span_t text, int digits) noexcept nogil:
    """Read the 1 to `digits` (at most 18) decimal digits that fill `text`, or E_BAD.

    Zeros may lead, as the grammar lets them (25.1 1*DIGIT); a sign may not.
    """
    cdef uint32_t i
    cdef long long number = 0
    check(digits <= 18)         # 19 would not fit
    if text.len == 0 or text.len > digits:
        return E_BAD
    for i in range(text.len):
        if not is_class(buf[text.off + i], C_DIGIT):
            return E_BAD
        number = number * 10 + <uint8_t> buf[text.off + i] - c'0'
    return number


cdef long long leading_number(const char *buf, span_t text, int digits) noexcept nogil:
    """Of a value behind whose number a comment or parameters may stand, as of Retry-After (20.33).

    Of a longer number its first digits: whoever asks bounds what is large.
    """
    cdef uint16_t len = 0
    while len < text.len and len < digits and is_class(buf[text.off + len], C_DIGIT):
        len += 1
    text.len = len
    return parse_number(buf, text, digits)


# ---------------------------------------------------------------- at import

for _text, _id in ((b"branch", P_BRANCH), (b"received", P_RECEIVED), (b"rport", P_RPORT), (b"fs", P_HINT)):
    learn_word(&VIA_PARAMS, _text, _id, True)
