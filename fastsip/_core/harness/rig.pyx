"""A shard's kernels without sockets, on a clock that tests move.

Protocol scripts inject a datagram, look at what was sent, advance the clock.
Everything between is the router's own code: a Workspace as a shard has one,
its flush with another send step.  Nothing here knows SIP.

Must never: be part of a running router, or touch the real clock.
"""

import socket
from collections import namedtuple

cimport cython
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcmp, memcpy, memset

from fastsip._core.base.types cimport MAX_MESSAGE, PARTITIONS, span_t
from fastsip._core.base.address cimport T_UDP, addr_t, origin_t
from fastsip._core.base.ring cimport Ring
from fastsip._core.sip.parser cimport most_read, scan_call_id
from fastsip._core.store.slots cimport (
    call_at_store, hash_call, partition_of, scan_partition, share_of_hash, write_clock_pair,
)
from fastsip._core.store.partitions cimport Store
from fastsip._core.store.wheel cimport init_wheel, wheel_wait_ms
from fastsip._core.routing.lookup cimport set_origin
from fastsip._core.routing.table cimport RoutingTable
from fastsip._core.dispatcher.cells cimport Cells
from fastsip._core.dispatcher.chooser cimport Positions
from fastsip._core.dispatcher.measures cimport Measures
from fastsip._core.transport.names cimport Names
from fastsip._core.transport.udp cimport QUOTE_BYTES, net_error_t
from fastsip._core.transport.local cimport add_route, open_local
from fastsip._core.state.shard cimport shard_t
from fastsip._core.health.probes cimport next_probe_ms
from fastsip._core.proxy.transport_errors cimport shard_of_error, take_error
from fastsip._core.proxy.requests cimport receive_message
from fastsip._core.shard.round cimport flush
from fastsip._core.shard.workspace cimport Workspace
from fastsip._core.shard.recovery cimport recover_calls
from fastsip._core.shard.commands cimport COMMAND_NAME, COMMAND_PROBE, push_command, take_commands
from fastsip._core.harness.image cimport forget_image, put_back, take_image
from fastsip._core.harness.virtual_net cimport RULES, WIRE_BYTES, record_room, step_clock, wire_record_t, wire_t

from fastsip._core.base.scarcity import fail_allocation, failed_allocations
from fastsip._core.state.counters import COUNTER_NAMES
from fastsip._core.state.events import take_events

START_MS = 1_000_000        # the virtual clock's first reading
EVENT_BYTES = 1 << 16
COMMAND_BYTES = 1 << 12
COMMANDS_AT_ONCE = 64
Sent = namedtuple("Sent", "datagram to listener at_ms outcome")
OUTCOMES = {"sent": 0, "lost": 1, "refused": 2, "too_big": 3}
OUTCOME_NAMES = tuple(OUTCOMES)


# ---------------------------------------------------------------- addresses

cdef addr_t addr_of(address) except *:
    cdef addr_t addr
    cdef bytes packed
    host, port = address
    memset(&addr, 0, sizeof(addr))
    addr.transport = T_UDP
    addr.port = port
    if ":" in host:
        packed = socket.inet_pton(socket.AF_INET6, host)
        addr.family = 6
        memcpy(addr.ip, <const char *>packed, 16)
    else:
        packed = socket.inet_pton(socket.AF_INET, host)
        addr.family = 4
        addr.ip[10] = addr.ip[11] = 0xFF
        memcpy(&addr.ip[12], <const char *>packed, 4)
    return addr


cdef tuple address_of(const addr_t *addr):
    cdef const char *ip = <const char *>addr.ip
    if addr.family == 4:
        return socket.inet_ntop(socket.AF_INET, ip[12:16]), addr.port
    return socket.inet_ntop(socket.AF_INET6, ip[:16]), addr.port


cdef list records_of(const char *at, uint32_t used):
    cdef const wire_record_t *record
    cdef uint32_t off = 0
    found = []
    while off + sizeof(wire_record_t) <= used:
        record = <const wire_record_t *>(at + off)
        if off + sizeof(wire_record_t) + record.len > used:
            break
        found.append(Sent((at + off + sizeof(wire_record_t))[:record.len], address_of(&record.to), record.listener,
                          record.at_ms, OUTCOME_NAMES[record.outcome]))
        off += record_room(record.len)
    return found


def read_wire(bytes copied not None) -> list:
    """What a Rig copied to a descriptor (see copy_to): as sent(); a record cut short at the end is left out."""
    return records_of(copied, <uint32_t>len(copied))


# ---------------------------------------------------------------- a death in the middle

cdef void take_camera(void *what) noexcept nogil:
    cdef camera_t *camera = <camera_t *>what
    take_image(&camera.image, camera.shard.store, camera.shard.number, camera.shard.count)
    camera.used = camera.wire.used
    camera.count = camera.wire.count


# ---------------------------------------------------------------- the rig

@cython.final
cdef class Rig:
    """Rig(run_dir, table, cells, max_transactions=1000, number=0, count=1, now_ms=START_MS).

    Opens (or creates) the store under run_dir and works on it like shard `number`
    of `count`.  now_ms is the virtual CLOCK_BOOTTIME to begin with.  Raises
    what Store raises, and ValueError for a table that is not sealed.
    """

    def __cinit__(self):
        self.wire = <wire_t *>calloc(1, sizeof(wire_t))
        if self.wire == NULL:
            raise MemoryError("no memory for a rig")
        self.wire.copy_fd = -1
        self.wire.sent = <char *>malloc(WIRE_BYTES)
        if self.wire.sent == NULL:
            raise MemoryError("no memory for a rig")

    def __init__(self, run_dir, RoutingTable table not None, Cells cells not None, int max_transactions=1000,
                 uint32_t number=0, uint32_t count=1, uint64_t now_ms=START_MS):
        if not number < count <= PARTITIONS:
            raise ValueError(f"shard {number} of {count}: at most {PARTITIONS} are possible")
        self.routes = []
        self.measures = Measures(cells.count)
        self.begin(Store(run_dir, max_transactions), cells, table, number, count, now_ms, None)

    cdef begin(self, Store store, Cells cells, RoutingTable table, uint32_t number, uint32_t count, uint64_t now_ms,
               Names names):
        self.workspace = Workspace(store, cells, table, Positions(table, number), number, count,
                                   Ring(EVENT_BYTES), None, names)
        self.workspace.measure_into(self.measures, 0)
        self.commands = Ring(COMMAND_BYTES)
        memset(&self.taken, 0, sizeof(self.taken))
        self.taken.ring = self.commands.ring
        self.workspace.attach(&self.wire.net)
        self.shard().now_ms = now_ms
        self.wire.now_ms = &self.shard().now_ms
        self.wire.net.out_count = 0
        init_wheel(self.workspace.wheel, self.workspace.nodes, now_ms)
        self.camera.shard = self.shard()
        self.camera.wire = self.wire
        for host, ours in self.routes:
            self.know_route(host, ours)
        fail_allocation("any", 0)

    def __dealloc__(self):
        forget_image(&self.camera.image)
        if self.wire != NULL:
            free(self.wire.sent)
        free(self.wire)

    cdef shard_t *shard(self) noexcept:
        return self.workspace.shard

    # ------------------------------------------------------------ inject, advance

    def receive(self, bytes datagram not None, source=("10.0.0.1", 5060), uint32_t listener=0,
                uint8_t transport=T_UDP) -> None:
        """One datagram, and the end of its batch.  Of another transport than UDP (a transport_id) no answer leaves."""
        cdef addr_t addr = addr_of(source)
        cdef origin_t origin
        cdef shard_t *shard = self.shard()
        if listener >= shard.table.listener_count:
            raise IndexError(f"no listener {listener}")
        if len(datagram) > MAX_MESSAGE:
            raise ValueError(f"{len(datagram)} bytes are no datagram")
        addr.transport = transport
        set_origin(&origin, shard.table, listener, &addr)
        receive_message(shard, <const char *>datagram, <uint32_t>len(datagram), &origin)
        flush(shard)

    def route(self, str host not None, str ours not None) -> None:
        """A host that is reached from that address of ours; without any, no route is known (see local)."""
        self.routes.append((host, ours))
        self.know_route(host, ours)

    cdef int know_route(self, host, ours) except -1:
        cdef addr_t to = addr_of((host, 0))
        cdef addr_t local = addr_of((ours, 0))
        if self.shard().local == NULL:
            self.shard().local = open_local()
        to.transport = local.transport = 0
        return add_route(self.shard().local, &to, &local)

    def advance(self, uint64_t ms) -> None:
        """Moves the clock on; each timer and probe fires at its own time, and its batch is sent then."""
        cdef uint64_t target = self.shard().now_ms + ms
        cdef shard_t *shard = self.shard()
        cdef uint32_t partition
        with nogil:
            step_clock(shard, target)
            for partition in range(<uint32_t>PARTITIONS):       # as a shard does every second
                if partition % shard.count == shard.number:
                    write_clock_pair(shard.store, partition, 0, target)

    @property
    def next_ms(self) -> int:
        """When a timer or a probe is due next, on the virtual clock."""
        cdef shard_t *shard = self.shard()
        cdef int timers = wheel_wait_ms(shard.wheel, shard.now_ms)
        cdef int wait = next_probe_ms(shard)
        return shard.now_ms + (wait if timers < 0 else min(timers, wait))

    def partition_of(self, bytes call_id not None) -> int:
        return partition_of(self.shard().store, call_id, <uint32_t>len(call_id))

    def share_of(self, bytes call_id not None) -> int:
        """What a call is counted with in its partition: calls of another one do not matter to it."""
        return share_of_hash(hash_call(self.shard().store, call_id, <uint32_t>len(call_id)))

    def owner_of(self, bytes datagram not None) -> int:
        """The shard whose call this belongs to; this one, if it has no Call-ID."""
        cdef shard_t *shard = self.shard()
        cdef span_t call_id
        if scan_call_id(datagram, most_read(<uint32_t>len(datagram), shard.table.max_head), &call_id) < 0:
            return shard.number
        return partition_of(shard.store, <const char *>datagram + call_id.off, call_id.len) % shard.count

    # ------------------------------------------------------------ deaths without a process to end

    def image_at(self, int64_t k) -> None:
        """What the store holds before the k-th store to it from now is kept for die(); negative: nothing is.

        One rig of a process at a time.
        """
        self.camera.image.taken = False
        call_at_store(k, take_camera, <void *>&self.camera)

    @property
    def has_image(self) -> bool:
        """Has that store been reached?"""
        return self.camera.image.taken

    def die(self, RoutingTable table not None, uint64_t now_ms, Names names=None) -> None:
        """All but the store is lost, and of that all since the image; the next router, which recover() begins, has it.

        What was sent since the image is forgotten, as if the process had ended there; without one it ends now.
        """
        cdef shard_t *shard = self.shard()
        cdef Workspace was = self.workspace
        cdef uint32_t partition
        call_at_store(-1, NULL, NULL)
        if self.camera.image.taken:
            if self.camera.image.incomplete:
                raise MemoryError("no memory for an image of the store")
            put_back(&self.camera.image, shard.store, shard.number, shard.count)
            self.wire.used, self.wire.count = self.camera.used, self.camera.count
        for partition in range(shard.number, PARTITIONS, shard.count):
            if scan_partition(shard.store, partition) < 0:
                raise RuntimeError(f"partition {partition} is damaged after the death")
        self.begin(was.store, was.cells, table, shard.number, shard.count, now_ms, names)

    def recover(self) -> int:
        """Takes up what the store holds, as a shard does before it runs; how many slots live."""
        return recover_calls(self.shard())

    @property
    def names(self) -> Names:
        """The table of names: empty at first, times are of the virtual clock."""
        return self.workspace.names

    def name_changed(self, str name="") -> None:
        """The command by which a shard hears of an answer about this name, or about any; and the end of its batch."""
        self.command(COMMAND_NAME, self.names.hash(name) if name else 0)

    def probe(self, uint64_t cell) -> None:
        """The command by which a shard hears that a line is to be probed now; and the end of its batch."""
        self.command(COMMAND_PROBE, cell)

    cdef void command(self, int kind, uint64_t number):
        push_command(self.commands.ring, kind, number)
        while take_commands(self.shard(), &self.taken, COMMANDS_AT_ONCE):
            pass
        flush(self.shard())

    def use(self, RoutingTable table not None, Positions positions not None) -> None:
        """Another table from the next batch on.  The caller keeps both until the rig is gone."""
        self.shard().table = table.sealed_table()
        self.shard().positions = &positions.positions

    # ------------------------------------------------------------ want of room

    def fail_allocation(self, kind, n, times=1) -> None:
        """From now on the n-th allocation of `kind` fails, and `times` - 1 after it (-1: all); n=0: none any more.

        Kinds: slot, block, scratch, outbox, event, parked, held, edit, or "any" to count all of them together.
        This holds for all rigs of the process, until another one is made; ValueError for an unknown kind.
        """
        fail_allocation(kind, n, times)

    @property
    def failed_allocations(self) -> int:
        """How many have failed since then: 0 when there were fewer than n."""
        return failed_allocations()

    # ------------------------------------------------------------ the wire

    def refuse(self, address, how="refused") -> None:
        """From now on what is sent there is "refused", "too_big", "lost" or "sent"."""
        cdef addr_t addr = addr_of(address)
        cdef uint32_t i
        if how not in OUTCOMES:
            raise ValueError(f"{how!r} is none of {', '.join(OUTCOMES)}")
        for i in range(self.wire.rule_count):
            if memcmp(&self.wire.rules[i].to, &addr, sizeof(addr_t)) == 0:
                self.wire.rules[i].outcome = OUTCOMES[how]
                return
        if self.wire.rule_count == RULES:
            raise ValueError(f"more than {RULES} addresses with a rule")
        self.wire.rules[self.wire.rule_count].to = addr
        self.wire.rules[self.wire.rule_count].outcome = OUTCOMES[how]
        self.wire.rule_count += 1

    def note_unsent(self) -> None:
        """From now on sent() tells of what an address refused or lost, too, by its outcome."""
        self.wire.keeps_unsent = True

    def take_error(self, bytes datagram not None, to, uint32_t code) -> None:
        """ICMP says of a datagram that was sent there that it did not arrive (an errno); and the end of the batch.

        The shard whose call it quotes takes it, all others let it pass.
        """
        cdef net_error_t error
        cdef shard_t *shard = self.shard()
        memset(&error, 0, sizeof(error))
        error.to = addr_of(to)
        error.code = code
        error.quote_len = min(len(datagram), QUOTE_BYTES)
        memcpy(error.quote, <const char *>datagram, error.quote_len)
        if shard_of_error(shard, &error) == <int>shard.number:
            take_error(shard, &error)
            flush(shard)

    def copy_to(self, int fd) -> None:
        """Writes each message there while it is sent, so that it is known even if the process dies next."""
        self.wire.copy_fd = fd

    def sent(self) -> list:
        """Sent(bytes, (host, port), listener index, at_ms, outcome) of all that left since the last call, in order."""
        if self.wire.overflow:
            raise RuntimeError(f"{self.wire.overflow} messages found no room: ask more often what was sent")
        found = records_of(self.wire.sent, self.wire.used)
        self.wire.used = 0
        return found

    @property
    def sent_count(self) -> int:
        """Messages that ever left."""
        return self.wire.count

    # ------------------------------------------------------------ inspection

    @property
    def now_ms(self) -> int:
        return self.shard().now_ms

    def counters(self) -> dict:
        return {name: self.shard().counters[i] for i, name in enumerate(COUNTER_NAMES)}

    def events(self) -> list:
        """Events (see events.pyx) since the last call."""
        return take_events(self.workspace.events)
