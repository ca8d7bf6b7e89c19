"""sources.added: destinations that operators add, by Kamailio's columns."""

import os

import pytest

from fastsip.sources.added import added_row, read_added, write_added
from fastsip.sources.columns import LONGEST_LINE

ROW = added_row({"setid": "1", "destination": "192.0.2.1", "priority": 5, "attrs": "duid=a;weight=3", "flags": 9})


def test_what_is_added_is_kept(scratch):
    assert read_added(scratch).rows == ()
    write_added(scratch, [ROW])
    assert read_added(scratch).rows == (ROW,)
    assert (ROW.uri, ROW.name, ROW.weight, ROW.starts_down) == ("sip:192.0.2.1", "a", 3, True)
    assert os.stat(scratch / "added").st_mode & 0o777 == 0o640
    write_added(scratch, [])
    assert read_added(scratch).rows == ()


@pytest.mark.parametrize("content", [b"", b"{}", b'{"layout":2,"rows":[]}', b'{"layout":1,"rows":[{}]}', b"[" * 9000])
def test_a_damaged_file_is_kept_aside(scratch, caplog, content):
    (scratch / "added").write_bytes(content)
    assert read_added(scratch).rows == ()
    (aside,) = scratch.glob("added.damaged-*")
    assert aside.read_bytes() == content and str(aside) in caplog.records[-1].fields["why"]


@pytest.mark.parametrize(("columns", "words"), [
    ({"setid": "1"}, "destination: it is missing"), ({"setid": "x", "destination": "a"}, "setid: allowed is"),
    ({"setid": "1", "destination": "a", "flags": -1}, "flags: allowed is"),
    ({"setid": "1", "destination": "a", "priority": 2**31}, "priority: allowed is"),
    ({"setid": "1", "destination": "a", "attrs": f"duid={'x' * 65}"}, "duid: allowed are"),
    ({"setid": "1", "destination": "a", "attrs": "x" * (LONGEST_LINE - 3)}, "longer than 4096 characters"),
    ({"setid": "1", "destination": "a", "attrs": "x=\x1b[2J"}, "attrs: allowed is text that can be printed"),
    ({"setid": "1", "destination": "a", "attrs": "x=1\ny=2"}, "attrs: allowed is text that can be printed"),
])  # fmt: skip
def test_what_is_wrong_is_said(columns, words):
    with pytest.raises(ValueError, match=words):
        added_row(columns)


def test_a_row_may_be_as_long_as_a_line_of_a_list():
    assert added_row({"setid": "1", "destination": "a", "attrs": "x" * (LONGEST_LINE - 4)}).attrs


def test_a_file_that_cannot_be_read_is_not_taken_for_none_by_who_needs_it(scratch, caplog):
    write_added(scratch, [ROW])
    (scratch / "added").chmod(0o660)
    assert read_added(scratch).rows == () and "others may write there" in caplog.records[-1].fields["why"]
    with pytest.raises(OSError, match=r"cannot be read: .*others may write there"):
        read_added(scratch, needed=True)
    (scratch / "added").unlink()
    assert read_added(scratch, needed=True).rows == ()
