"""events.file and events.follow: each event once, in order, whoever writes, renames, reads or dies in between."""

import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
from collections import deque

import pytest

from fastsip.events import file as module
from fastsip.events import follow
from fastsip.events.file import LONGEST_LINE, EventFile, end_of, line_of
from fastsip.events.follow import Follower, Position, position_at_end
from tests.conftest import ROOT, wait_until

LIMIT_S = 20


@pytest.fixture
def record(scratch):
    one = EventFile(scratch)
    one.begin()
    return one


def line(number: int, **more: object) -> bytes:
    return line_of({"at": 1.5, "event": "router.started", "pid": number, **more})


def tell(record: EventFile, *numbers: int) -> None:
    record.append(deque(line(number) for number in numbers))


def told(follower: Follower) -> list[int]:
    """All that is there."""
    found = []
    while some := follower.read():
        found += [event["pid"] for event in some]
    return found


def full(monkeypatch) -> None:
    """A file with anything in it is followed by another one."""
    monkeypatch.setattr(module, "MOST_BYTES", 1)


# ---------------------------------------------------------------- numbers


def test_numbers_follow_each_other_over_files_and_starts(scratch, record, monkeypatch):
    full(monkeypatch)
    follower = Follower(scratch)
    tell(record, 1, 2)
    assert record.follow_on()
    tell(record, 3)
    EventFile(scratch).begin()              # another supervisor
    tell(EventFile(scratch), 4)
    events = follower.read() + follower.read()
    first = events[0]["id"]
    assert [(event["id"] - first, event["pid"]) for event in events] == [(0, 1), (1, 2), (2, 3), (3, 4)]
    assert end_of(record.place)[0] == first + 4 == position_at_end(scratch).number


def test_a_record_that_is_made_anew_goes_on_behind_what_anybody_remembers(scratch, record, monkeypatch):
    tell(record, 1)
    before = position_at_end(scratch)
    os.unlink(record.place)
    monkeypatch.setattr(module.time, "time", lambda: 1.0)   # a machine without a clock
    record.begin(before.number)
    assert position_at_end(scratch).number == before.number
    monkeypatch.setattr(module.time, "time", lambda: 1e10)
    os.unlink(record.place)
    record.begin(before.number)
    assert position_at_end(scratch).number == 10**13


def test_no_number_comes_twice_when_the_newer_one_of_two_files_is_damaged(scratch, record, monkeypatch):
    full(monkeypatch)
    tell(record, 1, 2)
    assert record.follow_on()
    tell(record, 3, 4)
    given = position_at_end(scratch).number
    record.place.write_bytes(b"nonsense")
    monkeypatch.setattr(module.time, "time", lambda: (given + 1_000) / 1000)
    record.begin()
    assert position_at_end(scratch).number == given + 1_000
    tell(record, 5)
    follower = Follower(scratch)
    assert told(follower) == [1, 2, 5] and follower.take_lost() == 0 and follower.take_anew()


def test_a_supervisor_that_died_between_two_names_leaves_no_gap(scratch, record, monkeypatch):
    full(monkeypatch)
    follower = Follower(scratch)
    tell(record, 1)
    assert told(follower) == [1]
    os.rename(record.place, record.before)      # and the other name was not given any more
    assert told(follower) == []
    EventFile(scratch).begin()
    tell(record, 2)
    assert told(follower) == [2] and follower.take_lost() == 0


HEADLESS = [b"", b"{}\n", b"\xff\xff\n", b'{"events":1,"first":1', b'{"events":9,"first":1,"life":1}\n']


@pytest.mark.parametrize("content", HEADLESS)
def test_what_is_no_record_is_put_aside(scratch, record, content):
    record.place.write_bytes(content)
    follower = Follower(scratch)
    assert follower.read() == [] and end_of(record.place) is None
    record.begin()
    tell(record, 7)
    assert told(follower) == [7]
    assert [path.read_bytes() for path in scratch.glob("events.damaged-*")] == [content]


# ---------------------------------------------------------------- lines


@pytest.mark.parametrize("letters", [0, *range(LONGEST_LINE - 70, LONGEST_LINE - 40), LONGEST_LINE, 10**6])
def test_a_line_is_never_longer_than_its_bound(scratch, record, letters):
    found = line(1, why="x" * letters)
    assert len(found) <= LONGEST_LINE and found.count(b"\n") == 1
    short = len(line(1)) + len(',"why":""') + letters <= LONGEST_LINE
    assert (json.loads(found)["why"] == "x" * letters) == short
    record.append(deque([found]))
    assert told(Follower(scratch)) == [1]


@pytest.mark.parametrize("letter", ["\n", "\u202e", '"', "\\", "\x00", "€"])
def test_whatever_stands_in_a_text_is_one_line(letter):
    found = line(1, why=letter * 5000, source=letter * 5000)
    assert len(found) <= LONGEST_LINE and found.count(b"\n") == 1 and json.loads(found)["why"].startswith(letter)


@pytest.mark.parametrize("cut", range(2, len(line(2)), 7))
def test_a_line_that_a_death_has_cut_costs_itself(scratch, record, cut):
    follower = Follower(scratch)
    tell(record, 1, 2)
    os.truncate(record.place, record.place.stat().st_size - cut)
    first = told(follower)
    tell(record, 3)
    second = told(follower)
    assert first == [1] and second == [3]
    assert follower.position.number == position_at_end(scratch).number


def test_a_line_that_was_cut_at_the_end_of_a_file_is_one_number(scratch, record, monkeypatch):
    full(monkeypatch)
    follower = Follower(scratch)
    tell(record, 1, 2)
    os.truncate(record.place, record.place.stat().st_size - 3)
    assert told(follower) == [1]
    record.follow_on()
    tell(record, 3)
    assert told(follower) == [3] and follower.take_lost() == 0
    assert follower.position.number == position_at_end(scratch).number


NONSENSE = [b"{}", b"null", b"\xff\xff", b'{"at":1}', b'{"at":true,"event":"x"}', b'{"at":"x","event":"y"}',
            b"[" * 5000, b""]


@pytest.mark.parametrize("nonsense", NONSENSE)
def test_nonsense_is_passed_over_and_has_a_number(scratch, record, nonsense):
    tell(record, 1)
    with record.place.open("ab") as file:
        file.write(nonsense + b"\n")
    tell(record, 2)
    follower = Follower(scratch)
    events = follower.read()
    assert [event["pid"] for event in events] == [1, 2] and events[1]["id"] == events[0]["id"] + 2


def test_bytes_without_an_end_do_not_keep_a_reader(scratch, record, monkeypatch):
    monkeypatch.setattr(follow, "CHUNK_BYTES", 4096)
    follower = Follower(scratch)
    with record.place.open("ab") as file:
        file.write(b"x" * 10_000)
    tell(record, 1)
    assert told(follower) == [1]


# ---------------------------------------------------------------- bounds


@pytest.mark.parametrize("room, rotates", [(-1, True), (0, True), (1, False)])
def test_a_file_of_the_bound_is_followed_by_another(scratch, record, monkeypatch, room, rotates):
    tell(record, 1)
    monkeypatch.setattr(module, "MOST_BYTES", record.place.stat().st_size + room)
    assert record.follow_on() == rotates == record.before.exists()
    assert told(Follower(scratch)) == [1]


@pytest.mark.parametrize("room, fits", [(-1, False), (0, True), (1, True)])
def test_nobody_writes_into_a_full_file(scratch, record, monkeypatch, room, fits):
    """There is no supervisor that would begin another one."""
    monkeypatch.setattr(module, "FULL_BYTES", record.place.stat().st_size + len(line(1)) + room)
    lines = deque([line(1), line(2)])
    with pytest.raises(OSError, match="too large"):
        record.append(lines)
    assert told(Follower(scratch)) == ([1] if fits else []) and len(lines) == 2 - fits


def test_a_disk_without_room_takes_no_half_of_a_line(scratch, record, monkeypatch):
    lines, write = deque([line(1), line(2)]), os.write
    monkeypatch.setattr(module.os, "write", lambda fd, content: write(fd, content[: 10 if b":2" in content else 999]))
    with pytest.raises(OSError, match="No space left"):
        record.append(lines)
    monkeypatch.undo()
    assert list(lines) == [line(2)] and record.place.read_bytes().endswith(line(1))


def test_who_holds_the_file_for_too_long_keeps_nobody(scratch, record, monkeypatch):
    monkeypatch.setattr(module, "LOCK_LIMIT_S", 0.0)
    full(monkeypatch)
    lines = deque([line(1)])
    with record.place.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        for work in (lambda: record.append(lines), record.follow_on):
            with pytest.raises(OSError) as said:
                work()
            assert said.value.errno == errno.EAGAIN
    record.append(lines)
    assert told(Follower(scratch)) == [1]


def test_without_a_file_nothing_is_written(scratch, monkeypatch):
    """The supervisor alone makes it: a number may be remembered that another writer does not know."""
    monkeypatch.setattr(module, "LOCK_LIMIT_S", 0.0)
    with pytest.raises(FileNotFoundError):
        EventFile(scratch).append(deque([line(1)]))
    assert list(scratch.iterdir()) == []


# ---------------------------------------------------------------- readers


def test_a_reader_that_is_too_slow_hears_how_many_it_missed(scratch, record, monkeypatch):
    full(monkeypatch)
    tell(record, 1)
    follower = Follower(scratch)
    assert told(follower) == [1]
    follower.close()        # one that keeps its file open misses less
    for number in range(2, 8):
        tell(record, number)
        record.follow_on()
    assert told(follower) == [7] and follower.take_lost() == 5 and follower.take_lost() == 0


def test_a_reader_that_keeps_its_file_open_reads_it_to_its_end(scratch, record, monkeypatch):
    full(monkeypatch)
    tell(record, 1)
    follower = Follower(scratch)
    assert told(follower) == [1]
    tell(record, 2)
    for number in range(3, 6):
        record.follow_on()
        tell(record, number)
    assert told(follower) == [2, 4, 5] and follower.take_lost() == 1


def test_what_was_in_another_life_is_not_missed(scratch, record):
    tell(record, 1, 2)
    position = Position(number=1, life=1)
    follower = Follower(scratch, position)
    assert told(follower) == [1, 2] and follower.take_lost() == 0


def test_who_comes_back_with_a_number_too_late_hears_how_many_it_missed(scratch, record, monkeypatch):
    full(monkeypatch)
    first = position_at_end(scratch).number
    for number in range(1, 7):
        tell(record, number)
        record.follow_on()
    tell(record, 7)
    follower = Follower(scratch, Position(number=first + 1))
    assert told(follower) == [6, 7] and (follower.take_lost(), follower.take_anew()) == (4, False)
    other = Follower(scratch, Position(number=first - 1))      # of a record before this one
    assert told(other) == [6, 7] and (other.take_lost(), other.take_anew()) == (0, True) and not other.take_anew()


@pytest.mark.parametrize("files", [1, 2])
def test_who_goes_on_from_a_number_or_a_place_misses_nothing(scratch, record, monkeypatch, files):
    full(monkeypatch)
    tell(record, *range(5))
    if files == 2:
        record.follow_on()
    tell(record, *range(5, 10))
    every = Follower(scratch)
    assert told(every) == [*range(10)]
    first = every.position.number - 10
    for number in range(12):
        follower = Follower(scratch, Position(number=first + number))
        assert told(follower) == [*range(10)][number:]
        again = Follower(scratch, follower.position)
        tell(record, 99)
        assert told(again) == told(follower) == [99]
        for one in (again, follower):
            one.close()
        record.place.write_bytes(record.place.read_bytes().removesuffix(line(99)))


def test_no_descriptor_is_left_open(scratch, record, monkeypatch):
    full(monkeypatch)
    before = len(os.listdir("/proc/self/fd"))
    follower = Follower(scratch)
    for number in range(9):
        tell(record, number)
        record.follow_on()
        told(follower)
    follower.close()
    assert len(os.listdir("/proc/self/fd")) == before


WRITER = """
import sys
from collections import deque
from fastsip.events.file import EventFile, line_of
record, name = EventFile(sys.argv[1]), sys.argv[2]
print("ready", flush=True)
sys.stdin.readline()
for number in range(int(sys.argv[3])):
    record.append(deque([line_of({"at": 1.5, "event": name, "pid": number, "why": "x" * (number % 300)})]))
print("done", flush=True)
sys.stdin.readline()
"""


def test_writers_in_processes_of_their_own_and_who_renames_beside_them(scratch, record, monkeypatch):
    """Two to their ends, one that is killed in the middle; a follower sees each line once, each writer's in order."""
    monkeypatch.setattr(module, "MOST_BYTES", 20_000)
    argv = [sys.executable, "-c", WRITER, str(scratch)]
    pipes = {"cwd": ROOT, "stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    writers = {name: subprocess.Popen([*argv, name, count], **pipes)
               for name, count in (("a", "500"), ("b", "500"), ("killed", "1000000"))}
    over, seen = threading.Event(), []
    follower = Follower(scratch)

    def follow_all():
        while not over.is_set():
            seen.extend(follower.read())
            record.follow_on() if len(seen) % 5 == 0 else None
        while found := follower.read():
            seen.extend(found)

    reader = threading.Thread(target=follow_all)
    try:
        for writer in writers.values():
            assert writer.stdout.readline() == "ready\n"
        reader.start()
        for writer in writers.values():
            writer.stdin.write("go\n")
            writer.stdin.flush()
        wait_until(lambda: any(event["event"] == "killed" for event in seen[-200:]), LIMIT_S)
        writers["killed"].send_signal(signal.SIGKILL)
        for name in ("a", "b"):
            assert writers[name].stdout.readline() == "done\n"
    finally:
        over.set()
        for writer in writers.values():
            writer.kill()
            writer.communicate(timeout=LIMIT_S)
        reader.join(LIMIT_S)
    assert follower.take_lost() == 0
    by_name = {name: [event["pid"] for event in seen if event["event"] == name] for name in writers}
    assert by_name["a"] == by_name["b"] == [*range(500)] and by_name["killed"] == [*range(len(by_name["killed"]))]
    assert [event["id"] for event in seen] == sorted({event["id"] for event in seen})
