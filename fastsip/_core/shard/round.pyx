"""What ends a batch: its messages are sent, what was owed is cleared, what only they needed is given back.

Timers and probes are run here, too, since both may fill the outbox in the middle.
"""

from libc.stdint cimport uint32_t, uint64_t

from fastsip._core.store.records cimport KIND_FREE, is_server, record_t
from fastsip._core.store.slots cimport (
    NO_SLOT, clear_owes, give_pending, record_of, slot_at, slot_t, word_generation, word_kind,
)
from fastsip._core.store.wheel cimport NO_TIMER, TICK_MS, advance_wheel, take_expired
from fastsip._core.store.marks cimport mark_slot
from fastsip._core.transport.udp cimport LOST, SENT, TOO_BIG, clear_outbox, flush_outbox, outgoing_t
from fastsip._core.state.counters cimport N_HEP_LOST, N_HEP_SENT, N_TIMER_LAG, N_TIMER_LAG_MS
from fastsip._core.state.shard cimport count_of_time
from fastsip._core.state.hep cimport hep_t, send_hep
from fastsip._core.state.mirror cimport show_message
from fastsip._core.state.mirror_ring cimport SEEN_SENT
from fastsip._core.state.outbox cimport needs_flush
from fastsip._core.transaction.machines cimport EXPIRE, RETRANSMIT
from fastsip._core.transaction.clocks cimport arm_slot
from fastsip._core.transaction.server cimport fire_server_timer
from fastsip._core.health.probes cimport run_next_probe
from fastsip._core.proxy.parking cimport expire_parked, is_parked, take_parked
from fastsip._core.proxy.context cimport branch_input
from fastsip._core.proxy.transport_errors cimport message_failed
from fastsip._core.proxy.requests cimport route_again

cdef enum:
    FAILURES = 128          # SEND_BATCH
    PROBES_PER_ROUND = 512

cdef struct unsent_t:
    uint32_t ref
    uint32_t generation
    int owes
    bint too_big


cdef int settle_outbox(shard_t *shard, unsent_t *failures) noexcept nogil:
    """Clears what was owed for all that left; returns how many could not be sent for reasons of their own."""
    cdef outgoing_t *out
    cdef uint32_t i, ref
    cdef int n = 0
    for i in range(shard.net.out_count):
        out = &shard.net.out[i]
        ref = <uint32_t>out.owner
        if out.outcome == SENT or out.outcome == LOST:
            if ref != NO_SLOT:
                clear_owes(shard.store, ref, out.owner_generation, <int>(out.owner >> 32))
            continue
        failures[n].ref = ref
        failures[n].generation = out.owner_generation
        failures[n].owes = <int>(out.owner >> 32)
        failures[n].too_big = out.outcome == TOO_BIG
        n += 1
    return n


cdef send_step_t stand_in = NULL


cdef void stand_in_for_sockets(send_step_t send) noexcept nogil:
    global stand_in
    stand_in = send


cdef void send_outbox(net_t *net) noexcept nogil:
    """A net without buffers has no sockets: whoever stands in for them sets the outcomes."""
    if net.buffers != NULL:
        flush_outbox(net)
    else:
        stand_in(net)


cdef void empty_outbox(net_t *net) noexcept nogil:
    if net.buffers != NULL:
        clear_outbox(net)
    else:
        net.out_count = 0


cdef void show_leaving(shard_t *shard) noexcept nogil:
    """To whoever looks, whatever becomes of it: before it is sent, so that what anybody got was shown, though this
    process dies in between."""
    cdef outgoing_t *out
    cdef uint32_t i
    for i in range(shard.net.out_count):
        out = &shard.net.out[i]
        if out.listener < shard.table.listener_count:
            show_message(shard.mirror, SEEN_SENT, &shard.table.listeners[out.listener].addr, &out.to, out.at, out.len,
                         shard.table.max_head)


cdef void send_copies(shard_t *shard) noexcept nogil:
    """To the collector, if there is one, of all that came and left since the last time."""
    cdef hep_t *hep = shard.mirror.hep
    if hep == NULL:
        return
    send_hep(hep)
    shard.counters[<int>N_HEP_SENT] += hep.sent
    shard.counters[<int>N_HEP_LOST] += hep.lost
    hep.sent = hep.lost = 0


cdef int send_all(shard_t *shard, unsent_t *failures) noexcept nogil:
    """Sends what is queued and gives back what only that still needed; how many could not be sent."""
    cdef int n
    if shard.mirror != NULL:
        show_leaving(shard)
    send_outbox(shard.net)
    if shard.mirror != NULL:
        send_copies(shard)
    n = settle_outbox(shard, failures)
    empty_outbox(shard.net)
    give_pending(shard.store, &shard.pending)
    shard.scratch_used = 0
    return n


cdef void flush(shard_t *shard) noexcept nogil:
    """Failures may queue more (a failover), so this goes on until the outbox stays empty; bounded by the attempts.

    Many searches may fail over to groups at once, so room is made between them; what cannot be sent on that
    occasion fails when its Timer A or E repeats it.
    """
    cdef unsent_t failures[FAILURES]
    cdef unsent_t others[FAILURES]
    cdef int i
    cdef int n = send_all(shard, failures)
    while n:
        for i in range(n):
            message_failed(shard, failures[i].ref, failures[i].generation, failures[i].owes, failures[i].too_big)
            if needs_flush(shard):
                send_all(shard, others)
        n = send_all(shard, failures)


cdef void fire_parked_timer(shard_t *shard, uint32_t ref) noexcept nogil:
    cdef int place = expire_parked(shard, ref)
    if place >= 0:
        route_again(shard, ref, take_parked(shard.waiting, place).name)


cdef void fire_timer(shard_t *shard, uint32_t ref) noexcept nogil:
    cdef slot_t *slot = slot_at(shard.store, ref)
    cdef int kind = word_kind(slot.commit)
    cdef const record_t *record = record_of(slot)
    cdef uint64_t now = shard.now_ms
    if kind == KIND_FREE:
        return
    if is_server(kind) and is_parked(record):
        fire_parked_timer(shard, ref)
    elif is_server(kind):
        fire_server_timer(shard, ref)
    elif (record.client.expire_ms and now >= record.client.expire_ms
            or record.client.c_ms and now >= record.client.c_ms):
        branch_input(shard, ref, EXPIRE, NULL)
    elif record.client.retransmit_ms and now >= record.client.retransmit_ms:
        branch_input(shard, ref, RETRANSMIT, NULL)
    else:
        arm_slot(shard, ref, kind, record)


cdef void count_lag(shard_t *shard) noexcept nogil:
    """By how much the timer is late that was just taken: of its tick, which may be one behind its time."""
    cdef uint64_t due_ms = shard.wheel.start_ms + shard.wheel.now_tick * TICK_MS
    cdef uint64_t late_ms = shard.now_ms - min(due_ms, shard.now_ms)
    count_of_time(shard, N_TIMER_LAG, late_ms)
    shard.counters[<int>N_TIMER_LAG_MS] += late_ms


cdef bint fire_timers(shard_t *shard, uint32_t most) noexcept nogil:
    cdef uint32_t ref
    cdef uint32_t _
    for _ in range(most):
        ref = take_expired(shard.wheel)
        if ref == NO_TIMER:
            advance_wheel(shard.wheel, shard.now_ms)
            ref = take_expired(shard.wheel)
            if ref == NO_TIMER:
                return False
        count_lag(shard)
        mark_slot(shard.mark, ref, word_generation(slot_at(shard.store, ref).commit))
        fire_timer(shard, ref)
        if needs_flush(shard):
            flush(shard)
    return True


cdef void run_probes(shard_t *shard) noexcept nogil:
    """As many as fit into a round; the next one comes at once when more are due."""
    cdef int _
    for _ in range(PROBES_PER_ROUND):
        if not run_next_probe(shard):
            return
        if needs_flush(shard):
            flush(shard)
