"""Probes: is the destination there (design section 5, core section 6, wire section 4).

Each destination is probed by one shard, from the listener that calls use, so
that peers see the port they know.  No slot: the branch is kept beside the
destination's cell and the hint names the cell.  The Call-ID is made so that
its partition is this shard's, and the answer comes back here.

Any final response that `accept` names is life; a time-out or any other is a
failure.  A probe is repeated at T1, 2 T1, ... within its timeout, as every
request over UDP is.  Called by shard and responses.
"""

from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memset

from fastsip._core.core cimport (EVENT_HEALTH, N_PROBES, N_PROBE_FAILURES, count, emit_event, probe_state_t,
                                 queue_message, take_scratch)
from fastsip._core.hashing cimport mix, write_base32
from fastsip._core.select cimport (ADMIN_DISABLED, HEALTH_DOWN, HEALTH_TRYING, cell_health, cell_t, mark_failed,
                                   mark_succeeded)
from fastsip._core.slots cimport NO_SLOT, SLOT_BITS, SLOT_MASK, partition_of
from fastsip._core.types cimport OK, PARTITIONS, destination_t, flow_t, listener_t
from fastsip._core.via cimport PROBE, VIA_ROOM, read_hint, write_via
from fastsip._core.write cimport put, put_number

cdef enum:
    LOOK_AGAIN_MS = 20      # probes that are due within this time go out together
    FIRST_ROUND_MS = 1000
    MODE_ONLY_FAILED = 1    # down
    MODE_MARKED = 2         # down or failing
    PROBE_ROOM = 1024       # beyond the texts of the configuration
    ID_LETTERS = 13


cdef uint64_t random_word(core_t *core) noexcept nogil:
    core.positions.random = mix(core.positions.random, core.now_ms)
    return core.positions.random


cdef bint is_wanted(const destination_t *d, const cell_t *cell) noexcept nogil:
    cdef int health = cell_health(cell)
    if d.probe.interval_ms == 0 or cell.admin == ADMIN_DISABLED:
        return False
    if d.probe.mode == MODE_ONLY_FAILED:
        return health == HEALTH_DOWN
    if d.probe.mode == MODE_MARKED:
        return health == HEALTH_DOWN or health == HEALTH_TRYING
    return True


cdef void make_call_id(core_t *core, char *text) noexcept nogil:
    """13 letters whose partition this shard serves, so that the answer is handed to it; bounded by chance alone."""
    cdef int _
    for _ in range(64 * PARTITIONS):
        write_base32(random_word(core), 64, text)
        if partition_of(core.store, text, ID_LETTERS) % core.shard_count == core.shard:
            return


cdef int write_probe(core_t *core, const destination_t *d, const probe_state_t *state, char *out) noexcept nogil:
    cdef const listener_t *listener = &core.table.listeners[d.listener]
    cdef char call_id[16]
    cdef int n = put(out, d.probe.method.at, d.probe.method.len)
    make_call_id(core, call_id)
    n += put(out + n, b" ", 1)
    n += put(out + n, d.uri.at, d.uri.len)
    n += put(out + n, b" SIP/2.0\r\n", 10)
    n += write_via(core, out + n, listener, state.branch, 0,
                   partition_of(core.store, call_id, ID_LETTERS) << SLOT_BITS | PROBE, d.cell)
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
    return n + put(out + n, b"\r\nContent-Length: 0\r\n\r\n", 23)


cdef void send_probe(core_t *core, const destination_t *d, probe_state_t *state) noexcept nogil:
    """A repetition has the same branch but a Call-ID of its own: there is no transaction to match at our side."""
    cdef char *at = take_scratch(core, PROBE_ROOM + VIA_ROOM + 2 * d.uri.len + d.probe.from_uri.len
                                 + 2 * d.probe.method.len)
    cdef flow_t flow
    if at == NULL:
        return
    memset(&flow, 0, sizeof(flow))
    flow.remote = d.addr
    flow.listener_id = core.table.listeners[d.listener].id
    queue_message(core, at, write_probe(core, d, state, at), &flow, NO_SLOT, 0)


cdef void start_probe(core_t *core, const destination_t *d, cell_t *cell, probe_state_t *state) noexcept nogil:
    state.number = (state.number + 1) & 0x7FFFFFFF
    state.branch = random_word(core) | 1
    state.sent_ms = core.now_ms
    state.interval_ms = core.table.clocks.t1_ms
    state.resend_ms = core.now_ms + state.interval_ms
    state.next_ms = core.now_ms + d.probe.interval_ms - d.probe.interval_ms // 10 + random_word(core) % (
        d.probe.interval_ms // 5 + 1)
    cell.probes_sent += 1
    count(core, N_PROBES)
    send_probe(core, d, state)


cdef void end_probe(core_t *core, const destination_t *d, cell_t *cell, probe_state_t *state, bint alive,
                    uint32_t code) noexcept nogil:
    cdef int change
    state.branch = 0
    cell.rtt_us = <uint32_t>(core.now_ms - state.sent_ms) * 1000
    if alive:
        change = mark_succeeded(cell, d.probe.rise, code, core.now_ms)
    else:
        cell.probes_failed += 1
        count(core, N_PROBE_FAILURES)
        change = mark_failed(cell, d.probe.fall, code, core.now_ms)
    if change:
        emit_event(core, EVENT_HEALTH, d.id, change, code, 0, NULL, 0)


cdef uint64_t run_probe(core_t *core, const destination_t *d, cell_t *cell, probe_state_t *state) noexcept nogil:
    """Does what is due for one destination; when to look at it again."""
    cdef uint64_t deadline
    if state.destination_id != d.id:
        memset(state, 0, sizeof(probe_state_t))
        state.destination_id = d.id
    deadline = state.sent_ms + d.probe.timeout_ms
    if state.branch and core.now_ms >= deadline:
        end_probe(core, d, cell, state, False, 408)
    elif state.branch and core.now_ms >= state.resend_ms:
        state.interval_ms *= 2
        state.resend_ms = core.now_ms + state.interval_ms
        send_probe(core, d, state)
    if state.next_ms == 0:
        state.next_ms = core.now_ms + random_word(core) % FIRST_ROUND_MS + 1
    if state.branch:
        return min(deadline, state.resend_ms)
    if core.now_ms >= state.next_ms:
        if not is_wanted(d, cell):
            state.next_ms = core.now_ms + d.probe.interval_ms
            return state.next_ms
        start_probe(core, d, cell, state)
        return min(state.sent_ms + d.probe.timeout_ms, state.resend_ms)
    return state.next_ms


cdef void run_probes(core_t *core) noexcept nogil:
    cdef uint64_t soonest = 0
    cdef uint64_t again
    cdef const destination_t *d
    cdef uint32_t i
    if core.now_ms < core.next_probe_ms:
        return
    for i in range(core.table.destination_count):
        d = &core.table.destinations[i]
        if d.probe.interval_ms == 0 or d.cell % core.shard_count != core.shard:
            continue
        again = run_probe(core, d, &core.cells[d.cell], &core.probes[d.cell])
        if soonest == 0 or again < soonest:
            soonest = again
    # Without anything to probe: look again when the table may have changed.
    core.next_probe_ms = max(soonest, core.now_ms + LOOK_AGAIN_MS) if soonest else core.now_ms + FIRST_ROUND_MS


cdef int next_probe_ms(const core_t *core) noexcept nogil:
    if core.next_probe_ms <= core.now_ms:
        return 0
    return <int>(core.next_probe_ms - core.now_ms)


cdef const destination_t *destination_of_cell(const core_t *core, uint32_t cell) noexcept nogil:
    cdef uint32_t i
    for i in range(core.table.destination_count):
        if core.table.destinations[i].cell == cell:
            return &core.table.destinations[i]
    return NULL


cdef void fail_probe(core_t *core, uint32_t cell, uint64_t value) noexcept nogil:
    cdef const destination_t *d
    if cell >= core.probe_count or core.probes[cell].branch != value or value == 0:
        return
    d = destination_of_cell(core, cell)
    if d != NULL:
        end_probe(core, d, &core.cells[cell], &core.probes[cell], False, 503)
        core.next_probe_ms = 0


cdef bint take_probe_response(core_t *core, const message_t *m, uint64_t value) noexcept nogil:
    cdef uint32_t ref, cell
    cdef const destination_t *d
    if read_hint(core, m.buf, &m.via.hint, &ref, &cell) != OK or ref & SLOT_MASK != PROBE:
        return False
    if cell >= core.probe_count or core.probes[cell].branch != value or value == 0:
        return True
    d = destination_of_cell(core, cell)
    if d == NULL or m.status < 200:
        return True
    end_probe(core, d, &core.cells[cell], &core.probes[cell],
              d.probe.accept[(m.status - 100) >> 6] >> ((m.status - 100) & 63) & 1, m.status)
    core.next_probe_ms = 0
    return True
