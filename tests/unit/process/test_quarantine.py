"""Marks of the dead, what is counted of them, and the datagrams that nobody touches again."""

import os

import pytest

from fastsip._core.store.marks import HEAD, MOST, PAGE_BYTES, ROOM_BYTES
from fastsip.config.language import MAX_SHARDS
from fastsip.process.marks import Mark, Marks
from fastsip.process.quarantine import REMEMBERED, Deaths, keep_datagram, keep_slot, read_quarantine

DATAGRAM, SLOT = 1, 2


def write_mark(marks: Marks, shard: int, kind: int, *, content=b"", length=None, ref=0, generation=0, beats=0):
    """As a shard writes it."""
    page = marks.page(1 + shard).cast("B")
    page[: HEAD.size] = HEAD.pack(beats, kind, len(content) if length is None else length, ref, generation)
    page[HEAD.size : HEAD.size + len(content)] = content


def test_marks_are_seen_through_another_mapping(tmp_path):
    ours, theirs = Marks(str(tmp_path)), Marks(str(tmp_path))
    assert ours.set() == []
    write_mark(theirs, 0, DATAGRAM, content=b"INVITE")
    write_mark(theirs, MAX_SHARDS - 1, SLOT, ref=5 << 26 | 7, generation=3)
    assert ours.set() == [Mark("datagram", b"INVITE", 6), Mark("slot", ref=5 << 26 | 7, generation=3)]
    ours.clear()
    assert theirs.set() == []


def test_a_long_datagram_is_known_by_its_beginning_and_length(tmp_path):
    marks = Marks(str(tmp_path))
    write_mark(marks, 0, DATAGRAM, content=b"x" * ROOM_BYTES, length=65_535)
    assert marks.set() == [Mark("datagram", b"x" * ROOM_BYTES, 65_535)]


def test_the_file_is_allocated_and_private(tmp_path):
    Marks(str(tmp_path))
    found = os.stat(tmp_path / "marks")
    assert found.st_size == (1 + MAX_SHARDS) * PAGE_BYTES <= found.st_blocks * 512
    assert found.st_mode & 0o777 == 0o640


def test_beats_are_those_of_the_loop_and_the_shards(tmp_path):
    marks = Marks(str(tmp_path))
    marks.page(0)[0] = 4
    for shard in range(3):
        write_mark(marks, shard, 0, beats=10 + shard)
    assert marks.beats(2) == [4, 10, 11]


def test_the_second_death_counts_and_the_third_is_no_news():
    deaths, poison = Deaths(), Mark("datagram", b"poison", 6)
    others = [Mark("slot", ref=number, generation=1) for number in range(3)]
    assert deaths.note([poison, others[0]]) == []
    assert deaths.note([others[1]]) == []
    assert deaths.note([poison, others[2]]) == [poison]
    assert deaths.note([poison]) == []
    assert deaths.note([poison]) == [poison]  # whatever was done about it did not help


def test_one_death_with_the_same_mark_on_two_shards_is_one_death():
    mark = Mark("slot", ref=1, generation=1)
    assert Deaths().note([mark, mark]) == []


def test_another_life_of_a_slot_and_another_length_are_other_things():
    deaths = Deaths()
    deaths.note([Mark("slot", ref=1, generation=1), Mark("datagram", b"same", 4)])
    assert deaths.note([Mark("slot", ref=1, generation=2), Mark("datagram", b"same", 5)]) == []


def test_what_is_remembered_is_bounded():
    deaths, first = Deaths(), Mark("slot", ref=0, generation=1)
    deaths.note([first])
    for number in range(1, REMEMBERED):
        deaths.note([Mark("slot", ref=number, generation=1)])
    assert deaths.note([first]) == [first]
    deaths.note([Mark("slot", ref=number, generation=2) for number in range(REMEMBERED)])
    assert deaths.note([Mark("slot", ref=1, generation=1)]) == []  # forgotten


def test_a_kept_datagram_is_read_again(tmp_path):
    assert len(read_quarantine(str(tmp_path))) == 0
    place = keep_datagram(str(tmp_path), Mark("datagram", b"poison\r\n", 8))
    assert place.parent == tmp_path / "quarantine" and place.read_bytes() == b"poison\r\n"
    keep_datagram(str(tmp_path), Mark("datagram", b"poison\r\n", 8))  # the same once more
    keep_slot(str(tmp_path), Mark("slot", ref=1, generation=2), b"content")
    assert len(read_quarantine(str(tmp_path))) == 1
    place.unlink()
    assert len(read_quarantine(str(tmp_path))) == 0


def test_a_disk_that_takes_nothing_is_borne(tmp_path, caplog):
    (tmp_path / "quarantine").write_text("no folder")
    assert keep_datagram(str(tmp_path), Mark("datagram", b"poison\r\n", 8)) is None
    assert keep_slot(str(tmp_path), Mark("slot", ref=1, generation=2), b"content") is None
    assert caplog.text.count("not kept in quarantine") == 2


@pytest.mark.parametrize("count", [MOST, MOST + 1])
def test_of_more_than_there_is_room_for_the_newest_count(tmp_path, count):
    for number in range(count):
        place = keep_datagram(str(tmp_path), Mark("datagram", b"%d" % number, 1))
        os.utime(place, (number, number))
    assert len(read_quarantine(str(tmp_path))) == MOST


def test_files_that_are_none_of_ours_are_left_alone(tmp_path, caplog):
    folder = tmp_path / "quarantine"
    folder.mkdir()
    for name in ("notes.datagram", "notes-x.datagram", f"notes-{2**32}.datagram", "README"):
        (folder / name).write_text("an operator's")
    (folder / "folder-5.datagram").mkdir()
    assert len(read_quarantine(str(tmp_path))) == 0
    assert len(caplog.records) == 4


def test_a_mark_says_what_it_is():
    assert str(Mark("slot", ref=5 << 26 | 7, generation=3)) == "slot 5/7, generation 3"
    assert str(Mark("datagram", b"INVITE x" * 20, 160)).startswith("datagram of 160 bytes: b'INVITE x")
