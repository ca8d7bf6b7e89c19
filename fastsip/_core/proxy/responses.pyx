"""Responses: to the branch that our hint names, else by the index (16.7 items 1 and 2).

A response without a branch is checked before anything is done with it
(docs/wire.md#stray-responses): its topmost Via must carry the branch that its own second Via and
dialog values lead to.  That branch covers the place which the second Via names: the
response goes where the request came from and nowhere else.  A peer that takes received or rport out
of a Via names another place, and its response, which would not have reached the
caller either, is dropped.  Then a 2xx to INVITE goes on without state (RFC 6026), and
so does anything whose transaction another store held.

A final response to a living branch with no Via but ours is one all the same: some
servers make the 487 from our CANCEL.  It gets the Vias of the request that it answers, and
goes on with all else that it brings: a 2xx is a call that was answered, and its Contact is
where the ACK goes.  A provisional of that shape tells the caller nothing that he needs.
"""

from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memset

from fastsip._core.base.types cimport E_BAD, E_NONE, E_ROOM, MAX_MESSAGE, NO_HEADER, OK, put
from fastsip._core.base.address cimport addr_t, flow_t, origin_t
from fastsip._core.base.check cimport check
from fastsip._core.sip.types cimport H_VIA, M_CANCEL, M_INVITE, message_t, via_t
from fastsip._core.sip.uri cimport is_loopback, is_unicast
from fastsip._core.sip.parser cimport first_of, parse_message, parse_routing, parse_second_via
from fastsip._core.store.records cimport (
    CANCELLING, CLIENT_CANCEL_ANSWERED, CLIENT_COMPLETED, KIND_CLIENT_INVITE, KIND_CLIENT_OTHER, is_child,
    record_t,
)
from fastsip._core.store.slots cimport (
    NO_SLOT, SLOT_BITS, SLOT_MASK, commit, index_find, partition_of, record_of, slot_at, slot_t, word_generation,
    word_kind, word_state,
)
from fastsip._core.routing.types cimport table_t
from fastsip._core.wire.via cimport PROBE, find_asker, is_our_branch, read_branch, read_hint, via_address
from fastsip._core.state.counters cimport N_STRAY_RESPONSES
from fastsip._core.state.shard cimport shard_t, count
from fastsip._core.state.outbox cimport send_edited, take_scratch
from fastsip._core.transaction.machines cimport GOT_1XX, GOT_2XX, GOT_FINAL
from fastsip._core.transaction.clocks cimport arm_slot
from fastsip._core.transaction.client cimport read_request
from fastsip._core.transaction.replies cimport write_vias
from fastsip._core.transaction.server cimport edit_response
from fastsip._core.health.probes cimport take_probe_response
from fastsip._core.proxy.next_hop cimport listener_for
from fastsip._core.proxy.addresses cimport follows_name, note_target_answered
from fastsip._core.proxy.context cimport branch_input, end_by_stray


cdef uint32_t find_branch(shard_t *shard, const message_t *m, uint64_t value) noexcept nogil:
    """The client transaction of this branch value, or NO_SLOT (17.1.3): by our hint, once the slot's own branch
    agrees, else by the index.
    """
    cdef int kind = KIND_CLIENT_INVITE if m.cseq_method == M_INVITE or m.cseq_method == M_CANCEL else KIND_CLIENT_OTHER
    cdef uint32_t ref, generation
    cdef slot_t *slot
    if (read_hint(shard.store, m.buf, &m.via.hint, &ref, &generation) == OK and ref & SLOT_MASK != PROBE
            and (ref >> SLOT_BITS) % shard.count == shard.number):
        slot = slot_at(shard.store, ref)
        if word_generation(slot.commit) == generation and slot.key == value and word_kind(slot.commit) == kind:
            return ref
    return index_find(shard.store, partition_of(shard.store, m.buf + m.call_id.off, m.call_id.len), value, kind)


cdef inline bint has_second_via(const message_t *m) noexcept nogil:
    return not m.via.last or m.headers[first_of(m, H_VIA)].next != NO_HEADER


cdef void process_response(shard_t *shard, const message_t *m, const origin_t *origin) noexcept nogil:
    cdef uint64_t value
    cdef uint32_t ref
    check(not m.is_request)
    if read_branch(m.buf, &m.via.branch, &value) < 0:
        count(shard, N_STRAY_RESPONSES)
        return
    ref = find_branch(shard, m, value)
    if ref == NO_SLOT and take_probe_response(shard, m, value, &origin.flow.remote):
        return
    if ref == NO_SLOT:
        process_stray(shard, m, value, origin)
    elif m.cseq_method == M_CANCEL:
        process_cancel_response(shard, ref, m)
    elif slot_at(shard.store, ref).method != m.cseq_method:
        count(shard, N_STRAY_RESPONSES)      # 17.1.3 item 2
    elif has_second_via(m):
        take_answer(shard, ref, m)
    else:
        process_bare_response(shard, ref, m)


cdef inline int event_of(const message_t *m) noexcept nogil:
    return GOT_1XX if m.status < 200 else GOT_2XX if m.status < 300 else GOT_FINAL


cdef inline void take_answer(shard_t *shard, uint32_t ref, const message_t *m) noexcept nogil:
    """A target of a name that answers anything is there, whatever the branch does with it."""
    if follows_name(shard, slot_at(shard.store, ref)):
        note_target_answered(shard, slot_at(shard.store, ref), m)
    branch_input(shard, ref, event_of(m), m)


cdef int restore_vias(shard_t *shard, uint32_t ref, const message_t *m, message_t *whole) noexcept nogil:
    """A copy of the response in scratch that has below our Via the Vias of this branch's request, which it lost."""
    cdef message_t request
    cdef uint32_t top = m.headers[first_of(m, H_VIA)].end_off
    cdef char *at
    cdef int len, code
    if read_request(shard, ref, &request) < 0:
        return E_NONE
    at = take_scratch(shard, m.len + request.headers_end)
    if at == NULL or m.len + request.headers_end > MAX_MESSAGE:
        return E_ROOM
    len = put(at, m.buf, top)
    len += write_vias(&request, request.headers[first_of(&request, H_VIA)].next, NULL, at + len)
    len += put(at + len, m.buf + top, m.len - top)
    check(<uint32_t>len <= m.len + request.headers_end)     # the room
    code = parse_message(at, len, whole)
    return code if code < 0 else parse_routing(whole)


cdef void process_bare_response(shard_t *shard, uint32_t ref, const message_t *m) noexcept nogil:
    """A response with no Via but ours (docs/wire.md#responses-with-our-via-alone).

    If its Vias cannot be restored, the request is gone from the block: then it is a repeated failure, which only wants
    its ACK, or a repeated 2xx, which is dropped.
    """
    cdef message_t whole
    check(not has_second_via(m))
    if m.status >= 300 and word_state(slot_at(shard.store, ref).commit) == CLIENT_COMPLETED:
        branch_input(shard, ref, GOT_FINAL, m)
    elif m.status >= 200 and restore_vias(shard, ref, m, &whole) == OK:
        take_answer(shard, ref, &whole)
    else:
        count(shard, N_STRAY_RESPONSES)


cdef void process_cancel_response(shard_t *shard, uint32_t ref, const message_t *m) noexcept nogil:
    """Any final response ends the repetition of our CANCEL; the INVITE's own final is what counts (9.1)."""
    cdef slot_t *slot = slot_at(shard.store, ref)
    cdef record_t record
    check(m.cseq_method == M_CANCEL)
    check(is_child(word_kind(slot.commit)))
    if m.status < 200 or word_state(slot.commit) != CANCELLING:
        return
    record = record_of(slot)[0]
    record.client.flags |= CLIENT_CANCEL_ANSWERED
    record.client.retransmit_ms = 0
    commit(shard.store, ref, word_kind(slot.commit), CANCELLING, 0, &record)
    arm_slot(shard, ref, word_kind(slot.commit), &record)


cdef bint may_have_called(const table_t *table, const addr_t *to) noexcept nogil:
    """A loopback address in a Via is nobody who called, unless we listen on one: strangers could reach this
    machine's own services by it.
    """
    cdef uint32_t i
    for i in range(table.listener_count):
        if is_loopback(&table.listeners[i].addr):
            return True
    return not is_loopback(to)


cdef int aim_at_via(shard_t *shard, const message_t *m, const via_t *via, flow_t *flow,
                    const origin_t *origin) noexcept nogil:
    """18.2.2 and RFC 3581: where the Via below ours wants its response; never at many at once (RFC 4475 3.3.10)."""
    cdef int index
    memset(flow, 0, sizeof(flow_t))
    if (via_address(m.buf, via, origin.flow.remote.transport, &flow.remote) < 0 or not is_unicast(&flow.remote)
            or not may_have_called(shard.table, &flow.remote)):
        return E_BAD
    index = listener_for(shard, &flow.remote, E_NONE, origin.listener)
    if index < 0:
        return E_BAD
    check(index < <int>shard.table.listener_count)
    flow.listener_id = shard.table.listeners[index].id
    return OK


cdef void process_stray(shard_t *shard, const message_t *m, uint64_t value, const origin_t *origin) noexcept nogil:
    """A response without a branch (docs/wire.md#stray-responses): passed on without state if its Vias prove that its
    request went through us, else dropped.

    If our own store made its branch and that is gone, only a 2xx to INVITE still goes on, and ends its search.
    """
    cdef via_t second
    cdef flow_t flow
    cdef uint32_t ref, generation, parent
    cdef bint same_store = read_hint(shard.store, m.buf, &m.via.hint, &ref, &generation) == OK
    cdef bint wins = m.cseq_method == M_INVITE and 200 <= m.status < 300
    cdef bint of_use = m.cseq_method == M_INVITE or m.status >= 200     # RFC 4320 4.1
    count(shard, N_STRAY_RESPONSES)
    if ((same_store and not wins) or not of_use or parse_second_via(m, &second) < 0
            or aim_at_via(shard, m, &second, &flow, origin) < 0
            or not is_our_branch(shard.table, m, &second, &flow.remote, value)):
        return
    parent = find_asker(shard.store, m, &second) if wins else NO_SLOT
    if parent != NO_SLOT:
        end_by_stray(shard, parent, m)
        return
    edit_response(shard, m)
    send_edited(shard, m, &flow, NO_SLOT, 0)
