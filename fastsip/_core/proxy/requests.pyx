"""The way in: sanity, matching, routing (docs/design.md#routing, RFC 3261 16.3 to 16.6).

Order for every request: sanity → CANCEL, ACK and retransmissions → in-dialog by
route → the rules, in order, first match wins; inside a dialog only those that
ask for a To tag.  Responses go to their branch by
our hint, else by the index, else statelessly (docs/wire.md#stray-responses).
Never answers an ACK.  Each datagram here is of a call that this shard owns.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from fastsip._core.base.types cimport (
    E_EMPTY, E_FORGED, E_FULL, E_NOT_SIP, E_ROOM, E_ROUTE, E_TOO_MANY_VIAS, E_URI, MAX_BREADTH,
    NO_HEADER, OK,
)
from fastsip._core.base.address cimport origin_t
from fastsip._core.base.atomics cimport load_relaxed32
from fastsip._core.base.check cimport check
from fastsip._core.sip.types cimport H_PROXY_REQUIRE, M_ACK, M_CANCEL, M_INVITE, M_OPTIONS, message_t
from fastsip._core.sip.parser cimport first_of, has_too_many_vias, parse_datagram, parse_routing
from fastsip._core.store.records cimport KIND_SERVER_INVITE, is_server
from fastsip._core.store.slots cimport NO_SLOT, record_of, slot_at, slot_t, word_kind
from fastsip._core.wire.via cimport find_cancelled, find_server, has_local_tag
from fastsip._core.state.counters cimport (
    N_DATAGRAMS, N_DRAINED, N_EDITS_REFUSED, N_FORGED_TOKENS, N_INVITES, N_KEEP_ALIVES, N_NOT_SIP, N_REQUESTS,
    N_REQUESTS_IN, N_RESPONSES, N_RESPONSES_IN, N_STRAY_ACKS, STATUS_PLACES,
)
from fastsip._core.state.hep cimport is_hep
from fastsip._core.state.mirror cimport show_message
from fastsip._core.state.mirror_ring cimport SEEN_RECEIVED
from fastsip._core.state.shard cimport count
from fastsip._core.transaction.machines cimport GOT_ACK, REPEATED
from fastsip._core.transaction.replies cimport answer_as
from fastsip._core.transaction.server cimport server_input
from fastsip._core.proxy.request cimport begin_request, request_t, server_kind
from fastsip._core.proxy.border cimport enter
from fastsip._core.proxy.refusals cimport (
    answer_options, count_malformed, refuse, refuse_malformed, refuse_overload, refuse_sips, refuse_stranger,
)
from fastsip._core.proxy.routes cimport leads_to_us
from fastsip._core.proxy.parking cimport is_parked, read_parked, settle_parked
from fastsip._core.proxy.targets cimport comes_round, goes_by_rules, is_clear_sips, leave_route, read_breadth, read_way
from fastsip._core.proxy.context cimport cancel_search
from fastsip._core.proxy.actions cimport follow_route, follow_rules
from fastsip._core.proxy.stateless cimport send_on
from fastsip._core.proxy.responses cimport process_response


cdef void receive_message(shard_t *shard, const char *at, uint32_t len, const origin_t *origin) noexcept nogil:
    """Whoever looks sees it before it is judged, so what is refused or ignored, too."""
    check(origin.listener < shard.table.listener_count)
    if shard.mirror != NULL:
        show_message(shard.mirror, SEEN_RECEIVED, &shard.table.listeners[origin.listener].addr, &origin.flow.remote,
                     at, len, shard.table.max_head)
    take_message(shard, at, len, origin)


cdef void take_message(shard_t *shard, const char *at, uint32_t len, const origin_t *origin) noexcept nogil:
    """18.1.2 and 18.2.1.  A response that cannot be read is counted and dropped, a request is answered if it can be."""
    cdef message_t *m = &shard.incoming
    cdef int code, routing
    count(shard, N_DATAGRAMS)
    if is_hep(at, len):     # its first line may end as that of a request does, and an answer would be copied as well
        count(shard, N_NOT_SIP)
        return
    code = parse_datagram(at, len, shard.table.max_head, m)
    if code == E_EMPTY:
        count(shard, N_KEEP_ALIVES)
        return
    if code == E_NOT_SIP:
        count(shard, N_NOT_SIP)
        return
    routing = parse_routing(m)
    if code == OK:
        code = routing
    if m.is_request:
        receive_request(shard, len, code, origin)
        return
    count(shard, N_RESPONSES)
    if m.status:
        count(shard, N_RESPONSES_IN + STATUS_PLACES[m.status])
    if code == OK:
        process_response(shard, m, origin)
    else:
        count_malformed(shard, code)


cdef void receive_request(shard_t *shard, uint32_t len, int code, const origin_t *origin) noexcept nogil:
    """16.3 item 1, and the border of the listener; `code` is what the parser says of shard.incoming."""
    cdef request_t request
    begin_request(&request, &shard.incoming, origin)
    count(shard, N_REQUESTS)
    count(shard, N_REQUESTS_IN + request.m.method)
    if code != OK:
        refuse_malformed(shard, &request, code)
        return
    if len > shard.table.max_message:
        refuse(shard, &request, 513)
        return
    code = enter(shard, origin)
    if code < 0:
        refuse_unedited(shard, &request, code)
    elif request.m.method == M_ACK:
        process_ack(shard, &request)
    elif request.m.method == M_CANCEL:
        process_cancel(shard, &request)
    else:
        process_request(shard, &request)


cdef void refuse_unedited(shard_t *shard, request_t *request, int code) noexcept nogil:
    """What a border or a strict router's way demands cannot be done to this request, so it ends here."""
    check(code < 0)
    count(shard, N_EDITS_REFUSED)
    if code == E_FULL:
        refuse_overload(shard, request)
    elif code == E_ROOM:
        refuse(shard, request, 513)
    else:
        refuse_malformed(shard, request, code)


cdef void process_request(shard_t *shard, request_t *request) noexcept nogil:
    """17.2.3: a repeated request meets its transaction; one that has none is new."""
    cdef int method = request.m.method
    cdef uint32_t ref = find_server(shard.store, request.m, server_kind(method), &request.key)
    if ref != NO_SLOT:
        server_input(shard, ref, REPEATED, request.m, request.origin)
        return
    if method == M_INVITE:
        count(shard, N_INVITES)
    new_request(shard, request)


# ---------------------------------------------------------------- CANCEL and ACK

cdef void process_cancel(shard_t *shard, request_t *request) noexcept nogil:
    """9.2 and 16.10: answered 200 by itself, without a transaction, as the same CANCEL always finds the same
    request; then the INVITE's search is cancelled.  To any other method a CANCEL has no effect.
    """
    cdef uint32_t ref = find_cancelled(shard.store, request.m)
    cdef slot_t *slot
    if ref == NO_SLOT:      # its request is not known here: 16.11, with attempt 0's branch
        if not send_on(shard, request):
            refuse(shard, request, 481)
        return
    slot = slot_at(shard.store, ref)
    check(is_server(word_kind(slot.commit)))
    answer_as(shard, request.m, slot.key, request.origin, 200, NULL, NULL)
    if word_kind(slot.commit) == KIND_SERVER_INVITE:
        cancel_search(shard, ref, request.m)


cdef void process_ack(shard_t *shard, request_t *request) noexcept nogil:
    """The ACK of a failure ends here (17.2.1); the ACK of a 2xx goes on by its route set, without state."""
    cdef uint32_t ref = find_server(shard.store, request.m, KIND_SERVER_INVITE, &request.key)
    if ref != NO_SLOT and server_input(shard, ref, GOT_ACK, request.m, request.origin) == 0:
        return
    # An answer that we made without state has our To tag, and so has its ACK: it ends here.
    if has_local_tag(request.m, request.key) or not send_on(shard, request):
        count(shard, N_STRAY_ACKS)


# ---------------------------------------------------------------- a new request

cdef bint is_for_us(shard_t *shard, const request_t *request) noexcept nogil:
    """Is it an OPTIONS that asks whether we ourselves are there (11.2): no user, no dialog, no Route beyond us?"""
    return (request.m.method == M_OPTIONS and not request.in_dialog and not request.route.onward
            and request.route.next.user.len == 0 and leads_to_us(shard, request.m, &request.route.next))


cdef bint is_refused(shard_t *shard, request_t *request) noexcept nogil:
    """16.3 items 3 to 5 and Max-Breadth: answered, if one of them stops it."""
    cdef int status = 0
    cdef int breadth = read_breadth(request.m)
    if request.m.max_forwards == 0:
        status = 483
    elif comes_round(shard, request):
        status = 482
    elif first_of(request.m, H_PROXY_REQUIRE) != NO_HEADER:
        status = 420
    elif breadth == 0:
        status = 440
    elif breadth < 0:
        refuse_malformed(shard, request, breadth)
        return True
    if status:
        refuse(shard, request, status)
        return True
    check(breadth <= MAX_BREADTH)
    request.breadth = <uint8_t>breadth
    return False


cdef bint is_drained(const shard_t *shard, const request_t *request) noexcept nogil:
    """Does this router take no new calls just now?  One that has waited for a name came before that."""
    return not request.in_dialog and request.resumed == NO_SLOT and load_relaxed32(&shard.draining)


cdef void new_request(shard_t *shard, request_t *request) noexcept nogil:
    """16.3: the checks of a request that no transaction knows, the most telling answer first."""
    cdef int code = E_TOO_MANY_VIAS
    if not has_too_many_vias(request.m):
        code = read_way(shard, request)
    if code == E_URI or code == E_TOO_MANY_VIAS:
        refuse_malformed(shard, request, code)
    elif code == OK and is_drained(shard, request):
        count(shard, N_DRAINED)
        refuse_overload(shard, request)
    elif code == OK and is_for_us(shard, request):
        answer_options(shard, request)
    elif is_refused(shard, request):
        return
    elif code == E_FORGED:
        count(shard, N_FORGED_TOKENS)
        refuse_stranger(shard, request)
    elif code == E_FULL or code == E_ROOM:
        refuse_unedited(shard, request, code)
    elif code < 0:
        refuse_malformed(shard, request, code)
    elif is_clear_sips(shard, request):
        refuse_sips(shard, request)
    elif not goes_by_rules(shard, request):
        if request.route.unreadable:
            refuse_malformed(shard, request, request.route.unreadable)
        else:
            follow_route(shard, request)
    elif leave_route(shard, request) < 0:
        refuse_malformed(shard, request, E_ROUTE)
    else:
        follow_rules(shard, request)


cdef void route_again(shard_t *shard, uint32_t ref, uint64_t paid_name) noexcept nogil:
    """A request that has waited for a name is routed from the start, on the transaction that it has (parking)."""
    cdef origin_t origin
    cdef request_t request
    check(is_parked(record_of(slot_at(shard.store, ref))))
    begin_request(&request, &shard.incoming, &origin)
    request.resumed = ref
    request.paid_name = paid_name
    request.key = slot_at(shard.store, ref).key
    if read_parked(shard, ref, &shard.incoming, &origin) == OK:
        new_request(shard, &request)
    settle_parked(shard, ref, request.waits)
