"""SIP, SIPS and tel URIs and the hosts in them: bytes in, offsets out.

Implements RFC 3261 sections 19.1.1 and 25.1, RFC 3966 (what a router needs of
a tel URI) and RFC 5118 (where IPv6 addresses stand).

Must never: allocate, resolve a name, undo an escape, or read outside the span.

Where it is more liberal than the grammar: "_" in host names, "#" and bare UTF-8
in users, "@" and quotes in parameters are used in the field; empty parameters
(";;", a last ";") and an empty port ("host:", as RFC 3986 has it) are skipped; what
stands between brackets only has to look like an IPv6 address (RFC 5118 section
4.10, and a zone), parse_address decides whether it is one.  Of another scheme
nothing but its name is read.

Users are compared by their canonical form: what may stand in a user is not escaped
(19.1.4; reserved letters neither, for whoever unescapes what we send on sees the
same user), all else is, in capitals ("%C3"), and visual separators of telephone
numbers are dropped (RFC 3966 section 5).  A number is the user
of a tel URI, of a URI with user=phone, and whatever is written as one: digits,
"*", "#", "+" and separators.  So "0-900" is "0900" for every rule, but "a.b" is not
"ab".  Parameters of a number (";npdi") do not belong to it.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.string cimport memset

from fastsip._core.base.types cimport E_URI, MAX_MESSAGE, OK, put, span_t, text_t
from fastsip._core.base.check cimport check
from fastsip._core.base.address cimport T_NONE, T_OTHER, T_SCTP, T_TCP, T_TLS, T_UDP, T_WS, T_WSS, addr_t
from fastsip._core.sip.types cimport (
    HOST_IPV4, HOST_IPV6, HOST_NAME, HOST_NONE, S_OTHER, S_SIP, S_SIPS, S_TEL, uri_t,
)
from fastsip._core.sip.chars cimport (
    C_ALPHA, C_DIGIT, C_HEX, C_HOST, C_PARAM, C_PHONE, C_QUERY, C_SCHEME, C_STEADY, C_USER, find_word, is_class,
    is_inside, learn_word, scan_byte, scan_class, span, words_t,
)
from fastsip._core.sip.addresses cimport hex_value, parse_address, scan_ipv4

cdef enum uri_param:
    P_LR = 1
    P_TRANSPORT
    P_MADDR
    P_USER

cdef words_t SCHEMES
cdef words_t TRANSPORTS
cdef words_t URI_PARAMS


# ---------------------------------------------------------------- URIs

cdef int parse_uri(const char *buf, uint32_t off, uint32_t len, uri_t *uri) noexcept nogil:
    """Read the URI that fills [off, off + len).

    OK, or E_URI when it cannot be read (RFC 3261 section 19.1.1).  A scheme that
    is neither sip, sips nor tel is S_OTHER, and what follows it nobody's business here.
    """
    cdef uint32_t end = off + len
    cdef uint32_t colon
    check(end <= MAX_MESSAGE)
    memset(uri, 0, sizeof(uri_t))
    uri.off = <uint16_t> off
    uri.len = <uint16_t> len
    colon = scan_class(buf, off, end, C_SCHEME)
    if colon == off or colon == end or buf[colon] != c':' or not is_class(buf[off], C_ALPHA):
        return E_URI
    uri.scheme_name = span(off, colon)
    uri.scheme = <uint8_t> find_word(&SCHEMES, buf + off, colon - off)
    if uri.scheme == S_OTHER:
        return OK if colon + 1 < end else E_URI
    if not has_whole_escapes(buf, colon, end):
        return E_URI
    if uri.scheme == S_TEL:
        return parse_tel(buf, colon + 1, end, uri)
    return parse_sip(buf, colon + 1, end, uri)


cdef inline int parse_sip(const char *buf, uint32_t off, uint32_t end, uri_t *uri) noexcept nogil:
    # "@" may stand unescaped in no other part, and ";" "?" "/" are letters of
    # the user when one follows (RFC 4475 section 3.1.1.9): so look for it first.
    # A password (behind ":") is stepped over: it is no part of the user, and nobody compares it (19.1.1).
    cdef uint32_t mark = scan_byte(buf, off, end, c'@')
    cdef int at
    if mark < end:
        if scan_class(buf, off, mark, C_USER) != mark:
            return E_URI
        uri.user = span(off, scan_byte(buf, off, mark, c':'))
        if uri.user.len == 0:
            return E_URI
        check(is_inside(&uri.user, off, mark))
        off = mark + 1
    at = parse_host_port(buf, off, end, &uri.host, &uri.host_kind, &uri.port)
    if at < 0:
        return E_URI
    check(is_inside(&uri.host, off, <uint32_t> at))
    at = parse_params(buf, <uint32_t> at, end, uri)
    check(is_inside(&uri.maddr, uri.params.off, <uint32_t> at))
    if <uint32_t> at < end and buf[at] == c'?':
        uri.headers = span(<uint32_t> at + 1, end)
        at = <int> scan_class(buf, <uint32_t> at + 1, end, C_QUERY)
        if uri.headers.len == 0:
            return E_URI
    return OK if <uint32_t> at == end else E_URI


# A "+" and digits, or digits of a plan of their own (RFC 3966 section 5.1.5); which plan that is ("phone-context") the
# router need not know: rules compare the digits.
cdef inline int parse_tel(const char *buf, uint32_t off, uint32_t end, uri_t *uri) noexcept nogil:
    cdef uint32_t digits = off + 1 if off < end and buf[off] == c'+' else off
    cdef uint32_t at = scan_class(buf, digits, end, C_PHONE)
    if at == digits:
        return E_URI
    uri.user = span(off, at)
    check(uri.host_kind == HOST_NONE)
    at = <uint32_t> parse_params(buf, at, end, uri)
    return OK if at == end else E_URI


# Reads *(";" name ["=" value]); returns where they stop.  Parameters that nobody here knows are stepped over: they must
# not be refused (19.1.1).
cdef inline int parse_params(const char *buf, uint32_t off, uint32_t end, uri_t *uri) noexcept nogil:
    cdef uint32_t at = off
    cdef uint32_t name_off, name_end
    cdef span_t value
    while at < end and buf[at] == c';':
        name_off = at + 1
        name_end = scan_class(buf, name_off, end, C_PARAM)
        at = name_end
        value = span(at, at)
        if at < end and buf[at] == c'=':
            at = scan_class(buf, name_end + 1, end, C_PARAM)
            value = span(name_end + 1, at)
        note_param(buf, name_off, name_end, value, uri)
    check(at <= end)
    uri.params = span(off, at)
    return <int> at


# The first of two equal names counts.  The grammar forbids the second (19.1.1); whoever refused it would lose calls.
cdef inline void note_param(const char *buf, uint32_t off, uint32_t end, span_t value, uri_t *uri) noexcept nogil:
    cdef uint32_t param = find_word(&URI_PARAMS, buf + off, end - off)
    check(value.off >= end)
    if param == P_LR:
        uri.lr = 1
    elif param == P_TRANSPORT and uri.transport == T_NONE:
        uri.transport = <uint8_t> match_transport(buf + value.off, value.len)
    elif param == P_MADDR and uri.maddr.len == 0:
        uri.maddr = value
    elif param == P_USER and same_text(buf + value.off, value.len, b"phone", 5):
        uri.phone = 1


# "%" HEXDIG HEXDIG wherever a "%" stands (25.1 escaped).  A URI with half an escape is refused, since the next node may
# read another user out of it than was compared here.
cdef inline bint has_whole_escapes(const char *buf, uint32_t off, uint32_t end) noexcept nogil:
    cdef uint32_t at = scan_byte(buf, off, end, c'%')
    check(at <= end)
    while at < end:
        if end - at < 3 or not is_class(buf[at + 1], C_HEX) or not is_class(buf[at + 2], C_HEX):
            return False
        at += 3
        if at < end and buf[at] != c'%':    # else an escape behind an escape: nothing to look for
            at = scan_byte(buf, at, end, c'%')
    return True


cdef int match_transport(const char *text, uint32_t len) noexcept nogil:
    """transport_id of a name of any case: T_NONE when empty, T_OTHER when unknown."""
    cdef uint32_t transport
    if len == 0:
        return T_NONE
    transport = find_word(&TRANSPORTS, text, len)
    check(transport < T_OTHER)
    return <int> transport if transport else T_OTHER


# ---------------------------------------------------------------- hosts

cdef int parse_host(const char *buf, uint32_t off, uint32_t end, span_t *host, uint8_t *kind) noexcept nogil:
    """Read the host at the start of [off, end); the offset behind it, or E_URI."""
    cdef uint32_t at
    cdef uint8_t ip[4]
    if off < end and buf[off] == c'[':
        at = scan_reference(buf, off, end, host)
        kind[0] = HOST_IPV6
    else:
        kind[0] = HOST_IPV4
        at = scan_ipv4(buf, off, end, &ip[0])
        if at == off or (at < end and is_class(buf[at], C_HOST)):
            at = scan_class(buf, off, end, C_HOST)
            kind[0] = HOST_NAME if is_name(buf, off, at) else HOST_NONE
        host[0] = span(off, at)
    check(at <= end)
    return E_URI if at == off or kind[0] == HOST_NONE else <int> at


cdef int parse_host_port(const char *buf, uint32_t off, uint32_t end, span_t *host,
                         uint8_t *kind, uint16_t *port) noexcept nogil:
    """Read host [":" [port]] at the start of [off, end), without white space.

    Returns the offset behind it, or E_URI.  Port 0 (also "host:0") is refused
    when written; *port is 0 when none is.
    """
    cdef int host_end = parse_host(buf, off, end, host, kind)
    cdef uint32_t at = <uint32_t> host_end
    cdef uint32_t number = 0
    port[0] = 0
    check(host_end <= <int>end)
    if host_end < 0 or at == end or buf[at] != c':':
        return host_end
    at += 1
    if at == end or not is_class(buf[at], C_DIGIT):
        return <int> at
    while at < end and is_class(buf[at], C_DIGIT) and number <= 65535:
        number = number * 10 + <uint8_t> buf[at] - c'0'
        at += 1
    if number == 0 or number > 65535:
        return E_URI
    port[0] = <uint16_t> number
    return <int> at


# The offset behind "[...]", or off when it cannot be an IPv6 reference.  A zone
# ("%25eth0", RFC 6874, or "%eth0") may stand at its end: link-local phones send
# it in Via, and it is part of the host, which is no numeric address then.
cdef inline uint32_t scan_reference(const char *buf, uint32_t off, uint32_t end, span_t *host) noexcept nogil:
    cdef uint32_t at = off + 1
    cdef uint32_t colons = 0
    check(at <= end)
    while at < end and (is_class(buf[at], C_HEX) or buf[at] == c':' or buf[at] == c'.'):
        colons += buf[at] == c':'
        at += 1
    if at < end and buf[at] == c'%' and at + 1 < end and buf[at + 1] != c']':
        at += 1
        while at < end and (is_class(buf[at], C_HOST) or buf[at] == c'~' or buf[at] == c'%'):
            at += 1
    if at == end or buf[at] != c']' or colons < 2:
        return off
    host[0] = span(off + 1, at)
    return at + 1


# Is [off, end), host letters and no IPv4 address, a name?  Not "1.2.3" and
# "300.1.1.1" (what looks like an address must be one), nor "a..b" and ".a".  A last label that begins with a digit,
# which the grammar forbids (25.1 toplabel), is let through: whether there is such a name, DNS can say.
cdef inline bint is_name(const char *buf, uint32_t off, uint32_t end) noexcept nogil:
    cdef bint numeric = True
    cdef bint after_dot = True
    cdef uint32_t at
    check(off <= end)
    for at in range(off, end):
        if buf[at] == c'.':
            if after_dot:
                return False
            after_dot = True
        else:
            after_dot = False
            numeric = numeric and is_class(buf[at], C_DIGIT)
    return not numeric


# ---------------------------------------------------------------- texts

cdef int uri_address(const char *buf, const uri_t *uri, addr_t *addr) noexcept nogil:
    """Without the host's kind: in a maddr nobody has told name and number apart, so both readers are asked."""
    cdef span_t host = uri.maddr if uri.maddr.len else uri.host
    cdef uint16_t port = uri.port if uri.port else usual_port(uri.scheme, uri.transport)
    check(is_inside(&host, uri.off, <uint32_t> uri.off + uri.len))
    if host.len > 2 and buf[host.off] == c'[':
        host.off += 1
        host.len -= 2
    if parse_address(buf + host.off, host.len, HOST_IPV4, port, addr) == OK:
        return OK
    return parse_address(buf + host.off, host.len, HOST_IPV6, port, addr)


# Byte by byte and not by words: hosts and tokens are short, and differ in their first letters or not at all.
cdef bint same_text(const char *a, uint32_t a_len, const char *b, uint32_t b_len) noexcept nogil:
    """Are the two texts equal when A-Z count as a-z?"""
    cdef uint32_t i
    cdef uint8_t x, y
    if a_len != b_len:
        return False
    for i in range(a_len):
        x = <uint8_t> a[i]
        y = <uint8_t> b[i]
        if x != y and ((x ^ y) != 0x20 or not is_class(a[i], C_ALPHA)):
            return False
    return True


cdef void host_port_place(const uri_t *uri, uint32_t *begin, uint32_t *end) noexcept nogil:
    """For whoever puts another host there: user, parameters and headers of the URI stay as they are (16.6 item 2)."""
    begin[0] = uri.host.off - (uri.host_kind == HOST_IPV6)
    end[0] = <uint32_t> uri.off + uri.len
    if uri.params.len:
        end[0] = uri.params.off
    elif uri.headers.len:
        end[0] = uri.headers.off - 1
    check(is_inside(&uri.host, begin[0], end[0]))


# ---------------------------------------------------------------- users

cdef text_t canonical_user(const char *buf, const uri_t *uri, char *room) noexcept nogil:
    cdef text_t user
    cdef uint32_t end = <uint32_t> uri.user.off + uri.user.len
    check(is_inside(&uri.user, uri.off, <uint32_t> uri.off + uri.len))
    user.at = buf + uri.user.off
    user.len = uri.user.len
    if scan_class(buf, uri.user.off, end, C_STEADY) < end:      # most users are what they seem
        user.len = write_canonical(user.at, user.len, uri.scheme == S_TEL or uri.phone, room)
        user.at = room
    return user


# In `room`, first decoded and then without parameters and separators, for a separator may itself be escaped ("%2D").
cdef inline uint32_t write_canonical(const char *text, uint32_t len, bint is_number, char *room) noexcept nogil:
    cdef uint32_t decoded = decode(text, len, room)
    cdef uint32_t params = scan_byte(room, 0, decoded, c';')
    check(decoded <= CANONICAL_ROOM)
    if is_number or is_written_as_number(room, params):
        return drop_separators(room, params)
    return decoded


# What may stand in a user stands for itself, all else as an escape in capitals.  What is longer than the room
# is cut: no rule has a user of a quarter of that.
cdef inline uint32_t decode(const char *text, uint32_t len, char *room) noexcept nogil:
    cdef uint32_t at = 0
    cdef uint32_t count = 0
    cdef uint8_t letter
    while at < len and count + 3 <= CANONICAL_ROOM:
        letter = <uint8_t> text[at]
        if letter == c'%' and len - at > 2 and is_class(text[at + 1], C_HEX) and is_class(text[at + 2], C_HEX):
            letter = <uint8_t> (hex_value(text[at + 1]) << 4 | hex_value(text[at + 2]))
            at += 2
        at += 1
        if letter < 128 and letter != c'%' and is_class(<char> letter, C_USER):
            room[count] = <char> letter
            count += 1
        else:
            room[count] = c'%'
            room[count + 1] = b"0123456789ABCDEF"[letter >> 4]
            room[count + 2] = b"0123456789ABCDEF"[letter & 15]
            count += 3
    check(at <= len)
    return count


# RFC 3966 section 3 visual-separator.
cdef inline bint is_separator(char letter) noexcept nogil:
    return letter == c'-' or letter == c'.' or letter == c'(' or letter == c')'


# Phones and gateways write numbers without user=phone more often than with it: a user is judged by its looks, too.
cdef inline bint is_written_as_number(const char *text, uint32_t len) noexcept nogil:
    cdef bint has_digit = False
    cdef uint32_t i
    for i in range(len):
        if is_class(text[i], C_DIGIT):
            has_digit = True
        elif not is_separator(text[i]) and text[i] != c'+' and text[i] != c'*' and text[i] != c'#':
            return False
    return has_digit


# In place: the text only becomes shorter.
cdef inline uint32_t drop_separators(char *text, uint32_t len) noexcept nogil:
    cdef uint32_t count = 0
    cdef uint32_t i
    for i in range(len):
        if not is_separator(text[i]):
            text[count] = text[i]
            count += 1
    return count


cdef text_t canonical_uri(const char *buf, span_t text, char *room) noexcept nogil:
    """So that one user has one place in a hash, however his URI is spelled.

    What cannot be read or has no room is hashed as it came: its bytes then choose the destination, and no call is lost.
    """
    cdef uint32_t end = <uint32_t> text.off + text.len
    cdef uint32_t colon = scan_byte(buf, text.off, end, c':')
    cdef uint32_t mark = scan_byte(buf, colon, end, c'@')
    cdef char user_room[CANONICAL_ROOM]
    cdef text_t whole, user
    cdef uri_t uri
    cdef int n
    whole.at = buf + text.off
    whole.len = text.len
    if mark == end and (text.len == 0 or buf[text.off] | 0x20 != c't'):
        return whole        # sip:host
    if colon == end or scan_class(buf, colon + 1, mark, C_STEADY) == mark:
        return whole
    check(mark >= colon)
    if parse_uri(buf, text.off, text.len, &uri) < 0 or uri.user.len == 0:
        return whole
    user = canonical_user(buf, &uri, user_room)
    if text.len - uri.user.len + user.len > CANONICAL_URI_ROOM:
        return whole
    n = put(room, whole.at, uri.user.off - text.off)
    n += put(room + n, user.at, user.len)
    colon = <uint32_t> uri.user.off + uri.user.len
    whole.len = n + put(room + n, buf + colon, end - colon)
    check(whole.len == text.len - uri.user.len + user.len)
    whole.at = room
    return whole


def canonical(bytes user not None) -> bytes:
    """A user of a rule, or the beginning of one, as canonical_user would have it."""
    cdef char room[CANONICAL_ROOM]
    cdef uint32_t length = write_canonical(user, <uint32_t> len(user), False, room)
    return room[:length]


# ---------------------------------------------------------------- at import

for _text, _id in ((b"sip", S_SIP), (b"sips", S_SIPS), (b"tel", S_TEL)):
    learn_word(&SCHEMES, _text, _id, True)
for _text, _id in ((b"udp", T_UDP), (b"tcp", T_TCP), (b"tls", T_TLS), (b"ws", T_WS), (b"wss", T_WSS),
                   (b"sctp", T_SCTP)):
    learn_word(&TRANSPORTS, _text, _id, True)
for _text, _id in ((b"lr", P_LR), (b"transport", P_TRANSPORT), (b"maddr", P_MADDR), (b"user", P_USER)):
    learn_word(&URI_PARAMS, _text, _id, True)
