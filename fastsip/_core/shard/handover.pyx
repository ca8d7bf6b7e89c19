"""A datagram belongs to the shard that owns its call, whichever shard's socket it came in by.

It is copied into a lane between the two, one for each of the first listeners, so that a flooded listener does not
crowd out the others.  What ICMP says goes the same way, to the shard of the request that it quotes.
"""

from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcpy

from fastsip._core.base.types cimport MAX_LISTENERS, span_t
from fastsip._core.base.address cimport origin_t
from fastsip._core.base.ring cimport wake
from fastsip._core.base.lanes cimport is_crowded, lane_is_empty, lane_pop, lane_popped, lane_push, lane_pushed, lane_t
from fastsip._core.sip.parser cimport most_read, scan_call_id
from fastsip._core.store.slots cimport partition_of
from fastsip._core.store.marks cimport mark_datagram
from fastsip._core.transport.udp cimport net_error_t
from fastsip._core.state.counters cimport N_HANDED_OVER, N_HANDED_OVER_FULL, N_WAKES
from fastsip._core.state.shard cimport count
from fastsip._core.state.outbox cimport needs_flush
from fastsip._core.proxy.transport_errors cimport take_error
from fastsip._core.proxy.requests cimport receive_message
from fastsip._core.shard.round cimport flush
from fastsip._core.shard.commands cimport has_commands


cdef uint32_t owner_of(shard_t *shard, const char *at, uint32_t len) noexcept nogil:
    """The shard of the datagram's call; ourselves when it has no Call-ID (it is refused here)."""
    cdef span_t call_id
    if scan_call_id(at, most_read(len, shard.table.max_head), &call_id) < 0:
        return shard.number
    return partition_of(shard.store, at + call_id.off, call_id.len) % shard.count


cdef void hand_over(shard_t *shard, neighbours_t *others, uint32_t owner, const origin_t *origin, const char *at,
                    uint32_t len) noexcept nogil:
    cdef uint32_t listener = origin.listener
    cdef lane_t *lane = others.outbound[owner][listener % others.lane_count]
    cdef handover_t *record = NULL
    # A socket that is not read empty may fill half of a lane: the other half is for bursts of the others.
    if listener >= MAX_LISTENERS or not shard.net.ready[listener] or not is_crowded(lane):
        record = <handover_t *>lane_push(lane, sizeof(handover_t) + len)
    if record == NULL:
        count(shard, N_HANDED_OVER_FULL)
        return
    record.origin = origin[0]
    record.len = len
    memcpy(<char *>record + sizeof(handover_t), at, len)
    lane_pushed(lane, sizeof(handover_t) + len)
    others.to_wake |= <uint64_t>1 << owner
    count(shard, N_HANDED_OVER)


cdef bint take_record(shard_t *shard, lane_t *lane) noexcept nogil:
    """False when there is none."""
    cdef uint32_t len
    cdef handover_t *record = <handover_t *>lane_pop(lane, &len)
    cdef char *at = <char *>record + sizeof(handover_t)
    if record == NULL:
        return False
    if record.origin.listener == OF_ICMP:
        take_error(shard, <net_error_t *>at)
    else:
        mark_datagram(shard.mark, at, record.len)
        receive_message(shard, at, record.len, &record.origin)
    lane_popped(lane)
    if needs_flush(shard):
        flush(shard)
    return True


cdef void wake_others(shard_t *shard, neighbours_t *others) noexcept nogil:
    cdef uint32_t i
    if others.to_wake == 0:
        return
    for i in range(shard.count):
        if others.to_wake >> i & 1 and wake(others.sleepers[i]):
            count(shard, N_WAKES)
    others.to_wake = 0


cdef bint has_work(shard_t *shard, neighbours_t *others) noexcept nogil:
    """From another shard, the control plane, or left over."""
    cdef uint32_t i, n
    for i in range(shard.count):
        for n in range(others.lane_count):
            if i != shard.number and not lane_is_empty(others.inbound[i][n]):
                return True
    return shard.net.error_count != 0 or has_commands(&others.commands)
