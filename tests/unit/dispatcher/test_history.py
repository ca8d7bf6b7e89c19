"""dispatcher.history: what is kept of the changes of destinations, and what a death or a full disk leaves of it."""

import errno
import os

import pytest

from fastsip.dispatcher import history
from fastsip.dispatcher.history import Change, History, bounded, read


def change(number: int, identity: str = "m/a", **more) -> Change:
    return Change(at=float(number), id=identity, now="down", by="probe", code=408, **more)


def test_what_is_appended_is_read_in_order(scratch):
    one = History(scratch)
    one.append([change(1), change(2, "m/b", why="x\ny")])
    one.append([change(3)])
    assert read(scratch) == [change(1), change(2, "m/b", why="x\ny"), change(3)]
    History(scratch).append([change(4)])        # another router
    assert [each.at for each in read(scratch)] == [1, 2, 3, 4]
    assert os.stat(scratch / "history").st_mode & 0o777 == 0o640


def test_where_nothing_happened_there_is_nothing(scratch):
    assert read(scratch) == []


@pytest.mark.parametrize("kept", [history.KEPT_EACH - 1, history.KEPT_EACH, history.KEPT_EACH + 1])
def test_the_last_of_each_are_kept(kept):
    found = bounded([change(0, "m/b"), *(change(number) for number in range(kept))])
    assert found[0].id == "m/b"
    assert [each.at for each in found[1:]] == list(range(kept))[-history.KEPT_EACH:]


def test_the_last_of_all_are_kept(monkeypatch):
    monkeypatch.setattr(history, "MOST_KEPT", 3)
    assert [each.at for each in bounded([change(number, f"m/{number}") for number in range(5)])] == [2, 3, 4]


@pytest.mark.parametrize("most", [4, 5, 6])
def test_a_file_that_is_full_is_written_anew(scratch, monkeypatch, most):
    monkeypatch.setattr(history, "MOST_LINES", most)
    monkeypatch.setattr(history, "KEPT_EACH", 2)
    one = History(scratch)
    for number in range(20):
        one.append([change(number)])
        assert (scratch / "history").read_bytes().count(b"\n") <= most + 2
    assert [each.at for each in read(scratch)] == [18, 19]


def test_a_file_that_cannot_be_written_anew_does_not_grow(scratch, monkeypatch):
    monkeypatch.setattr(history, "MOST_LINES", 2)
    one = History(scratch)
    one.append([change(1)])

    def refuse(*_):
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(history, "replace_file", refuse)
    for _ in range(3):
        with pytest.raises(OSError):
            one.append([change(2)])
    assert read(scratch) == [change(1)]


@pytest.mark.parametrize("cut", range(2, 60, 7))
def test_a_line_that_a_death_has_cut_costs_itself(scratch, cut):
    History(scratch).append([change(1), change(2)])
    whole = (scratch / "history").read_bytes()
    (scratch / "history").write_bytes(whole[:-cut])
    History(scratch).append([change(3)])
    assert [each.at for each in read(scratch)] == [1, 3]


NONSENSE = [b"{}", b"null", b"\xff\xff", b'{"at":1}', b'{"at":"x","id":1,"now":2,"by":3}', b"[" * 5000]


@pytest.mark.parametrize("line", NONSENSE)
def test_nonsense_is_passed_over(scratch, line):
    (scratch / "history").write_bytes(line + b"\n")
    History(scratch).append([change(1)])
    assert read(scratch) == [change(1)]


def test_what_a_disk_did_not_take_is_said(scratch, monkeypatch):
    monkeypatch.setattr(history.os, "write", lambda fd, content: 5)
    with pytest.raises(OSError, match="No space left"):
        History(scratch).append([change(1)])


def test_a_link_in_its_place_is_not_followed(scratch):
    (scratch / "other").write_text("")
    (scratch / "history").symlink_to(scratch / "other")
    with pytest.raises(OSError):
        History(scratch).append([change(1)])
    assert (scratch / "other").read_text() == ""
