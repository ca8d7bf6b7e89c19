"""fastsip._core.shard.loop: tables that come and go under a shard, heartbeats, sockets that take turns."""

import itertools
import os
import socket
import struct
import subprocess
import sys
import threading
import time

import pytest

from fastsip._core.base.hashing import partition_of_call
from fastsip._core.base.lanes import Allowance, Lane
from fastsip._core.base.ring import Sleeper
from fastsip._core.dispatcher.cells import Cells
from fastsip._core.dispatcher.chooser import Positions
from fastsip._core.routing.table import RoutingTable
from fastsip._core.shard.loop import Shard
from fastsip._core.shard.workspace import Workspace
from fastsip._core.store.marks import PAGE_BYTES, Quarantine
from fastsip._core.store.partitions import Store, partition_name, read_header
from fastsip._core.transport.listen import open_listener
from fastsip._core.transport.udp import Net
from tests.conftest import ROOT, wait_until
from tests.protocol.script import make_table

HOST, LIMIT_S, BATCH = "127.0.0.1", 20.0, 64
TIMERS, ASKED, TIMERS_AT_ONCE, COMMANDS_AT_ONCE = 6_000, 3_000, 16, 16
SOURCE = struct.pack("=10x2s4sHBBI", b"\xff\xff", bytes((127, 0, 0, 1)), 5070, 4, 1, 0)  # as Shard.held says it
OPTIONS = (
    "OPTIONS sip:{host}:{port} SIP/2.0\r\nVia: SIP/2.0/UDP {host}:{own};branch=z9hG4bK{n}\r\nMax-Forwards: 70\r\n"
    "From: <sip:a@example.net>;tag=a\r\nTo: <sip:b@example.net>\r\nCall-ID: {n}\r\nCSeq: 1 OPTIONS\r\n"
    "Content-Length: 0\r\n\r\n"
)


def table_to(bob: tuple[str, int], ports):
    """All goes to one destination."""
    table, cells = RoutingTable(1, branch_key=b"0123456789abcdef", token_keys=(b"tokens of a test",)), Cells(8)
    for number, port in enumerate(ports):
        table.add_listener(number + 1, 0, HOST, port, f"{HOST}:{port}")
        table.add_own(HOST, port)
    table.add_trusted("127.0.0.0/8")
    table.add_set(1, 0)
    table.add_destination(0, 1, cells.assign(1), *bob, 0, "sip:{}:{}".format(*bob), "{}:{}".format(*bob))
    table.add_rule(1, 0)
    return table.seal(), cells


class Place:
    """One shard on two sockets, and somebody who asks it."""

    def __init__(self, run_dir, ports, shard_count=1, max_transactions=64, to_asker=False):
        self.ports = ports
        self.opened = [open_listener(HOST, port, 1, 4 << 20) for port in ports]
        self.wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.asker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.asker.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.asker.bind((HOST, 0))
        self.asker.settimeout(LIMIT_S)
        self.table, cells = table_to(self.asker.getsockname(), ports) if to_asker else self.make_table()
        store, positions = Store(run_dir, max_transactions), Positions(self.table, 0)
        workspace = Workspace(store, cells, self.table, positions, 0, shard_count)
        net = Net([(opened.fds[0], 4) for opened in self.opened], self.wake_fd)
        self.shard = Shard(net, workspace, Sleeper(self.wake_fd))
        self.page = memoryview(bytearray(PAGE_BYTES)).cast("L")
        self.shard.mark_into(self.page, Quarantine())
        self.thread = threading.Thread(target=self.shard.run)

    @property
    def beats(self) -> int:
        return self.page[0]

    def ask(self, number: int, listener: int) -> None:
        own, port = self.asker.getsockname()[1], self.ports[listener]
        text = OPTIONS.format(host=HOST, port=port, own=own, n=number)
        self.asker.sendto(text.encode(), (HOST, port))

    def make_table(self):
        return make_table(listeners=2, addresses=tuple((HOST, port) for port in self.ports))

    def another(self):
        return self.make_table()[0]

    def switch(self, table) -> None:
        self.shard.switch_to(table, Positions(table, 0, self.shard.positions()))

    def close(self) -> None:
        self.shard.stop()
        if self.thread.ident:
            self.thread.join(LIMIT_S)
        self.asker.close()
        for fd in (*(opened.fds[0] for opened in self.opened), self.wake_fd):
            os.close(fd)


@pytest.fixture
def place(scratch, free_port):
    made = Place(scratch, (free_port(), free_port()))
    yield made
    made.close()


def holders(table) -> int:
    """References beside those of whoever asks."""
    return sys.getrefcount(table) - 2


def test_what_another_table_follows_is_dropped_the_first_one_too(place):
    first, second = place.table, place.another()
    place.thread.start()
    alone = holders(first) - 2  # of shard and positions
    place.switch(second)
    assert holders(first) == alone
    third = place.another()
    alone = holders(second) - 2
    place.switch(third)
    assert holders(second) == alone
    place.ask(1, 0)
    assert place.asker.recv(4096).startswith(b"SIP/2.0 200")


def test_a_table_may_come_before_the_shard_runs_and_after_it_ended(place):
    place.switch(place.another())
    place.thread.start()
    place.ask(1, 1)
    assert place.asker.recv(4096).startswith(b"SIP/2.0 200")
    place.shard.stop()
    place.thread.join(LIMIT_S)
    place.switch(place.another())
    place.ask(2, 0)
    assert place.shard.read_out(0) == 1  # by the table of now
    place.shard.finish()
    assert place.asker.recv(4096).startswith(b"SIP/2.0 200")
    assert place.shard.held() == []


def test_tables_that_come_while_the_shard_stops(scratch, free_port):
    """switch_to waits for a shard that runs, and for no other."""
    for turn in range(20):
        place = Place(scratch / str(turn), (free_port(), free_port()))
        stopper = threading.Thread(target=place.shard.stop)
        place.thread.start()
        stopper.start()
        for _ in range(20):
            place.switch(place.another())
        stopper.join(LIMIT_S)
        place.close()
        assert not place.thread.is_alive()


def test_a_heartbeat_after_each_batch(place):
    """A shard that has much to do beats as often as one that has little."""
    asked = 8 * BATCH
    for number in range(asked):
        place.ask(number, 0)
    place.thread.start()
    for _ in range(asked):
        assert place.asker.recv(4096).startswith(b"SIP/2.0 200")
    place.shard.stop()
    place.thread.join(LIMIT_S)
    counted = place.shard.counters()
    assert counted["received"] == asked
    assert place.beats >= counted["receive_calls"] >= asked // BATCH


def test_it_beats_while_it_rests(place):
    place.thread.start()
    end = time.monotonic() + LIMIT_S
    while place.beats < 3:
        assert time.monotonic() < end, "no heartbeat"
        threading.Event().wait(0.01)


def test_a_socket_that_is_never_empty_leaves_the_other_its_turn(place):
    """More than a round takes waits at one listener, one datagram at the other: it is not the last to be answered."""
    asked = 30 * BATCH
    for number in range(asked):
        place.ask(number, 0)
    place.ask(asked, 1)
    place.thread.start()
    answers = [place.asker.recv(4096) for _ in range(asked + 1)]
    assert next(at for at, text in enumerate(answers) if f"Call-ID: {asked}\r".encode() in text) < asked // 2


def test_timers_that_are_due_at_once_are_fired_in_steps(scratch, free_port):
    """The shard was away for longer than Timer E: it beats all the way, and who asks meanwhile has his turn."""
    place = Place(scratch, (free_port(), free_port()), max_transactions=4 * TIMERS, to_asker=True)
    try:
        for number in range(TIMERS):
            text = OPTIONS.format(host="example.net", port=5060, own=5070, n=number)
            place.shard.receive(SOURCE, 1, text.encode())
            assert place.asker.recv(4096).startswith(b"OPTIONS")
        due = time.monotonic() + 1
        wait_until(lambda: time.monotonic() > due)
        for number in range(ASKED):
            place.ask(TIMERS + number, 0)
        before = place.beats
        place.thread.start()
        came = [place.asker.recv(4096)[:7] for _ in range(TIMERS + ASKED)]
        assert place.beats - before >= TIMERS // TIMERS_AT_ONCE
        assert came.count(b"OPTIONS") >= TIMERS
        assert sum(kind == b"OPTIONS" for kind, _ in itertools.groupby(came)) > 1
    finally:
        place.close()


def test_commands_are_taken_in_steps(place):
    """A ring full of them, about names that nobody waits for."""
    pushed = 0
    while place.shard.name_changed(pushed):
        pushed += 1
    assert pushed > 100 * COMMANDS_AT_ONCE
    place.thread.start()
    wait_until(lambda: place.beats >= pushed // COMMANDS_AT_ONCE, 5)


def test_a_flooded_listener_leaves_the_other_its_lane_and_half_of_its_own(scratch, free_port):
    """The other shard does not get round to reading."""
    place = Place(scratch, (free_port(), free_port()), shard_count=2)
    try:
        allowance, sleeper = Allowance(32 << 10), Sleeper(place.wake_fd)  # kept: the shard has pointers to it
        there, back = ([Lane(4096, allowance) for _ in range(2)] for _ in range(2))
        place.shard.meet(1, back, there, sleeper)
        key = read_header(scratch / "transactions" / partition_name(0))["key"]
        theirs = [n for n in range(1000) if partition_of_call(key, b"%d" % n) % 2]
        for number in theirs[:2 * BATCH]:
            place.ask(number, 0)
        place.ask(theirs[-1], 1)
        place.thread.start()
        wait_until(lambda: place.shard.counters()["received"] == 2 * BATCH + 1)
        place.shard.stop()
        place.thread.join(LIMIT_S)
        counted = place.shard.counters()
        assert counted["handed_over_full"] > 0 and counted["handed_over"] > BATCH // 2
        assert b"Call-ID: %d\r" % theirs[-1] in there[1].pop() and there[1].pop() is None
        assert there[0].push(b"x" * 400), "the half is kept free"
    finally:
        place.close()


def test_tables_come_and_go_under_calls_that_fail():
    """What is freed is overwritten here; `make reload-soak` has the long run, where it cannot be touched."""
    argv = [sys.executable, "-m", "tests.crash.reloads", "--switches", "500"]
    env = {**os.environ, "MALLOC_PERTURB_": "165"}
    found = subprocess.run(argv, cwd=ROOT, env=env, capture_output=True, text=True, timeout=120)
    assert found.returncode == 0, found.stdout + found.stderr
