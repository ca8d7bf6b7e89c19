"""Commands of the control plane to a shard (core section 6): fixed-size records in a ring.

One ring per shard; the control plane pushes and wakes, the shard reads in its
loop.  The first command: there is an answer about a name, so who waits for it
is routed again.  Called by shard, and by the rig of the tests.
"""

from libc.stdint cimport uint32_t, uint64_t

from fastsip._core.core cimport MOST_HELD, N_PARKED_DROPPED, count, held_t, needs_flush, parked_t, waiting_t
from fastsip._core.marks cimport mark_datagram, mark_slot
from fastsip._core.parking cimport is_parked
from fastsip._core.proxy cimport receive_message, route_again
from fastsip._core.ring cimport pop_begin, pop_done, push_begin, push_done
from fastsip._core.slots cimport record_of, slot_at, slot_t, word_generation
from fastsip._core.workspace cimport flush

cdef enum:
    COMMANDS_PER_ROUND = 128


cdef bint push_command(ring_t *ring, int kind, uint64_t number) noexcept nogil:
    cdef command_t *command = <command_t *>push_begin(ring, sizeof(command_t))
    if command == NULL:
        return False
    command.kind = kind
    command.reserve = 0
    command.number = number
    push_done(ring, sizeof(command_t))
    return True


cdef void resume_parked(core_t *core, uint64_t name) noexcept nogil:
    """From the end: a request that waits on stands behind those that are still to come."""
    cdef waiting_t *waiting = core.waiting
    cdef uint32_t i = waiting.parked_count
    cdef const slot_t *slot
    cdef parked_t parked
    while i > 0:
        i -= 1
        parked = waiting.parked[i]
        if name and parked.name != name:
            continue
        waiting.parked_count -= 1
        waiting.parked[i] = waiting.parked[waiting.parked_count]
        slot = slot_at(core.store, parked.ref)
        if word_generation(slot.commit) == parked.generation and is_parked(record_of(slot)):
            mark_slot(core.mark, parked.ref, parked.generation)
            route_again(core, parked.ref)
        if needs_flush(core):
            flush(core)


cdef void resume_held(core_t *core, uint64_t name) noexcept nogil:
    """Received again; what is too old is dropped."""
    cdef held_t *held
    cdef uint32_t i
    for i in range(MOST_HELD):
        held = &core.waiting.held[i]
        if held.name == 0 or (name and held.name != name):
            continue
        held.name = 0
        if core.now_ms >= held.until_ms:
            count(core, N_PARKED_DROPPED)
            continue
        mark_datagram(core.mark, held.message, held.len)
        receive_message(core, held.message, held.len, held.listener, &held.source)
        if needs_flush(core):
            flush(core)


cdef void obey(core_t *core, const command_t *command) noexcept nogil:
    if command.kind == COMMAND_NAME:
        resume_parked(core, command.number)
        resume_held(core, command.number)


cdef void read_commands(core_t *core, ring_t *ring) noexcept nogil:
    cdef command_t *record
    cdef command_t command
    cdef uint32_t len
    cdef int _
    for _ in range(COMMANDS_PER_ROUND):
        record = <command_t *>pop_begin(ring, &len)
        if record == NULL:
            return
        command = record[0]
        pop_done(ring)
        obey(core, &command)
