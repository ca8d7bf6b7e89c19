"""The memory that one shard works with, and the steps that end each batch.

A Workspace owns a core_t and what only this shard uses: scratch, the timing
wheel and its nodes.  It keeps the shared parts (store, cells, table) alive.
Used by shard, and by the rig that runs protocol scripts on a virtual clock.
"""

cimport cython
from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc

from fastsip._core.base.types cimport PARTITIONS
from fastsip._core.base.clock cimport clock_ms
from fastsip._core.store.marks cimport Quarantine, mark_slot, mark_t
from fastsip._core.store.slots cimport NO_SLOT, clear_owes, give_pending, slot_at, word_generation
from fastsip._core.store.wheel cimport NOT_ARMED, NO_TIMER, advance_wheel, init_wheel, take_expired
from fastsip._core.transport.udp cimport LOST, SENT, TOO_BIG, clear_outbox, flush_outbox, outgoing_t
from fastsip._core.transport.local cimport close_local, open_local
from fastsip._core.state.counters cimport COUNTER_COUNT
from fastsip._core.state.memory cimport RECALL_PLACES, SCRATCH_BYTES, probe_state_t, recalled_t, waiting_t
from fastsip._core.state.outbox cimport needs_flush
from fastsip._core.health.probes cimport run_next_probe
from fastsip._core.proxy.context cimport fire_timer
from fastsip._core.proxy.requests cimport message_failed

cdef enum:
    FAILURES = 128          # SEND_BATCH
    PROBES_PER_ROUND = 512

cdef struct failure_t:
    uint32_t ref
    uint32_t generation
    int owes
    bint too_big


cdef int settle_outbox(core_t *core, failure_t *failures) noexcept nogil:
    """Clears what was owed for all that left; returns how many could not be sent for reasons of their own."""
    cdef outgoing_t *out
    cdef uint32_t i, ref
    cdef int n = 0
    for i in range(core.net.out_count):
        out = &core.net.out[i]
        ref = <uint32_t>out.owner
        if out.outcome == SENT or out.outcome == LOST:
            if ref != NO_SLOT:
                clear_owes(core.store, ref, out.owner_generation, <int>(out.owner >> 32))
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


cdef int send_all(core_t *core, failure_t *failures) noexcept nogil:
    """Sends what is queued and gives back what only that still needed; how many could not be sent."""
    cdef int n
    send_outbox(core.net)
    n = settle_outbox(core, failures)
    empty_outbox(core.net)
    give_pending(core.store, &core.pending)
    core.scratch_used = 0
    return n


cdef void flush(core_t *core) noexcept nogil:
    """Failures may queue more (a failover), so this goes on until the outbox stays empty; bounded by the attempts.

    Many searches may fail over to groups at once, so room is made between them; what cannot be sent on that
    occasion fails when its Timer A or E repeats it.
    """
    cdef failure_t failures[FAILURES]
    cdef failure_t others[FAILURES]
    cdef int i
    cdef int n = send_all(core, failures)
    while n:
        for i in range(n):
            message_failed(core, failures[i].ref, failures[i].generation, failures[i].owes, failures[i].too_big)
            if needs_flush(core):
                send_all(core, others)
        n = send_all(core, failures)


cdef bint fire_timers(core_t *core, uint32_t most) noexcept nogil:
    cdef uint32_t ref
    cdef uint32_t _
    for _ in range(most):
        ref = take_expired(core.wheel)
        if ref == NO_TIMER:
            advance_wheel(core.wheel, core.now_ms)
            ref = take_expired(core.wheel)
            if ref == NO_TIMER:
                return False
        mark_slot(core.mark, ref, word_generation(slot_at(core.store, ref).commit))
        fire_timer(core, ref)
        if needs_flush(core):
            flush(core)
    return True


cdef void run_probes(core_t *core) noexcept nogil:
    """As many as fit into a round; the next one comes at once when more are due."""
    cdef int _
    for _ in range(PROBES_PER_ROUND):
        if not run_next_probe(core):
            return
        if needs_flush(core):
            flush(core)


@cython.final
cdef class Workspace:
    """Workspace(store, cells, table, positions, events, control, names).

    `events` and `control` may be None; without `names` there is a table of its own, and empty.
    """

    def __cinit__(self):
        self.core = <core_t *>calloc(1, sizeof(core_t))
        self.wheel = <wheel_t *>calloc(1, sizeof(wheel_t))
        self.nodes = <timer_node_t **>calloc(PARTITIONS, sizeof(timer_node_t *))
        if self.core == NULL or self.wheel == NULL or self.nodes == NULL:
            raise MemoryError("no memory for a shard")
        self.core.scratch = <char *>malloc(SCRATCH_BYTES)
        self.core.recalled = <recalled_t *>calloc(RECALL_PLACES, sizeof(recalled_t))
        self.core.waiting = <waiting_t *>calloc(1, sizeof(waiting_t))
        self.core.resumed.ref = NO_SLOT
        self.own_counters = <uint64_t *>calloc(COUNTER_COUNT, sizeof(uint64_t))
        self.core.counters = self.own_counters
        self.core.mark = &self.own_mark
        if (self.core.scratch == NULL or self.core.counters == NULL or self.core.recalled == NULL
                or self.core.waiting == NULL):
            raise MemoryError("no memory for a shard")

    def __init__(self, Store store not None, Cells cells not None, Table table not None, Positions positions not None,
                 uint32_t shard=0, uint32_t shard_count=1, Ring events=None, Sleeper control=None,
                 Names names=None):
        cdef core_t *core = self.core
        cdef uint32_t cell
        self.store, self.cells, self.table, self.positions = store, cells, table, positions
        self.events, self.control = events, control
        self.names = names if names is not None else Names()
        core.store = store.store
        core.cells = cells.cells
        core.names = self.names.table
        core.table = table.sealed_table()
        core.positions = &positions.positions
        core.shard = shard
        core.shard_count = shard_count
        self.quarantine = Quarantine()
        core.quarantine = self.quarantine.quarantine
        core.wheel = self.wheel
        core.probes = <probe_state_t *>calloc(cells.count + 1, sizeof(probe_state_t))
        core.probe_count = cells.count
        core.probe_nodes = <timer_node_t *>calloc(cells.count + 1, sizeof(timer_node_t))
        if core.probes == NULL or core.probe_nodes == NULL:
            raise MemoryError("no memory for probes")
        for cell in range(cells.count):
            core.probe_nodes[cell].place = NOT_ARMED
        if events is not None:
            core.events = events.ring
        if control is not None:
            core.control = control.sleeper

    cdef int attach(self, net_t *net) except -1:
        """Gives the shard its outbox and starts its clock."""
        cdef uint32_t partition, i
        self.core.net = net
        self.core.now_ms = clock_ms()
        if net.buffers != NULL:
            self.core.local = open_local()
        for partition in range(PARTITIONS):
            if partition % self.core.shard_count != self.core.shard:
                continue
            self.nodes[partition] = <timer_node_t *>calloc(self.store.store.slot_count, sizeof(timer_node_t))
            if self.nodes[partition] == NULL:
                raise MemoryError("no memory for timers")
            for i in range(self.store.store.slot_count):
                self.nodes[partition][i].place = NOT_ARMED
        init_wheel(self.wheel, self.nodes, self.core.now_ms)
        return 0

    cdef void count_into(self, uint64_t *where, object owner) noexcept:
        """Counters live there from now on: in memory of `owner`, which this keeps alive."""
        free(self.own_counters)
        self.own_counters = NULL
        self.counter_owner = owner
        self.core.counters = where

    cdef void mark_into(self, mark_t *page, object owner, Quarantine quarantine) noexcept:
        """What this shard is at stands there: in memory of `owner`, which this keeps alive."""
        self.mark_owner = owner
        self.core.mark = page
        self.quarantine = quarantine
        self.core.quarantine = quarantine.quarantine

    def __dealloc__(self):
        cdef uint32_t partition
        free(self.own_counters)
        if self.core != NULL:
            free(self.core.scratch)
            free(self.core.probes)
            free(self.core.probe_nodes)
            free(self.core.recalled)
            close_local(self.core.local)
            free(self.core.waiting)
        if self.nodes != NULL:
            for partition in range(PARTITIONS):
                free(self.nodes[partition])
        free(self.core)
        free(self.wheel)
        free(self.nodes)
