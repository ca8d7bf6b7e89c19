"""One shard: a thread that serves the partitions p with p mod shards = i.

The loop: wait, read the sockets, hand over what belongs to others, take what
others handed over, fire timers, send.  One clock reading and one sendmmsg per
round.  It runs without the GIL from start to stop (R1); nothing in it locks.

A shard asleep in epoll is woken by its eventfd only; asleep it counts as
quiescent, since it reads the outlook pointer again after each wait.
Started by router in a thread of its own, with all signals blocked.
"""

cimport cython
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcpy, memset
from posix.time cimport CLOCK_REALTIME, clock_gettime, timespec

from fastsip._core.atomics cimport load_acquire64, load_relaxed32, store_relaxed32, store_release64
from fastsip._core.chooser cimport Positions
from fastsip._core.commands cimport COMMAND_NAME, push_command, read_commands
from fastsip._core.core cimport (COUNTER_COUNT, MOST_HELD, N_HANDED_OVER, N_HANDED_OVER_FULL, N_KERNEL_DROPS,
                                 N_OVER_1300, N_OVER_1472, N_QUARANTINED, N_RECEIVED, N_RECEIVE_CALLS, N_SEND_CALLS,
                                 N_SENT, N_SENT_LOST, N_WAITS, N_WAKES, count, find_listener_index, held_t,
                                 needs_flush)
from fastsip._core.icmp cimport shard_of_error, take_error
from fastsip._core.marks cimport Quarantine, is_quarantined, mark_datagram, mark_nothing, mark_t
from fastsip._core.net cimport (clock_ms, datagram_t, net_counters_t, net_error_t, receive_batch, wait_ready)
from fastsip._core.parser cimport scan_call_id
from fastsip._core.probes cimport next_probe_ms
from fastsip._core.proxy cimport receive_message
from fastsip._core.recovery cimport recover_calls
from fastsip._core.ring cimport (fall_asleep, is_empty, pop_begin, pop_done, push_begin, push_done, wake, wake_up)
from fastsip._core.slots cimport partition_of, write_clock_pair
from fastsip._core.tables cimport Table
from fastsip._core.timers cimport wheel_wait_ms
from fastsip._core.types cimport PARTITIONS, span_t
from fastsip._core.workspace cimport fire_timers, flush, run_probes

from fastsip._core.core import COUNTER_NAMES

cdef extern from "<sched.h>" nogil:
    int sched_yield()

cdef enum:
    BATCHES_PER_ROUND = 4   # of one socket, before the others and the timers have their turn
    RECORDS_PER_ROUND = 128  # of one ring
    COMMAND_RING_BYTES = 0x10000
    LONGEST_WAIT_MS = 1000  # each round is a heartbeat


cdef uint32_t owner_of(core_t *core, const char *at, uint32_t len) noexcept nogil:
    """The shard of the datagram's call; ourselves when it has no Call-ID (it is refused here)."""
    cdef span_t call_id
    if scan_call_id(at, len, &call_id) < 0:
        return core.shard
    return partition_of(core.store, at + call_id.off, call_id.len) % core.shard_count


cdef void hand_over(core_t *core, neighbours_t *others, uint32_t owner, uint32_t listener, const addr_t *source,
                    const char *at, uint32_t len) noexcept nogil:
    cdef handover_t *record = <handover_t *>push_begin(others.outbound[owner], sizeof(handover_t) + len)
    if record == NULL:
        count(core, N_HANDED_OVER_FULL)
        return
    record.source = source[0]
    record.listener = listener
    record.len = len
    memcpy(<char *>record + sizeof(handover_t), at, len)
    push_done(others.outbound[owner], sizeof(handover_t) + len)
    others.to_wake |= <uint64_t>1 << owner
    count(core, N_HANDED_OVER)


cdef void take_datagram(core_t *core, neighbours_t *others, uint32_t listener, const addr_t *source, char *at,
                        uint32_t len) noexcept nogil:
    cdef uint32_t owner = core.shard
    mark_datagram(core.mark, at, len)
    if core.quarantine.count and is_quarantined(core.quarantine, at, len):
        count(core, N_QUARANTINED)
        return
    if core.shard_count > 1:
        owner = owner_of(core, at, len)
    if owner != core.shard:
        hand_over(core, others, owner, listener, source, at, len)
        return
    receive_message(core, at, len, listener, source)
    if needs_flush(core):
        flush(core)


cdef void take_batch(core_t *core, neighbours_t *others, uint32_t listener, int n) noexcept nogil:
    cdef datagram_t *datagram
    cdef int i
    for i in range(n):
        datagram = &core.net.batch[i]
        take_datagram(core, others, listener, &datagram.source, datagram.at, datagram.len)


cdef void read_sockets(core_t *core, neighbours_t *others) noexcept nogil:
    cdef uint32_t listener
    cdef int batches, n
    for listener in range(core.net.socket_count):
        batches = 0
        while core.net.ready[listener] and batches < BATCHES_PER_ROUND:
            n = receive_batch(core.net, listener)
            take_batch(core, others, listener, n)
            batches += 1


cdef void read_ring(core_t *core, ring_t *ring) noexcept nogil:
    cdef handover_t *record
    cdef uint32_t len
    cdef int _
    for _ in range(RECORDS_PER_ROUND):
        record = <handover_t *>pop_begin(ring, &len)
        if record == NULL:
            return
        if record.listener == OF_ICMP:
            take_error(core, <net_error_t *>(<char *>record + sizeof(handover_t)))
        else:
            mark_datagram(core.mark, <char *>record + sizeof(handover_t), record.len)
            receive_message(core, <char *>record + sizeof(handover_t), record.len, record.listener, &record.source)
        pop_done(ring)
        if needs_flush(core):
            flush(core)


cdef void read_errors(core_t *core, neighbours_t *others) noexcept nogil:
    """Each goes to the shard of the call that it quotes: errors surface at any socket of the group."""
    cdef net_error_t *error
    cdef uint32_t i
    cdef int owner
    for i in range(core.net.error_count):
        error = &core.net.errors[i]
        owner = shard_of_error(core, error)
        if owner == <int>core.shard:
            take_error(core, error)
        elif owner >= 0:
            hand_over(core, others, owner, OF_ICMP, &error.to, <char *>error, sizeof(net_error_t))
    core.net.error_count = 0


cdef void read_rings(core_t *core, neighbours_t *others) noexcept nogil:
    cdef uint32_t i
    for i in range(core.shard_count):
        if others.inbound[i] != NULL:
            read_ring(core, others.inbound[i])


cdef void wake_others(core_t *core, neighbours_t *others) noexcept nogil:
    cdef uint32_t i
    if others.to_wake == 0:
        return
    for i in range(core.shard_count):
        if others.to_wake >> i & 1 and wake(others.sleepers[i]):
            count(core, N_WAKES)
    others.to_wake = 0


cdef bint has_handed_over(core_t *core, neighbours_t *others) noexcept nogil:
    """Another shard or the control plane."""
    cdef uint32_t i
    for i in range(core.shard_count):
        if others.inbound[i] != NULL and not is_empty(others.inbound[i]):
            return True
    return not is_empty(others.commands)


cdef int wait_ms(core_t *core) noexcept nogil:
    cdef int timers = wheel_wait_ms(core.wheel, core.now_ms)
    cdef int probes = next_probe_ms(core)
    if timers < 0 or (0 <= probes < timers):
        timers = probes
    return timers if 0 <= timers < LONGEST_WAIT_MS else LONGEST_WAIT_MS


cdef void wait_for_work(core_t *core, neighbours_t *others, sleeper_t *own, uint32_t *stopping) noexcept nogil:
    """Sleeps unless a ring has something or it shall stop; who comes after this look sees us asleep and wakes us."""
    fall_asleep(own)
    if has_handed_over(core, others) or load_relaxed32(stopping):
        wake_up(own)
        wait_ready(core.net, 0)
    else:
        wait_ready(core.net, wait_ms(core))
        wake_up(own)
    core.now_ms = clock_ms()


cdef void note_counters(core_t *core) noexcept nogil:
    """What net counts, beside what the kernels count."""
    cdef const net_counters_t *net = &core.net.counters
    cdef uint64_t *n = core.counters
    n[<int>N_RECEIVE_CALLS] = net.receive_calls
    n[<int>N_RECEIVED] = net.received
    n[<int>N_SEND_CALLS] = net.send_calls
    n[<int>N_SENT] = net.sent
    n[<int>N_SENT_LOST] = net.lost
    n[<int>N_KERNEL_DROPS] = net.kernel_drops
    n[<int>N_WAITS] = net.waits
    n[<int>N_OVER_1300] = net.over_1300
    n[<int>N_OVER_1472] = net.over_1472


cdef void write_clocks(core_t *core) noexcept nogil:
    """The (realtime, boottime) pair of our partitions, by which a step of the wall clock is seen."""
    cdef timespec now
    cdef uint32_t partition
    clock_gettime(CLOCK_REALTIME, &now)
    for partition in range(PARTITIONS):
        if partition % core.shard_count == core.shard:
            write_clock_pair(core.store, partition, <uint64_t>now.tv_sec * 1000 + now.tv_nsec // 1000000, core.now_ms)


@cython.final
cdef class Shard:
    """Shard(net, workspace, sleeper): run() in a thread of its own, stop() from any."""

    def __init__(self, Net net not None, Workspace workspace not None, Sleeper sleeper not None):
        self.net, self.workspace, self.sleeper = net, workspace, sleeper
        self.kept = [(workspace.table, workspace.positions)]
        memset(&self.neighbours, 0, sizeof(self.neighbours))
        self.commands = Ring(COMMAND_RING_BYTES)
        self.neighbours.commands = self.commands.ring
        workspace.attach(net.net)
        self.outlooks[0].table = workspace.core.table
        self.outlooks[0].positions = workspace.core.positions
        self.outlook = &self.outlooks[0]

    def meet(self, int other, Ring inbound not None, Ring outbound not None, Sleeper sleeper not None):
        """Before run(): the rings from and to shard `other`, and how to wake it.  The caller keeps them alive."""
        self.neighbours.inbound[other] = inbound.ring
        self.neighbours.outbound[other] = outbound.ring
        self.neighbours.sleepers[other] = sleeper.sleeper

    def recover(self):
        """Before run(): takes up the calls of the store; how many slots live in this shard's partitions."""
        return recover_calls(self.workspace.core)

    def held(self) -> list:
        """After run(): (address, listener's id, until_ms, datagram) of each that waits without a transaction."""
        cdef core_t *core = self.workspace.core
        cdef held_t *item
        cdef uint32_t i
        found = []
        for i in range(MOST_HELD):
            item = &core.waiting.held[i]
            if item.name:
                found.append(((<char *>&item.source)[:sizeof(addr_t)], core.table.listeners[item.listener].id,
                              item.until_ms, item.message[:item.len]))
        return found

    def receive(self, bytes source not None, uint32_t listener_id, bytes datagram not None):
        """After recover(), before run(): what the router before us held.

        Nothing if its listener is gone, or if that router was of a release that keeps addresses otherwise.
        """
        cdef core_t *core = self.workspace.core
        cdef int listener = find_listener_index(core.table, listener_id)
        cdef addr_t addr
        if listener >= 0 and len(source) == sizeof(addr_t):
            memcpy(&addr, <const char *>source, sizeof(addr_t))
            take_datagram(core, &self.neighbours, listener, &addr, datagram, <uint32_t>len(datagram))
            flush(core)
            mark_nothing(core.mark)

    def switch_to(self, Table table not None, Positions positions not None):
        """From the control plane: another table from the next wake-up on.

        Waits until the shard has passed the old one, which is at most a round: it
        is woken for it, and asleep it holds no table.
        """
        cdef outlook_t *idle = &self.outlooks[1 if self.outlook == &self.outlooks[0] else 0]
        cdef uint64_t *rounds = &self.workspace.core.mark.rounds
        cdef uint64_t round = load_acquire64(rounds)
        idle.table = table.sealed_table()
        idle.positions = &positions.positions
        self.kept.append((table, positions))
        store_release64(<uint64_t *>&self.outlook, <uint64_t><void *>idle)
        wake(self.sleeper.sleeper)
        if self.running:
            with nogil:
                while load_acquire64(rounds) == round and not load_relaxed32(&self.sleeper.sleeper.asleep):
                    sched_yield()
        self.kept = [(table, positions)]

    def name_changed(self, uint64_t number) -> bool:
        """From the control plane: there is an answer about the name of this hash (Names.hash), 0 = about any.

        False when the shard has so many commands before it that there is no room.
        """
        pushed = push_command(self.commands.ring, COMMAND_NAME, number)
        wake(self.sleeper.sleeper)
        return pushed

    def positions(self) -> Positions:
        """Of the table that was switched to last."""
        return self.kept[len(self.kept) - 1][1]

    def counters(self) -> dict:
        return {name: self.workspace.core.counters[i] for i, name in enumerate(COUNTER_NAMES)}

    def count_into(self, uint64_t[::1] where not None):
        """Before run(): counters live in this array (a mapping that others read) from now on."""
        if where.shape[0] < COUNTER_COUNT:
            raise ValueError(f"{COUNTER_COUNT} counters need more room than {where.shape[0]}")
        self.workspace.count_into(where)

    def mark_into(self, uint64_t[::1] page not None, Quarantine quarantine not None):
        """Before recover(): marks go into this page of a mapping, and these datagrams are refused."""
        if page.nbytes < <Py_ssize_t>sizeof(mark_t):
            raise ValueError(f"a page of marks has {sizeof(mark_t)} bytes, not {page.nbytes}")
        self.workspace.mark_into(page, quarantine)

    def set_draining(self, bint on):
        """From the control plane: no new calls, or again."""
        store_relaxed32(&self.workspace.core.draining, on)

    def stop(self):
        store_relaxed32(&self.stopping, 1)
        wake(self.sleeper.sleeper)

    def read_out(self, uint32_t listener):
        """After run(): a batch of a socket that nobody reads after us; how many datagrams it was."""
        cdef core_t *core = self.workspace.core
        cdef int n
        with nogil:
            n = receive_batch(core.net, listener)
            take_batch(core, &self.neighbours, listener, n)
            flush(core)
        return n

    def finish(self):
        """After run() of all shards: takes what they handed over, and sends."""
        cdef core_t *core = self.workspace.core
        cdef uint32_t i
        with nogil:
            core.now_ms = clock_ms()
            for i in range(core.shard_count):
                while self.neighbours.inbound[i] != NULL and not is_empty(self.neighbours.inbound[i]):
                    read_ring(core, self.neighbours.inbound[i])
            flush(core)
            mark_nothing(core.mark)
            note_counters(core)

    def run(self):
        """Until stop(): finishes the round, sends what is owed."""
        cdef core_t *core = self.workspace.core
        cdef neighbours_t *others = &self.neighbours
        cdef sleeper_t *own = self.sleeper.sleeper
        cdef outlook_t *outlook
        cdef uint64_t clocks_at = 0
        self.running = True
        with nogil:
            core.now_ms = clock_ms()
            while not load_relaxed32(&self.stopping):
                flush(core)
                while core.net.error_count:
                    read_errors(core, others)
                    flush(core)
                wake_others(core, others)
                note_counters(core)
                # From here on nothing of the round can touch its table: switch_to frees what this says is passed.
                store_release64(&core.mark.rounds, core.mark.rounds + 1)
                wait_for_work(core, others, own, &self.stopping)
                outlook = <outlook_t *><void *>load_acquire64(<uint64_t *>&self.outlook)
                core.table = outlook.table
                core.positions = outlook.positions
                read_sockets(core, others)
                read_rings(core, others)
                read_commands(core, others.commands)
                fire_timers(core)
                mark_nothing(core.mark)
                run_probes(core)
                if core.now_ms >= clocks_at:
                    write_clocks(core)
                    clocks_at = core.now_ms + 1000
            flush(core)
            note_counters(core)
        self.running = False
