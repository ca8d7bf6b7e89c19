"""Responses: to the branch that our hint names, else by the index (16.7 items 1 and 2).

A response without a branch is checked before anything is done with it (wire
section 2): its topmost Via must carry the branch that its own second Via and
dialog values lead to.  Then a 2xx to INVITE goes on without state (RFC 6026),
and so does anything whose transaction another store held.
"""

from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memset

from fastsip._core.core cimport N_STRAY_RESPONSES, arm_slot, core_t, count, send_edited
from fastsip._core.parser cimport first_of, parse_second_via
from fastsip._core.probes cimport take_probe_response
from fastsip._core.search cimport branch_input
from fastsip._core.slots cimport (CLIENT_CANCEL_ANSWERED, KIND_CLIENT_INVITE, KIND_CLIENT_OTHER, NO_SLOT, commit,
                                  index_find, partition_of, record_of, record_t, slot_at, slot_t, word_generation,
                                  word_kind, word_state, SLOT_BITS, SLOT_MASK)
from fastsip._core.transactions cimport CANCELLING, GOT_1XX, GOT_2XX, GOT_FINAL
from fastsip._core.types cimport (E_BAD, HOST_IPV4, HOST_IPV6, H_VIA, M_CANCEL, M_INVITE, MAX_ATTEMPTS, NO_HEADER, OK,
                                  T_UDP, addr_t, flow_t, message_t, span_t, via_t)
from fastsip._core.upstream cimport edit_response
from fastsip._core.uri cimport is_unicast, parse_address
from fastsip._core.via cimport PROBE, branch_value, read_branch, read_hint


cdef uint32_t find_branch(core_t *core, const message_t *m, uint64_t value) noexcept nogil:
    """The client transaction this response belongs to, or NO_SLOT (17.1.3)."""
    cdef int kind = KIND_CLIENT_INVITE if m.cseq_method == M_INVITE or m.cseq_method == M_CANCEL else KIND_CLIENT_OTHER
    cdef uint32_t partition = partition_of(core.store, m.buf + m.call_id.off, m.call_id.len)
    cdef uint32_t ref, generation
    cdef slot_t *slot
    if (read_hint(core, m.buf, &m.via.hint, &ref, &generation) == OK and ref >> SLOT_BITS == partition
            and ref & SLOT_MASK != PROBE):
        slot = slot_at(core.store, ref)
        if word_generation(slot.commit) == generation and slot.key == value and word_kind(slot.commit) == kind:
            return ref if m.cseq_method == M_CANCEL or slot.method == m.cseq_method else NO_SLOT
    return index_find(core.store, partition, value, kind)


cdef inline bint has_second_via(const message_t *m) noexcept nogil:
    return not m.via.last or m.headers[first_of(m, H_VIA)].next != NO_HEADER


cdef void process_response(core_t *core, const message_t *m, uint32_t listener, const addr_t *source) noexcept nogil:
    cdef uint64_t value
    cdef uint32_t ref
    if read_branch(m.buf, &m.via.branch, &value) < 0:
        count(core, N_STRAY_RESPONSES)
        return
    ref = find_branch(core, m, value)
    if ref == NO_SLOT and take_probe_response(core, m, value, source):
        return
    if ref == NO_SLOT:
        process_stray(core, m, value, listener)
    elif m.cseq_method == M_CANCEL:
        process_cancel_response(core, ref, m)
    elif not has_second_via(m):
        count(core, N_STRAY_RESPONSES)      # nobody's behind us: not to be forwarded (16.7 item 3)
    elif m.status < 200:
        branch_input(core, ref, GOT_1XX, m)
    elif m.status < 300:
        branch_input(core, ref, GOT_2XX, m)
    else:
        branch_input(core, ref, GOT_FINAL, m)


cdef void process_cancel_response(core_t *core, uint32_t ref, const message_t *m) noexcept nogil:
    """Any final response ends the repetition of our CANCEL; the INVITE's own final is what counts (9.1)."""
    cdef slot_t *slot = slot_at(core.store, ref)
    cdef record_t record
    if m.status < 200 or word_state(slot.commit) != CANCELLING:
        return
    record = record_of(slot)[0]
    record.client.flags |= CLIENT_CANCEL_ANSWERED
    record.client.retransmit_ms = 0
    commit(core.store, ref, word_kind(slot.commit), CANCELLING, 0, &record)
    arm_slot(core, ref, word_kind(slot.commit), &record)


cdef bint is_our_branch(core_t *core, const message_t *m, const via_t *second, uint64_t value) noexcept nogil:
    cdef uint32_t attempt
    for attempt in range(MAX_ATTEMPTS):
        if branch_value(core.table, m, second, attempt) == value:
            return True
    return False


cdef int aim_at_via(core_t *core, const message_t *m, const via_t *via, flow_t *flow, uint32_t listener) noexcept nogil:
    """18.2.2 and RFC 3581: where the Via below ours wants its response; never at many at once (RFC 4475 3.3.10)."""
    cdef span_t host = via.received if via.received.len else via.host
    cdef uint32_t port = via.rport if via.rport else (via.port if via.port else 5060)
    memset(flow, 0, sizeof(flow_t))
    flow.listener_id = core.table.listeners[listener].id
    if (parse_address(m.buf + host.off, host.len, HOST_IPV4, port, &flow.remote) < 0
            and parse_address(m.buf + host.off, host.len, HOST_IPV6, port, &flow.remote) < 0):
        return E_BAD
    flow.remote.transport = T_UDP
    return OK if is_unicast(&flow.remote) else E_BAD


cdef void process_stray(core_t *core, const message_t *m, uint64_t value, uint32_t listener) noexcept nogil:
    cdef via_t second
    cdef flow_t flow
    cdef uint32_t ref, generation
    cdef bint same_store = read_hint(core, m.buf, &m.via.hint, &ref, &generation) == OK
    cdef bint passes = not same_store or (m.cseq_method == M_INVITE and 200 <= m.status < 300)
    count(core, N_STRAY_RESPONSES)
    if not passes or parse_second_via(m, &second) < 0 or not is_our_branch(core, m, &second, value):
        return
    if aim_at_via(core, m, &second, &flow, listener) < 0:
        return
    edit_response(core, m)
    send_edited(core, m, &flow)
