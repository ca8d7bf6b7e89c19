"""The memory that one shard works with.

A Workspace owns a shard_t and what only this shard uses: scratch, the timing
wheel and its nodes.  It keeps the shared parts (store, cells, table) alive.
"""

cimport cython
from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc

from fastsip._core.base.types cimport PARTITIONS
from fastsip._core.base.clock cimport clock_ms
from fastsip._core.dispatcher.measures cimport Measures
from fastsip._core.store.wheel cimport NOT_ARMED, init_wheel
from fastsip._core.store.marks cimport Quarantine, mark_t
from fastsip._core.transport.local cimport close_local, open_local
from fastsip._core.state.counters cimport COUNTER_COUNT
from fastsip._core.state.memory cimport RECALL_PLACES, SCRATCH_BYTES, probe_state_t, recalled_t, waiting_t

@cython.final
cdef class Workspace:
    """Workspace(store, cells, table, positions, events, control, names).

    `events` and `control` may be None; without `names` there is a table of its own, and empty.
    """

    def __cinit__(self):
        self.shard = <shard_t *>calloc(1, sizeof(shard_t))
        self.wheel = <wheel_t *>calloc(1, sizeof(wheel_t))
        self.nodes = <timer_node_t **>calloc(PARTITIONS, sizeof(timer_node_t *))
        if self.shard == NULL or self.wheel == NULL or self.nodes == NULL:
            raise MemoryError("no memory for a shard")
        self.shard.scratch = <char *>malloc(SCRATCH_BYTES)
        self.shard.recalled = <recalled_t *>calloc(RECALL_PLACES, sizeof(recalled_t))
        self.shard.waiting = <waiting_t *>calloc(1, sizeof(waiting_t))
        self.own_counters = <uint64_t *>calloc(COUNTER_COUNT, sizeof(uint64_t))
        self.shard.counters = self.own_counters
        self.shard.mark = &self.own_mark
        if (self.shard.scratch == NULL or self.shard.counters == NULL or self.shard.recalled == NULL
                or self.shard.waiting == NULL):
            raise MemoryError("no memory for a shard")

    def __init__(self, Store store not None, Cells cells not None, RoutingTable table not None,
                 Positions positions not None, uint32_t number=0, uint32_t count=1, Ring events=None,
                 Sleeper control=None, Names names=None):
        cdef shard_t *shard = self.shard
        cdef uint32_t cell
        self.store, self.cells, self.table, self.positions = store, cells, table, positions
        self.events, self.control = events, control
        self.names = names if names is not None else Names()
        shard.store = store.store
        shard.known = cells.known()
        self.measure_into(Measures(cells.count), 0)
        shard.names = self.names.table
        shard.table = table.sealed_table()
        shard.positions = &positions.positions
        shard.number = number
        shard.count = count
        self.quarantine = Quarantine()
        shard.quarantine = self.quarantine.quarantine
        shard.wheel = self.wheel
        shard.probes = <probe_state_t *>calloc(cells.count + 1, sizeof(probe_state_t))
        shard.probe_count = cells.count
        shard.probe_nodes = <timer_node_t *>calloc(cells.count + 1, sizeof(timer_node_t))
        if shard.probes == NULL or shard.probe_nodes == NULL:
            raise MemoryError("no memory for probes")
        for cell in range(cells.count):
            shard.probe_nodes[cell].place = NOT_ARMED
        if events is not None:
            shard.events = events.ring
        if control is not None:
            shard.control = control.sleeper

    cdef int attach(self, net_t *net) except -1:
        """Gives the shard its outbox and starts its clock."""
        cdef uint32_t partition, i
        self.shard.net = net
        self.shard.now_ms = clock_ms()
        if net.buffers != NULL:
            self.shard.local = open_local()
        for partition in range(PARTITIONS):
            if partition % self.shard.count != self.shard.number:
                continue
            self.nodes[partition] = <timer_node_t *>calloc(self.store.store.slot_count, sizeof(timer_node_t))
            if self.nodes[partition] == NULL:
                raise MemoryError("no memory for timers")
            for i in range(self.store.store.slot_count):
                self.nodes[partition][i].place = NOT_ARMED
        init_wheel(self.wheel, self.nodes, self.shard.now_ms)
        return 0

    cdef void measure_into(self, Measures measures, uint32_t number) noexcept:
        """What is measured of destinations stands there, in the lines of this shard, from now on."""
        self.measures = measures
        self.shard.measures = measures.of_shard(number)
        self.shard.measure_last = measures.lines - 1

    cdef void count_into(self, uint64_t *where, object owner) noexcept:
        """Counters live there from now on: in memory of `owner`, which this keeps alive."""
        free(self.own_counters)
        self.own_counters = NULL
        self.counter_owner = owner
        self.shard.counters = where

    cdef void mark_into(self, mark_t *page, object owner, Quarantine quarantine) noexcept:
        """What this shard is at stands there: in memory of `owner`, which this keeps alive."""
        self.mark_owner = owner
        self.shard.mark = page
        self.quarantine = quarantine
        self.shard.quarantine = quarantine.quarantine

    def __dealloc__(self):
        cdef uint32_t partition
        free(self.own_counters)
        if self.shard != NULL:
            free(self.shard.scratch)
            free(self.shard.probes)
            free(self.shard.probe_nodes)
            free(self.shard.recalled)
            close_local(self.shard.local)
            free(self.shard.waiting)
        if self.nodes != NULL:
            for partition in range(PARTITIONS):
                free(self.nodes[partition])
        free(self.shard)
        free(self.wheel)
        free(self.nodes)
