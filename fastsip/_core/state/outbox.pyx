"""What leaves with this batch: messages in the outbox, and the scratch that holds those of no block.

A flush at the end of the round sends them (shard/workspace).  Must never: decide what is sent.
"""

from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcmp

from fastsip._core.base.types cimport E_ROOM, MAX_MESSAGE
from fastsip._core.base.check cimport check
from fastsip._core.base.address cimport T_UDP, flow_t
from fastsip._core.base.scarcity cimport SCARCE_SCRATCH, runs_short
from fastsip._core.sip.types cimport M_ACK, M_BYE, M_INVITE, message_t
from fastsip._core.sip.words cimport match_method
from fastsip._core.sip.edits cimport close_headers, write_edits
from fastsip._core.store.slots cimport NO_SLOT, PENDING_BLOCKS, slot_at, word_generation
from fastsip._core.routing.lookup cimport find_listener_index
from fastsip._core.transport.udp cimport SEND_BATCH, outgoing_t, take_outgoing
from fastsip._core.state.counters cimport (
    N_NO_ROOM, N_REQUESTS_OUT, N_RESPONSES_OUT, N_SENT_LOST, STATUS_PLACES,
)
from fastsip._core.state.memory cimport OUTBOX_RESERVE, PENDING_RESERVE, SCRATCH_BYTES, SCRATCH_RESERVE
from fastsip._core.state.shard cimport shard_t, count


cdef bint needs_flush(const shard_t *shard) noexcept nogil:
    """True when the next event might not find room in outbox, scratch or pending."""
    check(shard.net.out_count <= SEND_BATCH)
    check(shard.scratch_used <= SCRATCH_BYTES)
    check(shard.pending.count <= PENDING_BLOCKS)
    return (shard.net.out_count > SEND_BATCH - OUTBOX_RESERVE
            or shard.scratch_used > SCRATCH_BYTES - SCRATCH_RESERVE
            or shard.pending.count > PENDING_BLOCKS - PENDING_RESERVE)


cdef char *take_scratch(shard_t *shard, uint32_t len) noexcept nogil:
    """Bytes that live until the flush, or NULL (counted)."""
    cdef char *at = shard.scratch + shard.scratch_used
    if shard.scratch_used + len > SCRATCH_BYTES or runs_short(SCARCE_SCRATCH):
        count(shard, N_NO_ROOM)
        return NULL
    shard.scratch_used += (len + 63) & ~<uint32_t>63
    check(shard.scratch_used & 63 == 0)
    check(shard.scratch_used <= SCRATCH_BYTES)
    return at


cdef void queue_datagram(shard_t *shard, const char *at, uint32_t len, const flow_t *flow, int listener,
                         uint32_t owner, int owes) noexcept nogil:
    cdef outgoing_t *out = take_outgoing(shard.net)
    check(at != NULL)
    check(len > 0)
    if out == NULL:
        count(shard, N_NO_ROOM)
        return
    out.at = at
    out.len = len
    out.listener = listener
    out.to = flow.remote
    out.owner = <uint64_t>NO_SLOT
    out.owner_generation = 0
    # By its life: when the batch was sent the slot may be another call's, which owes what it owes (clear_owes).
    if owner != NO_SLOT:
        out.owner = (<uint64_t>owes << 32) | owner
        out.owner_generation = word_generation(slot_at(shard.store, owner).commit)


cdef inline void count_status(shard_t *shard, const char *at) noexcept nogil:
    """Of a status line, from its code on."""
    cdef int status = (at[0] - c'0') * 100 + (at[1] - c'0') * 10 + at[2] - c'0'
    if 100 <= status < 700:
        count(shard, N_RESPONSES_OUT + STATUS_PLACES[status])


cdef void count_odd(shard_t *shard, const char *at, uint32_t len) noexcept nogil:
    """Other methods, and what a peer wrote with blank lines before the first one (7.5) or blanks before the code.  No
    method has a slash.
    """
    cdef uint32_t off = 0
    cdef uint32_t end
    while off < len and (at[off] == c'\r' or at[off] == c'\n'):
        off += 1
    end = off
    check(off + 12 < len)
    if at[off + 3] == c'/':
        off += 8
        while off + 3 < len and at[off] == c' ':
            off += 1
        count_status(shard, at + off)
        return
    while end < len and at[end] != c' ' and at[end] != c'\t':
        end += 1
    count(shard, N_REQUESTS_OUT + match_method(at + off, end - off))


cdef void count_sent(shard_t *shard, const char *at, uint32_t len) noexcept nogil:
    """By its first line, which says it of all that leaves, whoever wrote it.  Most is a response, or of a call."""
    check(len > 12)
    if memcmp(at, b"SIP/2.0 ", 8) == 0 and at[8] != c' ':
        count_status(shard, at + 8)
    elif memcmp(at, b"INVITE ", 7) == 0:
        count(shard, N_REQUESTS_OUT + M_INVITE)
    elif memcmp(at, b"ACK ", 4) == 0:
        count(shard, N_REQUESTS_OUT + M_ACK)
    elif memcmp(at, b"BYE ", 4) == 0:
        count(shard, N_REQUESTS_OUT + M_BYE)
    else:
        count_odd(shard, at, len)


cdef bint queue_message(shard_t *shard, const char *at, uint32_t len, const flow_t *flow,
                        uint32_t owner, int owes) noexcept nogil:
    """The one place that knows how each transport is sent."""
    cdef int listener = find_listener_index(shard.table, flow.listener_id)
    if listener < 0 or flow.remote.transport != T_UDP:
        count(shard, N_SENT_LOST)
        return False
    count_sent(shard, at, len)
    queue_datagram(shard, at, len, flow, listener, owner, owes)
    return True


cdef int send_edited(shard_t *shard, const message_t *m, const flow_t *flow, uint32_t owner, int owes) noexcept nogil:
    """The length sent, or E_ROOM."""
    cdef uint32_t room
    cdef char *at
    cdef int len
    close_headers(&shard.edits, m)
    room = m.len + shard.edits.growth
    if room > MAX_MESSAGE:
        return E_ROOM
    at = take_scratch(shard, room)
    if at == NULL:
        return E_ROOM
    len = write_edits(&shard.edits, m.buf, m.len, at, room)
    check((len == E_ROOM) | (len == <int>room))
    if len > 0:
        queue_message(shard, at, len, flow, owner, owes)
    return len
