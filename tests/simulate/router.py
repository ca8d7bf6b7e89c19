"""The router of a world: a Rig for each shard, one after the other in one thread.

Datagrams go to the rig that owns their call, as shards hand them over.  The process dies between
two batches or in the middle of one (Rig.image_at, Rig.die); what arrives meanwhile waits in the
sockets, which the supervisor keeps, or overflows.  Told by the simulation what to do; tells it what was sent.
"""

import os
from pathlib import Path

from fastsip._core.dispatcher.cells import Cells
from fastsip._core.dispatcher.chooser import Positions
from fastsip._core.harness.rig import START_MS, Rig
from fastsip._core.routing.table import RoutingTable
from fastsip._core.store.partitions import create_files, partition_sizes
from tests.kernels.audit import complaints, live_slots
from tests.simulate.message import Address
from tests.simulate.world import CELLS, Plan, World, build_table

STORES_AT_MOST = 48  # a batch makes about so many
WAITING_AT_MOST = 400  # datagrams, in the sockets of a router that is not there
PARTITIONS = 64
NEVER = 1 << 62


def make_store(run_dir: Path, max_transactions: int) -> None:
    """An empty one whose keys are the same at each run: partitions and tags follow from them."""
    folder = run_dir / "transactions"
    folder.mkdir(parents=True)
    create_files(folder, (partition_sizes(max_transactions), 4711, b"store of a test!"), range(PARTITIONS))


class Router:
    def __init__(self, world: World, run_dir: Path, rng):
        self.world, self.run_dir, self.rng = world, run_dir, rng
        make_store(run_dir, world.max_transactions)
        self.cells = Cells(CELLS)
        self.plan = world.plan
        self.table: RoutingTable = build_table(world, self.plan, self.cells)
        self.rigs: list[Rig] = []
        self.positions: list[Positions] = []
        self.refusals: dict[Address, str] = {}
        self.routes: dict[str, str] = {}
        self.open(START_MS)
        self.down_until = 0  # 0 = it runs
        self.kills = 0  # deaths that are due: each hits the middle of a batch
        self.waiting: list[tuple[bytes, Address, int]] = []
        self.shed_before = self.full_before = 0  # in earlier lives

    def open(self, now: int) -> None:
        count = self.world.shards
        self.rigs = [
            Rig(self.run_dir, self.table, self.cells, self.world.max_transactions, shard, count, now)
            for shard in range(count)
        ]
        self.positions = [Positions(self.table, shard) for shard in range(count)]
        for rig, positions in zip(self.rigs, self.positions, strict=True):
            rig.note_unsent()
            rig.use(self.table, positions)
            for address, how in self.refusals.items():
                rig.refuse(address, how)
            for host, ours in self.routes.items():
                rig.route(host, ours)

    def route(self, host: str, listener: int) -> None:
        """That host is reached from this listener, as the kernel would know."""
        self.routes[host] = self.world.listener_address(listener)[0]
        for rig in self.rigs:
            rig.route(host, self.routes[host])

    # ------------------------------------------------------------ batches

    def next_ms(self) -> int:
        return NEVER if self.down_until else min([rig.next_ms for rig in self.rigs])

    def receive(self, datagram: bytes, source: Address, listener: int) -> bool:
        """False: the process died of it, and it is lost."""
        rig = self.rigs[self.rigs[0].owner_of(datagram)] if len(self.rigs) > 1 else self.rigs[0]
        self.arm(rig)
        rig.receive(datagram, source, listener)
        return self.disarm(rig)

    def arm(self, rig: Rig) -> None:
        if self.kills:
            rig.image_at(self.rng.randrange(STORES_AT_MOST))

    def disarm(self, rig: Rig) -> bool:
        """Did it survive this batch?"""
        if not self.kills:
            return True
        if rig.has_image:
            return False
        rig.image_at(-1)
        return True

    def take_error(self, datagram: bytes, to: Address, code: int) -> bool:
        """ICMP, as receive()."""
        for rig in self.rigs:
            self.arm(rig)
            rig.take_error(datagram, to, code)
            if not self.disarm(rig):
                return False
        return True

    def advance(self, to: int) -> bool:
        """All clocks go on to `to`; False: the process died in a batch of timers."""
        for rig in self.rigs:
            self.arm(rig)
            rig.advance(to - rig.now_ms)
            if not self.disarm(rig):
                return False
        return True

    def sent(self) -> list:
        if len(self.rigs) == 1:
            return self.rigs[0].sent()
        return [record for rig in self.rigs for record in rig.sent()]

    def events(self) -> list:
        return [event for rig in self.rigs for event in rig.events()]

    # ------------------------------------------------------------ lives

    def die(self, now: int) -> None:
        """What was sent is still to be fetched."""
        names = self.rigs[0].names if self.rng.random() < 0.5 else None
        self.shed_before += self.shed()
        self.full_before += self.full()
        for rig in self.rigs:
            rig.die(self.table, now, names)
        self.kills = 0

    def recover(self, now: int) -> int:
        """The next router; how many transactions it took up."""
        if self.rng.random() < 0.2:  # its files are opened anew, not only read anew
            self.rigs = []
            self.open(now)
        else:
            for shard, rig in enumerate(self.rigs):
                rig.die(self.table, now, rig.names)
                self.positions[shard] = Positions(self.table, shard)
                rig.use(self.table, self.positions[shard])
        self.down_until = 0
        return sum(rig.recover() for rig in self.rigs)

    def reload(self, plan: Plan) -> None:
        """The old table is gone when this returns."""
        self.plan = plan
        self.table = build_table(self.world, plan, self.cells)
        for shard, rig in enumerate(self.rigs):
            self.positions[shard] = Positions(self.table, shard, self.positions[shard])
            rig.use(self.table, self.positions[shard])

    def shed(self) -> int:
        """Lingering transactions given up for others in this life (docs/core.md#a-full-store)."""
        return sum(rig.counters()["shed"] for rig in self.rigs)

    def full(self) -> int:
        """Requests that found no room in this life, or were given none."""
        reasons = ("store_full", "over_share", "names_refused", "parked_dropped")
        return sum(rig.counters()[reason] for rig in self.rigs for reason in reasons)

    # ------------------------------------------------------------ the store

    def complaints(self) -> list[str]:
        return [text for rig in self.rigs for text in complaints(rig)]

    def live(self) -> list[dict]:
        return [slot for rig in self.rigs for slot in live_slots(rig)]

    def refuse(self, address: Address, how: str) -> None:
        self.refusals[address] = how
        for rig in self.rigs:
            rig.refuse(address, how)


def scratch_folder(name: str) -> Path:
    memory = Path("/dev/shm")
    home = memory if memory.is_dir() else Path("/tmp")
    return home / f"fastsip-simulate-{os.getpid()}-{name}"
