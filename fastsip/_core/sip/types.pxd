# The words of SIP, the index of one message, and its URIs.
#
# All offsets count from the first byte of the message.  Nothing here owns memory.

from libc.stdint cimport int16_t, uint8_t, uint16_t, uint32_t
from fastsip._core.base.types cimport MAX_HEADERS, NO_HEADER, span_t

cdef enum:
    SIP_PORT = 5060         # where a URI or Via names none (18.1.1, 18.2.2): see uri.usual_port
    SIPS_PORT = 5061
    WS_PORT = 80            # RFC 7118
    WSS_PORT = 443

# The methods that something here looks at; all others are one, and are told apart by their names where that matters.
# Numbers stand in the store.
cdef enum method_id:
    M_OTHER = 0
    M_INVITE
    M_ACK
    M_BYE
    M_CANCEL
    M_OPTIONS
    M_REGISTER
    M_PRACK
    M_SUBSCRIBE
    M_NOTIFY
    M_PUBLISH
    M_INFO
    M_REFER
    M_MESSAGE
    M_UPDATE
    METHOD_COUNT

# The headers that something here looks at.  A header of another name is H_OTHER, and goes on unread (16.3 item 1).
cdef enum header_id:
    H_OTHER = 0
    H_VIA
    H_FROM
    H_TO
    H_CALL_ID
    H_CSEQ
    H_MAX_FORWARDS
    H_CONTENT_LENGTH
    H_ROUTE
    H_RECORD_ROUTE
    H_CONTACT
    H_CONTENT_TYPE
    H_REQUIRE
    H_PROXY_REQUIRE
    H_SUPPORTED
    H_AUTHORIZATION
    H_PROXY_AUTHORIZATION
    H_WWW_AUTHENTICATE
    H_PROXY_AUTHENTICATE
    H_RETRY_AFTER
    H_REASON
    H_EXPIRES
    H_SESSION_EXPIRES
    H_REPLACES
    H_JOIN
    H_TARGET_DIALOG
    H_MAX_BREADTH
    H_TIMESTAMP
    HEADER_COUNT

cdef enum scheme_id:
    S_OTHER = 0
    S_SIP
    S_SIPS
    S_TEL

cdef enum host_kind:
    HOST_NONE = 0
    HOST_NAME
    HOST_IPV4
    HOST_IPV6               # the span excludes the brackets

cdef struct header_t:
    uint16_t name_off       # also where the header's first line begins
    uint16_t name_len       # 0 = a line that is no header: it goes on as it came
    uint16_t value_off      # first and last byte are not white space
    uint16_t value_len      # folds inside are left as they are
    uint16_t end_off        # one past the line end that closes the header
    uint8_t id              # header_id
    uint8_t next            # index of the next header of this id, or NO_HEADER

cdef struct via_t:
    span_t host
    span_t branch           # as received, with the magic cookie
    span_t received
    span_t hint             # value of our own parameter "fs"
    uint16_t off            # whole value, up to the comma or the header's end
    uint16_t len
    uint16_t params_off     # of the first ';', or the end of the value
    uint16_t port           # 0 = absent
    uint16_t rport          # value of rport, 0 = none
    uint16_t rport_off      # one past the parameter's name; 0 = no rport
    uint16_t rport_end      # one past its value
    uint16_t received_off   # as of rport
    uint16_t received_end
    uint8_t host_kind
    uint8_t transport
    uint8_t magic           # the branch begins with z9hG4bK
    uint8_t last            # nothing follows it in this header

# The index of one message.  Points into the caller's buffer and is valid as
# long as that buffer is; it is filled by parse_message and parse_routing.
cdef struct message_t:
    const char *buf
    uint32_t len            # of the datagram, without what lies behind the body (18.3)
    uint8_t is_request
    uint8_t method          # method_id; for a response: the CSeq's
    uint16_t status         # 0 for a request
    span_t method_name
    span_t ruri             # without headers behind "?", which may not stand there (19.1.1)
    span_t reason
    uint16_t headers_off    # where the first header begins
    uint16_t headers_end    # where the empty line begins; `len` when there is none
    uint16_t body_off
    uint16_t body_len       # by Content-Length, else the datagram's rest
    uint16_t header_count
    uint8_t first[HEADER_COUNT]  # [header_id] -> index of the first one
    uint8_t last[HEADER_COUNT]
    # filled by parse_routing
    uint8_t routing_done
    uint8_t cseq_method
    int16_t max_forwards    # -1 = absent
    uint32_t cseq
    span_t cseq_method_name
    span_t call_id
    span_t from_tag         # len 0 = absent; with `off` it stands there without a value
    span_t to_tag
    via_t via               # the topmost
    header_t headers[MAX_HEADERS]

# For checks: does the span end within the message?  What is absent has no length.
cdef inline bint is_within(const message_t *m, const span_t *text) noexcept nogil:
    return <uint32_t>text.off + text.len <= m.len

# For checks: has the index no header of this id, or a chain from its first to its last one?
cdef inline bint is_chain(const message_t *m, int id) noexcept nogil:
    cdef uint32_t first = m.first[id]
    cdef uint32_t last = m.last[id]
    if first == NO_HEADER or last == NO_HEADER:
        return first == last
    return (first <= last < m.header_count and m.headers[first].id == id and m.headers[last].id == id
            and m.headers[last].next == NO_HEADER)

# For checks: do name and value of a header stand in its lines, behind those of the one before?  Between them may stand
# lines that are no header, of a message that is refused for them.
cdef inline bint is_in_line(const message_t *m, uint32_t index) noexcept nogil:
    cdef const header_t *header = &m.headers[index]
    return (index < m.header_count
            and header.name_off >= (m.headers[index - 1].end_off if index else m.headers_off)
            and <uint32_t>header.name_off + header.name_len <= header.value_off
            and <uint32_t>header.value_off + header.value_len <= header.end_off <= m.len)

cdef struct uri_t:
    uint8_t scheme          # scheme_id; of S_OTHER nothing but its name is read
    uint8_t host_kind
    uint8_t transport       # of the parameter; T_NONE when absent
    uint8_t lr              # has a parameter lr, with or without value
    uint8_t phone           # user=phone: the user is a telephone number
    uint16_t port           # 0 = absent
    span_t scheme_name
    span_t user             # without password; as it stands (canonical_user says what is compared)
    span_t host             # without brackets
    span_t maddr
    span_t params           # from the first ';' to '?' or the end
    span_t headers          # after '?'
    uint16_t off
    uint16_t len

# One value of a From, To, Contact, Route or Record-Route header.
cdef struct name_addr_t:
    span_t display
    span_t uri              # without < >
    span_t params           # header parameters, from the first ';'
    uint16_t off            # the whole value
    uint16_t len
    uint8_t bracketed
    uint8_t last            # nothing follows it in this header
