"""Commands of the control plane to a shard (docs/core.md#events-and-commands): fixed-size records in a ring.

One ring per shard; the control plane pushes and wakes, the shard reads in its
loop.  There is an answer about a name, so who waits for it is routed again; or an
operator wants a destination probed.
"""

from libc.stdint cimport uint32_t, uint64_t

from fastsip._core.base.ring cimport is_empty, pop_begin, pop_done, push_begin, push_done
from fastsip._core.store.slots cimport record_of, slot_at, slot_t, word_generation
from fastsip._core.store.marks cimport mark_datagram, mark_slot
from fastsip._core.state.counters cimport N_PARKED_DROPPED
from fastsip._core.state.memory cimport MOST_HELD, held_t, parked_t, waiting_t
from fastsip._core.state.shard cimport count
from fastsip._core.state.outbox cimport needs_flush
from fastsip._core.health.probes cimport probe_now
from fastsip._core.proxy.parking cimport is_parked, take_parked
from fastsip._core.proxy.requests cimport route_again, take_message
from fastsip._core.shard.round cimport flush


cdef bint push_command(ring_t *ring, int kind, uint64_t number) noexcept nogil:
    """From the control plane's thread, the only writer of this ring."""
    cdef command_t *command = <command_t *>push_begin(ring, sizeof(command_t))
    if command == NULL:
        return False
    command.kind = kind
    command.reserve = 0
    command.number = number
    push_done(ring, sizeof(command_t))
    return True


cdef void resume_parked(shard_t *shard, uint32_t place) noexcept nogil:
    """Its slot may have another life by now: then there is nobody to route."""
    cdef parked_t parked = take_parked(shard.waiting, place)
    cdef const slot_t *slot = slot_at(shard.store, parked.ref)
    if word_generation(slot.commit) == parked.generation and is_parked(record_of(slot)):
        mark_slot(shard.mark, parked.ref, parked.generation)
        route_again(shard, parked.ref, parked.name)


cdef void resume_held(shard_t *shard, held_t *held) noexcept nogil:
    """As if received again, though nobody sees it twice; what is too old is dropped."""
    held.name = 0
    if shard.now_ms >= held.until_ms:
        count(shard, N_PARKED_DROPPED)
        return
    mark_datagram(shard.mark, held.message, held.len)
    take_message(shard, held.message, held.len, &held.origin)


cdef inline bint is_meant(const commands_t *commands, uint64_t name) noexcept nogil:
    """A place without a name is free, whatever the command is about."""
    return name != 0 and (commands.name == 0 or commands.name == name)


cdef bint obey_on(shard_t *shard, commands_t *commands) noexcept nogil:
    """Looks for the next request that the command is about, from the end, and resumes it; False: there is none.

    Between two rounds the list may have become shorter, never so that one of those that are still to
    be looked at stands behind where they end.
    """
    cdef waiting_t *waiting = shard.waiting
    commands.parked_left = min(commands.parked_left, waiting.parked_count)
    while commands.parked_left:
        commands.parked_left -= 1
        if is_meant(commands, waiting.parked[commands.parked_left].name):
            resume_parked(shard, commands.parked_left)
            return True
    while commands.held_left:
        commands.held_left -= 1
        if is_meant(commands, waiting.held[commands.held_left].name):
            resume_held(shard, &waiting.held[commands.held_left])
            return True
    return False


cdef bint begin_command(shard_t *shard, commands_t *commands) noexcept nogil:
    """False when there is no other one."""
    cdef uint32_t len
    cdef command_t *command = <command_t *>pop_begin(commands.ring, &len)
    if command == NULL:
        return False
    if command.kind == COMMAND_NAME:
        commands.name = command.number
        commands.parked_left = shard.waiting.parked_count
        commands.held_left = MOST_HELD
    elif command.kind == COMMAND_PROBE:
        probe_now(shard, <uint32_t>min(command.number, <uint64_t>0xFFFFFFFF))
    pop_done(commands.ring)
    return True


cdef bint take_commands(shard_t *shard, commands_t *commands, uint32_t most) noexcept nogil:
    """Counts requests that were resumed, not commands: one command may be about thousands, each as dear as a datagram.
    Between two of them what they queued is sent if the outbox is nearly full.
    """
    cdef uint32_t _
    for _ in range(most):
        if not obey_on(shard, commands) and not begin_command(shard, commands):
            return False
        if needs_flush(shard):
            flush(shard)
    return True


cdef bint has_commands(const commands_t *commands) noexcept nogil:
    """Asked before the shard falls asleep, so it counts what a command left over, too."""
    return commands.parked_left or commands.held_left or not is_empty(commands.ring)
