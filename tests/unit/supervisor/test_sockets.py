"""The supervisor's sockets: groups that grow and shrink, all or nothing, and lose nothing on the way."""

import os
import socket

import pytest

from fastsip.config import load_text
from fastsip.supervisor.sockets import Sockets, name_of, place_of_socket
from fastsip.supervisor.systemd import Notifier

SO_REUSEPORT = socket.SO_REUSEPORT


class Heard(Notifier):
    """What systemd would keep by now."""

    def __init__(self):
        super().__init__({})
        self.kept = {}

    def store(self, name, fd):
        self.kept[name] = fd

    def drop(self, name):
        del self.kept[name]


def listeners(*ports: int):
    text = "".join(f'[[listen]]\nuri = "udp:127.0.0.1:{port}"\n' for port in ports)
    text += '[set.m]\ndestinations = ["sip:127.0.0.1:9"]\n'
    return load_text(text, "/nowhere/c.toml", make_secret=False).listeners


def is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


@pytest.fixture
def held():
    sockets = Sockets(Heard())
    yield sockets
    for fd in sockets.all():
        os.close(fd)


def test_a_group_has_a_socket_for_each_shard(held, free_port):
    one, two = free_port(), free_port()
    held.widen(listeners(one, two), 3)
    fds = held.of(listeners(one, two), 3)
    assert len(set(fds)) == 6 and set(held.notifier.kept.values()) == set(fds)
    ports = [place_of_socket(fd)[1] for fd in fds]
    assert ports == [one] * 3 + [two] * 3


def test_it_grows_and_shrinks_and_keeps_the_first(held, free_port):
    wanted = listeners(free_port())
    held.widen(wanted, 2)
    first = held.of(wanted, 2)
    held.widen(wanted, 4)
    assert held.of(wanted, 4)[:2] == first and held.surplus(wanted, 4) == []
    assert held.surplus(wanted, 1) == held.of(wanted, 4)[1:]
    gone = held.surplus(wanted, 1)
    held.narrow(wanted, 1)
    assert held.of(wanted, 1) == first[:1] and not any(map(is_open, gone))
    assert list(held.notifier.kept.values()) == first[:1]


def test_a_listener_that_nobody_wants_is_closed(held, free_port):
    one, two = free_port(), free_port()
    held.widen(listeners(one, two), 2)
    gone = held.of(listeners(two), 2)
    assert set(held.surplus(listeners(one), 2)) == set(gone)
    held.narrow(listeners(one), 2)
    assert not any(map(is_open, gone)) and len(held.all()) == 2


def test_one_address_that_is_taken_opens_none(held, free_port):
    one, two, taken = free_port(), free_port(), free_port()
    held.widen(listeners(one), 1)
    before = held.all()
    with socket.socket(type=socket.SOCK_DGRAM) as stranger:
        stranger.bind(("127.0.0.1", taken))
        opened = set(os.listdir("/proc/self/fd"))
        with pytest.raises(OSError, match=f"cannot listen on udp:127.0.0.1:{taken}"):
            held.widen(listeners(one, two, taken), 3)
        assert set(os.listdir("/proc/self/fd")) == opened
    assert held.all() == before == list(held.notifier.kept.values())


def test_a_detached_socket_keeps_what_came_and_gets_nothing_more(held, free_port):
    wanted = listeners(free_port())
    held.widen(wanted, 2)
    address = ("127.0.0.1", wanted[0].port)
    senders = [socket.socket(type=socket.SOCK_DGRAM) for _ in range(32)]
    for number, sender in enumerate(senders):
        sender.sendto(b"before %d" % number, address)
    held.detach(wanted, 1)
    for number, sender in enumerate(senders):
        sender.sendto(b"after %d" % number, address)
        sender.close()
    stays, goes = ([*received(fd)] for fd in held.of(wanted, 2))
    assert goes and all(text.startswith(b"before") for text in goes)
    assert sum(text.startswith(b"after") for text in stays) == 32
    assert len(stays) + len(goes) == 64


def received(fd: int):
    with socket.socket(fileno=os.dup(fd)) as sock:
        sock.setblocking(False)
        while True:
            try:
                yield sock.recv(100)
            except BlockingIOError:
                return


def test_what_was_kept_for_us_is_taken_if_it_fits(free_port):
    port, other = free_port(), free_port()
    earlier = Sockets(Heard())
    earlier.widen(listeners(port, other), 3)
    read_end, write_end = os.pipe()
    os.close(write_end)
    sockets = Sockets(Heard())
    sockets.notifier.kept = dict(earlier.notifier.kept)
    sockets.adopt([*earlier.all(), read_end], listeners(port), 2)
    assert sockets.all() == earlier.of(listeners(port), 2)
    assert not any(map(is_open, [*earlier.of(listeners(other), 3), read_end]))
    sockets.widen(listeners(port), 2)  # no stranger is suspected on our own address
    assert sockets.all() == earlier.of(listeners(port), 2)
    for fd in sockets.all():
        os.close(fd)


@pytest.mark.parametrize("kind", ["stream", "alone", "unix"])
def test_sockets_of_others_are_none_of_ours(kind):
    family = socket.AF_UNIX if kind == "unix" else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM if kind == "stream" else socket.SOCK_DGRAM) as sock:
        if kind != "unix":
            sock.bind(("127.0.0.1", 0))
        assert place_of_socket(sock.fileno()) is None


def test_names_have_no_colon_and_differ():
    one, two = (socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) for _ in range(2))
    with one, two:
        for sock in (one, two):
            sock.setsockopt(socket.SOL_SOCKET, SO_REUSEPORT, 1)
            sock.bind(("::1", one.getsockname()[1]))
        names = {name_of(one.fileno()), name_of(two.fileno())}
        assert len(names) == 2 and not any(":" in name for name in names)
