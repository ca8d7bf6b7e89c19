"""fastsip._core.shard: tables that come and go under a shard, heartbeats, sockets that take turns."""

import os
import socket
import subprocess
import sys
import threading
import time

import pytest
from fastsip._core.shard import Shard
from fastsip._core.workspace import Workspace

from fastsip._core.chooser import Positions
from fastsip._core.listen import open_listener
from fastsip._core.marks import PAGE_BYTES, Quarantine
from fastsip._core.net import Net
from fastsip._core.ring import Sleeper
from fastsip._core.store import Store
from tests.conftest import ROOT
from tests.protocol.script import make_table

HOST, LIMIT_S, BATCH = "127.0.0.1", 20.0, 64
OPTIONS = (
    "OPTIONS sip:{host}:{port} SIP/2.0\r\nVia: SIP/2.0/UDP {host}:{own};branch=z9hG4bK{n}\r\nMax-Forwards: 70\r\n"
    "From: <sip:a@example.net>;tag=a\r\nTo: <sip:b@example.net>\r\nCall-ID: {n}\r\nCSeq: 1 OPTIONS\r\n"
    "Content-Length: 0\r\n\r\n"
)


class Place:
    """One shard on two sockets, and somebody who asks it."""

    def __init__(self, run_dir, ports):
        self.ports = ports
        self.opened = [open_listener(HOST, port, 1) for port in ports]
        self.wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.table, cells = make_table(listeners=2, addresses=tuple((HOST, port) for port in ports))
        workspace = Workspace(Store(run_dir, 64), cells, self.table, Positions(self.table, 0))
        net = Net([(opened.fds[0], 4) for opened in self.opened], self.wake_fd)
        self.shard = Shard(net, workspace, Sleeper(self.wake_fd))
        self.page = memoryview(bytearray(PAGE_BYTES)).cast("L")
        self.shard.mark_into(self.page, Quarantine())
        self.asker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.asker.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.asker.bind((HOST, 0))
        self.asker.settimeout(LIMIT_S)
        self.thread = threading.Thread(target=self.shard.run)

    @property
    def beats(self) -> int:
        return self.page[0]

    def ask(self, number: int, listener: int) -> None:
        own, port = self.asker.getsockname()[1], self.ports[listener]
        text = OPTIONS.format(host=HOST, port=port, own=own, n=number)
        self.asker.sendto(text.encode(), (HOST, port))

    def another(self):
        return make_table(listeners=2, addresses=tuple((HOST, port) for port in self.ports))[0]

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


def test_tables_come_and_go_under_calls_that_fail():
    """What is freed is overwritten here; `make reload-soak` has the long run, where it cannot be touched."""
    argv = [sys.executable, "-m", "tests.crash.reloads", "--switches", "500"]
    env = {**os.environ, "MALLOC_PERTURB_": "165"}
    found = subprocess.run(argv, cwd=ROOT, env=env, capture_output=True, text=True, timeout=120)
    assert found.returncode == 0, found.stdout + found.stderr
