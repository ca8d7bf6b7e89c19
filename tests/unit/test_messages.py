"""What supervisor and router say to each other: whole, with descriptors, and only in a language that both speak."""

import os
import socket

import orjson
import pytest

from fastsip.process.launch import pair
from fastsip.process.line import MOST_FDS, PROTOCOL, ForeignProtocol, Line, read_text_file, text_file


@pytest.fixture
def lines():
    ours, other = map(Line, pair())
    yield ours, other
    ours.close()
    other.close()


def test_messages_stay_apart(lines):
    ours, theirs = lines
    ours.send("go", first=True)
    ours.send("leave", keep=[1, 2])
    assert theirs.receive()[:2] == ("go", {"first": True})
    assert theirs.receive()[:2] == ("leave", {"keep": [1, 2]})
    theirs.send("released")
    assert ours.receive()[:2] == ("released", {})


def test_the_supervisor_never_waits(lines):
    ours, theirs = lines
    with pytest.raises(BlockingIOError):
        ours.receive()
    with pytest.raises(BlockingIOError):
        while True:
            ours.send("reload", text="x" * 1000)
    assert theirs.receive().what == "reload"


def test_the_end_of_the_other_is_none(lines):
    ours, theirs = lines
    theirs.send("warm")
    theirs.close()
    assert ours.receive().what == "warm"
    assert ours.receive() is None
    with pytest.raises(OSError):
        ours.send("go")


@pytest.mark.parametrize("count", [1, MOST_FDS])
def test_descriptors_come_along_and_are_not_inherited(lines, count):
    ours, theirs = lines
    with open("/dev/null") as null:
        ours.send("sockets", [null.fileno()] * count)
    fds = theirs.receive().fds
    assert len(fds) == count and not any(map(os.get_inheritable, fds))
    for fd in fds:
        os.close(fd)


def test_another_protocol_is_no_message(lines):
    ours, theirs = lines
    theirs.sock.send(orjson.dumps({"v": PROTOCOL + 1, "what": "warm"}))
    with pytest.raises(ForeignProtocol):
        ours.receive()
    theirs.send("warm")
    assert ours.receive().what == "warm"


def test_a_text_is_read_by_many_at_their_own_pace():
    text = "größer\n" * 100_000
    fd = text_file(text)
    copies = [os.dup(fd) for _ in range(3)]
    assert [read_text_file(copy) for copy in (fd, *copies)] == [text] * 4
    with pytest.raises(OSError):
        os.fstat(fd)


def test_the_pair_keeps_order_and_kind():
    ours, theirs = pair()
    assert ours.type & socket.SOCK_SEQPACKET and not ours.getblocking()
    ours.close()
    theirs.close()
