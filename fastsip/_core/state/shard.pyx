"""The working state of one shard and the few things all of its kernels do with it.

Queue a message, find what an id names in today's table, arm a slot's timer,
tell the control plane.  Nothing here knows SIP.  Used by transactions, the
proxy files and shard.
"""

from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcpy

from fastsip._core.base.types cimport E_NONE, E_ROOM, MAX_MESSAGE
from fastsip._core.base.address cimport addr_t, flow_t
from fastsip._core.base.scarcity cimport SCARCE_EVENT, SCARCE_SCRATCH, runs_short
from fastsip._core.base.ring cimport push_begin, push_done, wake
from fastsip._core.sip.types cimport message_t
from fastsip._core.sip.edits cimport close_headers, write_edits
from fastsip._core.store.slots cimport NO_SLOT, PENDING_BLOCKS, is_server, slot_at, word_generation
from fastsip._core.store.wheel cimport arm_timer, disarm_timer
from fastsip._core.routing.types cimport listener_t, table_t
from fastsip._core.routing.index cimport AT_ADDRESS, ID_DESTINATION, ID_POLICY, ID_SET, find_id, find_place
from fastsip._core.transport.udp cimport SEND_BATCH, outgoing_t, take_outgoing

# In the order of counter_id.
COUNTER_NAMES = (
    "datagrams", "requests", "responses", "invites", "handed_over", "handed_over_full",
    "retransmitted_requests", "retransmissions_sent", "timeouts", "failovers", "exhausted", "cancels",
    "not_sip", "keep_alives", "malformed", "stray_responses", "stray_acks", "refused_requests", "no_rule",
    "too_broad", "store_full", "over_share", "shed", "no_room", "transactions", "transactions_ended",
    "transport_failures", "abandoned", "late_answers", "probes", "probe_failures", "events_dropped",
    "receive_calls", "received", "send_calls", "sent", "sent_lost", "kernel_drops", "waits", "over_1300", "over_1472",
    "wakes",
    "loops", "forged_tokens", "relays_refused", "unknown_dialogs", "stand_ins", "routes_removed",
    "next_hops_refused", "edits_refused",
    "too_many_hops", "bad_extensions", "too_large", "unsupported", "unavailable", "replies_by_rule",
    "names_asked", "names_refused", "names_failed", "parked", "parked_dropped",
    "quarantined", "drained",
    *(f"bad_{what}" for what in (
        "start_line", "version", "header_line", "header_count", "via_count", "size", "via", "from", "to", "call_id",
        "cseq", "max_forwards", "content_length", "uri", "scheme", "route", "repetition", "max_breadth",
    )),
)
assert len(COUNTER_NAMES) == COUNTER_COUNT


cdef bint needs_flush(const core_t *core) noexcept nogil:
    """True when the next event might not find room in outbox, scratch or pending."""
    return (core.net.out_count > SEND_BATCH - OUTBOX_RESERVE
            or core.scratch_used > SCRATCH_BYTES - SCRATCH_RESERVE
            or core.pending.count > PENDING_BLOCKS - PENDING_RESERVE)


cdef char *take_scratch(core_t *core, uint32_t len) noexcept nogil:
    """Bytes that live until the flush, or NULL (counted)."""
    cdef char *at = core.scratch + core.scratch_used
    if core.scratch_used + len > SCRATCH_BYTES or runs_short(SCARCE_SCRATCH):
        count(core, N_NO_ROOM)
        return NULL
    core.scratch_used += (len + 63) & ~<uint32_t>63
    return at


cdef bint queue_message(core_t *core, const char *at, uint32_t len, const flow_t *flow,
                        uint32_t owner, int owes) noexcept nogil:
    cdef outgoing_t *out
    cdef int listener = find_listener_index(core.table, flow.listener_id)
    if listener < 0:
        count(core, N_SENT_LOST)
        return False
    out = take_outgoing(core.net)
    if out == NULL:
        count(core, N_NO_ROOM)
        return True
    out.at = at
    out.len = len
    out.listener = listener
    out.to = flow.remote
    out.owner = <uint64_t>NO_SLOT
    out.owner_generation = 0
    if owner != NO_SLOT:
        out.owner = (<uint64_t>owes << 32) | owner
        out.owner_generation = word_generation(slot_at(core.store, owner).commit)
    return True


cdef int send_edited(core_t *core, const message_t *m, const flow_t *flow, uint32_t owner, int owes) noexcept nogil:
    """The length sent, or E_ROOM."""
    cdef uint32_t room
    cdef char *at
    cdef int len
    close_headers(&core.edits, m)
    room = m.len + core.edits.growth
    if room > MAX_MESSAGE:
        return E_ROOM
    at = take_scratch(core, room)
    if at == NULL:
        return E_ROOM
    len = write_edits(&core.edits, m.buf, m.len, at, room)
    if len > 0:
        queue_message(core, at, len, flow, owner, owes)
    return len


cdef const listener_t *find_listener(const table_t *table, uint32_t listener_id) noexcept nogil:
    cdef int index = find_listener_index(table, listener_id)
    return NULL if index < 0 else &table.listeners[index]


cdef int find_listener_index(const table_t *table, uint32_t listener_id) noexcept nogil:
    cdef uint32_t i
    for i in range(table.listener_count):
        if table.listeners[i].id == listener_id:
            return i
    return E_NONE


cdef int find_destination(const table_t *table, uint32_t destination_id, uint32_t hint) noexcept nogil:
    """Its index in this table; `hint` is where it was when the caller last looked."""
    if destination_id == 0:
        return E_NONE
    if hint < table.destination_count and table.destinations[hint].id == destination_id:
        return hint
    return find_id(table, ID_DESTINATION, destination_id)


cdef int find_set(const table_t *table, uint32_t set_id) noexcept nogil:
    return find_id(table, ID_SET, set_id)


cdef int find_policy(const table_t *table, uint32_t policy_id) noexcept nogil:
    return find_id(table, ID_POLICY, policy_id)


cdef int find_by_address(const table_t *table, const addr_t *addr) noexcept nogil:
    """The first destination of this address and port, as index."""
    return find_place(table, AT_ADDRESS, addr, 0)


cdef uint64_t earlier(uint64_t a, uint64_t b) noexcept nogil:
    """Of two deadlines; 0 = none."""
    if a == 0 or (b != 0 and b < a):
        return b
    return a


cdef uint64_t deadline_of(int kind, const record_t *record) noexcept nogil:
    """The next of its timers; 0 = none runs."""
    if is_server(kind):
        return earlier(record.server.retransmit_ms, record.server.expire_ms)
    return earlier(earlier(record.client.retransmit_ms, record.client.expire_ms), record.client.c_ms)


cdef void arm_slot(core_t *core, uint32_t ref, int kind, const record_t *record) noexcept nogil:
    cdef uint64_t at = deadline_of(kind, record)
    if at == 0:
        disarm_timer(core.wheel, ref)
    else:
        arm_timer(core.wheel, ref, at)


cdef bint emit_event(core_t *core, int kind, uint32_t destination_id, uint32_t reason, uint32_t status,
                     uint64_t since_ms, const char *text, uint32_t len) noexcept nogil:
    cdef event_t *event
    if core.events == NULL:
        return False
    event = NULL if runs_short(SCARCE_EVENT) else <event_t *>push_begin(core.events, sizeof(event_t))
    if event == NULL:
        count(core, N_EVENTS_DROPPED)
        return False
    event.kind = kind
    event.destination_id = destination_id
    event.reason = reason
    event.status = status
    event.at_ms = core.now_ms
    event.after_ms = <uint32_t>(core.now_ms - since_ms) if since_ms else 0
    event.text_len = min(len, <uint32_t>EVENT_TEXT)
    if event.text_len:
        memcpy(event.text, text, event.text_len)
    push_done(core.events, sizeof(event_t))
    if core.control != NULL:
        wake(core.control)
    return True
