"""Commands to a shard: what its ring holds, and that the shard takes them all when it runs."""

import os
import threading

import pytest

from fastsip._core.base.ring import Sleeper
from fastsip._core.dispatcher.chooser import Positions
from fastsip._core.shard.loop import Shard
from fastsip._core.shard.workspace import Workspace
from fastsip._core.store.partitions import Store
from fastsip._core.transport.listen import open_listener
from fastsip._core.transport.udp import Net
from tests.protocol.script import make_table

ROOM = 65_536 // 24  # records of 16 bytes with their header, in a ring of 64 KiB


@pytest.fixture
def shard(scratch, free_port):
    table, cells = make_table()
    opened = open_listener("127.0.0.1", free_port(), 1, 65_536)
    wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
    workspace = Workspace(Store(scratch, 64), cells, table, Positions(table, 0))
    yield Shard(Net([(opened.fds[0], 4)], wake_fd), workspace, Sleeper(wake_fd))
    for fd in (*opened.fds, wake_fd):
        os.close(fd)


def test_commands_beyond_the_ring_are_refused_and_taken_later(shard):
    assert all([shard.name_changed(0) for _ in range(ROOM)])
    assert not shard.name_changed(0)
    thread = threading.Thread(target=shard.run)
    thread.start()
    try:
        waited = threading.Event()
        for _ in range(1_000):  # bounded: 10 s
            if shard.name_changed(0):
                break
            waited.wait(0.01)
        else:
            pytest.fail("the shard took no command")
    finally:
        shard.stop()
        thread.join(30)
