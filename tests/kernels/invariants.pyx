"""What holds for every message, whatever it is: spans, chains, values, edits, replies.

Each check is a rule that the kernels of the packet path keep for any bytes.  A message that
breaks one is a defect of the parser, of the edits or of the replies, never of the message.
Memory that kernels read or write is allocated to the byte, so that the sanitizers see one
byte too far.

Must never: judge what a message should mean; that is the oracle's, in tests.
Called by fuzz_doors.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcmp, memcpy, memset

from fastsip._core.base.types cimport (
    E_CALL_ID, E_TOO_LARGE, E_TOO_MANY_HEADERS, MAX_HEADERS, MAX_MESSAGE, MAX_TOKEN, MAX_VIAS, NO_HEADER, OK,
    put_number,
)
from fastsip._core.base.address cimport addr_t, origin_t
from fastsip._core.base.hashing cimport mix, write_base32
from fastsip._core.sip.types cimport (
    HEADER_COUNT, HOST_IPV4, HOST_IPV6, H_CALL_ID, H_CSEQ, H_FROM, H_MAX_FORWARDS, H_TO, H_VIA, header_t, name_addr_t,
    uri_t, via_t,
)
from fastsip._core.sip.uri cimport parse_address, parse_uri, same_text, write_address
from fastsip._core.sip.values cimport count_values, find_param, parse_name_addr, parse_number, parse_via
from fastsip._core.sip.parser cimport (
    count_vias, find_header, first_of, parse_message, parse_routing, parse_second_via, scan_call_id,
)
from fastsip._core.sip.edits cimport (
    clear_edits, close_headers, edit_delete, edit_insert, edit_replace, edit_start_line, take_room, write_edits,
)
from fastsip._core.store.slots cimport SLOT_BITS, SLOT_MASK
from fastsip._core.routing.rules cimport match_rules
from fastsip._core.wire.via cimport read_branch, read_hint, stamp_t, stamp_via
from fastsip._core.wire.tokens cimport OLD_LETTERS, TOKEN_LETTERS, dialog_of, dialog_t, read_token, token_t, write_token
from fastsip._core.transaction.replies cimport reply_room, reply_t, write_reply

# In the order of wrong_id.
WRONGS = (
    "", "a span reaches beyond its message", "headers do not stand side by side", "a chain of headers is broken",
    "the parts of the message do not follow each other", "parsed again, it is another message",
    "scan_call_id finds another Call-ID than the parser", "a value reaches beyond its header",
    "values and commas do not agree", "a URI reaches beyond its value", "an address changes when it is written",
    "a header is found by its name only", "without edits it is written as another message",
    "an edited message is not read as before", "our Via does not come off as it went on",
    "the Via below ours is another one when ours is gone", "a reply is longer than its room",
    "a reply cannot be read", "a reply belongs to another request", "a branch changes when it is written again",
    "a hint changes when it is written again", "a token changes when it is written again",
    "an edited request meets another rule", "there is no memory",
)

cdef enum wrong_id:
    HOLDS = 0
    W_SPAN
    W_HEADERS
    W_CHAIN
    W_PARTS
    W_AGAIN
    W_CALL_ID
    W_VALUE
    W_COMMAS
    W_URI
    W_ADDRESS
    W_NAME
    W_WRITTEN
    W_EDITED
    W_POPPED
    W_SECOND
    W_ROOM
    W_REPLY
    W_REQUEST
    W_BRANCH
    W_HINT
    W_TOKEN
    W_RULE
    W_MEMORY
    WRONG_COUNT
assert len(WRONGS) == WRONG_COUNT

cdef const char *OUR_VIA = (b"Via: SIP/2.0/UDP 203.0.113.4:5060;branch=z9hG4bKaaaaaaaaaaaaa.aaaaaa"
                            b";fs=aaaaaaaaaaaaaaaaaaaaaa\r\n")
cdef uint32_t OUR_VIA_LEN = len(OUR_VIA)
cdef int[5] NEEDED = [H_VIA, H_FROM, H_TO, H_CALL_ID, H_CSEQ]


# ---------------------------------------------------------------- the index

cdef inline bint is_inside(span_t span, uint32_t begin, uint32_t end) noexcept nogil:
    """An empty span has no place."""
    return span.len == 0 or (begin <= span.off and <uint32_t>span.off + span.len <= end)


cdef int check_spans(const message_t *m) noexcept nogil:
    if not (is_inside(m.method_name, 0, m.headers_off) and is_inside(m.ruri, 0, m.headers_off)
            and is_inside(m.reason, 0, m.headers_off)):
        return W_SPAN
    if not (is_inside(m.call_id, m.headers_off, m.headers_end) and is_inside(m.from_tag, m.headers_off, m.headers_end)
            and is_inside(m.to_tag, m.headers_off, m.headers_end)
            and is_inside(m.cseq_method_name, m.headers_off, m.headers_end)):
        return W_SPAN
    return HOLDS


cdef int check_headers(const message_t *m, int code) noexcept nogil:
    cdef const header_t *header
    cdef uint32_t before = m.headers_off
    cdef uint32_t i
    for i in range(m.header_count):
        header = &m.headers[i]
        if header.name_off < before or (code == OK and header.name_off != before):
            return W_HEADERS
        if (<uint32_t>header.name_off + header.name_len > header.value_off
                or <uint32_t>header.value_off + header.value_len > header.end_off):
            return W_HEADERS
        before = header.end_off
    if before > m.headers_end or (code == OK and before != m.headers_end):
        return W_HEADERS
    return HOLDS


cdef int check_chains(const message_t *m) noexcept nogil:
    """first, next and last walk the headers of each id in their order, and all of them."""
    cdef uint32_t walked = 0
    cdef uint32_t id, i, before
    for id in range(HEADER_COUNT):
        i = m.first[id]
        before = NO_HEADER
        while i != NO_HEADER:
            if i >= m.header_count or m.headers[i].id != id or (before != NO_HEADER and i <= before):
                return W_CHAIN
            walked += 1
            before = i
            i = m.headers[i].next
        if before != m.last[id]:
            return W_CHAIN
    return HOLDS if walked == m.header_count else W_CHAIN


cdef int check_parts(const message_t *m, uint32_t len, int code) noexcept nogil:
    if not (m.headers_off <= m.headers_end <= m.body_off and m.body_off + m.body_len <= m.len <= len):
        return W_PARTS
    return HOLDS if code < 0 or m.body_off + m.body_len == <int>m.len else W_PARTS


cdef int check_index(const message_t *m, uint32_t len, int code) noexcept nogil:
    cdef int wrong = check_parts(m, len, code)
    if not wrong:
        wrong = check_spans(m)
    if not wrong:
        wrong = check_headers(m, code)
    return wrong if wrong else check_chains(m)


cdef inline bint same_span(span_t a, span_t b) noexcept nogil:
    return a.off == b.off and a.len == b.len


cdef int check_again(checker_t *c, const char *buf, uint32_t len, int code, int routing) noexcept nogil:
    """Read into memory full of other bits, and asked for its values twice."""
    cdef message_t *m = &c.m
    cdef message_t *again = &c.again
    memset(again, 0xA5, sizeof(message_t))
    if parse_message(buf, len, again) != code or parse_routing(again) != routing or parse_routing(again) != routing:
        return W_AGAIN
    if (m.header_count != again.header_count or m.len != again.len or m.method != again.method
            or m.status != again.status or m.cseq != again.cseq or m.max_forwards != again.max_forwards
            or m.body_off != again.body_off or m.body_len != again.body_len or m.headers_end != again.headers_end):
        return W_AGAIN
    if not (same_span(m.ruri, again.ruri) and same_span(m.reason, again.reason) and same_span(m.call_id, again.call_id)
            and same_span(m.from_tag, again.from_tag) and same_span(m.to_tag, again.to_tag)):
        return W_AGAIN
    if (memcmp(&m.via, &again.via, sizeof(via_t)) or memcmp(m.first, again.first, sizeof(m.first))
            or memcmp(m.headers, again.headers, m.header_count * sizeof(header_t))):
        return W_AGAIN
    return HOLDS


cdef int check_call_id(const message_t *m, const char *buf, uint32_t len) noexcept nogil:
    """Else a message would be handed to a shard that does not own its call."""
    cdef uint32_t i = first_of(m, H_CALL_ID)
    cdef span_t found
    cdef int code = scan_call_id(buf, len, &found)
    if i == NO_HEADER:
        return HOLDS
    if m.headers[i].value_len > MAX_TOKEN:
        return HOLDS if code == E_CALL_ID else W_CALL_ID
    if code != OK or found.len != m.headers[i].value_len:
        return W_CALL_ID
    return HOLDS if found.len == 0 or found.off == m.headers[i].value_off else W_CALL_ID


# ---------------------------------------------------------------- values

cdef int check_host(const char *buf, span_t host, uint8_t kind) noexcept nogil:
    cdef addr_t addr, again
    cdef char room[48]
    cdef int len
    if parse_address(buf + host.off, host.len, kind, 5060, &addr) < 0:
        return HOLDS
    len = write_address(&addr, room, False)
    if len > 47 or parse_address(room, len, HOST_IPV4 if addr.family == 4 else HOST_IPV6, 5060, &again) < 0:
        return W_ADDRESS
    return HOLDS if memcmp(&addr, &again, sizeof(addr_t)) == 0 else W_ADDRESS


cdef int check_uri(const char *buf, span_t text, uri_t *uri) noexcept nogil:
    cdef uint32_t begin = text.off
    cdef uint32_t end = begin + text.len
    if parse_uri(buf, begin, text.len, uri) < 0:
        return HOLDS if is_inside(uri.scheme_name, begin, end) else W_URI
    if not (is_inside(uri.scheme_name, begin, end) and is_inside(uri.user, begin, end)
            and is_inside(uri.host, begin, end) and is_inside(uri.maddr, begin, end)
            and is_inside(uri.params, begin, end) and is_inside(uri.headers, begin, end)):
        return W_URI
    return check_host(buf, uri.host, uri.host_kind)


cdef int check_via_value(const via_t *via, uint32_t begin, uint32_t end) noexcept nogil:
    if via.off < begin or <uint32_t>via.off + via.len > end or (via.last and <uint32_t>via.off + via.len != end):
        return W_VALUE
    begin, end = via.off, <uint32_t>via.off + via.len
    if not (is_inside(via.host, begin, end) and is_inside(via.branch, via.params_off, end)
            and is_inside(via.received, via.params_off, end) and is_inside(via.hint, via.params_off, end)):
        return W_VALUE
    if via.params_off < begin or via.rport_off > via.rport_end or via.received_off > via.received_end:
        return W_VALUE
    return HOLDS if via.params_off <= end and via.rport_end <= end and via.received_end <= end else W_VALUE


cdef int check_via_header(checker_t *c, const char *buf, uint32_t begin, uint32_t end) noexcept nogil:
    cdef uint32_t off = begin
    cdef int count = 0
    cdef int wrong
    cdef via_t via
    while parse_via(buf, off, end, &via) == OK:
        count += 1
        wrong = check_via_value(&via, off, end)
        if not wrong:
            wrong = check_host(buf, via.host, via.host_kind)
        if not wrong:
            wrong = check_readers(c, buf, &via.branch)
        if not wrong:
            wrong = check_readers(c, buf, &via.hint)
        if wrong:
            return wrong
        if via.last:
            return HOLDS if count == count_values(buf, begin, end) else W_COMMAS
        off = <uint32_t>via.off + via.len + 1
    return HOLDS


cdef int check_address_header(checker_t *c, const char *buf, uint32_t begin, uint32_t end) noexcept nogil:
    cdef uint32_t off = begin
    cdef name_addr_t value
    cdef span_t found
    cdef uri_t uri
    cdef int wrong
    while parse_name_addr(buf, off, end, &value) == OK:
        if value.off < off or <uint32_t>value.off + value.len > end:
            return W_VALUE
        if not (is_inside(value.display, value.off, end) and is_inside(value.uri, value.off, end)
                and is_inside(value.params, value.off, end)):
            return W_VALUE
        if find_param(buf, value.params, b"tag", 3, &found) and not is_inside(found, value.off, end):
            return W_VALUE
        wrong = check_uri(buf, value.uri, &uri)
        if not wrong:
            wrong = check_readers(c, buf, &uri.user)
        if wrong or value.last:
            return wrong
        off = <uint32_t>value.off + value.len + 1
    return HOLDS


cdef int check_name(const message_t *m, uint32_t i) noexcept nogil:
    """By its name one finds the first header of that name."""
    cdef const header_t *header = &m.headers[i]
    cdef uint32_t found = find_header(m, m.buf + header.name_off, header.name_len)
    if found > i or (header.id and m.headers[found].id != header.id):
        return W_NAME
    return HOLDS


cdef int check_values(checker_t *c) noexcept nogil:
    """Every reader at every header: what a value is read as does not depend on its name alone."""
    cdef message_t *m = &c.m
    cdef const header_t *header
    cdef span_t text
    cdef uint32_t i, end
    cdef int wrong
    for i in range(m.header_count):
        header = &m.headers[i]
        end = <uint32_t>header.value_off + header.value_len
        text.off, text.len = header.value_off, header.value_len
        parse_number(m.buf, text, 18)
        wrong = check_name(m, i)
        if not wrong:
            wrong = check_via_header(c, m.buf, header.value_off, end)
        if not wrong:
            wrong = check_address_header(c, m.buf, header.value_off, end)
        if wrong:
            return wrong
    return HOLDS


# ---------------------------------------------------------------- what peers send back

cdef bint branch_is_stable(const char *buf, const span_t *text) noexcept nogil:
    cdef char again[16]
    cdef uint64_t value
    if read_branch(buf, text, &value) < 0:
        return True
    return same_text(buf + text.off + 7, 13, again, write_base32(value, 64, again))


cdef bint hint_is_stable(const shard_t *shard, const char *buf, const span_t *text) noexcept nogil:
    """Any text of sixteen letters, but what it says is our own epoch, a slot of ours and nothing else."""
    cdef char again[16]
    cdef uint32_t ref, generation, index
    if read_hint(shard.store, buf, text, &ref, &generation) < 0:
        return True
    index = ref & SLOT_MASK
    write_base32(<uint64_t>generation << 8 | index & 0xFF, 40, again)
    write_base32(<uint64_t>(index >> 8) << 22 | <uint64_t>(ref >> SLOT_BITS) << 16 | shard.store.epoch & 0xFFFF, 40,
                 again + 8)
    return same_text(buf + text.off, 16, again, 16)


cdef bint token_is_stable(checker_t *c, const char *buf, const span_t *text) noexcept nogil:
    """Of a call without Call-ID and tags: what verifies, we have written."""
    cdef char again[TOKEN_LETTERS]
    cdef token_t token
    cdef dialog_t dialog
    cdef const table_t *by = c.shard.table
    c.blank.buf, c.blank.len = buf, <uint32_t>text.off + text.len
    dialog.made = 0
    return (read_token(by, &c.blank, text, &dialog, &token) != OK or text.len == OLD_LETTERS
            or same_text(buf + text.off, text.len, again, write_token(by, dialog_of(by, &c.blank), &token, again)))


cdef int check_readers(checker_t *c, const char *buf, const span_t *text) noexcept nogil:
    """One line for each reader: what it accepts of any text, it would write again in the same letters."""
    cdef int wrong = HOLDS
    wrong = wrong if branch_is_stable(buf, text) else W_BRANCH
    wrong = wrong if hint_is_stable(c.shard, buf, text) else W_HINT
    wrong = wrong if token_is_stable(c, buf, text) else W_TOKEN
    return wrong


# ---------------------------------------------------------------- edits

cdef char *write_exactly(checker_t *c, const message_t *m, uint32_t *len) noexcept nogil:
    """The edited message in memory of exactly its size, to be freed; NULL when that is beyond the largest."""
    cdef char *out
    len[0] = m.len + c.edits.growth
    if len[0] > MAX_MESSAGE or c.edits.overflow:
        return NULL
    out = <char *>malloc(len[0])
    if out != NULL and write_edits(&c.edits, m.buf, m.len, out, len[0]) != <int>len[0]:
        free(out)
        return NULL
    return out


cdef int check_written(checker_t *c) noexcept nogil:
    cdef uint32_t len
    cdef char *out
    cdef bint same
    clear_edits(&c.edits)
    out = write_exactly(c, &c.m, &len)
    if out == NULL:
        return W_WRITTEN
    same = len == c.m.len and memcmp(out, c.m.buf, len) == 0
    free(out)
    return HOLDS if same else W_WRITTEN


cdef inline bint same_at(const message_t *m, span_t a, const message_t *again, span_t b) noexcept nogil:
    return a.len == b.len and memcmp(m.buf + a.off, again.buf + b.off, a.len) == 0


cdef int check_alike(const message_t *m, const message_t *again) noexcept nogil:
    if not (same_at(m, m.method_name, again, again.method_name) and same_at(m, m.ruri, again, again.ruri)
            and same_at(m, m.reason, again, again.reason) and same_at(m, m.call_id, again, again.call_id)
            and same_at(m, m.from_tag, again, again.from_tag) and same_at(m, m.to_tag, again, again.to_tag)
            and same_at(m, m.cseq_method_name, again, again.cseq_method_name)):
        return W_EDITED
    if m.cseq != again.cseq or m.status != again.status or m.method != again.method or m.body_len != again.body_len:
        return W_EDITED
    return HOLDS if memcmp(m.buf + m.body_off, again.buf + again.body_off, m.body_len) == 0 else W_EDITED


cdef int read_again(checker_t *c, const char *out, uint32_t len) noexcept nogil:
    cdef int code = parse_message(out, len, &c.again)
    cdef int routing = parse_routing(&c.again)
    return code if code < 0 else routing


cdef int check_pushed(checker_t *c) noexcept nogil:
    """Our Via on top, and off again."""
    cdef uint32_t len, rest
    cdef uint32_t vias = count_vias(&c.m)
    cdef int wrong = HOLDS
    cdef char *out
    cdef via_t second
    if c.m.header_count == MAX_HEADERS or vias < 1 or vias >= MAX_VIAS:
        return HOLDS
    clear_edits(&c.edits)
    edit_insert(&c.edits, c.m.headers_off, OUR_VIA, OUR_VIA_LEN)
    out = write_exactly(c, &c.m, &len)
    if out == NULL:
        return HOLDS if c.m.len + OUR_VIA_LEN > MAX_MESSAGE else W_WRITTEN
    if read_again(c, out, len) < 0 or count_vias(&c.again) != <int>vias + 1:
        wrong = W_EDITED
    elif parse_second_via(&c.again, &second) < 0 or not same_at(&c.m, c.m.via.branch, &c.again, second.branch):
        wrong = W_SECOND
    else:
        wrong = check_alike(&c.m, &c.again)
        rest = c.again.headers[0].end_off
        if (rest != c.m.headers_off + OUR_VIA_LEN or len - rest != c.m.len - c.m.headers_off
                or memcmp(out, c.m.buf, c.m.headers_off) or memcmp(out + rest, c.m.buf + c.m.headers_off, len - rest)):
            wrong = W_POPPED
    free(out)
    return wrong


cdef void edit_hop(checker_t *c, const addr_t *source) noexcept nogil:
    """One hop less, received and rport (16.6 item 3, 18.2.1)."""
    cdef const header_t *header
    cdef stamp_t stamps[2]
    cdef char *text
    cdef int i
    clear_edits(&c.edits)
    if c.m.is_request:
        edit_start_line(&c.edits, &c.m)
    if c.m.max_forwards > 0:
        header = &c.m.headers[first_of(&c.m, H_MAX_FORWARDS)]
        text = take_room(&c.edits, 4)
        edit_replace(&c.edits, header.value_off, header.value_len, text, put_number(text, c.m.max_forwards - 1))
    for i in range(stamp_via(&c.m, source, stamps)):
        text = take_room(&c.edits, stamps[i].len)
        memcpy(text, stamps[i].text, stamps[i].len)
        edit_replace(&c.edits, stamps[i].off, stamps[i].cut, text, stamps[i].len)
    close_headers(&c.edits, &c.m)


cdef int check_rules(checker_t *c, const addr_t *source) noexcept nogil:
    """With one hop less it is still the same request to every rule."""
    cdef uri_t uri, again
    cdef origin_t origin
    if c.table == NULL or not c.m.is_request or parse_uri(c.m.buf, c.m.ruri.off, c.m.ruri.len, &uri) < 0:
        return HOLDS
    parse_uri(c.again.buf, c.again.ruri.off, c.again.ruri.len, &again)
    memset(&origin, 0, sizeof(origin))
    origin.flow.remote = source[0]
    if match_rules(c.table, &c.m, &uri, &origin) == match_rules(c.table, &c.again, &again, &origin):
        return HOLDS
    return W_RULE


cdef int check_hop(checker_t *c, const addr_t *source) noexcept nogil:
    cdef uint32_t len
    cdef int wrong
    cdef char *out
    edit_hop(c, source)
    out = write_exactly(c, &c.m, &len)
    if out == NULL:
        return HOLDS if c.m.len + c.edits.growth > MAX_MESSAGE and not c.edits.overflow else W_WRITTEN
    if read_again(c, out, len) < 0 or (c.m.max_forwards > 0 and c.again.max_forwards != c.m.max_forwards - 1):
        wrong = W_EDITED
    elif not same_at(&c.m, c.m.via.branch, &c.again, c.again.via.branch):
        wrong = W_EDITED
    else:
        wrong = check_alike(&c.m, &c.again)
        wrong = wrong if wrong else check_rules(c, source)
    free(out)
    return wrong


cdef int check_popped(checker_t *c) noexcept nogil:
    """Without its topmost value, as a response goes on (16.7 item 3)."""
    cdef const header_t *header = &c.m.headers[first_of(&c.m, H_VIA)]
    cdef uint32_t len
    cdef int wrong = HOLDS
    cdef int code
    cdef via_t second
    cdef char *out
    clear_edits(&c.edits)
    if c.m.via.last:
        edit_delete(&c.edits, header.name_off, header.end_off - header.name_off)
    else:
        edit_delete(&c.edits, c.m.via.off, c.m.via.len + 1)
    out = write_exactly(c, &c.m, &len)
    if out == NULL:
        return W_WRITTEN
    code = parse_second_via(&c.m, &second)
    parse_message(out, len, &c.again)
    parse_routing(&c.again)
    if code == OK:
        wrong = HOLDS if same_at(&c.m, second.branch, &c.again, c.again.via.branch) else W_SECOND
    elif c.again.via.len:
        wrong = W_SECOND
    free(out)
    return wrong


# ---------------------------------------------------------------- replies

cdef bint is_answerable(const message_t *m) noexcept nogil:
    cdef int i
    for i in range(5):
        if first_of(m, NEEDED[i]) == NO_HEADER:
            return False
    return m.is_request and m.via.host.len > 0


cdef int check_reply(checker_t *c, const addr_t *source, bint readable) noexcept nogil:
    """Of anything that may be answered, the unreadable included."""
    cdef reply_t reply
    cdef uint32_t room
    cdef char *out
    cdef int len, code
    cdef int wrong = HOLDS
    memset(&reply, 0, sizeof(reply))
    reply.status = 400
    reply.tag_key = 1
    room = reply_room(&c.m, &reply)
    out = <char *>malloc(room)
    if out == NULL:
        return W_MEMORY
    len = write_reply(&c.m, first_of(&c.m, H_VIA), source, &reply, out)
    if len > <int>room:
        wrong = W_ROOM
    elif len <= MAX_MESSAGE:
        code = parse_message(out, len, &c.again)
        if code != OK and code != E_TOO_MANY_HEADERS:
            wrong = W_REPLY
        elif readable and code == OK:
            code = parse_routing(&c.again)
            if code < 0 or c.again.to_tag.len == 0 or c.again.cseq != c.m.cseq:
                wrong = W_REPLY
            elif not (same_at(&c.m, c.m.call_id, &c.again, c.again.call_id)
                      and same_at(&c.m, c.m.from_tag, &c.again, c.again.from_tag)
                      and same_at(&c.m, c.m.via.branch, &c.again, c.again.via.branch)):
                wrong = W_REQUEST
    free(out)
    return wrong


# ---------------------------------------------------------------- all of it

cdef uint32_t sign(const message_t *m, int code, int routing, int uri_code, const uri_t *uri) noexcept nogil:
    """Messages of the same signature are of the same kind, more or less."""
    cdef uint64_t shape = m.method | m.via.host_kind << 4 | m.via.transport << 6 | m.via.magic << 9 | m.via.last << 10
    shape |= <uint64_t>((m.via.rport_off > 0) << 11 | (m.via.received_off > 0) << 12 | (m.via.hint.len > 0) << 13)
    shape |= <uint64_t>((m.to_tag.len > 0) << 14 | (m.from_tag.len > 0) << 15 | (m.body_len > 0) << 16)
    shape |= <uint64_t>(uri.scheme << 17 | uri.host_kind << 19 | (uri.user.len > 0) << 21 | uri.lr << 22)
    shape |= <uint64_t>((uri.params.len > 0) << 23 | (uri.headers.len > 0) << 24 | (uri.maddr.len > 0) << 25)
    return <uint32_t>mix(shape, mix(<uint64_t>(-code) << 16 | <uint64_t>(-routing) << 8 | <uint64_t>(-uri_code),
                                    min(<uint32_t>m.header_count, <uint32_t>20)))


cdef int check_readable(checker_t *c, const addr_t *source) noexcept nogil:
    cdef int wrong = check_pushed(c)
    if not wrong:
        wrong = check_hop(c, source)
    return wrong if wrong else check_popped(c)


cdef int check_message(checker_t *c, const char *buf, uint32_t len) noexcept nogil:
    cdef int code = parse_message(buf, len, &c.m)
    cdef int routing = parse_routing(&c.m)
    cdef int wrong
    cdef addr_t source
    cdef uri_t uri
    if code == E_TOO_LARGE:
        return HOLDS if c.m.header_count == 0 else W_PARTS
    memset(&source, 0, sizeof(source))
    source.family = 6
    source.port = 65535
    memset(source.ip, 0xFD, 16)
    wrong = check_index(&c.m, len, code)
    if not wrong:
        wrong = check_again(c, buf, len, code, routing)
    if not wrong:
        wrong = check_call_id(&c.m, buf, len)
    if not wrong:
        wrong = check_uri(buf, c.m.ruri, &uri)
    if not wrong:
        c.signature = sign(&c.m, code, routing, parse_uri(buf, c.m.ruri.off, c.m.ruri.len, &uri), &uri)
        wrong = check_values(c)
    if not wrong:
        wrong = check_written(c)
    if not wrong and code == OK and routing == OK:
        wrong = check_readable(c, &source)
    if not wrong and is_answerable(&c.m):
        wrong = check_reply(c, &source, code == OK and routing == OK)
    return wrong
