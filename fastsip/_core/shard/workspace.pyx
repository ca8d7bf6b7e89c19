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
from fastsip._core.store.slots cimport NO_SLOT
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
