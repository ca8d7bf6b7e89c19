"""The clocks of a branch (docs/wire.md#clocks-of-a-search, RFC 3261 17.1): which run after a step, which ran out.

Each is a deadline in the record that the step commits:

    retransmit_ms   Timer A of an INVITE, Timer E of any other request and of our CANCEL
    expire_ms       Timer B or F, or the policy's `timeout`; then `progress` or `ring`; at last Timer D, or M (RFC 6026)
    c_ms            Timer C (16.6 item 11)

Timer K is not needed (machines).  The server transaction's G, H, I, J and L stand in transaction/server.
Says nothing about what follows for the search (proxy/context).
"""

from libc.stdint cimport uint16_t, uint32_t, uint64_t

from fastsip._core.base.check cimport check
from fastsip._core.base.address cimport addr_t, is_reliable
from fastsip._core.store.records cimport (
    ABANDONED, CALLING, CANCELLING, CANCEL_PENDING, CLIENT_ABANDONED, CLIENT_ACCEPTED, CLIENT_COMPLETED, CLIENT_ENDED,
    CLIENT_PROCEEDING, KIND_CLIENT_INVITE, KIND_CLIENT_OTHER, is_child, is_server, policy_copy_t,
)
from fastsip._core.store.slots cimport slot_at, word_kind, word_state
from fastsip._core.store.wheel cimport arm_timer, disarm_timer
from fastsip._core.routing.types cimport F_PROGRESS, F_RING, F_TIMEOUT
from fastsip._core.routing.policies cimport policy_wants
from fastsip._core.state.shard cimport shard_t
from fastsip._core.transaction.machines cimport (
    END_CLOCK, GIVE_UP_CLOCK, PHASE_CLOCKS, RESEND, RETRANSMIT, SEND_CANCEL, SERVER_RETRANSMIT, SLOW, STOP, TIMER_F,
    client_step, is_state, server_step,
)

cdef enum:
    # How long a failover waits for the final response of a cancelled branch: a 200 that crosses the CANCEL is here
    # after a round trip, and the caller waits all the while.
    CROSSING_MS = 1000


cdef void first_clocks(shard_t *shard, const addr_t *to, uint32_t timeout_ms, record_t *record) noexcept nogil:
    """Timers A and B, or E and F; the policy's `timeout`, when it has one, shortens B or F.

    A and E do not run where the transport repeats by itself.
    """
    cdef uint32_t t1 = shard.table.clocks.t1_ms
    cdef uint32_t timeout = 64 * t1
    check(t1 > 0)
    if timeout_ms and timeout_ms < timeout:
        timeout = timeout_ms
    record.client.interval_ms = <uint16_t>t1
    record.client.retransmit_ms = 0 if is_reliable(to) else shard.now_ms + t1
    record.client.expire_ms = shard.now_ms + timeout


cdef void set_phase_clocks(shard_t *shard, const slot_t *server, record_t *record, int status) noexcept nogil:
    """`progress` runs from the 100, `ring` from the first 101-199, Timer C anew from each 101-199 (16.7 item 2)."""
    cdef const policy_copy_t *policy = &server.identity.server.policy
    check(status < 200)
    if status > 100:
        record.client.c_ms = shard.now_ms + shard.table.clocks.c_ms
        if record.client.last_status <= 100:
            record.client.expire_ms = shard.now_ms + policy.ring_ms if policy.ring_ms else 0
    elif record.client.last_status == 0:
        record.client.c_ms = shard.now_ms + shard.table.clocks.c_ms
        record.client.expire_ms = shard.now_ms + policy.progress_ms if policy.progress_ms else 0


cdef void set_cancel_clocks(shard_t *shard, const slot_t *branch, const slot_t *server,
                            record_t *record) noexcept nogil:
    """Timer E repeats our CANCEL; 64 T1 after it the branch counts as ended (9.1).  Timer C has done its work.

    A failover (`reason`) waits for the final response for CROSSING_MS only.  A branch that was abandoned is waited for
    by nobody: it stays to ACK its final response.
    """
    cdef uint32_t t1 = shard.table.clocks.t1_ms
    check(t1 > 0)
    record.client.c_ms = 0
    record.client.interval_ms = <uint16_t>t1
    record.client.retransmit_ms = shard.now_ms + t1
    if is_reliable(&branch.identity.client.target.remote):
        record.client.retransmit_ms = 0
    record.client.expire_ms = shard.now_ms + 64 * <uint64_t>t1
    if record.client.flags & CLIENT_ABANDONED:
        return
    if record.client.reason and policy_wants(&server.identity.server.policy, record.client.reason, 0):
        record.client.expire_ms = shard.now_ms + CROSSING_MS


cdef void repeat_later(shard_t *shard, record_t *record, bint doubling) noexcept nogil:
    """Timer A doubles without end (17.1.1.2); Timer E, of a CANCEL too, doubles up to T2 (17.1.2.2).

    Counted from now and not from when it was due: after a pause of the process repetitions do not come in a burst.
    """
    cdef uint32_t interval = max(2 * <uint32_t>record.client.interval_ms, 1)
    if not doubling and interval > shard.table.clocks.t2_ms:
        interval = shard.table.clocks.t2_ms
    record.client.interval_ms = <uint16_t>min(interval, 0xFFFF)
    check(record.client.interval_ms > 0)    # of 0 the timer would fire in the same round for ever
    record.client.retransmit_ms = shard.now_ms + record.client.interval_ms


cdef inline bint has_its_timers(int kind, step_t step) noexcept nogil:
    """For a check: does the step start clocks that its state has (figures 5 and 6, RFC 6026, and states of our own)?"""
    cdef int next = step.next
    if step.actions & (PHASE_CLOCKS | SLOW | TIMER_F) and next != CLIENT_PROCEEDING:
        return False
    if step.actions & SEND_CANCEL and next != CANCELLING:
        return False
    if step.actions & END_CLOCK and next != CLIENT_COMPLETED and next != CLIENT_ACCEPTED:
        return False
    if step.actions & GIVE_UP_CLOCK and next != ABANDONED:
        return False
    return (not step.actions & RESEND or next == CALLING or next == CANCEL_PENDING or next == CANCELLING
            or (next == CLIENT_PROCEEDING and kind == KIND_CLIENT_OTHER))


cdef void set_clocks(shard_t *shard, const slot_t *branch, const slot_t *server, int state, step_t step, int status,
                     record_t *record) noexcept nogil:
    """STOP comes first: a step that stops Timer A and sends a CANCEL starts the CANCEL's Timer E then."""
    cdef uint64_t whole = 64 * <uint64_t>shard.table.clocks.t1_ms
    cdef uint64_t started_ms = min(branch.created_ms, shard.now_ms)
    check(step.valid)
    check(is_state(word_kind(branch.commit), step.next))
    check(has_its_timers(word_kind(branch.commit), step))
    if step.actions & STOP:                         # Timer A or E
        record.client.retransmit_ms = 0
    if step.actions & PHASE_CLOCKS:                 # Timer C; Timer B has ended
        set_phase_clocks(shard, server, record, status)
    if step.actions & SEND_CANCEL:
        set_cancel_clocks(shard, branch, server, record)
    if step.actions & END_CLOCK and state != step.next:     # Timer D, or M
        record.client.retransmit_ms = 0
        record.client.c_ms = 0
        record.client.expire_ms = shard.now_ms + whole
        if step.next == CLIENT_COMPLETED:
            record.client.expire_ms = absorb_until(shard, &branch.identity.client.target.remote, whole)
    if step.actions & GIVE_UP_CLOCK:                # to where Timer B or F would have ended without `timeout`
        record.client.c_ms = 0
        record.client.expire_ms = max(started_ms + whole, shard.now_ms + 1)
    if step.actions & TIMER_F:
        record.client.expire_ms = max(started_ms + whole, shard.now_ms + 1)
    if step.actions & RESEND:                       # Timer A or E, again
        repeat_later(shard, record, word_kind(branch.commit) == KIND_CLIENT_INVITE and state != CANCELLING)
    # Timer E in Proceeding: T2 (17.1.2.2).
    if step.actions & SLOW and not is_reliable(&branch.identity.client.target.remote):
        record.client.interval_ms = <uint16_t>shard.table.clocks.t2_ms
        record.client.retransmit_ms = shard.now_ms + shard.table.clocks.t2_ms


cdef int expiry_reason(shard_t *shard, int kind, int state, const record_t *record) noexcept nogil:
    """expire_ms is Timer B or F until a reply came, then `progress` or `ring`; what is left is Timer C."""
    check(is_child(kind))
    check(is_state(kind, state))
    if state == CALLING or state == CANCEL_PENDING:
        return F_TIMEOUT
    if kind != KIND_CLIENT_INVITE:
        return 0
    if record.client.expire_ms and shard.now_ms >= record.client.expire_ms:
        return F_RING if record.client.last_status > 100 else F_PROGRESS
    return 0


cdef uint64_t earlier(uint64_t a, uint64_t b) noexcept nogil:
    """Of two deadlines; 0 = none."""
    if a == 0 or (b != 0 and b < a):
        return b
    return a


cdef uint64_t deadline_of(int kind, const record_t *record) noexcept nogil:
    """The next deadline of a slot's clocks; 0 = none runs."""
    check(is_server(kind) | is_child(kind))
    if is_server(kind):
        return earlier(record.server.retransmit_ms, record.server.expire_ms)
    return earlier(earlier(record.client.retransmit_ms, record.client.expire_ms), record.client.c_ms)


cdef inline bint may_repeat(const slot_t *slot, const record_t *record) noexcept nogil:
    """For a check: does Timer A, E or G run only in a state that has it?  What a file says else, the recovery mends.

    A branch that has ended may still have the clocks of before: its slot is free at the end of the event.
    """
    cdef int kind = word_kind(slot.commit)
    cdef int state = word_state(slot.commit)
    if is_server(kind):
        return record.server.retransmit_ms == 0 or server_step(kind, state, SERVER_RETRANSMIT).valid
    return (record.client.retransmit_ms == 0 or state == CLIENT_ENDED
            or client_step(kind, state, RETRANSMIT).valid)


cdef void arm_slot(shard_t *shard, uint32_t ref, int kind, const record_t *record) noexcept nogil:
    """One timer a slot, though its record has up to three deadlines: whoever it wakes looks which of them has come."""
    cdef uint64_t at = deadline_of(kind, record)
    check(word_kind(slot_at(shard.store, ref).commit) == kind)
    check(may_repeat(slot_at(shard.store, ref), record))
    if at == 0:
        disarm_timer(shard.wheel, ref)
    else:
        arm_timer(shard.wheel, ref, at)
