"""One shard: a thread that serves the partitions p with p mod shards = i.

The loop: wait, read the sockets, hand over what belongs to others, take what
others handed over, fire timers, send.  It runs without the GIL from start to
stop (R1, docs/design.md#shape); nothing in it locks.

Everything in a round is bounded by time, and what is left over stays where it is until the
next one: in the socket, the lane, the wheel.  Each socket has TURN_US of a round; one whose
datagrams took longer than that waits until it has made up for it, and is read in smaller
batches, so a listener that is flooded costs the others no more than its turn.  Between two shards
each of the first listeners has a lane of its own, with turns of its own, for the same reason.  What a
flooded one cannot take overflows in the kernel, which is where it should.  After each bit of work there is
a heartbeat: a shard that is only busy is not taken for one that hangs.

Two counts, two meanings: `beats` in the mark say that the shard works, `rounds` that it has
passed the table it worked with.  A shard asleep in epoll has passed it, too, since it reads the
outlook pointer again after each wait.

A shard runs in a thread of its own, with all signals blocked.
"""

cimport cython
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset
from posix.time cimport CLOCK_REALTIME, clock_gettime, timespec
from posix.unistd cimport usleep

from fastsip._core.base.types cimport MAX_LISTENERS, MAX_SHARDS, PARTITIONS
from fastsip._core.base.address cimport addr_t, origin_t
from fastsip._core.base.atomics cimport (
    full_fence, load_acquire32, load_acquire64, load_relaxed32, store_relaxed32, store_release32, store_release64,
)
from fastsip._core.base.clock cimport clock_us
from fastsip._core.base.ring cimport fall_asleep, sleeper_t, wake, wake_up
from fastsip._core.base.lanes cimport Lane, lane_bytes, lane_t, shrink_lane
from fastsip._core.store.slots cimport write_clock_pair
from fastsip._core.store.wheel cimport wheel_wait_ms
from fastsip._core.store.marks cimport Quarantine, beat, is_quarantined, mark_datagram, mark_nothing, mark_t
from fastsip._core.routing.lookup cimport find_listener_index, set_origin
from fastsip._core.routing.table cimport RoutingTable
from fastsip._core.dispatcher.measures cimport Measures
from fastsip._core.dispatcher.chooser cimport Positions
from fastsip._core.transport.udp cimport (
    RECEIVE_BATCH, datagram_t, net_counters_t, net_error_t, receive_batch, wait_ready,
)
from fastsip._core.state.counters cimport (
    COUNTER_COUNT, N_KERNEL_DROPS, N_LANE_BYTES, N_OVER_1300, N_OVER_1472, N_QUARANTINED, N_RECEIVED, N_RECEIVE_CALLS,
    N_ROUND, N_ROUNDS, N_ROUND_US, N_SEND_CALLS, N_SENT, N_SENT_LOST, N_WAITS,
)
from fastsip._core.state.memory cimport MOST_HELD, held_t
from fastsip._core.state.shard cimport count, count_of_time
from fastsip._core.state.outbox cimport needs_flush
from fastsip._core.health.probes cimport next_probe_ms
from fastsip._core.proxy.transport_errors cimport shard_of_error, take_error
from fastsip._core.proxy.requests cimport receive_message
from fastsip._core.shard.round cimport fire_timers, flush, run_probes
from fastsip._core.shard.recovery cimport recover_calls
from fastsip._core.shard.commands cimport COMMAND_NAME, COMMAND_PROBE, push_command, take_commands
from fastsip._core.shard.handover cimport (
    MOST_LANES, OF_ICMP, hand_over, has_work, neighbours_t, owner_of, take_record, wake_others,
)

from fastsip._core.state.counters import COUNTER_NAMES

cdef enum:
    TURN_US = 1000              # of a round: a socket's, and a lane's
    LANES_US = 4000             # of a round: all lanes'; so much have timers, and commands
    MOST_DEBT_US = 20 * TURN_US  # a shard that was stopped by its machine has used nothing
    TIMERS_AT_ONCE = 16         # without a look at the clock
    COMMANDS_AT_ONCE = 16
    ERROR_PASSES = 4            # of a round: each may fail searches over to what refuses, too
    COMMAND_RING_BYTES = 0x10000
    LONGEST_WAIT_MS = 1000      # each round is a heartbeat
    GRACE_LOOK_US = 20          # of the control plane, while it waits for a shard to pass a table


cdef uint64_t look(shard_t *shard, turns_t *turns) noexcept nogil:
    """At the clock, and a heartbeat; the microseconds since the last look."""
    cdef uint64_t before = turns.now_us
    turns.now_us = clock_us()
    shard.now_ms = turns.now_us // 1000
    beat(shard.mark)
    return turns.now_us - before


cdef void take_datagram(shard_t *shard, neighbours_t *others, const origin_t *origin, char *at,
                        uint32_t len) noexcept nogil:
    """Marks it first: if these kernels die of it, whoever comes next finds in the mark which one it was.

    A datagram of another shard's call is not parsed here, only looked through for its Call-ID.
    """
    cdef uint32_t owner = shard.number
    mark_datagram(shard.mark, at, len)
    if shard.quarantine.count and is_quarantined(shard.quarantine, at, len):
        count(shard, N_QUARANTINED)
        return
    if shard.count > 1:
        owner = owner_of(shard, at, len)
    if owner != shard.number:
        hand_over(shard, others, owner, origin, at, len)
        return
    receive_message(shard, at, len, origin)
    if needs_flush(shard):
        flush(shard)


cdef void take_batch(shard_t *shard, neighbours_t *others, uint32_t listener, int n) noexcept nogil:
    """The kernel says by which socket a datagram came; its listener's id is what everything behind here goes by."""
    cdef uint32_t listener_id = shard.table.listeners[listener].id
    cdef datagram_t *datagram
    cdef int i
    for i in range(n):
        datagram = &shard.net.batch[i]
        datagram.origin.flow.listener_id = listener_id
        take_datagram(shard, others, &datagram.origin, datagram.at, datagram.len)


cdef int next_batch(int batch, int64_t spent_us) noexcept nogil:
    """So many that a batch takes at most its turn: what is expensive is taken singly, if need be."""
    if spent_us > TURN_US:
        return max(batch >> 1, 1)
    return min(batch << 1, <int>RECEIVE_BATCH) if spent_us < TURN_US >> 2 else batch


cdef void read_socket(shard_t *shard, neighbours_t *others, turns_t *turns, uint32_t listener) noexcept nogil:
    """A listener that used more than its turn pays with the next rounds', up to MOST_DEBT_US.

    Credit does not grow while nobody sends, so a listener that was idle has no more than one turn either.
    """
    cdef int64_t *credit_us = &turns.credit_us[listener]
    cdef int64_t spent_us
    cdef int n
    credit_us[0] = min(credit_us[0] + TURN_US, <int64_t>TURN_US)
    while shard.net.ready[listener] and credit_us[0] > 0:
        n = receive_batch(shard.net, listener, turns.batch[listener])
        take_batch(shard, others, listener, n)
        spent_us = <int64_t>look(shard, turns)
        credit_us[0] = max(credit_us[0] - spent_us, -<int64_t>MOST_DEBT_US)
        turns.batch[listener] = next_batch(turns.batch[listener], spent_us)


cdef void read_sockets(shard_t *shard, neighbours_t *others, turns_t *turns) noexcept nogil:
    cdef uint32_t listener
    for listener in range(shard.net.socket_count):
        read_socket(shard, others, turns, listener)


cdef void read_lane(shard_t *shard, turns_t *turns, lane_t *lane, int *batch) noexcept nogil:
    """A turn ends by the clock, and a batch is cut to what a turn bears; no debt is kept, as with sockets, since a lane
    has one writer and its room is bounded.
    """
    cdef uint64_t end_us = turns.now_us + TURN_US
    cdef int _
    while turns.now_us < end_us:
        for _ in range(batch[0]):
            if not take_record(shard, lane):
                return
        batch[0] = next_batch(batch[0], <int64_t>look(shard, turns))


cdef void read_lanes(shard_t *shard, neighbours_t *others, turns_t *turns) noexcept nogil:
    """The one that comes first after those that filled the time begins the next round."""
    cdef uint64_t end_us = turns.now_us + LANES_US
    cdef uint32_t i, k, n
    for k in range(shard.count):
        i = (turns.first + k) % shard.count
        if turns.now_us >= end_us:
            turns.first = i
            return
        if i == shard.number:
            continue
        for n in range(others.lane_count):
            read_lane(shard, turns, others.inbound[i][n], &turns.records[i][n])


cdef void read_commands(shard_t *shard, neighbours_t *others, turns_t *turns) noexcept nogil:
    """As long as timers may take; what is left the next round takes, before it sleeps."""
    cdef uint64_t end_us = turns.now_us + LANES_US
    while take_commands(shard, &others.commands, COMMANDS_AT_ONCE) and turns.now_us < end_us:
        look(shard, turns)


cdef void run_timers(shard_t *shard, turns_t *turns) noexcept nogil:
    """By the clock and not by number: one timer may fail a search over to sixteen destinations, another one only moves
    a slot in the wheel.
    """
    cdef uint64_t end_us = turns.now_us + LANES_US
    while fire_timers(shard, TIMERS_AT_ONCE) and turns.now_us < end_us:
        look(shard, turns)


cdef void read_errors(shard_t *shard, neighbours_t *others) noexcept nogil:
    """Each goes to the shard of the call that it quotes: errors surface at any socket of the group."""
    cdef net_error_t *error
    cdef origin_t origin
    cdef uint32_t i = 0
    cdef int owner
    memset(&origin, 0, sizeof(origin))
    origin.listener = OF_ICMP
    while i < shard.net.error_count:         # a flush may add some, as far as there is room
        error = &shard.net.errors[i]
        owner = shard_of_error(shard, error)
        if owner == <int>shard.number:
            take_error(shard, error)
        elif owner >= 0:
            hand_over(shard, others, owner, &origin, <char *>error, sizeof(net_error_t))
        i += 1
        if needs_flush(shard):
            flush(shard)
    shard.net.error_count = 0


cdef int wait_ms(shard_t *shard) noexcept nogil:
    """Timers and probes have clocks of their own; without either the heartbeat alone ends the wait."""
    cdef int timers = wheel_wait_ms(shard.wheel, shard.now_ms)
    cdef int probes = next_probe_ms(shard)
    if timers < 0 or (0 <= probes < timers):
        timers = probes
    return timers if 0 <= timers < LONGEST_WAIT_MS else LONGEST_WAIT_MS


cdef void wait_for_work(shard_t *shard, neighbours_t *others, sleeper_t *own, uint32_t *stopping) noexcept nogil:
    """Sleeps unless something is left to do or it shall stop; who comes after this look sees us asleep and wakes us."""
    fall_asleep(own)
    if has_work(shard, others) or load_relaxed32(stopping):
        wake_up(own)
        wait_ready(shard.net, 0)
    else:
        wait_ready(shard.net, wait_ms(shard))
        wake_up(own)


cdef void end_round(shard_t *shard, neighbours_t *others) noexcept nogil:
    """Sends, and hears what ICMP says of it; what is left of that the next round takes."""
    cdef int _
    flush(shard)
    for _ in range(ERROR_PASSES):
        if shard.net.error_count == 0:
            break
        read_errors(shard, others)
        flush(shard)
    wake_others(shard, others)
    note_counters(shard)


cdef void note_counters(shard_t *shard) noexcept nogil:
    """What transport/udp counts by itself, beside what the kernels count."""
    cdef const net_counters_t *net = &shard.net.counters
    cdef uint64_t *n = shard.counters
    n[<int>N_RECEIVE_CALLS] = net.receive_calls
    n[<int>N_RECEIVED] = net.received
    n[<int>N_SEND_CALLS] = net.send_calls
    n[<int>N_SENT] = net.sent
    n[<int>N_SENT_LOST] = net.lost
    n[<int>N_KERNEL_DROPS] = net.kernel_drops
    n[<int>N_WAITS] = net.waits
    n[<int>N_OVER_1300] = net.over_1300
    n[<int>N_OVER_1472] = net.over_1472


cdef void count_round(shard_t *shard, uint64_t us) noexcept nogil:
    """How long a round took but for its sending, and so how long what came meanwhile has waited."""
    count(shard, N_ROUNDS)
    count_of_time(shard, N_ROUND, (us + 999) // 1000)
    shard.counters[<int>N_ROUND_US] += us


cdef void write_clocks(shard_t *shard) noexcept nogil:
    """The (realtime, boottime) pair of our partitions, by which a step of the wall clock is seen."""
    cdef timespec now
    cdef uint32_t partition
    clock_gettime(CLOCK_REALTIME, &now)
    for partition in range(PARTITIONS):
        if partition % shard.count == shard.number:
            write_clock_pair(shard.store, partition, <uint64_t>now.tv_sec * 1000 + now.tv_nsec // 1000000, shard.now_ms)


cdef void do_each_second(shard_t *shard, neighbours_t *others) noexcept nogil:
    """What may wait a second: the pairs of clocks, what lies in the lanes, and lanes that were full once and are empty
    now.
    """
    cdef uint64_t waiting = 0
    cdef uint32_t i, n
    write_clocks(shard)
    for i in range(shard.count):
        for n in range(others.lane_count):
            if i != shard.number:
                shrink_lane(others.outbound[i][n])
                waiting += lane_bytes(others.inbound[i][n])
    shard.counters[<int>N_LANE_BYTES] = waiting


cdef void take_outlook(shard_t *shard, outlook_t **place) noexcept nogil:
    """Table and positions belong together, so one pointer leads to both; behind the acquire both are whole."""
    cdef outlook_t *outlook = <outlook_t *><void *>load_acquire64(place)
    shard.table = outlook.table
    shard.positions = outlook.positions
    shard.mirror = outlook.mirror


@cython.final
cdef class Shard:
    """Shard(net, workspace, sleeper): run() in a thread of its own, stop() from any."""

    def __init__(self, Net net not None, Workspace workspace not None, Sleeper sleeper not None):
        cdef int i, n
        self.net, self.workspace, self.sleeper = net, workspace, sleeper
        self.kept = [(workspace.table, workspace.positions)]
        self.views = []
        workspace.table = workspace.positions = None    # whoever drops them here drops the last
        memset(&self.neighbours, 0, sizeof(self.neighbours))
        self.commands = Ring(COMMAND_RING_BYTES)
        self.neighbours.commands.ring = self.commands.ring
        workspace.attach(net.net)
        memset(&self.turns, 0, sizeof(self.turns))
        for i in range(MAX_LISTENERS):
            self.turns.batch[i] = RECEIVE_BATCH
        for i in range(MAX_SHARDS):
            for n in range(MOST_LANES):
                self.turns.records[i][n] = RECEIVE_BATCH
        self.outlooks[0].table = workspace.shard.table
        self.outlooks[0].positions = workspace.shard.positions
        self.outlook = &self.outlooks[0]

    def meet(self, int other, inbound, outbound, Sleeper sleeper not None):
        """Before run(): the lanes from and to shard `other`, as many as for all others, and how to wake it.

        All others are met, and the caller keeps the lanes alive.
        """
        cdef Lane there, back
        cdef int n
        if not 1 <= len(inbound) == len(outbound) <= MOST_LANES:
            raise ValueError(f"{len(inbound)} and {len(outbound)} lanes: 1 to {MOST_LANES} each way are possible")
        for n, (there, back) in enumerate(zip(outbound, inbound, strict=True)):
            self.neighbours.inbound[other][n] = back.lane
            self.neighbours.outbound[other][n] = there.lane
        self.neighbours.lane_count = <uint32_t>len(inbound)
        self.neighbours.sleepers[other] = sleeper.sleeper

    def recover(self):
        """Before run(): takes up the calls of the store; how many slots live in this shard's partitions."""
        take_outlook(self.workspace.shard, &self.outlook)
        return recover_calls(self.workspace.shard)

    def held(self) -> list:
        """After run(): (address, listener's id, until_ms, datagram) of each that waits without a transaction."""
        cdef shard_t *shard = self.workspace.shard
        cdef held_t *item
        cdef uint32_t i
        take_outlook(shard, &self.outlook)
        found = []
        for i in range(MOST_HELD):
            item = &shard.waiting.held[i]
            if item.name:
                found.append(((<char *>&item.origin.flow.remote)[:sizeof(addr_t)], item.origin.flow.listener_id,
                              item.until_ms, item.message[:item.len]))
        return found

    def receive(self, bytes source not None, uint32_t listener_id, bytes datagram not None):
        """After recover(), before run(): what the router before us held.

        Nothing if its listener is gone, or if that router was of a release that keeps addresses otherwise.
        """
        cdef shard_t *shard = self.workspace.shard
        cdef int listener
        cdef addr_t addr
        cdef origin_t origin
        take_outlook(shard, &self.outlook)
        listener = find_listener_index(shard.table, listener_id)
        if listener >= 0 and len(source) == sizeof(addr_t):
            memcpy(&addr, <const char *>source, sizeof(addr_t))
            set_origin(&origin, shard.table, listener, &addr)
            take_datagram(shard, &self.neighbours, &origin, datagram, <uint32_t>len(datagram))
            flush(shard)
            mark_nothing(shard.mark)

    def switch_to(self, RoutingTable table not None, Positions positions not None):
        """From the control plane, one thread at a time: another table from the next wake-up on.

        Waits until the shard has passed the old one, which is at most a round: it is woken for it,
        and asleep or ended it holds no table.
        """
        cdef outlook_t *idle = self.idle_outlook()
        idle.table = table.sealed_table()
        idle.positions = &positions.positions
        self.kept.append((table, positions))
        self.swap_outlook(idle)
        self.kept = [(table, positions)]

    def show(self, View view):
        """From the same thread as switch_to: what is shown to whom from the next wake-up on, None = nothing to nobody.

        Waits as switch_to does; nobody writes into the ring of the view before any more.
        """
        cdef outlook_t *idle = self.idle_outlook()
        idle.mirror = NULL if view is None else &view.mirror
        self.views.append(view)
        self.swap_outlook(idle)
        self.views = [view]

    cdef outlook_t *idle_outlook(self) noexcept:
        """The one that the shard does not look at, as the other one is."""
        cdef outlook_t *idle = &self.outlooks[1 if self.outlook == &self.outlooks[0] else 0]
        idle[0] = self.outlook[0]
        return idle

    cdef void swap_outlook(self, outlook_t *idle) noexcept:
        store_release64(&self.outlook, <uint64_t><void *>idle)
        wake(self.sleeper.sleeper)
        with nogil:
            self.await_passing()

    cdef void await_passing(self) noexcept nogil:
        """Of a round that ends after this fence the shard takes the new outlook: the two agree as in ring."""
        cdef uint64_t round
        full_fence()
        round = load_acquire64(&self.rounds)
        while (load_acquire32(&self.running) and load_acquire64(&self.rounds) == round
                and not load_acquire32(&self.sleeper.sleeper.asleep)):
            usleep(GRACE_LOOK_US)

    def name_changed(self, uint64_t number) -> bool:
        """From the control plane: there is an answer about the name of this hash (Names.hash), 0 = about any.

        False when the shard has so many commands before it that there is no room.
        """
        return self.tell(COMMAND_NAME, number)

    def probe(self, uint32_t cell) -> bool:
        """From the control plane: this line is to be probed now; False as of name_changed."""
        return self.tell(COMMAND_PROBE, cell)

    cdef bint tell(self, int kind, uint64_t number) noexcept:
        pushed = push_command(self.commands.ring, kind, number)
        wake(self.sleeper.sleeper)
        return pushed

    def positions(self) -> Positions:
        """Of the table that was switched to last."""
        return self.kept[len(self.kept) - 1][1]

    def counters(self) -> dict:
        return {name: self.workspace.shard.counters[i] for i, name in enumerate(COUNTER_NAMES)}

    def count_into(self, uint64_t[::1] where not None):
        """Before run(): counters live in this array (a mapping that others read) from now on."""
        if where.shape[0] < COUNTER_COUNT:
            raise ValueError(f"{COUNTER_COUNT} counters need more room than {where.shape[0]}")
        self.workspace.count_into(&where[0], where)

    def measure_into(self, Measures measures not None, uint32_t number):
        """Before run(): what is measured of destinations goes into the lines of this shard from now on."""
        if number >= measures.shards or measures.lines != self.workspace.measures.lines:
            raise ValueError(f"{measures.lines} lines of {measures.shards} shards do not fit shard {number}")
        self.workspace.measure_into(measures, number)

    def mark_into(self, uint64_t[::1] page not None, Quarantine quarantine not None):
        """Before recover(): marks go into this page of a mapping, and these datagrams are refused."""
        if page.nbytes < <Py_ssize_t>sizeof(mark_t):
            raise ValueError(f"a page of marks has {sizeof(mark_t)} bytes, not {page.nbytes}")
        self.workspace.mark_into(<mark_t *>&page[0], page, quarantine)

    def set_draining(self, bint on):
        """From the control plane: no new calls, or again."""
        store_relaxed32(&self.workspace.shard.draining, on)

    def stop(self):
        store_relaxed32(&self.stopping, 1)
        wake(self.sleeper.sleeper)

    def read_out(self, uint32_t listener):
        """After run(): a batch of a socket that nobody reads after us; how many datagrams it was."""
        cdef shard_t *shard = self.workspace.shard
        cdef int n
        take_outlook(shard, &self.outlook)
        with nogil:
            n = receive_batch(shard.net, listener, RECEIVE_BATCH)
            take_batch(shard, &self.neighbours, listener, n)
            flush(shard)
        return n

    def finish(self):
        """After run() of all shards: takes what they handed over, and sends."""
        cdef shard_t *shard = self.workspace.shard
        cdef uint32_t i, n
        take_outlook(shard, &self.outlook)
        with nogil:
            look(shard, &self.turns)
            for i in range(shard.count):
                for n in range(self.neighbours.lane_count):
                    while i != shard.number and take_record(shard, self.neighbours.inbound[i][n]):
                        beat(shard.mark)
            flush(shard)
            mark_nothing(shard.mark)
            note_counters(shard)

    def run(self):
        """Until stop(): finishes the round, sends what is owed."""
        store_release32(&self.running, 1)
        full_fence()        # from here on switch_to waits for us; what it brought before is taken now
        with nogil:
            self.go_round(self.workspace.shard, &self.neighbours, &self.turns)
        store_release32(&self.running, 0)

    cdef void go_round(self, shard_t *shard, neighbours_t *others, turns_t *turns) noexcept nogil:
        cdef uint64_t clocks_at = 0
        cdef uint64_t began_us
        take_outlook(shard, &self.outlook)
        look(shard, turns)
        while not load_relaxed32(&self.stopping):
            end_round(shard, others)
            # From here on nothing of the round can touch its table: switch_to frees what this says is passed.
            store_release64(&self.rounds, self.rounds + 1)
            wait_for_work(shard, others, self.sleeper.sleeper, &self.stopping)
            take_outlook(shard, &self.outlook)
            look(shard, turns)
            began_us = turns.now_us
            read_sockets(shard, others, turns)
            read_lanes(shard, others, turns)
            read_commands(shard, others, turns)
            run_timers(shard, turns)
            mark_nothing(shard.mark)
            run_probes(shard)
            count_round(shard, turns.now_us - began_us)
            if shard.now_ms >= clocks_at:
                do_each_second(shard, others)
                clocks_at = shard.now_ms + 1000
        flush(shard)
        wake_others(shard, others)
        note_counters(shard)
