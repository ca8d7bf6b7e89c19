"""Shards that get one table after another while destinations refuse, timers fire and names change.

    python -m tests.crash.reloads [--switches 1000] [--shards 2] [--seed N]

The shards are the router's own, each in its thread, on sockets of the loopback; this
process is their control plane.  Every table is made anew and dropped by its successor, so that
a shard that still works with one that it has passed touches memory that was freed: with
MALLOC_PERTURB_ set it finds garbage there, in the debug build it dies.  Under
ThreadSanitizer (`make tsan`) the same run shows what two threads touch without order.

FASTSIP_RACE=1 makes such a fault on purpose, to show that it would be found.  Exit status 1 when
the load was not what it should have been; dying is the answer else.
"""

import argparse
import contextlib
import os
import random
import socket
import sys
import tempfile
import threading
import time
from pathlib import Path

from fastsip._core.base.clock import now_ms
from fastsip._core.base.lanes import Lane
from fastsip._core.base.ring import Sleeper
from fastsip._core.dispatcher.cells import Cells
from fastsip._core.dispatcher.measures import Measures
from fastsip._core.routing.table import RoutingTable
from fastsip._core.state.events import take_events
from fastsip._core.store.marks import Quarantine
from fastsip._core.store.partitions import Store
from fastsip._core.transport.listen import open_listener
from fastsip._core.transport.names import Names
from fastsip.observe.counters import StatsFile
from fastsip.process.marks import Marks
from fastsip.router.shards import Shards
from tests.kernels.lane_stress import stress_produce

HOST = "127.0.0.1"
LISTENERS, MOST_DESTINATIONS, NAMES = 2, 8, 40
CLOCKS = (20, 80, 100, 181_000)  # ms: timers fire all the time
MAX_TRANSACTIONS = 40_000
TTL_MS, LIMIT_S = 50, 5.0
AT_ONCE, BREATH_S = 20, 0.002
WANTED = ("failovers", "transport_failures", "retransmissions_sent", "names_asked", "handed_over")
INVITE = (
    "INVITE sip:8{n}@example.net SIP/2.0\r\nVia: SIP/2.0/UDP {host}:{port};branch=z9hG4bK{n}\r\nMax-Forwards: 70\r\n"
    "From: <sip:a@example.net>;tag={n}\r\nTo: <sip:b@example.net>\r\nCall-ID: {n}\r\nCSeq: 1 INVITE\r\n"
    "Content-Length: 0\r\n\r\n"
)
BYE = (
    "BYE sip:x@n{name}.example SIP/2.0\r\nVia: SIP/2.0/UDP {host}:{port};branch=z9hG4bK{n}\r\nMax-Forwards: 70\r\n"
    "From: <sip:a@example.net>;tag={n}\r\nTo: <sip:b@example.net>;tag=b\r\nCall-ID: {n}\r\nCSeq: 2 BYE\r\n"
    "Content-Length: 0\r\n\r\n"
)


def closed_ports(count: int) -> list[int]:
    """Where nobody listens: what is sent there comes back as ICMP."""
    held = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(count)]
    for each in held:
        each.bind((HOST, 0))
    ports = [each.getsockname()[1] for each in held]
    for each in held:
        each.close()
    return ports


class Router:
    """Shards with what a router gives them."""

    def __init__(self, place: Path, shards: int, seed: int, stack: contextlib.ExitStack):
        self.rng = random.Random(seed)
        self.cells = Cells(MOST_DESTINATIONS)
        self.names = Names()
        self.dead = closed_ports(MOST_DESTINATIONS)
        opened = [open_listener(HOST, 0, shards, 1 << 20) for _ in range(LISTENERS)]
        self.ports = [each.port for each in opened]
        self.fds = [fd for each in opened for fd in each.fds]
        stack.callback(lambda: [os.close(fd) for fd in self.fds])
        self.version = 0
        self.marks = Marks(str(place))
        self.store = Store(str(place), MAX_TRANSACTIONS)
        self.shards = Shards(
            self.store, self.cells, self.make_table(), StatsFile(str(place), shards),
            Measures(str(place / "measures"), MOST_DESTINATIONS, shards),
            self.marks, Quarantine(), self.names, [[(each.fds[i], 4) for each in opened] for i in range(shards)],
            lambda: os._exit(3), stack,
        )  # fmt: skip

    def make_table(self) -> RoutingTable:
        """Never twice the same: other destinations, in another order, of other weights."""
        self.version += 1
        table = RoutingTable(self.version, clocks=CLOCKS)
        for number, port in enumerate(self.ports):
            table.add_listener(number + 1, 0, HOST, port, f"{HOST}:{port}")
            table.add_own(HOST, port)
        table.add_trusted("127.0.0.0/8")
        # Probes find all of them down soon: they are tried all the same.
        table.add_set(1, self.rng.choice((0, 4, 6, 9)), when_all_down=1)
        for number in self.rng.sample(range(MOST_DESTINATIONS), self.rng.randint(2, MOST_DESTINATIONS)):
            port = self.dead[number]
            table.add_destination(0, number + 1, self.cells.assign(number + 1), HOST, port, number % LISTENERS,
                                  f"sip:{HOST}:{port}", f"{HOST}:{port}", weight=self.rng.randint(1, 9),
                                  probe={"interval_ms": 40, "timeout_ms": 20})
        policy = table.add_policy(1, on=("transport", "timeout"), mark="none")
        for _ in range(self.rng.randint(0, 300)):  # so that chunks differ
            table.add_rule(9, 0, [{"kind": "user", "items": [b"nobody"]}])
        table.add_rule(1, 0, policy_index=policy)
        return table.seal()

    def control(self) -> None:
        """What the control plane does beside: hears events, answers questions, reads what is counted."""
        for ring in self.shards.event_rings:
            for event in take_events(ring):
                if event.kind == "question":
                    if self.rng.random() < 0.5:
                        self.names.put(event.name, [(HOST, self.dead[0])], TTL_MS, now_ms())
                    else:
                        self.names.deny(event.name, TTL_MS, now_ms())
                    self.shards.name_changed(self.names.hash(event.name))
        self.shards.set_draining(self.rng.random() < 0.02)
        self.cells.read(self.rng.randrange(MOST_DESTINATIONS))
        self.counted("datagrams")
        self.store.in_use()
        self.store.count_open()
        if self.rng.random() < 0.05:
            self.names.set_static({f"n{self.rng.randrange(NAMES)}.example": [(HOST, self.dead[1])]})
            self.shards.name_changed(0)

    def counted(self, name: str) -> int:
        return sum(shard.counters()[name] for shard in self.shards.all)


def flood(router: Router, stop: threading.Event) -> None:
    """INVITEs that all destinations refuse, and requests to names; bursts, so that batches are full."""
    callers = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(8)]
    n = 0
    for each in callers:
        each.bind((HOST, 0))
        each.setblocking(False)
    while not stop.wait(BREATH_S):
        for _ in range(AT_ONCE):
            n += 1
            caller = callers[n % len(callers)]
            text = (BYE if n % 4 == 0 else INVITE).format(n=n, name=n % NAMES, host=HOST, port=caller.getsockname()[1])
            with contextlib.suppress(OSError):
                caller.sendto(text.encode(), (HOST, router.ports[n % LISTENERS]))
            with contextlib.suppress(OSError):
                caller.recv(4096)
    for each in callers:
        each.close()


def race() -> None:
    """Two threads push into one lane, which has room for one."""
    fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
    lane, sleeper = Lane(4 << 20), Sleeper(fd)
    producers = [threading.Thread(target=stress_produce, args=(lane, sleeper, 40_000, 64, 10)) for _ in range(2)]
    for each in producers:
        each.start()
    for each in producers:
        each.join(300)
        assert not each.is_alive()


def run(place: Path, switches: int, seconds: float, shards: int, seed: int) -> dict[str, int]:
    """What was counted."""
    with contextlib.ExitStack() as stack:
        router = Router(place, shards, seed, stack)
        router.shards.start([])
        stop = threading.Event()
        flooding = threading.Thread(target=flood, args=(router, stop))
        flooding.start()
        end = time.monotonic() + seconds
        done = 0
        while done < switches or time.monotonic() < end:
            done += 1
            router.shards.switch_to(router.make_table())
            router.control()
        stop.set()
        flooding.join(LIMIT_S)
        if not router.shards.stop([0] * LISTENERS):
            return {}
        return {name: router.counted(name) for name in WANTED} | {"switches": done}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--switches", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=0, help="at least")
    parser.add_argument("--shards", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    if os.environ.get("FASTSIP_RACE"):
        race()
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="fastsip-reloads-", dir=memory) as place:
        counted = run(Path(place), args.switches, args.seconds, args.shards, args.seed)
    print(counted)
    wanted = [name for name in WANTED if args.shards > 1 or name != "handed_over"]
    missing = [name for name in wanted if not counted.get(name)]
    for name in missing:
        print(f"! {name}: none")
    return int(bool(missing))


if __name__ == "__main__":
    sys.exit(main())
