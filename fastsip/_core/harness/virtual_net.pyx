"""A wire and a clock for kernels that run without sockets.

What a flush sends is kept, in order, where the rig and the played calls read
it; addresses may refuse.  The clock moves from deadline to deadline, as a
shard would wake.

Must never: be part of a running router.
"""

from libc.stdint cimport uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy
from posix.unistd cimport write

from fastsip._core.store.wheel cimport wheel_wait_ms
from fastsip._core.transport.udp cimport SENT
from fastsip._core.health.probes cimport next_probe_ms
from fastsip._core.shard.round cimport fire_timers, flush, run_probes, stand_in_for_sockets

cdef enum:
    TIMERS_AT_ONCE = 64


cdef int outcome_for(const wire_t *wire, const addr_t *to) noexcept nogil:
    cdef uint32_t i
    for i in range(wire.rule_count):
        if memcmp(&wire.rules[i].to, to, sizeof(addr_t)) == 0:
            return wire.rules[i].outcome
    return SENT


cdef void put_on_wire(wire_t *wire, const char *at, uint32_t len, uint32_t listener, const addr_t *to,
                      int outcome) noexcept nogil:
    cdef wire_record_t *record = <wire_record_t *>(wire.sent + wire.used)
    wire.count += outcome == SENT
    if wire.used + record_room(len) > WIRE_BYTES:
        wire.overflow += 1
        return
    record.len = len
    record.listener = <uint16_t>listener
    record.outcome = <uint16_t>outcome
    record.at_ms = wire.now_ms[0]
    record.to = to[0]
    memcpy(<char *>record + sizeof(wire_record_t), at, len)
    wire.used += record_room(len)
    if wire.copy_fd >= 0 and write(wire.copy_fd, record, record_room(len)) < 0:
        wire.overflow += 1


cdef void send_to_wire(net_t *net) noexcept nogil:
    cdef wire_t *wire = <wire_t *>net
    cdef uint32_t i
    for i in range(net.out_count):
        net.out[i].outcome = <uint8_t>outcome_for(wire, &net.out[i].to)
        if net.out[i].outcome == SENT or wire.keeps_unsent:
            put_on_wire(wire, net.out[i].at, net.out[i].len, net.out[i].listener, &net.out[i].to, net.out[i].outcome)


stand_in_for_sockets(send_to_wire)


cdef int step_clock(shard_t *shard, uint64_t now_ms) noexcept nogil:
    cdef int timers, probes
    cdef uint64_t wait
    cdef int steps = 0
    while True:
        while fire_timers(shard, TIMERS_AT_ONCE):
            pass
        run_probes(shard)
        flush(shard)
        if shard.now_ms >= now_ms:
            return steps
        wait = now_ms - shard.now_ms
        timers = wheel_wait_ms(shard.wheel, shard.now_ms)
        probes = next_probe_ms(shard)
        if timers >= 0:
            wait = min(wait, <uint64_t>max(timers, 1))
        if probes >= 0:
            wait = min(wait, <uint64_t>max(probes, 1))
        shard.now_ms += wait
        steps += 1
