"""Doors from Python to the store's kernels: for tests only.

What it is: owners of a buddy allocator, of a timing wheel and of a store, with
one method per kernel that takes and returns plain Python values; a writer and a
reader of the table of names that run side by side.  What it must
never do: be imported by the packet path or the control plane, hold a rule of its
own, or reach around the named functions of slots when it writes to the mapping.

Called by tests/ and bench/.
"""

cimport cython
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from fastsip._core.base.types cimport E_UNRESOLVED, OK, PARTITIONS
from fastsip._core.base.address cimport T_UDP
from fastsip._core.store.records cimport (
    KIND_CLIENT_INVITE, KIND_CLIENT_OTHER, KIND_FREE, KIND_SERVER_INVITE, KIND_SERVER_OTHER, block_t, is_child,
    is_server, record_t,
)
from fastsip._core.store.kinds cimport KIND_ROWS, all_kinds, kind_row_t, list_kinds
from fastsip._core.store.blocks cimport (
    NO_UNIT, ORDERS, UNIT_BYTES, buddy_t, free_buddy, give_units, init_buddy, order_of, rebuild_buddy, take_units,
)
from fastsip._core.store.slots cimport (
    HEADER_BYTES, LAYOUT_MAJOR, LAYOUT_MINOR, NO_SLOT, PENDING_BLOCKS, SLOT_BITS, SLOT_MASK, begin_block, block_at,
    clear_owes, commit, drop_block, end_block, first_child_of, give_pending, give_slot, index_find, index_insert,
    index_remove, link_child, next_child_of, partition_header_t, partition_of, partition_t, pending_t, record_of,
    scan_partition, slot_at, slot_t, store_t, take_slot, unlink_child, word_generation, word_kind, word_owes,
    word_state, write_clock_pair, write_identity, write_tried,
)
from fastsip._core.store.partitions cimport Store
from fastsip._core.store.wheel cimport (
    LONGEST_MS, NOT_ARMED, TICK_MS, advance_wheel, arm_timer, disarm_timer, init_wheel, take_expired, timer_node_t,
    wheel_t, wheel_wait_ms,
)
from fastsip._core.routing.types cimport table_t
from fastsip._core.transport.names cimport (
    MOST_TARGETS, OF_HOST, Names, entry_at, find_target, found_t, name_answer_t, name_entry_t, publish_answer, wanted_t,
)
from fastsip._core.state.shard cimport shard_t
from fastsip._core.transaction.machines cimport client_step
from fastsip._core.transaction.clocks cimport first_clocks, set_clocks

from fastsip._core.store import blocks, slots, wheel

# What a test has to know of the layout.
BLOCKS = {"unit_bytes": UNIT_BYTES, "orders": ORDERS}
LAYOUT = {
    "major": LAYOUT_MAJOR, "minor": LAYOUT_MINOR, "header_bytes": HEADER_BYTES, "slot_bytes": sizeof(slot_t),
    "record_bytes": sizeof(record_t), "records_off": <uint64_t>&(<slot_t *>NULL).records,
    "pending_blocks": PENDING_BLOCKS, "slot_bits": SLOT_BITS,
}
KINDS = {
    "free": KIND_FREE, "server-invite": KIND_SERVER_INVITE, "server-other": KIND_SERVER_OTHER,
    "client-invite": KIND_CLIENT_INVITE, "client-other": KIND_CLIENT_OTHER,
}
HEAD = {"kinds_off": <uint64_t>&(<partition_header_t *>NULL).kinds, "kind_rows": KIND_ROWS}
CLOCK = {"tick_ms": TICK_MS, "longest_ms": <uint64_t>LONGEST_MS}
MODULES = (blocks, slots, wheel)   # whose compiled files these doors open


def branch_clocks(str kind, int state, int event, int status=0, uint8_t transport=T_UDP) -> dict:
    """Clocks of a branch to a place of that transport, in ms from now, None = stands still.

    As it begins (`state` 0), or after the step of this state and event; the values are those of RFC 3261.
    """
    cdef shard_t shard
    cdef table_t table
    cdef slot_t branch, server
    cdef record_t record
    cdef int number = KINDS[kind]
    memset(&shard, 0, sizeof(shard))
    memset(&table, 0, sizeof(table))
    memset(&branch, 0, sizeof(branch))
    memset(&server, 0, sizeof(server))
    memset(&record, 0, sizeof(record))
    table.clocks.t1_ms, table.clocks.t2_ms, table.clocks.t4_ms, table.clocks.c_ms = 500, 4000, 5000, 181000
    shard.table = &table
    shard.now_ms = branch.created_ms = 1_000_000
    branch.identity.client.target.remote.transport = transport
    branch.commit = <uint64_t>number << 24 | <uint64_t>state << 16
    first_clocks(&shard, &branch.identity.client.target.remote, 0, &record)
    if state:
        set_clocks(&shard, &branch, &server, state, client_step(number, state, event), status, &record)
    found = {"repeat": record.client.retransmit_ms, "expire": record.client.expire_ms, "c": record.client.c_ms}
    return {name: at_ms - 1_000_000 if at_ms else None for name, at_ms in found.items()}


def kind_rows() -> list:
    """(kind, last state, words that name blocks) as the head of a file has them."""
    cdef kind_row_t rows[KIND_ROWS]
    list_kinds(rows)
    return [(rows[i].kind, rows[i].last_state, rows[i].blocks) for i in range(<int>KIND_ROWS) if rows[i].kind]


def families(int kind) -> tuple:
    """(family, is_child) by the table, (is_server, is_child) without it; a kind is a byte."""
    return all_kinds()[kind & 0xFF].family, bool(all_kinds()[kind & 0xFF].is_child), is_server(kind), is_child(kind)


def block_order(uint32_t length) -> int:
    """order_of: at least BLOCKS["orders"] when no block holds that many bytes."""
    return order_of(length)


cdef struct looks_t:
    uint64_t found
    uint64_t missed
    uint64_t torn


def write_without_gil(Names names not None, str name, uint64_t times) -> None:
    """Publishes answers for a known name so often: one address many times, its last byte the low byte of the port."""
    cdef name_entry_t *entry = entry_at(names.table, names.numbers[name])
    cdef name_answer_t answer = entry.answers[entry.word & 1]
    cdef uint64_t i
    cdef uint32_t k
    answer.count = MOST_TARGETS
    with nogil:
        for i in range(times):
            for k in range(MOST_TARGETS):
                answer.targets[k] = answer.targets[0]
                answer.targets[k].addr.ip[15] = i & 0xFF
                answer.targets[k].addr.port = 0x100 | i & 0xFF
            publish_answer(entry, &answer)


def look_without_gil(Names names not None, str name, uint64_t looks) -> dict:
    """Looks for a name so often, as a shard does, while another thread may write.

    `torn` counts addresses whose last byte is not the low byte of their port.
    """
    cdef bytes text = name.encode()
    cdef const char *at = text
    cdef uint32_t len_bytes = <uint32_t>len(text)
    cdef looks_t tally
    cdef wanted_t wanted
    cdef found_t seen
    cdef bint due = False
    cdef uint64_t i
    cdef int code
    memset(&tally, 0, sizeof(tally))
    memset(&wanted, 0, sizeof(wanted))
    wanted.kind = OF_HOST
    wanted.families = 1 << 4
    with nogil:
        for i in range(looks):
            wanted.key = i
            code = find_target(names.table, at, len_bytes, &wanted, 0, &seen, &due)
            tally.found += code == OK
            tally.missed += code == E_UNRESOLVED
            tally.torn += code == OK and seen.addr.ip[15] != (seen.addr.port & 0xFF)
    return tally


@cython.final
cdef class Buddy:
    """Buddy(unit_count): all units free."""
    cdef buddy_t buddy

    def __init__(self, uint32_t unit_count):
        if init_buddy(&self.buddy, unit_count) < 0:
            raise MemoryError("no memory for the allocator")
        self.rebuild(bytes(unit_count))

    def __dealloc__(self):
        free_buddy(&self.buddy)

    @property
    def used_units(self) -> int:
        return self.buddy.used_units

    def rebuild(self, bytes used not None):
        """One byte a unit, not 0 = used."""
        if len(used) != self.buddy.unit_count:
            raise ValueError(f"{self.buddy.unit_count} units, not {len(used)}")
        rebuild_buddy(&self.buddy, used)

    def take(self, int order):
        """The block's first unit, or None."""
        unit = take_units(&self.buddy, order)
        return None if unit == NO_UNIT else unit

    def give(self, uint32_t unit, int order):
        give_units(&self.buddy, unit, order)

    def free_blocks(self) -> set:
        """{(unit, order)} of the free lists; RuntimeError when their links or marks contradict each other."""
        cdef uint32_t unit, before
        found = set()
        for order in range(<int>ORDERS):
            unit, before = self.buddy.head[order], NO_UNIT
            while unit != NO_UNIT:
                if ((unit, order) in found or self.buddy.prev[unit] != before
                        or self.buddy.free_order[unit] != order + 1):
                    raise RuntimeError(f"the free list of order {order} is broken at unit {unit}")
                found.add((unit, order))
                before, unit = unit, self.buddy.next[unit]
        if len(found) != sum(1 for unit in range(self.buddy.unit_count) if self.buddy.free_order[unit]):
            raise RuntimeError("a unit is marked free and stands in no list")
        return found


@cython.final
cdef class Wheel:
    """Wheel(per_partition, now_ms): timers are partition << 26 | index, any partition, index < per_partition."""
    cdef wheel_t wheel
    cdef timer_node_t **nodes
    cdef uint32_t per_partition

    def __cinit__(self, uint32_t per_partition, uint64_t now_ms):
        self.per_partition = per_partition
        self.nodes = <timer_node_t **>calloc(PARTITIONS, sizeof(timer_node_t *))
        if self.nodes == NULL:
            raise MemoryError("no memory for timers")
        for partition in range(<int>PARTITIONS):
            self.nodes[partition] = <timer_node_t *>calloc(per_partition, sizeof(timer_node_t))
            if self.nodes[partition] == NULL:
                raise MemoryError("no memory for timers")
            for i in range(per_partition):
                self.nodes[partition][i].place = NOT_ARMED
        init_wheel(&self.wheel, self.nodes, now_ms)

    def __dealloc__(self):
        if self.nodes != NULL:
            for partition in range(<int>PARTITIONS):
                free(self.nodes[partition])
        free(self.nodes)

    cdef int check(self, uint32_t ref) except -1:
        if ref >> SLOT_BITS >= PARTITIONS or ref & SLOT_MASK >= self.per_partition:
            raise IndexError(ref)
        return 0

    @property
    def armed(self) -> int:
        return self.wheel.armed

    def arm(self, uint32_t ref, uint64_t at_ms):
        self.check(ref)
        arm_timer(&self.wheel, ref, at_ms)

    def disarm(self, uint32_t ref):
        self.check(ref)
        disarm_timer(&self.wheel, ref)

    def advance(self, uint64_t now_ms):
        advance_wheel(&self.wheel, now_ms)

    def take(self):
        """The next due timer, or None."""
        ref = take_expired(&self.wheel)
        return None if ref == NO_SLOT else ref

    def wait_ms(self, uint64_t now_ms) -> int:
        return wheel_wait_ms(&self.wheel, now_ms)


@cython.final
cdef class Slots:
    """Slots(store): the kernels of slots over an open Store.  References are partition << 26 | index."""
    cdef Store owner
    cdef store_t *store
    cdef pending_t pending

    def __init__(self, Store owner not None):
        self.owner = owner
        self.store = owner.store

    cdef partition_t *part(self, uint32_t partition) except NULL:
        if partition >= PARTITIONS:
            raise IndexError(partition)
        return &self.store.partitions[partition]

    cdef slot_t *slot(self, uint32_t ref) except NULL:
        if ref & SLOT_MASK >= self.part(ref >> SLOT_BITS).slot_count:
            raise IndexError(ref)
        return slot_at(self.store, ref)

    def partition(self, bytes call_id not None) -> int:
        return partition_of(self.store, call_id, <uint32_t>len(call_id))

    def sizes(self, uint32_t partition) -> dict:
        cdef partition_t *p = self.part(partition)
        return {"slots": p.slot_count, "reserved": p.reserved_slots, "free": p.free_count, "later": p.later_count,
                "hinted": self.store.hinted[partition], "units": p.buddy.unit_count,
                "used_units": p.buddy.used_units, "high_water": p.header.high_water}

    # ---- slots

    def take(self, uint32_t partition, bint reserved=False, uint8_t share=1):
        """A slot's reference, or None."""
        self.part(partition)
        ref = take_slot(self.store, partition, share, reserved)
        return None if ref == NO_SLOT else ref

    def identify(self, uint32_t ref, uint64_t key, parent=None, int attempt=0, *, int taken_len=0, int ruri_len=0):
        """write_identity; `parent` is the reference of a live server slot, the lengths are a branch's."""
        cdef slot_t identity
        self.slot(ref)
        memset(&identity, 0, sizeof(identity))
        identity.key = key
        identity.parent = NO_SLOT
        if parent is not None:
            identity.parent = parent
            identity.parent_generation = word_generation(self.slot(parent).commit)
        identity.attempt = attempt
        if parent is not None:
            identity.identity.client.taken_len = taken_len
            identity.identity.client.ruri_len = ruri_len
        write_identity(self.store, ref, &identity)

    def tried(self, uint32_t ref, uint32_t attempt, uint32_t destination_id):
        self.slot(ref)
        write_tried(self.store, ref, attempt, destination_id)

    def commit(self, uint32_t ref, int kind, int state=0, int owes=0, bytes record=bytes(64)):
        self.slot(ref)
        if len(record) != sizeof(record_t):
            raise ValueError(f"a record has {sizeof(record_t)} bytes")
        commit(self.store, ref, kind, state, owes, <const record_t *><const char *>record)

    def clear_owes(self, uint32_t ref, uint32_t generation, int owes):
        self.slot(ref)
        clear_owes(self.store, ref, generation, owes)

    def give(self, uint32_t ref):
        """As whoever ends a transaction does: nobody finds it any more, then it ends."""
        self.slot(ref)
        index_remove(self.store, ref)
        give_slot(self.store, ref)

    def read(self, uint32_t ref) -> dict:
        cdef const slot_t *slot = self.slot(ref)
        return {
            "generation": word_generation(slot.commit), "kind": word_kind(slot.commit),
            "state": word_state(slot.commit), "owes": word_owes(slot.commit), "key": slot.key,
            "parent": slot.parent, "attempt": slot.attempt,
            "record": (<const char *>record_of(slot))[:sizeof(record_t)],
            "tried": [slot.identity.server.tried[i] for i in range(16)],
        }

    def later(self, uint32_t ref) -> bool:
        self.slot(ref)
        return bool(self.part(ref >> SLOT_BITS).later[ref & SLOT_MASK])

    # ---- blocks

    def write_block(self, uint32_t ref, bytes content not None):
        """(unit, len) of a new block with this content, or None."""
        cdef block_t block
        cdef char *at
        self.slot(ref)
        at = begin_block(self.store, ref, <uint32_t>len(content), &block)
        if at == NULL:
            return None
        memcpy(at, <const char *>content, len(content))
        end_block()
        return block.unit, block.len

    def read_block(self, uint32_t ref, uint32_t unit, uint32_t length) -> bytes:
        self.slot(ref)
        return block_at(self.store, ref, unit)[:length]

    def drop_block(self, uint32_t ref, uint32_t unit, uint32_t length):
        cdef block_t block
        self.slot(ref)
        block.unit, block.len = unit, length
        drop_block(self.store, &self.pending, ref, &block)

    def give_pending(self) -> int:
        """How many blocks waited for it."""
        count = self.pending.count
        give_pending(self.store, &self.pending)
        return count

    # ---- index, children, scan

    def index_insert(self, uint32_t ref):
        self.slot(ref)
        index_insert(self.store, ref)

    def index_remove(self, uint32_t ref):
        self.slot(ref)
        index_remove(self.store, ref)

    def index_find(self, uint32_t partition, uint64_t key, int kind):
        """The live slot's reference, or None."""
        self.part(partition)
        ref = index_find(self.store, partition, key, kind)
        return None if ref == NO_SLOT else ref

    def index_entries(self, uint32_t partition) -> int:
        cdef partition_t *p = self.part(partition)
        return sum(1 for i in range(p.index_mask + 1) if p.index[i].slot)

    def link_child(self, uint32_t ref):
        self.slot(ref)
        link_child(self.store, ref)

    def unlink_child(self, uint32_t ref):
        self.slot(ref)
        unlink_child(self.store, ref)

    def children(self, uint32_t ref) -> list:
        self.slot(ref)
        found = []
        child = first_child_of(self.store, ref)
        while child != NO_SLOT:
            found.append(child)
            child = next_child_of(self.store, child)
        return found

    def scan(self, uint32_t partition) -> int:
        self.part(partition)
        return scan_partition(self.store, partition)

    def write_clocks(self, uint32_t partition, uint64_t realtime_ms, uint64_t boottime_ms):
        self.part(partition)
        write_clock_pair(self.store, partition, realtime_ms, boottime_ms)
