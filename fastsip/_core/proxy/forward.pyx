"""A request as it goes on (16.6), with state and without.

Makes the request of a branch and keeps it in the branch's block, from which it is sent (transaction/client); the
server transaction counts the branch before that is done.
Decides nothing: what happens on which event is in transaction/machines, what it means for the call in context.

A branch's block is the request as sent.  What the next branch needs to start from what stood before
follows it: header lines that the way out took (identity.taken_len bytes), and the Request-URI, when this
branch changed it (identity.ruri_len bytes).
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp, memset

from fastsip._core.base.types cimport (
    E_BAD, E_FULL, E_HEADER, E_ROOM, MAX_ATTEMPTS, MAX_HEADERS, MAX_MESSAGE, MAX_SENT_BY, NO_HEADER, OK, put,
    put_number, text_t,
)
from fastsip._core.base.address cimport addr_t
from fastsip._core.base.check cimport check
from fastsip._core.base.hashing cimport hash_text
from fastsip._core.sip.types cimport (
    H_MAX_BREADTH, H_MAX_FORWARDS, H_ROUTE, M_INVITE, header_t, name_addr_t, uri_t, via_t,
)
from fastsip._core.sip.uri cimport host_port_place, parse_uri, uri_address
from fastsip._core.sip.parser cimport first_of, parse_message, parse_name_addr, parse_routing, parse_second_via
from fastsip._core.sip.edits cimport (
    EDIT_ROOM, clear_edits, edit_delete, edit_insert, edit_replace, edit_start_line, take_room,
)
from fastsip._core.store.records cimport (
    CALLING, KIND_CLIENT_INVITE, KIND_CLIENT_OTHER, KIND_FREE, OWES_REQUEST, block_t, record_t,
)
from fastsip._core.store.slots cimport (
    NO_SLOT, SLOT_BITS, block_at, commit, drop_block, give_slot, holds_too_much, index_insert, link_child, record_of,
    slot_at, slot_t, word_generation, word_kind, word_owes, word_state, write_identity, write_tried,
)
from fastsip._core.routing.types cimport destination_t, listener_t, set_t, table_t
from fastsip._core.routing.lookup cimport find_by_address, find_destination, find_listener
from fastsip._core.routing.rules cimport is_known
from fastsip._core.routing.header_edits cimport changes_t, edit_headers, gather_changes, hides_lines, undo_room, undo_t
from fastsip._core.dispatcher.choose cimport rank_next
from fastsip._core.wire.via cimport (
    STATELESS, VIA_ROOM, branch_value, read_loop, reply_address, stamp_t, stamp_via, write_via,
)
from fastsip._core.wire.tokens cimport (
    PAIR_LETTERS, TOKEN_LETTERS, dialog_of, is_other_border, passage_of, token_t, write_token,
)
from fastsip._core.transport.names cimport place_mark
from fastsip._core.state.counters cimport N_OVER_SHARE
from fastsip._core.state.shard cimport count
from fastsip._core.state.outbox cimport send_edited, take_scratch
from fastsip._core.transaction.clocks cimport arm_slot, first_clocks
from fastsip._core.transaction.lingering cimport take_slot_of_call, write_block
from fastsip._core.transaction.client cimport has_request, send_request, sent_len
from fastsip._core.transaction.server cimport set_trying_clock
from fastsip._core.health.measuring cimport measure_attempt
from fastsip._core.proxy.request cimport MAX_CUTS, first_state, hop_t, server_kind
from fastsip._core.proxy.parking cimport leave_parking
from fastsip._core.proxy.targets cimport aim_at, share_of

cdef enum:
    # The sums of these stand at the end.
    ROUTE_ROOM = 16             # of a Route line, beyond its URI
    BREADTH_ROOM = 20           # of a Max-Breadth line
    TOP_ROOM = 1100             # our Via, two Record-Routes and Max-Forwards


cdef int undo_way_out(shard_t *shard, uint32_t ref, message_t *m) noexcept nogil:
    """Puts back, before the branch's body, the lines that its way out took, drops those it brought, and restores the
    Request-URI.  `rest`, behind the message in the block, has them; how long they are a file says, too.
    """
    cdef const slot_t *slot = slot_at(shard.store, ref)
    cdef const char *rest = m.buf + sent_len(slot)      # what stands behind the message
    cdef uint32_t taken = slot.identity.client.taken_len
    cdef uint32_t ruri = slot.identity.client.ruri_len
    cdef uint32_t ruri_end = m.ruri.off + m.ruri.len
    cdef uint32_t headers = m.headers_end - slot.identity.client.brought
    cdef char *at
    cdef int n, code
    check(has_request(slot))
    check(m.buf == block_at(shard.store, ref, record_of(slot).client.request.unit))
    if taken == 0 and ruri == 0 and headers == m.headers_end:
        return OK
    if slot.identity.client.brought > <uint32_t>m.headers_end - m.headers_off:
        return E_BAD
    at = take_scratch(shard, m.len + taken + ruri)
    if at == NULL:
        return E_ROOM
    n = put(at, m.buf, m.ruri.off if ruri else ruri_end)
    n += put(at + n, rest + taken, ruri)
    n += put(at + n, m.buf + ruri_end, headers - ruri_end)
    n += put(at + n, rest, taken)
    n += put(at + n, m.buf + m.headers_end, m.len - m.headers_end)
    check(<uint32_t>n <= m.len + taken + ruri)
    code = parse_message(at, n, m)
    return parse_routing(m) if code == OK else code


# ---------------------------------------------------------------- forwarding

cdef void edit_max_forwards(shard_t *shard, const message_t *m, char *top, int *n) noexcept nogil:
    """16.6 item 3: one less, or 70 when the request has none."""
    cdef const header_t *header
    cdef char *text
    if m.max_forwards < 0:
        n[0] += put(top + n[0], b"Max-Forwards: 70\r\n", 18)
        return
    text = take_room(&shard.edits, 4)
    if text == NULL:
        return
    check(m.max_forwards > 0)           # is_refused, aim_as_invite: 483 otherwise
    header = &m.headers[first_of(m, H_MAX_FORWARDS)]
    edit_replace(&shard.edits, header.value_off, header.value_len, text, put_number(text, m.max_forwards - 1))


cdef void edit_received(shard_t *shard, const message_t *m, const addr_t *source) noexcept nogil:
    """18.2.1 and RFC 3581: received and rport in the sender's Via, by the address that the request came from."""
    cdef stamp_t stamps[2]
    cdef char *text
    cdef int i
    for i in range(stamp_via(m, source, stamps)):
        text = take_room(&shard.edits, stamps[i].len)
        if text == NULL:
            return
        edit_replace(&shard.edits, stamps[i].off, stamps[i].cut, text, put(text, stamps[i].text, stamps[i].len))


cdef void fill_token(shard_t *shard, const message_t *m, const hop_t *hop, token_t *token) noexcept nogil:
    """Whom the token of our Record-Route names: this branch's destination or the one that the request came from.

    A call has up to two destinations of ours.  Only members of a set with in_dialog = shared have a stand-in, so of the
    two that one is named; with none or both, the one it goes to.  Its stand-in is named beside it, or the destination
    at the other end when that has a border: the border must be known there, a stand-in the ranking finds, too.
    """
    cdef const table_t *table = shard.table
    cdef const destination_t *d
    cdef const set_t *of_set
    cdef int index = find_destination(table, hop.destination_id, hop.destination)
    cdef int other = hop.from_destination
    cdef int stand_in
    check(hop.record_route)
    if index < 0:
        index = find_by_address(table, &hop.flow.remote)
    if other >= 0 and (index < 0 or not table.sets[table.destinations[index].set_index].in_dialog):
        index, other = other, index
        token.of_caller = True
    if index < 0:
        return
    d = &table.destinations[index]
    of_set = &table.sets[d.set_index]
    token.of_set = of_set.short_id
    token.destination = d.short_id
    if other >= 0 and is_other_border(table, &table.destinations[other], token.of_set):
        token.stand_in = table.destinations[other].short_id
        return
    if not of_set.in_dialog:
        return
    stand_in = rank_next(table, d.set_index, hash_text(of_set.hash_key, m.buf + m.call_id.off, m.call_id.len),
                         &d.id, 1, shard.known, shard.positions, shard.now_ms)
    if stand_in >= 0:
        token.stand_in = table.destinations[stand_in].short_id


cdef int write_record_route(const table_t *table, uint64_t of_dialog, const listener_t *listener, token_t *token,
                            char *out) noexcept nogil:
    cdef int n = put(out, b"Record-Route: <sip:", 19)
    token.listener = listener.short_id
    n += write_token(table, of_dialog, token, out + n)
    n += put(out + n, b"@", 1)
    n += put(out + n, listener.contact.at, listener.contact.len)
    return n + put(out + n, b";lr>\r\n", 6)


cdef int write_record_routes(shard_t *shard, const request_t *request, const listener_t *listener, uint64_t branch,
                             char *out) noexcept nogil:
    """Two when the request leaves by another listener: each side sees the one that it reaches (RFC 5658).

    Both have a token, so that a node that stands in for this one knows whichever comes first as ours.
    """
    cdef const hop_t *hop = &request.hop
    cdef const listener_t *came_by = find_listener(shard.table, hop.came_by)
    cdef token_t token
    cdef uint64_t of_dialog
    cdef int n
    if not hop.record_route:
        return 0
    check(listener.id == hop.flow.listener_id)
    memset(&token, 0, sizeof(token))
    fill_token(shard, request.m, hop, &token)
    token.passage = passage_of(shard.table, branch)
    of_dialog = dialog_of(shard.table, request.m)
    n = write_record_route(shard.table, of_dialog, listener, &token, out)
    if came_by != NULL and came_by != listener:
        token.of_pair = True
        n += write_record_route(shard.table, of_dialog, came_by, &token, out + n)
    return n


cdef int record_route_count(const hop_t *hop) noexcept nogil:
    return 0 if not hop.record_route else 1 + (hop.came_by != hop.flow.listener_id)


cdef int count_ours(shard_t *shard, const request_t *request) noexcept nogil:
    """How many headers at the top of the request are of the branch that it was read back from: its Via and
    Record-Routes.  0: it is as received, so that Max-Forwards, the sender's Via and the rule's headers are edited.
    """
    return 1 + slot_at(shard.store, request.earlier).record_routed if request.earlier != NO_SLOT else 0


cdef void edit_top(shard_t *shard, const request_t *request, uint64_t branch, uint32_t ref) noexcept nogil:
    """Our Via and Record-Routes before all other headers (16.6 items 4 and 8), in place of those of an earlier branch.

    `ref` is the slot of the branch, which begins a new life with its first commit, or STATELESS.
    """
    cdef const message_t *m = request.m
    cdef const listener_t *listener = find_listener(shard.table, request.hop.flow.listener_id)
    cdef char *top = take_room(&shard.edits, TOP_ROOM)
    cdef uint32_t generation = 0
    cdef uint64_t loop = request.hop.loop
    cdef int ours = count_ours(shard, request)
    cdef int n = 0
    cdef uint32_t cut = 0
    check(ours <= m.header_count)
    if listener == NULL or top == NULL:
        shard.edits.overflow = 1
        return
    if ref != STATELESS:
        check(word_kind(slot_at(shard.store, ref).commit) == KIND_FREE)
        generation = word_generation(slot_at(shard.store, ref).commit) + 1
    if ours and read_loop(m.buf, &m.via, &loop) < 0:
        loop = 0
    n = write_via(shard.store, top, listener, branch, loop, ref, generation)
    n += write_record_routes(shard, request, listener, branch, top + n)
    if ours:
        cut = m.headers[ours - 1].end_off - m.headers_off
    else:
        edit_max_forwards(shard, m, top, &n)
    check(n <= <int>TOP_ROOM)
    edit_replace(&shard.edits, m.headers_off, cut, top, n)


cdef bint is_cut(const hop_t *hop, uint32_t off) noexcept nogil:
    cdef int i
    for i in range(hop.cut_count):
        if hop.cuts[i].off <= off < <uint32_t>hop.cuts[i].off + hop.cuts[i].len:
            return True
    return False


cdef void edit_named(shard_t *shard, const message_t *m, const hop_t *hop) noexcept nogil:
    """Host and port of each leading Route value that names the destination which is replaced become the stand-in's:
    a loose router would hand the request back to the dead one otherwise (docs/wire.md#renamed-routes).
    """
    cdef const text_t *host_port = &shard.table.destinations[hop.destination].host_port
    cdef int i = first_of(m, H_ROUTE)
    cdef name_addr_t value
    cdef addr_t replaced, addr
    cdef uint32_t off, end, begin, after
    cdef uri_t uri
    check(hop.destination < shard.table.destination_count)
    replaced.family = 0
    while i != NO_HEADER:
        off = m.headers[i].value_off
        end = off + m.headers[i].value_len
        while True:
            if parse_name_addr(m.buf, off, end, &value) < 0:
                return
            if not is_cut(hop, off):
                if parse_uri(m.buf, value.uri.off, value.uri.len, &uri) < 0 or uri_address(m.buf, &uri, &addr) < 0:
                    return
                if replaced.family == 0:
                    replaced = addr
                if memcmp(&addr, &replaced, sizeof(addr)) != 0:
                    return
                host_port_place(&uri, &begin, &after)
                edit_replace(&shard.edits, begin, after - begin, host_port.at, host_port.len)
            if value.last:
                break
            off = value.off + value.len + 1
        i = m.headers[i].next


cdef void edit_routes(shard_t *shard, const message_t *m, const hop_t *hop) noexcept nogil:
    """16.4 and 16.6 item 6: our own values go, a stand-in is named, and what a strict router displaced comes last."""
    cdef int i
    cdef char *text
    check(hop.cut_count <= MAX_CUTS)
    for i in range(hop.cut_count):
        edit_delete(&shard.edits, hop.cuts[i].off, hop.cuts[i].len)
    if hop.stand_in:
        edit_named(shard, m, hop)
    if hop.route_last.len == 0:
        return
    text = take_room(&shard.edits, hop.route_last.len + ROUTE_ROOM)
    if text == NULL:
        return
    i = put(text, b"Route: <", 8)
    i += put(text + i, hop.route_last.at, hop.route_last.len)
    i += put(text + i, b">\r\n", 3)
    edit_insert(&shard.edits, m.headers_end, text, i)


cdef bint adds_breadth(const message_t *m, const hop_t *hop) noexcept nogil:
    """Does the branch get a Max-Breadth header that the request does not have?"""
    return hop.breadth and first_of(m, H_MAX_BREADTH) == NO_HEADER


cdef void edit_breadth(shard_t *shard, const message_t *m, const hop_t *hop) noexcept nogil:
    """RFC 5393 5.3.3: replaced where the request has one, else a header behind all others."""
    cdef char *text = take_room(&shard.edits, BREADTH_ROOM) if hop.breadth else NULL
    cdef int i = first_of(m, H_MAX_BREADTH)
    cdef int n
    if text == NULL:
        return
    if not adds_breadth(m, hop):
        edit_replace(&shard.edits, m.headers[i].value_off, m.headers[i].value_len, text, put_number(text, hop.breadth))
        return
    n = put(text, b"Max-Breadth: ", 13)
    n += put_number(text + n, hop.breadth)
    n += put(text + n, b"\r\n", 2)
    edit_insert(&shard.edits, m.headers_end, text, n)
    if m.header_count == MAX_HEADERS:
        shard.edits.overflow = 1     # it could not be read back (edit_way_out)


cdef int edit_way_out(shard_t *shard, const request_t *request, const addr_t *source, int ours,
                      undo_t *undo) noexcept nogil:
    """What rule, set and listener change in the headers (docs/wire.md#borders); last of the edits, so its lines stand
    last.

    The rule's own edits are for the request as received only (`ours` 0): one that is read back carries them.  Who would
    have more headers than can be read back is refused, as no CANCEL, ACK or failover could follow.
    """
    cdef const message_t *m = request.m
    cdef const hop_t *hop = &request.hop
    cdef const listener_t *came_by = find_listener(shard.table, hop.came_by)
    cdef int headers = (m.header_count + 1 + record_route_count(hop) - ours + (m.max_forwards < 0)
                        + adds_breadth(m, hop) + (hop.route_last.len > 0))
    cdef int destination = find_destination(shard.table, hop.destination_id, hop.destination)
    cdef changes_t changes
    cdef text_t tag
    cdef int i
    tag.len = 0
    for i in range(hop.cut_count):
        headers -= m.buf[hop.cuts[i].off + hop.cuts[i].len - 1] == c'\n'      # a whole header
    if gather_changes(shard.table, hop.headers if ours == 0 else NULL, destination, hop.token_set, &hop.flow.remote,
                      hop.flow.listener_id, &changes) < 0:
        return E_ROOM
    if changes.count > changes.out and hides_lines(m.buf + m.headers_off, m.headers_end - m.headers_off):
        return E_HEADER
    if undo != NULL and changes.count > changes.out:
        undo.taken = take_scratch(shard, undo_room(m))
        if undo.taken == NULL:
            return E_ROOM
    if changes.count:
        headers += edit_headers(&shard.edits, &changes, m, source, &came_by.tag if came_by != NULL else &tag, undo)
    return E_ROOM if headers > MAX_HEADERS or shard.edits.overflow else OK


cdef int forward_stateless(shard_t *shard, const request_t *request) noexcept nogil:
    """16.11: copies of a request get the same branch, which is made from it; our hint names no slot."""
    cdef const message_t *m = request.m
    cdef const hop_t *hop = &request.hop
    cdef const addr_t *source = &request.origin.flow.remote
    cdef addr_t place
    cdef int code
    check(request.earlier == NO_SLOT)
    check(hop.name.len == 0)            # its address is known
    reply_address(m, source, &place)
    clear_edits(&shard.edits)
    edit_top(shard, request, branch_value(shard.table, m, &m.via, &place, 0), STATELESS)
    edit_routes(shard, m, hop)
    if hop.ruri.len:
        edit_replace(&shard.edits, m.ruri.off, m.ruri.len, hop.ruri.at, hop.ruri.len)
    edit_start_line(&shard.edits, m)
    edit_received(shard, m, source)
    code = edit_way_out(shard, request, source, 0, NULL)
    return send_edited(shard, m, &hop.flow, NO_SLOT, 0) if code == OK else code


cdef void edit_ruri(shard_t *shard, const message_t *m, const hop_t *hop, text_t *original) noexcept nogil:
    """16.6 item 2.  `original`: what another branch must begin with, if that is not the new Request-URI."""
    original.len = 0
    if hop.ruri.len == 0:
        return
    if not hop.ruri_for_good:
        original.at = m.buf + m.ruri.off
        original.len = m.ruri.len
    edit_replace(&shard.edits, m.ruri.off, m.ruri.len, hop.ruri.at, hop.ruri.len)


cdef int end_of_block(shard_t *shard, const undo_t *undo, text_t *original) noexcept nogil:
    """`original` becomes all that follows the message: the lines that were taken, then the Request-URI."""
    cdef char *at
    if undo.taken_len == 0:
        return OK
    at = take_scratch(shard, undo.taken_len + original.len)
    if at == NULL or undo.taken_len > MAX_MESSAGE:
        return E_ROOM
    put(at, undo.taken, undo.taken_len)
    if original.len:        # else it may be NULL
        put(at + undo.taken_len, original.at, original.len)
    original.at = at
    original.len += undo.taken_len
    return OK


cdef int edit_branch(shard_t *shard, const request_t *request, const addr_t *source, undo_t *undo,
                     text_t *original) noexcept nogil:
    """16.6 items 2, 3, 5 and 6, below our Via; `original` becomes what follows the message in the block."""
    cdef const message_t *m = request.m
    cdef const hop_t *hop = &request.hop
    cdef int ours = count_ours(shard, request)
    cdef int code
    edit_routes(shard, m, hop)
    edit_ruri(shard, m, hop, original)
    edit_breadth(shard, m, hop)
    if ours == 0:
        edit_start_line(&shard.edits, m)
        edit_received(shard, m, source)
    code = edit_way_out(shard, request, source, ours, undo)
    return end_of_block(shard, undo, original) if code == OK else code


cdef int callers_via(const request_t *request, via_t *via) noexcept nogil:
    """The Via that names our caller: the topmost one as received, the second one as sent."""
    via[0] = request.m.via
    return OK if request.earlier == NO_SLOT else parse_second_via(request.m, via)


cdef void fill_branch(shard_t *shard, const slot_t *server, const request_t *request, slot_t *identity) noexcept nogil:
    """What a branch keeps of its hop.  A parent that is not committed yet gets its generation by that first commit."""
    cdef const hop_t *hop = &request.hop
    identity.parent_generation = word_generation(server.commit) + (word_kind(server.commit) == KIND_FREE)
    identity.created_ms = shard.now_ms
    identity.method = server.method
    identity.record_routed = <uint8_t>record_route_count(hop)
    identity.cseq = request.m.cseq
    identity.identity.client.target = hop.flow
    identity.identity.client.destination_id = hop.destination_id
    identity.identity.client.destination_hint = hop.destination
    identity.identity.client.border_id = shard.table.sets[hop.token_set - 1].id if hop.token_set else 0


cdef inline uint32_t branch_timeout(shard_t *shard, const slot_t *server, uint32_t attempt,
                                    const hop_t *hop) noexcept nogil:
    """For Timer B or F, 0 = these run.  While its name has another target nobody waits 32 s for one (RFC 3263 4.3)."""
    cdef uint32_t target_ms = shard.table.clocks.target_ms
    if (hop.more and hop.destination_id == 0 and server.identity.server.by_name and attempt + 1 < MAX_ATTEMPTS
            and (hop.timeout_ms == 0 or hop.timeout_ms > target_ms)):
        return target_ms
    return hop.timeout_ms


cdef int64_t make_branch(shard_t *shard, uint32_t parent, uint32_t attempt, const request_t *request) noexcept nogil:
    """Until the server transaction counts it nothing follows from this commit: an end in between leaves no trace."""
    cdef slot_t *server = slot_at(shard.store, parent)
    cdef const message_t *m = request.m
    cdef const hop_t *hop = &request.hop
    cdef const addr_t *source = &server.identity.server.source.remote
    cdef int kind = KIND_CLIENT_INVITE if server.method == M_INVITE else KIND_CLIENT_OTHER
    cdef uint32_t ref = take_slot_of_call(shard, parent)
    cdef slot_t identity
    cdef record_t record
    cdef via_t via
    cdef text_t original
    cdef undo_t undo
    cdef uint32_t scratch = shard.scratch_used
    cdef int code
    check(hop.flow.remote.family != 0)
    check(hop.name.len == 0)
    if ref == NO_SLOT:
        return E_FULL
    if request.earlier == NO_SLOT:
        source = &request.origin.flow.remote
    memset(&identity, 0, sizeof(identity))
    memset(&record, 0, sizeof(record))
    memset(&undo, 0, sizeof(undo))
    if callers_via(request, &via) < 0:
        give_slot(shard.store, ref)
        return E_BAD
    identity.key = branch_value(shard.table, m, &via, &server.identity.server.source.remote, attempt)
    clear_edits(&shard.edits)
    edit_top(shard, request, identity.key, ref)
    code = edit_branch(shard, request, source, &undo, &original)
    if code == OK:
        code = write_block(shard, ref, m, &original, &record.client.request)
    shard.scratch_used = scratch         # what stood there is in the block by now: a fork would fill all of it
    if code < 0:
        give_slot(shard.store, ref)
        return code
    fill_branch(shard, server, request, &identity)
    identity.parent = parent
    identity.attempt = <uint8_t>attempt
    identity.identity.client.ruri_len = <uint16_t>(original.len - undo.taken_len)
    identity.identity.client.taken_len = <uint16_t>undo.taken_len
    identity.identity.client.brought = <uint16_t>undo.brought
    first_clocks(shard, &hop.flow.remote, branch_timeout(shard, server, attempt, hop), &record)
    write_identity(shard.store, ref, &identity)
    commit(shard.store, ref, kind, CALLING, OWES_REQUEST, &record)
    check(has_request(slot_at(shard.store, ref)))
    index_insert(shard.store, ref)
    link_child(shard.store, ref)
    arm_slot(shard, ref, kind, &record)
    return <int64_t>ref


# ---------------------------------------------------------------- branches start

cdef bint takes_too_much(shard_t *shard, uint32_t parent) noexcept nogil:
    """Do the calls of this share hold so much that the search gets nothing beyond its first group?

    take_server asked when the search began.  Without this look the calls of one Call-ID, each small when it came, would
    fill their partition when all of them fail over.
    """
    cdef const slot_t *server = slot_at(shard.store, parent)
    if (not holds_too_much(shard.store, parent >> SLOT_BITS, server.share)
            or is_known(shard.table, &server.identity.server.source.remote)):
        return False
    count(shard, N_OVER_SHARE)
    return True


cdef int start_branch(shard_t *shard, uint32_t parent, const request_t *request) noexcept nogil:
    """The first branch brings the server transaction to life; one that has waited for a name lives already, and may
    have had its 100 since.
    """
    cdef slot_t *server = slot_at(shard.store, parent)
    cdef bint first = word_kind(server.commit) == KIND_FREE
    cdef int kind = server_kind(server.method) if first else word_kind(server.commit)
    cdef int state = first_state(server.method) if first else word_state(server.commit)
    cdef record_t record = record_of(server)[0]
    cdef const hop_t *hop = &request.hop
    cdef block_t waited
    cdef uint32_t attempt
    cdef int64_t ref
    if first:
        memset(&record, 0, sizeof(record))
        set_trying_clock(shard, server, &record)
    attempt = record.server.attempt_count
    if attempt and request.earlier != NO_SLOT and takes_too_much(shard, parent):
        return E_FULL
    ref = make_branch(shard, parent, attempt, request)
    if ref < 0:
        return <int>ref
    write_tried(shard.store, parent, attempt, place_mark(&hop.flow.remote) if hop.by_name else hop.destination_id)
    record.server.attempt_count += 1
    waited = leave_parking(&record)
    commit(shard.store, parent, kind, state, 0 if first else word_owes(server.commit), &record)
    check(record_of(server).server.attempt_count == slot_at(shard.store, <uint32_t>ref).attempt + 1)
    if waited.len:
        drop_block(shard.store, &shard.pending, parent, &waited)
    if waited.len or record.server.retransmit_ms:
        arm_slot(shard, parent, kind, &record)
    measure_attempt(shard, slot_at(shard.store, <uint32_t>ref))
    send_request(shard, <uint32_t>ref)
    return OK


cdef int start_group(shard_t *shard, uint32_t parent, request_t *request, const group_t *group,
                     uint32_t first) noexcept nogil:
    cdef int ruri = slot_at(shard.store, parent).identity.server.ruri
    cdef uint32_t i
    check(word_kind(slot_at(shard.store, parent).commit) != KIND_FREE)
    for i in range(first, group.count):
        if aim_at(shard, &group.candidates[i], ruri, request.m, &request.hop) < 0:
            return <int>(i - first)
        request.hop.breadth = share_of(group, i, request.m)
        if start_branch(shard, parent, request) < 0:
            return <int>(i - first)
    return <int>(group.count - first)


# ---------------------------------------------------------------- at import

assert TOP_ROOM >= (VIA_ROOM + 2 * (len(b"Record-Route: <sip:@;lr>\r\n") + MAX_SENT_BY) + TOKEN_LETTERS + PAIR_LETTERS
                    + len(b"Max-Forwards: 70\r\n")) and <int>TOP_ROOM < <int>EDIT_ROOM
assert ROUTE_ROOM >= len(b"Route: <>\r\n") and BREADTH_ROOM >= len(b"Max-Breadth: 255\r\n")
