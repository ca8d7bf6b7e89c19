"""Probes: is the destination there (docs/wire.md#probes, docs/core.md#probes-by-shards).

Each destination is probed by one shard, from the listener that calls use, so
that peers see the port they know.  No slot: the branch is kept beside the
destination's cell and the hint names the cell.  The Call-ID is made so that
its partition is this shard's, and the answer comes back here.

Branch and Call-ID are keyed hashes: who sees one probe cannot tell the next.  An
answer counts only if it comes from the address that was asked; its port
is not looked at, since gateways that answer from another one are many.

Any final response that `accept` names is life; a time-out or any other is a
failure.  A probe is repeated at T1, 2 T1, ... within its timeout, byte for byte, as every
request over UDP is (17.1.2.2).

A wheel of its own has the cells in the order in which something is due, so that nothing
here looks at all destinations but the first look at a new table.
"""

from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcmp, memset

from fastsip._core.base.types cimport OK, PARTITIONS, put, put_number
from fastsip._core.base.check cimport check
from fastsip._core.base.address cimport flow_t, is_reliable, same_place
from fastsip._core.base.hashing cimport hash_add_number, hash_begin, hash_end, mix, siphash_t, write_base32
from fastsip._core.store.slots cimport NO_SLOT, SLOT_BITS, SLOT_MASK, partition_of
from fastsip._core.store.wheel cimport (
    NOT_ARMED, NO_TIMER, advance_wheel, arm_timer, disarm_timer, init_wheel, take_expired, wheel_wait_ms,
)
from fastsip._core.routing.types cimport PROBE_MARKED, PROBE_ONLY_FAILED, destination_t, listener_t
from fastsip._core.dispatcher.cells cimport (
    ADMIN_DISABLED, HEALTH_DOWN, HEALTH_TRYING, WENT_DOWN, cell_health, cell_t, mark_failed, mark_succeeded,
)
from fastsip._core.dispatcher.paces cimport damped_rise, note_down, note_latency, pace_t
from fastsip._core.dispatcher.measures cimport PROBE_ALIVE, PROBE_REFUSED, PROBE_SILENT, PROBE_UNREACHABLE
from fastsip._core.wire.via cimport PROBE, VIA_ROOM, read_hint, write_via
from fastsip._core.state.counters cimport N_PROBES, N_PROBE_FAILURES, N_RESENT_PROBES, N_STRAY_RESPONSES
from fastsip._core.state.memory cimport probe_state_t
from fastsip._core.state.shard cimport count
from fastsip._core.state.events cimport BY_PROBE, CAUSE_SHIFT, EVENT_HEALTH, EVENT_PROBED, emit_event
from fastsip._core.state.outbox cimport queue_message, take_scratch
from fastsip._core.health.measuring cimport measure_probe

cdef enum:
    FIRST_ROUND_MS = 1000
    PROBE_ROOM = 1024       # beyond the texts of the configuration
    ID_LETTERS = 13
    LONGEST_WAIT_MS = 0x7FFFFFFF
    OF_BRANCH = 1           # words of a probe
    OF_CALL_ID = 2


cdef uint64_t NEVER_MS = <uint64_t>-1


cdef uint64_t random_word(shard_t *shard) noexcept nogil:
    """Spreads probes in time and nothing else: it may be guessed."""
    shard.positions.random = mix(shard.positions.random, shard.now_ms)
    return shard.positions.random


cdef uint64_t keyed_word(const shard_t *shard, uint32_t cell, const probe_state_t *state, uint64_t of) noexcept nogil:
    """Of this probe and none other; `of` tells the words of one probe apart."""
    cdef siphash_t h
    check(cell < shard.probe_count)
    check(state == &shard.probes[cell])
    hash_begin(&h, shard.store.hash_key)
    hash_add_number(&h, <uint64_t>cell << 32 | state.number)
    hash_add_number(&h, state.sent_ms)
    hash_add_number(&h, of)
    return hash_end(&h)


cdef bint is_wanted(const destination_t *d, const cell_t *cell) noexcept nogil:
    """One that an operator has disabled gets no probe: he may have taken its machine away.  One that he drains does,
    since calls in their dialogs still go there.
    """
    cdef int health = cell_health(cell)
    if d.probe.interval_ms == 0 or cell.admin == ADMIN_DISABLED:
        return False
    if d.probe.mode == PROBE_ONLY_FAILED:
        return health == HEALTH_DOWN
    if d.probe.mode == PROBE_MARKED:
        return health == HEALTH_DOWN or health == HEALTH_TRYING
    return True


cdef void make_call_id(shard_t *shard, uint32_t cell, const probe_state_t *state, char *text) noexcept nogil:
    """13 letters whose partition this shard serves, so that the answer is handed to it; bounded by chance alone."""
    cdef uint64_t word = keyed_word(shard, cell, state, OF_CALL_ID)
    cdef uint32_t i
    check(shard.number < shard.count)
    check(shard.count <= PARTITIONS)        # one more would serve no partition, and find no Call-ID of its own
    for i in range(64 * PARTITIONS):
        write_base32(mix(word, i), 64, text)
        if partition_of(shard.store, text, ID_LETTERS) % shard.count == shard.number:
            return


cdef int write_probe(shard_t *shard, const destination_t *d, const probe_state_t *state, char *out) noexcept nogil:
    """The same each time it is written, until the next one starts; some carriers want a Contact.

    No block keeps a probe: all that differs from one to the next stands in `state`, so that a repetition is made anew.
    """
    cdef const listener_t *listener = &shard.table.listeners[d.listener]
    cdef char call_id[16]
    cdef int n = put(out, d.probe.method.at, d.probe.method.len)
    check(state.branch != 0)
    check(d.listener < shard.table.listener_count)
    make_call_id(shard, d.cell, state, call_id)
    n += put(out + n, b" ", 1)
    n += put(out + n, d.uri.at, d.uri.len)
    n += put(out + n, b" SIP/2.0\r\n", 10)
    n += write_via(shard.store, out + n, listener, state.branch, 0,
                   partition_of(shard.store, call_id, ID_LETTERS) << SLOT_BITS | PROBE, d.cell)
    n += put(out + n, b"Max-Forwards: 70\r\nFrom: <", 25)
    n += put(out + n, d.probe.from_uri.at, d.probe.from_uri.len)
    n += put(out + n, b">;tag=", 6)
    n += put(out + n, call_id, ID_LETTERS)
    n += put(out + n, b"\r\nTo: <", 7)
    n += put(out + n, d.uri.at, d.uri.len)
    n += put(out + n, b">\r\nCall-ID: ", 12)
    n += put(out + n, call_id, ID_LETTERS)
    n += put(out + n, b"\r\nCSeq: ", 8)
    n += put_number(out + n, state.number)
    n += put(out + n, b" ", 1)
    n += put(out + n, d.probe.method.at, d.probe.method.len)
    n += put(out + n, b"\r\n", 2)
    if not d.probe.own_contact:
        n += put(out + n, b"Contact: <sip:", 14)
        n += put(out + n, listener.sent_by.at, listener.sent_by.len)
        n += put(out + n, b">\r\n", 3)
    n += put(out + n, d.probe.headers.at, d.probe.headers.len)
    return n + put(out + n, b"Content-Length: 0\r\n\r\n", 21)


cdef void send_probe(shard_t *shard, const destination_t *d, const probe_state_t *state) noexcept nogil:
    """Without scratch nothing is sent: the repetition at T1 comes anyway."""
    cdef const listener_t *listener = &shard.table.listeners[d.listener]
    cdef uint32_t room = (PROBE_ROOM + VIA_ROOM + 2 * d.uri.len + d.probe.from_uri.len + 2 * d.probe.method.len
                          + d.probe.headers.len + listener.sent_by.len)
    cdef char *at = take_scratch(shard, room)
    cdef flow_t flow
    cdef int len
    check(state.branch != 0)
    if at == NULL:
        return
    memset(&flow, 0, sizeof(flow))
    flow.remote = d.addr
    flow.listener_id = listener.id
    len = write_probe(shard, d, state, at)
    check(<uint32_t>len <= room)
    queue_message(shard, at, len, &flow, NO_SLOT, 0)


cdef uint32_t gap_ms(shard_t *shard, const destination_t *d, const probe_state_t *state) noexcept nogil:
    """Until the next probe: the interval, a twentieth of it sooner or later, or the probes of all routers would fall
    into step.  The second one comes at any time of its interval: those that began together do not stay together.
    """
    cdef uint32_t interval_ms = d.probe.interval_ms
    check(state.number > 0)
    if state.number == 1:
        return <uint32_t>(random_word(shard) % interval_ms) + 1
    return interval_ms - interval_ms // 20 + <uint32_t>(random_word(shard) % (interval_ms // 10 + 1))


cdef void start_probe(shard_t *shard, const destination_t *d, cell_t *cell, probe_state_t *state) noexcept nogil:
    """The number is the CSeq and stays from 1 to 2**31 - 1 (8.1.1.5)."""
    check(state.branch == 0)            # of one that still waits the answer would be taken for a stray
    check(d.probe.interval_ms > 0)
    check(state.destination_id == d.id)
    state.number = max((state.number + 1) & 0x7FFFFFFF, <uint32_t>1)
    state.sent_ms = shard.now_ms
    state.branch = keyed_word(shard, d.cell, state, OF_BRANCH) | 1
    state.interval_ms = shard.table.clocks.t1_ms
    state.resend_ms = NEVER_MS if is_reliable(&d.addr) else shard.now_ms + state.interval_ms
    state.next_ms = shard.now_ms + gap_ms(shard, d, state)
    cell.probes_sent += 1
    count(shard, N_PROBES)
    send_probe(shard, d, state)


cdef void end_probe(shard_t *shard, const destination_t *d, cell_t *cell, probe_state_t *state, int end,
                    uint32_t code) noexcept nogil:
    """In `rtt_us` stands how long a dead one was waited for, too: who reads it sees the health beside it."""
    cdef pace_t *pace = &shard.known.paces[d.cell]
    cdef uint32_t damping_ms = shard.table.sets[d.set_index].damping_ms
    cdef int change
    cdef bint alive = end == PROBE_ALIVE
    check(state.branch != 0)            # each probe ends once
    check(state.sent_ms <= shard.now_ms)
    state.branch = 0
    cell.rtt_us = <uint32_t>(shard.now_ms - state.sent_ms) * 1000
    if alive or end == PROBE_SILENT:    # whoever refuses is not fast
        note_latency(pace, shard.now_ms - state.sent_ms, shard.now_ms)
    if alive:
        change = mark_succeeded(cell, damped_rise(pace, d.probe.rise, damping_ms, shard.now_ms), code, shard.now_ms)
    else:
        cell.probes_failed += 1
        state.next_ms = min(state.next_ms, state.sent_ms + d.probe.interval_ms)     # who may be dying is not asked late
        count(shard, N_PROBE_FAILURES)
        change = mark_failed(cell, d.probe.fall, code, shard.now_ms)
    if change == WENT_DOWN:
        note_down(pace, damping_ms, shard.now_ms)
    measure_probe(shard, d.cell, end, shard.now_ms - state.sent_ms)
    if change:
        emit_event(shard, EVENT_HEALTH, d.id, change | BY_PROBE << CAUSE_SHIFT, code, 0, NULL, 0)
    if state.asked:
        state.asked = False
        emit_event(shard, EVENT_PROBED, d.id, alive, code, state.sent_ms, NULL, 0)


# ---------------------------------------------------------------- when

cdef void plan_probe(shard_t *shard, uint32_t cell, uint64_t at_ms) noexcept nogil:
    """`next_probe_ms` may name a time at which nothing is due any more, for it is not moved back: one look in vain."""
    check(cell < shard.probe_count)
    check(cell % shard.count == shard.number)
    arm_timer(&shard.probe_wheel, cell, at_ms)
    shard.next_probe_ms = min(shard.next_probe_ms, at_ms)
    check(shard.probe_nodes[cell].place != NOT_ARMED)


# The version too: a new table may stand at the address of one that was freed.
cdef inline bint follows_table(const shard_t *shard) noexcept nogil:
    return shard.table == shard.probed_table and shard.table.version == shard.probed_version


cdef void follow_table(shard_t *shard) noexcept nogil:
    """After each change of the table: who is where in it, and who is new.  What is planned stays planned, so that a
    reload does not send a probe to every destination at once.

    A cell may have changed hands: its timer and its probe were for another destination, and are forgotten.  Who is new
    gets his first probe within FIRST_ROUND_MS, at a time of his own; of thousands one in each ms, but none later than
    in a third of its interval.
    """
    cdef const destination_t *d
    cdef probe_state_t *state
    cdef uint32_t i
    if follows_table(shard):
        return
    if shard.probed_table == NULL:
        init_wheel(&shard.probe_wheel, &shard.probe_nodes, shard.now_ms)
    shard.probed_table = shard.table
    shard.probed_version = shard.table.version
    for i in range(shard.table.destination_count):
        d = &shard.table.destinations[i]
        if d.cell % shard.count != shard.number:
            continue
        check(d.cell < shard.probe_count)
        state = &shard.probes[d.cell]
        if state.destination_id != d.id:
            disarm_timer(&shard.probe_wheel, d.cell)
            memset(state, 0, sizeof(probe_state_t))
            state.destination_id = d.id
        state.destination = i
        if d.probe.interval_ms and shard.probe_nodes[d.cell].place == NOT_ARMED:
            state.next_ms = shard.now_ms + random_word(shard) % max(<uint32_t>FIRST_ROUND_MS, min(
                shard.table.destination_count, d.probe.interval_ms // 3)) + 1
            plan_probe(shard, d.cell, state.next_ms)
    check(follows_table(shard))


cdef const destination_t *destination_of_cell(shard_t *shard, uint32_t cell) noexcept nogil:
    """NULL when no destination of the table has it any more: the answer to what was sent to it is nobody's then."""
    cdef const probe_state_t *state = &shard.probes[cell]
    check(cell < shard.probe_count)
    follow_table(shard)
    if (state.destination >= shard.table.destination_count
            or shard.table.destinations[state.destination].id != state.destination_id):
        return NULL
    check(shard.table.destinations[state.destination].cell == cell)
    return &shard.table.destinations[state.destination]


cdef uint64_t run_probe(shard_t *shard, const destination_t *d, cell_t *cell, probe_state_t *state) noexcept nogil:
    """Does what is due for one destination; when to look at it again.

    Time-out before repetition: after a pause of the process both may be due, and a probe that nobody waits for any more
    is not sent once more.  A destination that is not probed now (is_wanted) is looked at again after its interval.
    """
    cdef uint64_t deadline = state.sent_ms + d.probe.timeout_ms
    check(state.destination_id == d.id)
    check(d.probe.timeout_ms > 0)
    if state.branch and shard.now_ms >= deadline:
        end_probe(shard, d, cell, state, PROBE_SILENT, 408)
    elif state.branch and shard.now_ms >= state.resend_ms:
        state.interval_ms *= 2
        state.resend_ms = shard.now_ms + state.interval_ms
        count(shard, N_RESENT_PROBES)
        send_probe(shard, d, state)
    if state.branch == 0 and shard.now_ms >= state.next_ms:
        if not state.asked and not is_wanted(d, cell):
            state.next_ms = shard.now_ms + d.probe.interval_ms
            return state.next_ms
        start_probe(shard, d, cell, state)
    if state.branch:
        return min(state.sent_ms + d.probe.timeout_ms, state.resend_ms)
    return state.next_ms


cdef bint run_next_probe(shard_t *shard) noexcept nogil:
    """One at a time, so that the loop can flush between them: many destinations may be due in one round."""
    cdef const destination_t *d
    cdef uint32_t cell
    cdef int wait_ms
    if shard.now_ms < shard.next_probe_ms and follows_table(shard):
        return False
    follow_table(shard)
    advance_wheel(&shard.probe_wheel, shard.now_ms)
    cell = take_expired(&shard.probe_wheel)
    if cell == NO_TIMER:
        wait_ms = wheel_wait_ms(&shard.probe_wheel, shard.now_ms)
        shard.next_probe_ms = shard.now_ms + wait_ms if wait_ms >= 0 else NEVER_MS
        return False
    check(cell < shard.probe_count)
    d = destination_of_cell(shard, cell)
    if d == NULL or d.probe.interval_ms == 0:
        shard.probes[cell].branch = 0            # it is not probed any more
    else:
        plan_probe(shard, cell, run_probe(shard, d, &shard.known.cells[cell], &shard.probes[cell]))
    return True


cdef void probe_now(shard_t *shard, uint32_t cell) noexcept nogil:
    """Whatever its mode and its admin state say; of one that waits for an answer already that answer is told.

    The line may have been freed since the command was given: then nobody is probed.
    """
    cdef const destination_t *d
    cdef probe_state_t *state
    if cell >= shard.probe_count or cell % shard.count != shard.number:
        return
    d = destination_of_cell(shard, cell)
    if d == NULL or d.probe.interval_ms == 0:
        return
    state = &shard.probes[cell]
    check(state.destination_id == d.id)
    check(shard.probe_nodes[cell].place != NOT_ARMED)   # an answer, a repetition or the next one is due
    state.asked = True
    if state.branch == 0:
        state.next_ms = shard.now_ms
        plan_probe(shard, cell, shard.now_ms)


cdef int next_probe_ms(const shard_t *shard) noexcept nogil:
    """As poll's time-out, which is an int: whoever has nothing to wait for looks again after 24 days."""
    if shard.next_probe_ms <= shard.now_ms:
        return 0
    return <int>min(shard.next_probe_ms - shard.now_ms, <uint64_t>LONGEST_WAIT_MS)


# ---------------------------------------------------------------- what comes back

cdef const destination_t *waiting_for(shard_t *shard, uint32_t cell, uint64_t value) noexcept nogil:
    """The destination whose probe has this branch and waits for its answer, or NULL."""
    if cell >= shard.probe_count or shard.probes[cell].branch != value or value == 0:
        return NULL
    check(cell % shard.count == shard.number)
    return destination_of_cell(shard, cell)


cdef void note_answer(shard_t *shard, const destination_t *d, int end, uint32_t code) noexcept nogil:
    """The timer was set to the time-out of this probe: from now on it waits for the next one."""
    check(shard.probes[d.cell].branch != 0)
    end_probe(shard, d, &shard.known.cells[d.cell], &shard.probes[d.cell], end, code)
    plan_probe(shard, d.cell, shard.probes[d.cell].next_ms)


cdef void fail_probe(shard_t *shard, uint32_t cell, uint64_t value, const addr_t *to) noexcept nogil:
    """Told by the quoted branch and the whole place: ICMP can be forged, but nobody guesses a branch (keyed_word).

    What answers by ICMP is a machine without a server: 503, as a call would be told (16.9).
    """
    cdef const destination_t *d = waiting_for(shard, cell, value)
    if d != NULL and same_place(&d.addr, to):
        note_answer(shard, d, PROBE_UNREACHABLE, 503)


cdef bint take_probe_response(shard_t *shard, const message_t *m, uint64_t value, const addr_t *source) noexcept nogil:
    """A provisional response says nothing yet: the probe goes on to wait, and to be repeated."""
    cdef uint32_t ref, cell
    cdef const destination_t *d
    cdef bint accepted
    check(not m.is_request)
    check(m.status >= 100)
    if read_hint(shard.store, m.buf, &m.via.hint, &ref, &cell) != OK or ref & SLOT_MASK != PROBE:
        return False
    d = waiting_for(shard, cell, value)
    if d == NULL or memcmp(source.ip, d.addr.ip, 16) != 0:
        count(shard, N_STRAY_RESPONSES)
    elif m.status >= 200:
        accepted = d.probe.accept[(m.status - 100) >> 6] >> ((m.status - 100) & 63) & 1
        note_answer(shard, d, PROBE_ALIVE if accepted else PROBE_REFUSED, m.status)
    return True
