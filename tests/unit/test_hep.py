"""What goes to a collector: read back after the documents of HEP3, lost without a wait, and bounded."""

import socket
import struct
from typing import NamedTuple

import pytest

from fastsip._core.state.hep import LONGEST_DATAGRAM, LONGEST_TEXT, Hep
from fastsip._core.state.mirror import View, place_in_sample
from tests.hep3 import read_datagram

FIRST, SECOND = ("192.0.2.1", 5060), ("2001:db8::2", 5062)
MESSAGE = "OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP c\r\nCall-ID: {}\r\n\r\n"
LIMIT_S = 20.0
SO_NO_CHECK = 11    # Linux; the socket module does not name it


def message(call_id: str, more: int = 0) -> bytes:
    return MESSAGE.format(call_id).encode() + bytes(more)


class Way(NamedTuple):
    """A collector, and the view of a shard that sends there."""

    collector: socket.socket
    hep: Hep
    view: View
    sock: socket.socket

    def receive(self, count: int) -> list[dict]:
        assert self.hep.send() == (count, 0)
        return [read_datagram(self.collector.recv(65_536)) for _ in range(count)]


@pytest.fixture
def collector():
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    made.bind(("127.0.0.1", 0))
    made.settimeout(LIMIT_S)
    yield made
    made.close()


def way_to(collector: socket.socket, share=1.0, agent=7, node=b"edge1", key=b"s3") -> Way:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setblocking(False)
    sock.connect(collector.getsockname())
    hep = Hep(sock, share, agent, node, key)
    return Way(collector, hep, View([], None, hep), sock)


def test_what_a_shard_saw_is_read_back(collector):
    way = way_to(collector)
    way.view.show(True, FIRST, message("one"))
    way.view.show(False, SECOND, message("two"))
    received, sent = way.receive(2)
    assert received == {
        "family": 2, "protocol": 17, "source": FIRST, "target": ("192.0.2.1", 0), "when": received["when"], "type": 1,
        "agent": 7, "key": b"s3", "node": b"edge1", "correlation": b"one", "message": message("one"),
    }  # fmt: skip
    assert sent == received | {
        "family": 10, "source": ("2001:db8::2", 0), "target": SECOND, "when": sent["when"], "correlation": b"two",
        "message": message("two"),
    }  # fmt: skip
    assert 0 <= sent["when"] - received["when"] < 3600 and received["when"] > 1.7e9


def test_what_is_not_given_is_not_sent(collector):
    way = way_to(collector, node=b"", key=b"", agent=(1 << 32) - 1)
    way.view.show(True, FIRST, message("one"))
    (found,) = way.receive(1)
    assert "key" not in found and "node" not in found and found["agent"] == 0xFFFFFFFF


def test_texts_have_a_bound(collector):
    way = way_to(collector, node=b"n" * LONGEST_TEXT, key=b"k" * LONGEST_TEXT)
    way.view.show(True, SECOND, message("c" * 512))
    (found,) = way.receive(1)
    assert (found["node"], found["key"]) == (b"n" * LONGEST_TEXT, b"k" * LONGEST_TEXT)
    assert found["correlation"] == b"c" * 512 and found["message"] == message("c" * 512)
    for bad in ({"node": b"n" * (LONGEST_TEXT + 1)}, {"key": b"k" * (LONGEST_TEXT + 1)}, {"share": 1.01}):
        with pytest.raises(ValueError, match=r"at most|from 0 to 1"):
            way_to(collector, **bad)


@pytest.mark.parametrize("text", [
    b"", b"\r\n\r\n", b"\0\0\0\0", b"no SIP at all", b"GET / HTTP/1.1\r\nCall-ID: one\r\n\r\n",
    b"x\r\nCall-ID: one\r\n\r\n",
])  # fmt: skip
def test_what_is_no_sip_is_not_sent(collector, text):
    way = way_to(collector)
    way.view.show(True, FIRST, text)
    assert way.hep.send() == (0, 0)


NO_CALL_ID = {
    "none": MESSAGE.replace("Call-ID: {}\r\n", ""), "empty": MESSAGE.format(""), "blanks": MESSAGE.format("  \t "),
    "too long": MESSAGE.format("c" * 513), "start line alone": "BYE sip:a SIP/2.0", "wrong start line": "SIP/3.0 what",
}  # fmt: skip


@pytest.mark.parametrize("text", NO_CALL_ID.values(), ids=NO_CALL_ID)
def test_what_has_no_call_id_that_can_be_used_is_sent_with_all_there_is_and_is_in_no_sample(collector, text):
    """Or who sends a Call-ID of 513 bytes would be seen by nobody."""
    way = way_to(collector)
    way.view.show(True, FIRST, text.encode())
    (found,) = way.receive(1)
    assert found["message"] == text.encode() and "correlation" not in found and found["node"] == b"edge1"
    way = way_to(collector, share=1 - 2**-32)
    way.view.show(True, FIRST, text.encode())
    assert way.hep.send() == (0, 0)


@pytest.mark.parametrize("share", [1.0, 1 - 2**-32])
def test_what_was_sent_to_a_collector_is_not_sent_again(collector, share):
    """Its first line ends as that of a request, and it has a Call-ID: two routers would copy copies for ever."""
    way = way_to(collector, share=share)
    way.view.show(True, FIRST, message("two"))
    assert way.hep.send() == (1, 0)
    copy, request = collector.recv(65_536), message("one")
    bare = b"HEP3" + struct.pack(">H", 6 + len(request)) + request
    for text in (copy, bare):
        way.view.show(True, FIRST, text)
    assert way.hep.send() == (0, 0)
    way.view.show(True, FIRST, bare + b" ")     # says that it is HEP3, but not how long: a request that is broken
    (found,) = way.receive(1)
    assert found["message"] == bare + b" "


def test_of_a_sample_all_messages_go_or_none(collector):
    way = way_to(collector, share=0.25)
    calls = [f"{number}@example.net" for number in range(200)]
    for call in calls:
        way.view.show(True, FIRST, message(call))
        way.view.show(False, SECOND, message(call))
    wanted = [call.encode() for call in calls if place_in_sample(call.encode()) < 0.25 for _ in range(2)]
    assert 60 < len(wanted) < 140
    assert sorted(one["correlation"] for one in way.receive(len(wanted))) == sorted(wanted)


@pytest.mark.parametrize("length", [0, 1, LONGEST_DATAGRAM, 65_535])
def test_of_a_message_that_is_too_long_the_beginning_goes(collector, length):
    way = way_to(collector)
    text = message("one", max(length - len(message("one")), 0))
    way.view.show(True, FIRST, text)
    (found,) = way.receive(1)
    assert text.startswith(found["message"])
    assert (found["message"] == text) == (length < LONGEST_DATAGRAM) and len(found["message"]) > min(length, 64_000) - 1


def test_more_than_waits_for_the_end_of_a_round_is_sent_before(collector):
    way = way_to(collector)
    for number in range(200):
        way.view.show(True, FIRST, message(str(number), 3000))
    assert [one["correlation"] for one in way.receive(200)] == [b"%d" % number for number in range(200)]


def of_sizes(way: Way, sizes) -> None:
    """Messages of so many bytes, each found again unchanged."""
    texts = [message(str(number)).ljust(size, b"x") for number, size in enumerate(sizes)]
    for text in texts:
        way.view.show(True, FIRST, text)
    found = {one["correlation"]: one["message"] for one in way.receive(len(texts))}
    assert found == {str(number).encode(): text for number, text in enumerate(texts)}


@pytest.mark.parametrize("sizes", [
    [700] * 2, [700] * 44, [700] * 45, [700] * 64, [700, 900] * 32, range(100, 1600, 24), range(600, 664), [1500] * 5,
    [600, *[2000] * 3, 600], range(640, 1280, 10),
])  # fmt: skip
def test_those_of_one_size_go_together_and_come_apart(collector, sizes):
    way = way_to(collector)
    of_sizes(way, sizes)
    assert way.hep.cuts


def test_each_goes_by_itself_where_the_kernel_cannot_cut(collector):
    """Without checksums it does not."""
    way = way_to(collector)
    way.hep.send()
    way.sock.setsockopt(socket.SOL_SOCKET, SO_NO_CHECK, 1)
    of_sizes(way, [600, *[700] * 30, *[900] * 30])
    assert not way.hep.cuts
    of_sizes(way, [700] * 64)


def test_a_collector_that_refuses_costs_what_is_lost_and_nothing_else(collector):
    way = way_to(collector)
    collector.close()
    counted = [0, 0]
    for _ in range(10):
        for call in ("one", "two", "six"):
            way.view.show(True, FIRST, message(call))
        counted = [before + now for before, now in zip(counted, way.hep.send(), strict=True)]
    assert sum(counted) == 30 and counted[1] > 0


def test_a_socket_that_is_full_loses_the_rest(collector):
    sock = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    for one in sock:
        one.setblocking(False)
    hep = Hep(sock[0], 1.0, 0, b"", b"")
    view = View([], None, hep)
    for number in range(5000):
        view.show(True, FIRST, message(str(number)))
    sent, lost = hep.send()
    assert sent + lost == 5000 and sent > 0 and lost > 0
    while True:
        try:
            sock[1].recv(65_536)
        except BlockingIOError:
            break
    view.show(True, FIRST, message("again"))
    assert hep.send() == (1, 0)
    for one in sock:
        one.close()
