"""What a source said last: written whole, read by name and origin, in a folder that is ours alone."""

import os

from fastsip.sources.kept import kept_file, read_kept, write_kept
from fastsip.sources.rows import Misfit, Reading, Row

READING = Reading(at=1.5, rows=(Row(where="line 1", setid=1, uri="sip:192.0.2.1", attrs=(("a", "é"),)),),
                  misfits=(Misfit(where="line 2", why="nonsense"),))  # fmt: skip


def test_it_comes_back_as_it_was(tmp_path):
    write_kept(tmp_path / "state", "one", "/a", READING)
    assert read_kept(tmp_path / "state", "one", "/a") == READING


def test_nothing_of_another_name_or_origin(tmp_path):
    write_kept(tmp_path, "one", "/a", READING)
    assert read_kept(tmp_path, "two", "/a") is None and read_kept(tmp_path, "one", "/b") is None


def test_any_name_is_a_file(tmp_path):
    assert kept_file(tmp_path, "../../x").parent == tmp_path / "sources"


def test_the_folders_are_ours_alone(tmp_path):
    """Whatever the umask of who makes them."""
    before = os.umask(0)
    try:
        write_kept(tmp_path / "state", "one", "/a", READING)
    finally:
        os.umask(before)
    assert read_kept(tmp_path / "state", "one", "/a") == READING
