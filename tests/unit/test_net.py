"""fastsip._core.transport.udp and listen on loopback: batches, sizes, order, and errors that are nobody's fault."""

import contextlib
import errno
import itertools
import os
import socket
import struct
import threading

import pytest

from fastsip._core.transport.listen import SO_RXQ_OVFL, open_listener
from fastsip._core.transport.udp import Net

SENT, LOST, REFUSED, TOO_BIG = range(4)
BATCH, OUTBOX = 64, 128
LOOPBACK = {4: "127.0.0.1", 6: "::1"}
FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}
TIMEOUT_MS = 5000


@pytest.fixture(params=[4, 6], ids=["IPv4", "IPv6"])
def version(request):
    return request.param


@pytest.fixture
def cleanup():
    with contextlib.ExitStack() as stack:
        yield stack


class Shard:
    """A listener of one socket, its Net, and how to reach it."""

    def __init__(self, cleanup, version=4, listeners=1, event_fd=-1, **options):
        self.fds, self.addresses = [], []
        for _ in range(listeners):
            opened = open_listener(LOOPBACK[version], 0, 1, options.pop("rcvbuf_bytes", 8 << 20))
            cleanup.callback(os.close, opened.fds[0])
            self.fds += opened.fds
            self.addresses.append((LOOPBACK[version], opened.port))
        self.net = Net([(fd, version) for fd in self.fds], event_fd, **options)
        cleanup.callback(self.net.close)

    def receive(self, count, listener=0):
        """At least `count` datagrams, in order; the test fails when one stays away."""
        got = []
        for _ in range(count + 1):
            if len(got) >= count:
                break
            ready, _ = self.net.wait(TIMEOUT_MS)
            assert listener in ready, f"{len(got)} of {count} datagrams came"
            got += self.net.receive(listener)
        return got


def peer(cleanup, version):
    """A plain socket of somebody else, with a large buffer."""
    sock = cleanup.enter_context(socket.socket(FAMILY[version], socket.SOCK_DGRAM))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    sock.bind((LOOPBACK[version], 0))
    sock.settimeout(TIMEOUT_MS / 1000)
    return sock


def closed_port(cleanup, version):
    """An address where nobody listens and nobody else can begin to: its socket hears only itself."""
    sock = cleanup.enter_context(socket.socket(FAMILY[version], socket.SOCK_DGRAM))
    sock.bind((LOOPBACK[version], 0))
    sock.connect(sock.getsockname())
    return sock.getsockname()[:2]


# ---------------------------------------------------------------- receiving


def test_a_batch_keeps_order_source_and_bytes(cleanup, version):
    shard, sender = Shard(cleanup, version), peer(cleanup, version)
    sent = [b"%d" % n * (n + 1) for n in range(150)]
    for message in sent:
        sender.sendto(message, shard.addresses[0])
    source = sender.getsockname()[:2]
    assert shard.receive(150) == [(message, source, False) for message in sent]
    counters = shard.net.counters()
    assert counters["received"] == 150
    assert counters["received_bytes"] == sum(map(len, sent))
    assert counters["receive_calls"] == 3  # 64 + 64 + 22


def test_a_full_batch_leaves_the_socket_ready_and_a_short_one_does_not(cleanup):
    shard, sender = Shard(cleanup), peer(cleanup, 4)
    for n in range(BATCH + 1):
        sender.sendto(b"%d" % n, shard.addresses[0])
    assert shard.net.wait(TIMEOUT_MS) == ([0], False)
    assert len(shard.net.receive(0)) == BATCH and shard.net.is_ready(0)
    assert len(shard.net.receive(0)) == 1 and not shard.net.is_ready(0)
    assert shard.net.receive(0) == []
    assert shard.net.wait(0) == ([], False)


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 4097, 4159, 4160, 4161, 4224, 4225, 8192, 65507])
def test_datagrams_of_each_size_arrive_whole(cleanup, version, size):
    shard, sender = Shard(cleanup, version), peer(cleanup, version)
    message = os.urandom(size)
    sender.sendto(b"before", shard.addresses[0])
    sender.sendto(message, shard.addresses[0])
    sender.sendto(b"after", shard.addresses[0])
    assert [(got, cut) for got, _, cut in shard.receive(3)] == [
        (b"before", False), (message, False), (b"after", False)]


def test_a_batch_of_nothing_but_large_datagrams(cleanup):
    shard, sender = Shard(cleanup, rcvbuf_bytes=32 << 20), peer(cleanup, 4)
    sent = [os.urandom(20_000 + n) for n in range(BATCH)]
    for message in sent:
        sender.sendto(message, shard.addresses[0])
    assert [got for got, _, _ in shard.receive(BATCH)] == sent


@pytest.mark.parametrize("limit", [1000, 4160, 4161, 9000])
def test_what_is_beyond_max_message_is_cut_and_says_so(cleanup, limit):
    shard, sender = Shard(cleanup, max_message=limit), peer(cleanup, 4)
    message = os.urandom(limit + 1)
    for sent in (message[:limit], message, b"after"):
        sender.sendto(sent, shard.addresses[0])
    assert [(got, cut) for got, _, cut in shard.receive(3)] == [
        (message[:limit], False), (message[:limit], True), (b"after", False)]


def test_the_largest_ipv6_datagram(cleanup):
    shard, sender = Shard(cleanup, 6), peer(cleanup, 6)
    message = os.urandom(65_527)
    sender.sendto(message, shard.addresses[0])
    assert [(got, cut) for got, _, cut in shard.receive(1)] == [(message, False)]


def test_drops_of_the_kernel_are_counted(cleanup):
    """A buffer of the kernel's minimum, far too many datagrams, then one that tells."""
    shard, sender = Shard(cleanup, rcvbuf_bytes=1), peer(cleanup, 4)
    for n in range(200):
        sender.sendto(b"%03d" % n, shard.addresses[0])
    kept = shard.receive(1)
    sender.sendto(b"tells", shard.addresses[0])
    assert shard.receive(1)[-1][0] == b"tells"
    assert 0 < len(kept) < 200
    assert shard.net.counters()["kernel_drops"] == 200 - len(kept)
    sender.sendto(b"again", shard.addresses[0])
    assert shard.receive(1)[-1][0] == b"again"
    assert shard.net.counters()["kernel_drops"] == 200 - len(kept)


def test_a_pending_error_does_not_hide_what_waits(cleanup, version):
    """recvmmsg fails with ECONNREFUSED first; the datagrams behind it must come all the same."""
    shard, sender = Shard(cleanup, version), peer(cleanup, version)
    stranger = closed_port(cleanup, version)
    for n in range(100):
        assert shard.net.queue(b"to nobody", 0, stranger)
        assert shard.net.flush() == [SENT]
        sender.sendto(b"%d" % n, shard.addresses[0])
        assert [got for got, _, _ in shard.net.receive(0)] == [b"%d" % n]
    counters = shard.net.counters()
    assert counters["error_queue"] == counters["receive_errors"] == 100


# ---------------------------------------------------------------- waiting


def test_the_eventfd_wakes_and_is_read_to_zero(cleanup):
    event_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
    cleanup.callback(os.close, event_fd)
    shard = Shard(cleanup, event_fd=event_fd)
    os.eventfd_write(event_fd, 3)
    assert shard.net.wait(TIMEOUT_MS) == ([], True)
    with pytest.raises(BlockingIOError):
        os.eventfd_read(event_fd)
    assert shard.net.wait(0) == ([], False)
    assert shard.net.counters()["waits"] == 1  # a look is no sleep


def test_the_eventfd_wakes_a_sleeping_thread(cleanup):
    event_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
    cleanup.callback(os.close, event_fd)
    shard = Shard(cleanup, event_fd=event_fd)
    woken = []
    sleeper = threading.Thread(target=lambda: woken.append(shard.net.wait(60_000)))
    sleeper.start()
    os.eventfd_write(event_fd, 1)
    sleeper.join(timeout=10)
    assert woken == [([], True)]


def test_only_the_listeners_with_datagrams_are_ready(cleanup, version):
    shard, sender = Shard(cleanup, version, listeners=3), peer(cleanup, version)
    sender.sendto(b"second", shard.addresses[1])
    assert shard.net.wait(TIMEOUT_MS) == ([1], False)
    sender.sendto(b"third", shard.addresses[2])
    assert shard.net.wait(TIMEOUT_MS) == ([1, 2], False)
    assert [shard.net.receive(n) for n in (0, 3)] == [[], []]
    assert [shard.net.receive(n)[0][0] for n in (1, 2)] == [b"second", b"third"]


def test_an_error_alone_is_drained_by_the_wait(cleanup, version):
    """EPOLLERR stays up until the queue is read: a wait that leaves it would spin."""
    shard = Shard(cleanup, version)
    assert shard.net.queue(b"to nobody", 0, closed_port(cleanup, version))
    assert shard.net.flush() == [SENT]
    assert shard.net.wait(TIMEOUT_MS) == ([], False)
    assert shard.net.counters()["error_queue"] == 1
    assert shard.net.drain(0) == 0
    assert shard.net.wait(0) == ([], False)
    assert shard.net.counters()["error_queue"] == 1


# ---------------------------------------------------------------- sending


def test_an_outbox_to_one_listener_is_one_call_and_keeps_order(cleanup, version):
    shard, friend = Shard(cleanup, version), peer(cleanup, version)
    sent = [b"%d" % n for n in range(OUTBOX)]
    assert all(shard.net.queue(message, 0, friend.getsockname()[:2]) for message in sent)
    assert shard.net.flush() == [SENT] * OUTBOX
    got = [friend.recvfrom(100) for _ in sent]
    assert [(message, source[:2]) for message, source in got] == [
        (message, shard.addresses[0]) for message in sent]
    counters = shard.net.counters()
    assert (counters["send_calls"], counters["sent"]) == (1, OUTBOX)
    assert counters["sent_bytes"] == sum(map(len, sent))


def test_mixed_listeners_keep_their_own_order(cleanup):
    shard, friend = Shard(cleanup, listeners=3), peer(cleanup, 4)
    order = [n * 7 % 3 if n % 5 else 0 for n in range(OUTBOX)]
    for n, listener in enumerate(order):
        assert shard.net.queue(b"%d" % n, listener, friend.getsockname())
    assert shard.net.flush() == [SENT] * OUTBOX
    got = [friend.recvfrom(100) for _ in order]
    ports = [port for _, port in shard.addresses]
    assert got == [(b"%d" % n, ("127.0.0.1", ports[listener])) for n, listener in enumerate(order)]
    runs = 1 + sum(a != b for a, b in itertools.pairwise(order))
    assert shard.net.counters()["send_calls"] == runs


def test_a_full_outbox_takes_no_more_until_it_is_flushed(cleanup):
    shard, friend = Shard(cleanup), peer(cleanup, 4)
    taken = [shard.net.queue(b"x", 0, friend.getsockname()) for _ in range(OUTBOX + 3)]
    assert taken == [True] * OUTBOX + [False] * 3
    assert shard.net.flush() == [SENT] * OUTBOX
    assert shard.net.flush() == []
    assert shard.net.queue(b"y", 0, friend.getsockname())
    assert shard.net.flush() == [SENT]


def test_large_datagrams_are_counted(cleanup, version):
    shard, friend = Shard(cleanup, version), peer(cleanup, version)
    sizes = [0, 1300, 1301, 1472, 1473, 65507]
    for size in sizes:
        assert shard.net.queue(bytes(size), 0, friend.getsockname()[:2])
    assert shard.net.flush() == [SENT] * len(sizes)
    assert [len(friend.recv(70_000)) for _ in sizes] == sizes
    counters = shard.net.counters()
    assert (counters["over_1300"], counters["over_1472"]) == (4, 2)


@pytest.mark.parametrize("together", [True, False], ids=["one flush", "two flushes"])
def test_a_refused_port_never_harms_the_next_message(cleanup, version, together):
    """A goes to a closed port, B to an open one: each is sent, each B arrives, every time."""
    shard, friend = Shard(cleanup, version), peer(cleanup, version)
    nobody, somebody = closed_port(cleanup, version), friend.getsockname()[:2]
    rounds = 200
    for n in range(rounds):
        assert shard.net.queue(b"A", 0, nobody)
        outcomes = [] if together else shard.net.flush()
        assert shard.net.queue(b"B%d" % n, 0, somebody)
        assert outcomes + shard.net.flush() == [SENT, SENT]
        assert friend.recv(100) == b"B%d" % n
    shard.net.wait(0)  # drains what the flushes did not have to
    counters = shard.net.counters()
    assert counters["refused"] == counters["lost"] == 0
    assert counters["error_queue"] == rounds


def test_refused_ports_inside_a_full_batch_harm_nobody(cleanup, version):
    shard, friend = Shard(cleanup, version), peer(cleanup, version)
    nobody, somebody = closed_port(cleanup, version), friend.getsockname()[:2]
    for _ in range(10):
        for n in range(OUTBOX):
            assert shard.net.queue(b"%d" % n, 0, nobody if n % 3 == 0 else somebody)
        outcomes = shard.net.flush()
        expected = [n for n in range(OUTBOX) if n % 3]
        assert [outcomes[n] for n in expected] == [SENT] * len(expected)
        assert [friend.recv(100) for _ in expected] == [b"%d" % n for n in expected]


@pytest.mark.parametrize("version, size", [(4, 65_508), (6, 65_528), (4, 70_000)])
def test_too_big_is_said_of_that_message_only(cleanup, version, size):
    shard, friend = Shard(cleanup, version), peer(cleanup, version)
    for message in (b"before", bytes(size), b"after"):
        assert shard.net.queue(message, 0, friend.getsockname()[:2])
    assert shard.net.flush() == [SENT, TOO_BIG, SENT]
    assert [friend.recv(100) for _ in range(2)] == [b"before", b"after"]
    counters = shard.net.counters()
    assert (counters["too_big"], counters["sent"], counters["over_1472"]) == (1, 2, 0)


@pytest.mark.parametrize(
    "address, listener",
    [
        (("::1", 5060), 0),  # of the other family
        (("127.0.0.1", 0), 0),  # no port
        (("127.0.0.1", 5060), 1),  # no such listener
        (("255.255.255.255", 5060), 0),  # broadcast: EACCES
    ],
)
def test_what_cannot_be_sent_is_refused_and_the_rest_goes_out(cleanup, address, listener):
    shard, friend = Shard(cleanup), peer(cleanup, 4)
    assert shard.net.queue(b"before", 0, friend.getsockname())
    assert shard.net.queue(b"never", listener, address)
    assert shard.net.queue(b"after", 0, friend.getsockname())
    assert shard.net.flush() == [SENT, REFUSED, SENT]
    assert [friend.recv(100) for _ in range(2)] == [b"before", b"after"]
    assert shard.net.counters()["refused"] == 1


def packet_too_big(source, target):
    """ICMPv6 type 2 with MTU 1280, quoting a datagram from source to target."""
    addresses = socket.inet_pton(socket.AF_INET6, source[0]) + socket.inet_pton(socket.AF_INET6, target[0])
    udp = struct.pack("!HHHH", source[1], target[1], 8 + 8, 0) + bytes(8)
    quoted = struct.pack("!IHBB", 6 << 28, len(udp), socket.IPPROTO_UDP, 64) + addresses + udp
    return struct.pack("!BBHI", 2, 0, 0, 1280) + quoted


def test_a_forged_packet_too_big_is_no_verdict_on_the_next_message(cleanup):
    """ICMPv6 leaves EMSGSIZE pending on the socket: whoever sends next would be told 513."""
    try:
        forger = cleanup.enter_context(socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6))
    except PermissionError:
        pytest.skip("raw sockets need CAP_NET_RAW")
    shard, friend = Shard(cleanup, 6), peer(cleanup, 6)
    forger.sendto(packet_too_big(shard.addresses[0], ("::1", 9)), ("::1", 0))
    assert shard.net.queue(b"small", 0, friend.getsockname()[:2])
    assert shard.net.flush() == [SENT]
    assert friend.recv(100) == b"small"
    assert shard.net.counters()["error_queue"] == 1


# ---------------------------------------------------------------- opening


def test_a_group_has_one_port_and_its_options(cleanup, version):
    opened = open_listener(LOOPBACK[version], 0, 4, 1 << 20)
    socks = [cleanup.enter_context(socket.socket(fileno=fd)) for fd in opened.fds]
    assert len(socks) == 4 and opened.rcvbuf_bytes == 1 << 20
    level = {4: socket.IPPROTO_IP, 6: socket.IPPROTO_IPV6}[version]
    mtu_discover, recverr = {4: (10, 11), 6: (23, 25)}[version]
    for sock in socks:
        assert sock.family == FAMILY[version]
        assert sock.getsockname()[:2] == (LOOPBACK[version], opened.port)
        assert not os.get_blocking(sock.fileno()) and not sock.get_inheritable()
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) == 1 << 20
        assert sock.getsockopt(socket.SOL_SOCKET, SO_RXQ_OVFL) == 1
        assert sock.getsockopt(level, mtu_discover) == 0
        assert sock.getsockopt(level, recverr) == 1


def test_a_group_shares_what_comes(cleanup, version):
    opened = open_listener(LOOPBACK[version], 0, 2)
    for fd in opened.fds:
        cleanup.callback(os.close, fd)
    nets = [Net([(fd, version)], -1) for fd in opened.fds]
    flows = 64
    for n in range(flows):
        with socket.socket(FAMILY[version], socket.SOCK_DGRAM) as sender:
            sender.sendto(b"%d" % n, (LOOPBACK[version], opened.port))
    shares = [[int(message) for message, _, _ in net.receive(0)] for net in nets]
    assert sorted(shares[0] + shares[1]) == list(range(flows))
    assert all(shares)


def test_a_stranger_on_the_port_is_found_although_he_shares_it(cleanup, version):
    stranger = cleanup.enter_context(socket.socket(FAMILY[version], socket.SOCK_DGRAM))
    stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    stranger.bind((LOOPBACK[version], 0))
    port = stranger.getsockname()[1]
    with pytest.raises(OSError, match=f"{port}: it is in use; is another router running") as caught:
        open_listener(LOOPBACK[version], port, 2)
    assert caught.value.errno == errno.EADDRINUSE


@pytest.mark.parametrize("address", ["0.0.0.0", "::"])
def test_a_wildcard_is_refused(address):
    with pytest.raises(ValueError, match="wildcard"):
        open_listener(address, 0, 1)


@pytest.mark.parametrize("address", ["localhost", "", "127.0.0.1:5060", "[::1]"])
def test_what_is_no_address_is_refused(address):
    with pytest.raises(ValueError):
        open_listener(address, 0, 1)


def test_an_address_of_somebody_else_says_which():
    with pytest.raises(OSError, match=r"udp:192\.0\.2\.1:5060") as caught:
        open_listener("192.0.2.1", 5060, 1)
    assert caught.value.errno == errno.EADDRNOTAVAIL


def test_no_shards_open_nothing():
    with pytest.raises(ValueError, match="at least one"):
        open_listener("127.0.0.1", 0, 0)


# ---------------------------------------------------------------- the owner


def test_a_closed_net_says_so_and_leaves_the_sockets_open(cleanup):
    shard = Shard(cleanup)
    shard.net.close()
    shard.net.close()
    with pytest.raises(ValueError, match="closed"):
        shard.net.counters()
    with pytest.raises(ValueError, match="closed"):
        shard.net.wait(0)
    assert os.fstat(shard.fds[0])


@pytest.mark.parametrize(
    "sockets, options",
    [
        ([], {}),
        ([(0, 4)] * 17, {}),
        ([(0, 5)], {}),
        ([(0, 4)], {"max_message": 0}),
        ([(0, 4)], {"max_message": 65_536}),
    ],
)
def test_a_net_of_wrong_arguments(sockets, options):
    with pytest.raises(ValueError):
        Net(sockets, -1, **options)


def test_a_descriptor_that_cannot_be_watched():
    with pytest.raises(OSError, match="descriptor"):
        Net([(1_000_000, 4)], -1)
