"""The way in: sanity, matching, routing (docs/design.md#routing, RFC 3261 16.3 to 16.6).

Order for every request: sanity → CANCEL, ACK and retransmissions → in-dialog by
route → the rules, in order, first match wins; inside a dialog only those that
ask for a To tag.  Responses go to their branch by
our hint, else by the index, else statelessly (docs/wire.md#stray-responses).
Never answers an ACK.  Each datagram here is of a call that this shard owns.
"""

from libc.stdint cimport uint32_t, uint64_t

from fastsip._core.base.types cimport (
    E_EMPTY, E_FORGED, E_FULL, E_NOT_SIP, E_ROOM, E_ROUTE, E_TOO_MANY_VIAS, E_URI, NO_HEADER, OK,
)
from fastsip._core.base.address cimport origin_t
from fastsip._core.base.atomics cimport load_relaxed32
from fastsip._core.sip.types cimport H_PROXY_REQUIRE, M_ACK, M_CANCEL, M_INVITE, M_OPTIONS, message_t, uri_t
from fastsip._core.sip.parser cimport first_of, has_too_many_vias, parse_datagram, parse_routing
from fastsip._core.store.records cimport KIND_SERVER_INVITE, KIND_SERVER_OTHER
from fastsip._core.store.slots cimport NO_SLOT, slot_at, slot_t, word_kind
from fastsip._core.wire.via cimport find_cancelled, find_server, has_local_tag
from fastsip._core.state.counters cimport (
    N_DATAGRAMS, N_DRAINED, N_EDITS_REFUSED, N_FORGED_TOKENS, N_INVITES, N_KEEP_ALIVES, N_NOT_SIP, N_REQUESTS,
    N_RESPONSES, N_STRAY_ACKS,
)
from fastsip._core.state.shard cimport count
from fastsip._core.transaction.machines cimport GOT_ACK, REPEATED
from fastsip._core.transaction.replies cimport answer_as
from fastsip._core.transaction.server cimport server_input
from fastsip._core.proxy.hop cimport hop_t
from fastsip._core.proxy.border cimport enter
from fastsip._core.proxy.refusals cimport (
    answer_options, count_malformed, refuse, refuse_malformed, refuse_overload, refuse_sips, refuse_stranger,
)
from fastsip._core.proxy.routes cimport leads_to_us, route_t
from fastsip._core.proxy.parking cimport begin_resumption, read_parked, settle_parked
from fastsip._core.proxy.targets cimport comes_round, goes_by_rules, is_clear_sips, leave_route, read_breadth, read_way
from fastsip._core.proxy.context cimport cancel_search
from fastsip._core.proxy.actions cimport follow_route, follow_rules
from fastsip._core.proxy.stateless cimport send_on
from fastsip._core.proxy.responses cimport process_response


cdef void receive_message(shard_t *shard, const char *at, uint32_t len, const origin_t *origin) noexcept nogil:
    cdef message_t *m = &shard.incoming
    cdef int code = parse_datagram(at, len, shard.table.max_head, m)
    cdef int routing
    count(shard, N_DATAGRAMS)
    if code == E_EMPTY:
        count(shard, N_KEEP_ALIVES)
        return
    if code == E_NOT_SIP:
        count(shard, N_NOT_SIP)
        return
    routing = parse_routing(m)
    if code == OK:
        code = routing
    if not m.is_request:
        count(shard, N_RESPONSES)
        if code == OK:
            process_response(shard, m, origin)
        else:
            count_malformed(shard, code)
        return
    count(shard, N_REQUESTS)
    if code != OK:
        refuse_malformed(shard, m, code, origin)
    elif len > shard.table.max_message:
        refuse(shard, m, origin, 513)
    else:
        code = enter(shard, origin)
        if code < 0:
            refuse_unedited(shard, m, code, origin)
        elif m.method == M_ACK:
            process_ack(shard, m, origin)
        elif m.method == M_CANCEL:
            process_cancel(shard, m, origin)
        else:
            process_request(shard, m, origin)


cdef void refuse_unedited(shard_t *shard, const message_t *m, int code, const origin_t *origin) noexcept nogil:
    """What a border or a strict router's way demands cannot be done to this request, so it ends here."""
    count(shard, N_EDITS_REFUSED)
    if code == E_FULL:
        refuse_overload(shard, m, origin)
    elif code == E_ROOM:
        refuse(shard, m, origin, 513)
    else:
        refuse_malformed(shard, m, code, origin)


cdef void process_request(shard_t *shard, const message_t *m, const origin_t *origin) noexcept nogil:
    cdef int kind = KIND_SERVER_INVITE if m.method == M_INVITE else KIND_SERVER_OTHER
    cdef uint64_t key
    cdef uint32_t ref = find_server(shard.store, m, kind, &key)
    if ref != NO_SLOT:
        server_input(shard, ref, REPEATED, m, origin)
        return
    if m.method == M_INVITE:
        count(shard, N_INVITES)
    new_request(shard, m, key, origin)


# ---------------------------------------------------------------- CANCEL and ACK

cdef void process_cancel(shard_t *shard, const message_t *m, const origin_t *origin) noexcept nogil:
    """9.2 and 16.10: answered 200 by itself, without a transaction, as the same CANCEL always finds the same
    request; then the INVITE's search is cancelled.  To any other method a CANCEL has no effect.
    """
    cdef uint32_t ref = find_cancelled(shard.store, m)
    cdef slot_t *slot
    if ref == NO_SLOT:      # its request is not known here: 16.11, with attempt 0's branch
        if not send_on(shard, m, origin):
            refuse(shard, m, origin, 481)
        return
    slot = slot_at(shard.store, ref)
    answer_as(shard, m, slot.key, origin, 200, NULL, NULL)
    if word_kind(slot.commit) == KIND_SERVER_INVITE:
        cancel_search(shard, ref, m)


cdef void process_ack(shard_t *shard, const message_t *m, const origin_t *origin) noexcept nogil:
    """The ACK of a failure ends here (17.2.1); the ACK of a 2xx goes on by its route set, without state."""
    cdef uint64_t key
    cdef uint32_t ref = find_server(shard.store, m, KIND_SERVER_INVITE, &key)
    if ref != NO_SLOT and server_input(shard, ref, GOT_ACK, m, origin) == 0:
        return
    # An answer that we made without state has our To tag, and so has its ACK: it ends here.
    if has_local_tag(m, key) or not send_on(shard, m, origin):
        count(shard, N_STRAY_ACKS)


# ---------------------------------------------------------------- a new request

cdef bint is_for_us(shard_t *shard, const message_t *m, const route_t *route, const hop_t *hop) noexcept nogil:
    """Is it an OPTIONS that asks whether we ourselves are there (11.2): no user, no dialog, no Route beyond us?"""
    return (m.method == M_OPTIONS and not hop.in_dialog and not route.onward and route.next.user.len == 0
            and leads_to_us(shard, m, &route.next))


cdef bint is_refused(shard_t *shard, const message_t *m, const origin_t *origin, const hop_t *hop) noexcept nogil:
    """16.3 items 3 to 5 and Max-Breadth: answered, if one of them stops it."""
    cdef int status = 0
    cdef int breadth = read_breadth(m)
    if m.max_forwards == 0:
        status = 483
    elif comes_round(shard, m, hop):
        status = 482
    elif first_of(m, H_PROXY_REQUIRE) != NO_HEADER:
        status = 420
    elif breadth == 0:
        status = 440
    elif breadth < 0:
        refuse_malformed(shard, m, breadth, origin)
        return True
    if status:
        refuse(shard, m, origin, status)
    return status != 0


cdef void new_request(shard_t *shard, const message_t *m, uint64_t key, const origin_t *origin) noexcept nogil:
    """16.3: the checks of a request that no transaction knows, the most telling answer first."""
    cdef uri_t ruri
    cdef route_t route
    cdef hop_t hop
    cdef int code = E_TOO_MANY_VIAS
    if not has_too_many_vias(m):
        code = read_way(shard, m, origin, &ruri, &route, &hop)
    if code == E_URI or code == E_TOO_MANY_VIAS:
        refuse_malformed(shard, m, code, origin)
    elif (code == OK and not hop.in_dialog and shard.resumed.ref == NO_SLOT and load_relaxed32(&shard.draining)):
        count(shard, N_DRAINED)
        refuse_overload(shard, m, origin)
    elif code == OK and is_for_us(shard, m, &route, &hop):
        answer_options(shard, m, origin)
    elif is_refused(shard, m, origin, &hop):
        return
    elif code == E_FORGED:
        count(shard, N_FORGED_TOKENS)
        refuse_stranger(shard, m, origin)
    elif code == E_FULL or code == E_ROOM:
        refuse_unedited(shard, m, code, origin)
    elif code < 0:
        refuse_malformed(shard, m, code, origin)
    elif is_clear_sips(shard, m, &ruri):
        refuse_sips(shard, m, origin)
    elif not goes_by_rules(shard, m, &ruri, &route, origin):
        if route.unreadable:
            refuse_malformed(shard, m, route.unreadable, origin)
        else:
            follow_route(shard, m, key, &route, origin, &hop)
    elif leave_route(shard, m, &route, &hop) < 0:
        refuse_malformed(shard, m, E_ROUTE, origin)
    else:
        follow_rules(shard, m, key, &ruri, origin, &hop)


cdef void route_again(shard_t *shard, uint32_t ref) noexcept nogil:
    """A request that has waited for a name is routed from the start, on the transaction that it has (parking)."""
    cdef origin_t origin
    cdef int code = read_parked(shard, ref, &shard.incoming, &origin)
    begin_resumption(shard, ref)
    if code == OK:
        new_request(shard, &shard.incoming, slot_at(shard.store, ref).key, &origin)
    shard.resumed.ref = NO_SLOT
    settle_parked(shard, ref)


# ---------------------------------------------------------------- what could not be sent
