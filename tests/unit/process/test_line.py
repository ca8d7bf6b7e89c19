"""What supervisor and router say to each other: whole, with descriptors, and only in a language that both speak."""

import os
import socket

import orjson
import pytest

from fastsip.config.language import MAX_ID_BYTES
from fastsip.process.launch import pair
from fastsip.process.line import MOST_FDS, MOST_WORDS, Line, read_text_file, text_file
from fastsip.process.messages import (
    PROTOCOL,
    Admin,
    AdminSet,
    AskName,
    Drain,
    Draining,
    Failed,
    ForeignProtocol,
    Go,
    GoesRound,
    Leave,
    Look,
    Looked,
    Message,
    NameAnswered,
    Prepare,
    Probe,
    Probed,
    ProbeEnd,
    ReadTable,
    Refused,
    Released,
    Reload,
    Reloaded,
    ReloadRefused,
    Serve,
    Show,
    Shown,
    Sockets,
    Started,
    TableRead,
    TellWebhooks,
    Unknown,
    Visitor,
    Warm,
    pack,
    unpack,
)
from fastsip.resolve.asking import Outcome, Question
from fastsip.resolve.targets import Target
from fastsip.supervisor.destinations import MOST_PROBED

# As version 0.1.0 wrote them when messages were plain dictionaries, by a supervisor and by its routers.
RECORDED = {
    '{"v":1,"what":"prepare","file":"/etc/fastsip/c.toml"}': Prepare(file="/etc/fastsip/c.toml"),
    '{"v":1,"what":"sockets"}': Sockets(),
    '{"v":1,"what":"go","first":true,"draining":false,"drop":[]}': Go(first=True, draining=False, drop=[]),
    '{"v":1,"what":"go","first":false,"draining":true,"drop":[[469762049,7],[3,1]]}':
        Go(first=False, draining=True, drop=[(469762049, 7), (3, 1)]),
    '{"v":1,"what":"reload","number":1,"file":"/etc/fastsip/c.toml"}': Reload(number=1, file="/etc/fastsip/c.toml"),
    '{"v":1,"what":"drain","number":2,"on":true}': Drain(number=2, on=True),
    '{"v":1,"what":"leave","keep":[2,0]}': Leave(keep=[2, 0]),
    '{"v":1,"what":"warm"}': Warm(),
    '{"v":1,"what":"started"}': Started(),
    '{"v":1,"what":"refused","why":"the disk is full"}': Refused(why="the disk is full"),
    '{"v":1,"what":"reloaded","number":1}': Reloaded(number=1),
    '{"v":1,"what":"reload refused","number":4,"why":"more destinations than this router has room for","larger":true}':
        ReloadRefused(number=4, why="more destinations than this router has room for", larger=True),
    '{"v":1,"what":"draining","number":3,"open":0}': Draining(number=3, open=0),
    '{"v":1,"what":"failed","number":5,"why":"KeyError: 1"}': Failed(number=5, why="KeyError: 1"),
    '{"v":1,"what":"released"}': Released(),
    # As the first version wrote them that had them.
    '{"v":1,"what":"admin","number":6,"why":"new memory"}': Admin(number=6, why="new memory"),
    '{"v":1,"what":"admin set","number":6,"changed":2}': AdminSet(number=6, changed=2),
    '{"v":1,"what":"probe","number":7,"ids":["m/a"],"limit_s":3.0}': Probe(number=7, ids=["m/a"], limit_s=3.0),
    '{"v":1,"what":"probed","number":7,"ends":[{"id":"m/a","alive":true,"code":200,"ms":3}]}':
        Probed(number=7, ends=[ProbeEnd(id="m/a", alive=True, code=200, ms=3)]),
    '{"v":1,"what":"read table","number":8,"name":"db","origin":"o","url":"u","table":"t","columns":"kamailio",'
    '"state_dir":"/s"}': ReadTable(number=8, name="db", origin="o", url="u", table="t", columns="kamailio",
                                   state_dir="/s"),
    '{"v":1,"what":"show","number":8,"name":"1-ab","looked":{"share":0.0,"call_id":"a@b","peer":""},"seconds":15.0}':
        Show(number=8, name="1-ab", looked=Looked(call_id="a@b"), seconds=15.0),
    '{"v":1,"what":"shown","number":8,"why":"8 look already"}': Shown(number=8, why="8 look already"),
    '{"v":1,"what":"tell webhooks"}': TellWebhooks(),
    '{"v":1,"what":"table read","number":8,"changed":true,"away":""}': TableRead(number=8, changed=True, away=""),
    '{"v":1,"what":"serve","file":"/c.toml","run_dir":"/r","token":"AAE=","read_token":"","certificate":"/c","key":"/k"}':
        Serve(file="/c.toml", run_dir="/r", token=b"\0\1", certificate="/c", key="/k"),
    '{"v":1,"what":"visitor"}': Visitor(),
    '{"v":1,"what":"look","number":9}': Look(number=9),
    '{"v":1,"what":"goes round","number":9}': GoesRound(number=9),
    '{"v":1,"what":"ask name","number":9,"question":["gw.example.net",0,""],"types":["A"],"transports":["udp"]}':
        AskName(number=9, question=Question("gw.example.net"), types=["A"], transports=["udp"]),
    '{"v":1,"what":"name answered","number":9,"outcome":{"targets":[["10.0.0.1",5060,"udp",0,65520]],'
    '"ttl_s":60,"cut":0,"why":"","nothing":"","denied":false}}':
        NameAnswered(number=9, outcome=Outcome(targets=(Target("10.0.0.1", 5060, "udp", 0, 65520),), ttl_s=60)),
}  # fmt: skip


@pytest.fixture
def lines():
    ours, other = map(Line, pair())
    yield ours, other
    ours.close()
    other.close()


# ---------------------------------------------------------------- other releases


@pytest.mark.parametrize("line", RECORDED)
def test_what_an_older_release_says_is_understood(line):
    assert unpack(line.encode()) == RECORDED[line]


@pytest.mark.parametrize("line", RECORDED)
def test_an_older_release_understands_what_is_said(line):
    """It takes the object apart by its keys, wherever they stand, and finds each of those that it asks for."""
    assert orjson.loads(pack(RECORDED[line])) == orjson.loads(line)


def test_everything_that_can_be_said_was_recorded():
    def kinds(kind: type) -> set[type]:
        return {kind, *(each for below in kind.__subclasses__() for each in kinds(below))}

    said = {kind for kind in kinds(Message) if kind.__module__ == Message.__module__ and kind.__struct_config__.tag}
    words = {kind.__struct_config__.tag for kind in said} - {"Message", "Numbered", "Unknown", "ended"}
    assert words == {orjson.loads(line)["what"] for line in RECORDED}


@pytest.mark.parametrize("line", RECORDED)
def test_what_a_newer_release_adds_is_left_out(line):
    newer = orjson.loads(line) | {"more": [1, {"a": None}]}
    assert unpack(orjson.dumps(newer)) == RECORDED[line]


@pytest.mark.parametrize("line, found", [
    ('{"v":1,"what":"dance","number":7,"floor":2}', Unknown(word="dance", number=7)),
    ('{"v":1,"what":"dance"}', Unknown(word="dance")),
    ('{"v":1,"what":"drain","number":7}', Unknown(word="drain", number=7)),
    ('{"v":1,"what":"go","first":"yes"}', Unknown(word="go")),
    ('{"v":1,"what":"ended","status":0}', Unknown(word="ended")),
])  # fmt: skip
def test_a_message_that_is_not_known_is_one_all_the_same(line, found):
    """Whoever gave that order hears of it."""
    assert unpack(line.encode()) == found and found.what in line


@pytest.mark.parametrize("line", [
    '{"v":2,"what":"warm"}', '{"v":2,"what":"dance"}', '{"what":"warm"}', '{"v":1}',
    '{"v":"1","what":"warm"}', "[1]", "{", "", "null", '{"v":1,"what":3}',
])  # fmt: skip
def test_another_language_is_no_message(line):
    with pytest.raises(ForeignProtocol):
        unpack(line.encode())


def test_of_an_answer_without_a_number_nobody_says_that_it_is_anothers():
    assert Draining(open=1).is_for(3) and Draining(open=1, number=3).is_for(3)
    assert not Draining(open=1, number=2).is_for(3)


def test_the_longest_ids_fit_into_one_message(lines):
    ours, theirs = lines
    ids = [f"{number:02}" + '"' * (MAX_ID_BYTES - 2) for number in range(MOST_PROBED)]
    ours.send(Probe(number=2**31, ids=ids, limit_s=60.5))
    assert theirs.receive().message.ids == ids
    theirs.send(Probed(number=2**31, ends=[ProbeEnd(id=each, alive=False, code=408, ms=2**31) for each in ids]))
    assert [end.id for end in ours.receive().message.ends] == ids


# ---------------------------------------------------------------- the line


def test_messages_stay_apart(lines):
    ours, theirs = lines
    ours.send(Go(first=True))
    ours.send(Leave(keep=[1, 2]))
    assert theirs.receive() == (Go(first=True), [])
    assert theirs.receive() == (Leave(keep=[1, 2]), [])
    theirs.send(Released())
    assert ours.receive() == (Released(), [])


def test_the_supervisor_never_waits(lines):
    ours, theirs = lines
    with pytest.raises(BlockingIOError):
        ours.receive()
    with pytest.raises(BlockingIOError):
        while True:
            ours.send(Reload(file="x" * 1000))
    assert isinstance(theirs.receive().message, Reload)


def test_the_end_of_the_other_is_none(lines):
    ours, theirs = lines
    theirs.send(Warm())
    theirs.close()
    assert ours.receive().message == Warm()
    assert ours.receive() is None
    with pytest.raises(OSError):
        ours.send(Go(first=True))


@pytest.mark.parametrize("count", [1, MOST_FDS])
def test_descriptors_come_along_and_are_not_inherited(lines, count):
    ours, theirs = lines
    with open("/dev/null") as null:
        ours.send(Sockets(), [null.fileno()] * count)
    fds = theirs.receive().fds
    assert len(fds) == count and not any(map(os.get_inheritable, fds))
    for fd in fds:
        os.close(fd)


def test_another_protocol_is_said_and_the_line_goes_on(lines):
    ours, theirs = lines
    theirs.sock.send(orjson.dumps({"v": PROTOCOL + 1, "what": "warm"}))
    with pytest.raises(ForeignProtocol):
        ours.receive()
    theirs.send(Warm())
    assert ours.receive().message == Warm()


def test_a_reason_without_end_is_cut(lines):
    ours, theirs = lines
    theirs.send(Refused(why="x" * 1_000_000))
    assert ours.receive().message == Refused(why="x" * MOST_WORDS + " ...")


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
