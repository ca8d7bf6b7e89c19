"""What ICMP says of requests that we sent (docs/core.md#icmp).

An entry of the error queue fails a branch only if the datagram it quotes
carries a Via of ours whose branch is the slot's, if it was to go where the
slot's request goes, and if nobody has answered that request yet.  ICMP can be
forged from anywhere; the branch cannot be guessed.  A refused port counts at
once, an unreachable host or network only the second time.  ACK and CANCEL
never fail anything.
"""

from libc.stdint cimport uint32_t, uint64_t
from libc.errno cimport ECONNREFUSED, EHOSTUNREACH, ENETUNREACH, EPROTO
from libc.string cimport memcmp

from fastsip._core.base.types cimport E_BAD, span_t
from fastsip._core.base.address cimport same_place
from fastsip._core.base.check cimport check
from fastsip._core.sip.types cimport message_t
from fastsip._core.store.records cimport (
    CALLING, CANCEL_PENDING, CLIENT_UNREACHABLE, KIND_FREE, OWES_REQUEST, is_server, record_t,
)
from fastsip._core.store.slots cimport (
    NO_SLOT, SLOT_BITS, SLOT_MASK, commit, record_of, slot_at, slot_t, word_generation, word_kind, word_owes,
    word_state,
)
from fastsip._core.wire.via cimport BRANCH_TEXT, HINT_TEXT, PROBE, read_branch, read_hint
from fastsip._core.transaction.machines cimport SEND_FAILED
from fastsip._core.transaction.client cimport read_request
from fastsip._core.health.probes cimport fail_probe
from fastsip._core.proxy.context cimport branch_input, refuse_search

# What a Via of ours has behind its sent-by (see via.write_via).
cdef const char *BEHIND_SENT_BY = b";branch=z9hG4bK"
cdef const char *BEHIND_BRANCH = b";fs="

cdef enum:
    BEHIND_SENT_BY_LEN = 15
    BEHIND_BRANCH_LEN = 4

cdef struct quoted_t:
    uint64_t branch
    uint32_t ref
    uint32_t generation


cdef bint is_request(const net_error_t *error) noexcept nogil:
    """Is the datagram that ICMP quotes a request that may fail: no response, no ACK, no CANCEL?"""
    cdef const char *at = &error.quote[0]
    return (error.quote_len > 8 and memcmp(at, b"SIP/2.0 ", 8) != 0 and memcmp(at, b"ACK ", 4) != 0
            and memcmp(at, b"CANCEL ", 7) != 0)


cdef int read_quote(const shard_t *shard, const net_error_t *error, quoted_t *quoted) noexcept nogil:
    """Branch and hint of our Via in the quoted bytes, which may be cut short; E_BAD when there is none of ours."""
    cdef uint32_t wanted = BEHIND_SENT_BY_LEN - 7 + BRANCH_TEXT + BEHIND_BRANCH_LEN + HINT_TEXT
    cdef uint32_t at = 0
    cdef span_t branch, hint
    if not is_request(error):
        return E_BAD
    while at + wanted <= error.quote_len:
        if error.quote[at] == c";" and memcmp(error.quote + at, BEHIND_SENT_BY, BEHIND_SENT_BY_LEN) == 0:
            break
        at += 1
    if at + wanted > error.quote_len:
        return E_BAD
    branch.off = <unsigned short>(at + BEHIND_SENT_BY_LEN - 7)
    branch.len = BRANCH_TEXT
    hint.off = <unsigned short>(branch.off + BRANCH_TEXT + BEHIND_BRANCH_LEN)
    hint.len = HINT_TEXT
    check(<uint32_t>hint.off + hint.len <= error.quote_len)
    if memcmp(error.quote + branch.off + BRANCH_TEXT, BEHIND_BRANCH, BEHIND_BRANCH_LEN) != 0:
        return E_BAD
    if read_branch(error.quote, &branch, &quoted.branch) < 0:
        return E_BAD
    return read_hint(shard.store, error.quote, &hint, &quoted.ref, &quoted.generation)


cdef int shard_of_error(const shard_t *shard, const net_error_t *error) noexcept nogil:
    cdef quoted_t quoted
    if read_quote(shard, error, &quoted) < 0:
        return E_BAD
    return <int>((quoted.ref >> SLOT_BITS) % shard.count)


cdef void take_error(shard_t *shard, const net_error_t *error) noexcept nogil:
    cdef quoted_t quoted
    cdef slot_t *slot
    cdef record_t record
    if read_quote(shard, error, &quoted) < 0:
        return
    if error.code not in (ECONNREFUSED, EHOSTUNREACH, ENETUNREACH, EPROTO):
        return      # EPROTO is a parameter problem
    if quoted.ref & SLOT_MASK == PROBE:
        fail_probe(shard, quoted.generation, quoted.branch, &error.to)
        return
    check((quoted.ref >> SLOT_BITS) % shard.count == shard.number)      # shard_of_error
    slot = slot_at(shard.store, quoted.ref)
    if (word_generation(slot.commit) != quoted.generation or word_kind(slot.commit) == KIND_FREE
            or is_server(word_kind(slot.commit)) or slot.key != quoted.branch
            or not same_place(&slot.identity.client.target.remote, &error.to)):
        return
    if word_state(slot.commit) != CALLING and word_state(slot.commit) != CANCEL_PENDING:
        return
    record = record_of(slot)[0]
    if error.code != ECONNREFUSED and not record.client.flags & CLIENT_UNREACHABLE:
        record.client.flags |= CLIENT_UNREACHABLE
        commit(shard.store, quoted.ref, word_kind(slot.commit), word_state(slot.commit), word_owes(slot.commit),
               &record)
        return
    branch_input(shard, quoted.ref, SEND_FAILED, NULL)


cdef void message_failed(shard_t *shard, uint32_t ref, uint32_t generation, int owes, bint too_big) noexcept nogil:
    """Only a request that nobody has answered yet can fail by transport."""
    cdef slot_t *slot
    cdef message_t stored
    if ref == NO_SLOT:
        return
    slot = slot_at(shard.store, ref)
    if word_generation(slot.commit) != generation or is_server(word_kind(slot.commit)) or owes != OWES_REQUEST:
        return
    if too_big and read_request(shard, ref, &stored) >= 0:
        refuse_search(shard, slot.parent, &stored, 513)      # no fault of the destination's: no mark, no failover
    branch_input(shard, ref, SEND_FAILED, NULL)
