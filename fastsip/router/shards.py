"""The shards of one router: made, joined by rings, started and ended together.

They start reading only when all of them have taken up their calls, and end in two
steps, so that what one has handed to another is never lost: all stop reading, and then
each takes what was handed to it and what waits in sockets that nobody will read again.
"""

import contextlib
import ctypes
import os
import signal
import threading
from collections.abc import Callable, Iterable, Sequence

from fastsip._core.base.lanes import Allowance, Lane
from fastsip._core.base.ring import Ring, Sleeper
from fastsip._core.dispatcher.cells import Cells
from fastsip._core.dispatcher.chooser import Positions
from fastsip._core.dispatcher.measures import Measures
from fastsip._core.routing.table import RoutingTable
from fastsip._core.shard.loop import Shard
from fastsip._core.shard.workspace import Workspace
from fastsip._core.state.mirror import View
from fastsip._core.store.marks import Quarantine
from fastsip._core.store.partitions import Store
from fastsip._core.transport.names import Names
from fastsip._core.transport.udp import Net
from fastsip.log import log
from fastsip.observe.counters import StatsFile
from fastsip.process.marks import Marks
from fastsip.router.name_file import Held

# Of all lanes between shards: what they have at the start, at most, and what they may grow to when bursts come.
LANES_BYTES, GROWN_BYTES = 64 << 20, 128 << 20
LARGEST_BASE_BYTES = 1 << 20    # of one lane at the start: about 700 INVITEs
EVENT_RING_BYTES = 1 << 20
COMMAND_RING_BYTES = 1 << 16
SHARD_BYTES = 8 << 20           # measured: 2.6 MB of scratch and places to wait, 4.6 MB of batches
STOP_LIMIT_S = 5.0
PR_SET_NAME = 15
# What a thread's own instruction causes; blocked, nobody would say where it was.
OWN_FAULTS = {signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL}


def make_eventfd(stack: contextlib.ExitStack) -> int:
    fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
    stack.callback(os.close, fd)
    return fd


def lanes_each(shards: int, listeners: int) -> int:
    """How many lanes lead from one shard to another: by listener, so that none is in the way of the others."""
    return min(listeners, 4 if shards <= 32 else 2)


def base_bytes(shards: int, each: int) -> int:
    """A lane's share of LANES_BYTES: a power of two."""
    share = LANES_BYTES // max(1, shards * (shards - 1) * each)
    return min(1 << share.bit_length() - 1, LARGEST_BASE_BYTES)


def shard_bytes(count: int, listeners: int) -> tuple[int, int]:
    """Of so many shards: the most that lies between them and to the control plane, and what each has for itself."""
    each = lanes_each(count, listeners)
    lanes = count * (count - 1) * each * base_bytes(count, each) + (GROWN_BYTES if count > 1 else 0)
    return lanes + count * (EVENT_RING_BYTES + COMMAND_RING_BYTES), count * SHARD_BYTES


class Shards:
    """`sockets`: (descriptor, family) of each listener, for each shard."""

    def __init__(
        self,
        store: Store,
        cells: Cells,
        table: RoutingTable,
        stats: StatsFile,
        measures: Measures,
        marks: Marks,
        quarantine: Quarantine,
        names: Names,
        sockets: Sequence[Sequence[tuple[int, int]]],
        failed: Callable[[], None],
        stack: contextlib.ExitStack,
    ):
        """`failed` is told of a shard that fell over."""
        self.failed = failed
        self.event_rings: list[Ring] = []
        self.lanes: list[Lane] = []
        self.control_fd = make_eventfd(stack)
        self.control = Sleeper(self.control_fd)
        self.threads: list[threading.Thread] = []
        self.all: list[Shard] = []
        for i, own in enumerate(sockets):
            wake_fd = make_eventfd(stack)
            self.event_rings.append(Ring(EVENT_RING_BYTES))
            workspace = Workspace(store, cells, table, Positions(table, i), i, len(sockets),
                                  self.event_rings[i], self.control, names)
            shard = Shard(Net(own, wake_fd), workspace, Sleeper(wake_fd))
            shard.count_into(stats.shards[i])
            shard.measure_into(measures, i)
            shard.mark_into(marks.page(1 + i), quarantine)
            self.all.append(shard)
        self.join(sockets)

    def __len__(self) -> int:
        return len(self.all)

    def join(self, sockets: Sequence[Sequence[tuple[int, int]]]) -> None:
        """Lanes each way between any two."""
        count = lanes_each(len(self.all), len(sockets[0]))
        allowance, size = Allowance(GROWN_BYTES), base_bytes(len(self.all), count)
        for i, shard in enumerate(self.all):
            for j, other in enumerate(self.all[:i]):
                there, back = ([Lane(size, allowance) for _ in range(count)] for _ in range(2))
                self.lanes += [*there, *back]
                shard.meet(j, there, back, other.sleeper)
                other.meet(i, back, there, shard.sleeper)

    def start(self, held: Iterable[Held]) -> int:
        """Recovery first, on every shard, then what the router before us held, before any of them reads a socket.

        How many transactions were taken up.
        """
        taken_up = sum(shard.recover() for shard in self.all)
        for one in held:
            self.all[0].receive(one.source, one.listener_id, one.datagram)
        for i, shard in enumerate(self.all):
            thread = threading.Thread(target=self.run, args=(i, shard), name=f"shard-{i}", daemon=True)
            thread.start()
            self.threads.append(thread)
        return taken_up

    def run(self, number: int, shard: Shard) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals() - OWN_FAULTS)
        ctypes.CDLL(None).prctl(PR_SET_NAME, threading.current_thread().name.encode(), 0, 0, 0)  # for top -H and gdb
        try:
            shard.run()
        except BaseException:
            log.exception("a shard failed", extra={"fields": {"shard": number}})
            self.failed()

    def stop(self, keep: Sequence[int]) -> bool:
        """Ends all.  keep: of each listener, how many sockets another router will go on reading.

        False: a thread did not end, and nothing more may be done here.
        """
        for shard in self.all:
            shard.stop()
        for thread in self.threads:
            thread.join(STOP_LIMIT_S)
        if any(thread.is_alive() for thread in self.threads):
            log.error("a shard did not stop")
            return False
        self.finish()
        for i, shard in enumerate(self.all):
            for listener, count in enumerate(keep):
                while i >= count and shard.read_out(listener):
                    self.finish()
        return True

    def finish(self) -> None:
        for shard in self.all:
            shard.finish()

    def held(self) -> list[Held]:
        """After stop(): requests without a transaction that wait for a name."""
        return [Held(*one) for shard in self.all for one in shard.held()]

    def set_draining(self, on: bool) -> None:
        for shard in self.all:
            shard.set_draining(on)

    def name_changed(self, number: int) -> bool:
        """There is an answer about the name of this hash, 0 = about any; False: a shard has no room for that."""
        return all([shard.name_changed(number) for shard in self.all])

    def probe(self, line: int) -> bool:
        """The shard that probes it is to do so now; False: it has no room for that."""
        return self.all[line % len(self.all)].probe(line)

    def show(self, views: Sequence[View | None]) -> None:
        """What each shard shows of messages from its next round on; in the thread of switch_to."""
        for shard, view in zip(self.all, views, strict=True):
            shard.show(view)

    def switch_to(self, table: RoutingTable) -> None:
        """Nothing has changed when there is no memory for it."""
        positions = [Positions(table, i, shard.positions()) for i, shard in enumerate(self.all)]
        for shard, own in zip(self.all, positions, strict=True):
            shard.switch_to(table, own)
