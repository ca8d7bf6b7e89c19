# cython: boundscheck=True, wraparound=True
"""Positions of a shard (who is next in turn), owned; and the kernels of choose, for Python.

Positions outlive a reload: Positions(table, shard, previous) goes on from what the
previous table's said, set by set and destination by destination, by id.

Must never: be shared by two shards.  Chooser is for tests and benches; shards need Positions alone.
"""

cimport cython
from libc.stdint cimport uint32_t, uint64_t

from fastsip._core.base.types cimport MAX_ATTEMPTS, MAX_SHARDS
from fastsip._core.base.arena cimport give_piece, take_piece
from fastsip._core.routing.types cimport destination_t, table_t
from fastsip._core.routing.table cimport RoutingTable
from fastsip._core.dispatcher.ranking cimport ranked_t
from fastsip._core.dispatcher.cells cimport Cells, WENT_DOWN, cell_t, mark_failed, mark_succeeded
from fastsip._core.dispatcher.paces cimport damped_rise, note_down, note_latency, pace_t
from fastsip._core.dispatcher.positions cimport carry_positions, positions_t, start_positions
from fastsip._core.dispatcher.choose cimport NEW_CALL, NEXT_ATTEMPT, choose_group
from fastsip._core.dispatcher.usable cimport count_usable, is_usable

# [health_event]
EVENT_NAMES = ("none", "up", "down", "trying")


@cython.final
cdef class Positions:
    """Positions(table, shard, previous=None): round-robin and weighted positions of one shard."""

    def __init__(self, RoutingTable table not None, shard, Positions previous=None):
        cdef table_t *sealed = table.sealed_table()
        cdef const table_t *old_table = NULL
        cdef const positions_t *old = NULL
        if not 0 <= shard < MAX_SHARDS:
            raise ValueError(f"shard is 0..{MAX_SHARDS - 1}, not {shard!r}")
        if self.next != NULL:
            raise RuntimeError("positions are made once")
        # One more than needed: a piece of nothing may be NULL.
        self.block_count = sealed.most_blocks + 1
        self.next = <uint32_t *>take_piece((sealed.set_count + 1) * sizeof(uint32_t))
        self.turn = <uint64_t *>take_piece((sealed.set_count + 1) * sizeof(uint64_t))
        self.blocks = <ranked_t *>take_piece(self.block_count * sizeof(ranked_t))
        if self.next == NULL or self.turn == NULL or self.blocks == NULL:
            raise MemoryError("no memory for positions")
        self.table = table
        self.positions.shard = shard
        self.positions.set_count = sealed.set_count
        self.positions.next = self.next
        self.positions.turn = self.turn
        self.positions.ranking.blocks = self.blocks
        if previous is not None:
            old, old_table = &previous.positions, previous.table.sealed_table()
        with nogil:     # with so many destinations that takes a while
            start_positions(&self.positions, sealed)
            if old != NULL:
                carry_positions(&self.positions, sealed, old, old_table)

    def __dealloc__(self):
        give_piece(self.next, (self.positions.set_count + 1) * sizeof(uint32_t))
        give_piece(self.turn, (self.positions.set_count + 1) * sizeof(uint64_t))
        give_piece(self.blocks, self.block_count * sizeof(ranked_t))


@cython.final
cdef class Chooser:
    """Chooser(table, cells, shard=0, previous=None): one shard's view, as the packet path has it."""

    def __init__(self, RoutingTable table not None, Cells cells not None, shard=0, Chooser previous=None):
        cdef table_t *sealed = table.sealed_table()
        cdef uint32_t i
        for i in range(sealed.destination_count):
            if sealed.destinations[i].cell >= cells.count:
                raise ValueError(f"destination {sealed.destinations[i].id} has cell {sealed.destinations[i].cell}"
                                 f" of {cells.count}")
        for i in range(sealed.set_count):
            if sealed.sets[i].cell >= cells.count:
                raise ValueError(f"set {sealed.sets[i].id} has cell {sealed.sets[i].cell} of {cells.count}")
        self.table = table
        self.cells = cells
        self.positions = Positions(table, shard, previous.positions if previous is not None else None)

    cdef uint32_t check_set(self, set_index) except? 0xFFFFFFFF:
        if not 0 <= set_index < self.table.table.set_count:
            raise IndexError(f"set {set_index} of {self.table.table.set_count}")
        return set_index

    cdef uint32_t check_destination(self, index) except? 0xFFFFFFFF:
        if not 0 <= index < self.table.table.destination_count:
            raise IndexError(f"destination {index} of {self.table.table.destination_count}")
        return index

    def choose(self, set_index, key=0, tried=(), now_ms=0):
        """Destination id, or None: what the set gives this key now, without the ids in `tried` (16 at most)."""
        return next(iter(self.choose_group(set_index, key, tried, now_ms, 1)), None)

    def choose_group(self, set_index, key=0, tried=(), now_ms=0, most=MAX_ATTEMPTS) -> list:
        """Destination ids that are tried together, `most` of them, for a call; none when nothing is usable."""
        cdef uint32_t used[MAX_ATTEMPTS]
        cdef uint32_t group[MAX_ATTEMPTS]
        cdef uint32_t used_count = <uint32_t>len(tried)
        cdef uint32_t of_set = self.check_set(set_index)
        cdef uint64_t key_word = key
        cdef uint64_t now = now_ms
        cdef uint32_t at_most = most
        cdef int found
        if used_count > MAX_ATTEMPTS or not 0 < at_most <= MAX_ATTEMPTS:
            raise ValueError(f"a search has at most {MAX_ATTEMPTS} attempts")
        for i, destination_id in enumerate(tried):
            used[<uint32_t>i] = destination_id
        with nogil:
            found = choose_group(self.table.table, of_set, key_word, used, used_count, at_most,
                                 NEXT_ATTEMPT if used_count else NEW_CALL, self.cells.known(),
                                 &self.positions.positions, now, group)
        return [self.table.table.destinations[group[<uint32_t>i]].id for i in range(found)]

    def choose_many(self, set_index, keys, now_ms=0) -> list:
        """Ids of the first choices of many keys."""
        return [self.choose(set_index, key, (), now_ms) for key in keys]

    def is_usable(self, index, now_ms=0) -> bool:
        """By the destination's index in the table (RoutingTable.members)."""
        return is_usable(self.table.table, self.check_destination(index), self.cells.known(), now_ms)

    def count_usable(self, set_index, now_ms=0) -> int:
        """How many of the set are usable now, due trials not counted."""
        return count_usable(self.table.table, self.check_set(set_index), self.cells.known(), now_ms, 0xFFFFFFFF)

    def mark(self, index, outcome, code=0, now_ms=0) -> str:
        """Tells "succeeded", "failed" or "down" of a destination by its index; returns what changed (EVENT_NAMES)."""
        cdef destination_t *d = &self.table.table.destinations[self.check_destination(index)]
        cdef uint32_t damping_ms = self.table.table.sets[d.set_index].damping_ms
        cdef cell_t *cell = &self.cells.cells[d.cell]
        cdef pace_t *pace = &self.cells.paces[d.cell]
        cdef int change
        if outcome == "succeeded":
            change = mark_succeeded(cell, damped_rise(pace, d.probe.rise, damping_ms, now_ms), code, now_ms)
        elif outcome in ("failed", "down"):
            change = mark_failed(cell, d.probe.fall if outcome == "failed" else 0, code, now_ms)
        else:
            raise ValueError(f"outcome is succeeded, failed or down, not {outcome!r}")
        if change == WENT_DOWN:
            note_down(pace, damping_ms, now_ms)
        return EVENT_NAMES[change]

    def answered(self, index, elapsed_ms, now_ms=0) -> None:
        """Tells after how long a destination, by its index, has answered."""
        cdef destination_t *d = &self.table.table.destinations[self.check_destination(index)]
        note_latency(&self.cells.paces[d.cell], elapsed_ms, now_ms)
