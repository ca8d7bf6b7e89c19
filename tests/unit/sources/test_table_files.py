"""Tables in files: db_text and dumps, which form and which table a file has, its escapes and its bounds."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastsip.sources import columns
from fastsip.sources.rows import SourceAway
from fastsip.sources.table_files import _db_text_values, _dump_values, read_kamailio_file, read_opensips_file

DISPATCHER = ("id(int,auto) setid(int) destination(string) socket(string,null) state(int) probe_mode(int) "
              "weight(string) priority(int) attrs(string,null) description(string,null) \n")
LOAD_BALANCER = ("id(int,auto) group_id(int) dst_uri(string) resources(string) probe_mode(int) attrs(string,null) "
                 "description(string,null) \n")
KAMAILIO = "id(int,auto) setid(int) destination(string) flags(int) priority(int) attrs(string) description(string) \n"


@pytest.fixture
def read(tmp_path):
    def reads(text: str | bytes, reader=read_opensips_file):
        place = tmp_path / "table"
        place.write_bytes(text if isinstance(text, bytes) else text.encode())
        return reader(str(place))

    return reads


def only(reading):
    assert not reading.misfits, reading.misfits
    (row,) = reading.rows
    return row


# ---------------------------------------------------------------- db_text


def test_a_db_text_file_of_the_dispatcher(read):
    row = only(read(DISPATCHER + "7:1:sip\\:192.0.2.1\\:5070:udp\\:192.0.2.9\\:5060:2:0:50:-3:a\\:b\\\\c\\td:\n"))
    assert (row.where, row.setid, row.uri) == ("line 2", 1, "sip:192.0.2.1:5070")
    assert (row.socket, row.weight, row.priority, row.starts_down) == ("udp:192.0.2.9:5060", 50, -3, True)
    assert row.attrs == (("attrs", "a:b\\c\td"),)


def test_a_db_text_file_of_the_load_balancer(read):
    row = only(read(LOAD_BALANCER + "1:4:sip\\:192.0.2.1:pstn=32;vm=2:1::\n"))
    assert (row.setid, row.probe_mode, row.attrs) == (4, "only-failed", (("resources", "pstn=32;vm=2"),))


def test_a_db_text_file_of_kamailio(read):
    row = only(read(KAMAILIO + "1:2:sip\\:192.0.2.1:8:5:duid=gw;weight=3:x", read_kamailio_file))
    assert (row.setid, row.probed, row.priority, row.name, row.weight) == (2, True, 5, "gw", 3)


def test_a_row_with_another_number_of_columns_leaves_out_itself(read):
    reading = read(LOAD_BALANCER + "1:4:sip\\:192.0.2.1:pstn=1:1::\n\n2:4:sip:192.0.2.2:pstn=1:1::\n3:4\n")
    assert [row.where for row in reading.rows] == ["line 2"]
    assert [str(one) for one in reading.misfits] == [
        "line 4: 7 columns are wanted, 8 are there", "line 5: 7 columns are wanted, 2 are there"]


@given(st.lists(st.text(), min_size=1, max_size=5))
def test_db_text_is_taken_apart_as_the_routers_put_it_together(values):
    written = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\\": "\\\\", ":": "\\:", "\0": "\\0"}
    line = ":".join("".join(written.get(letter, letter) for letter in value) for value in values)
    assert _db_text_values(line) == [value or None for value in values]


# ---------------------------------------------------------------- dumps


MYSQL = "id\tsetid\tdestination\tsocket\tstate\tprobe_mode\tweight\tpriority\tattrs\tdescription\n"


def test_a_dump_of_mysql(read):
    row = only(read(MYSQL + "7\t1\tsip:192.0.2.1\tNULL\t1\t0\t50\t0\ttwo\\twords\tNULL\n"))
    assert (row.where, row.uri, row.socket, row.admin) == ("line 2", "sip:192.0.2.1", "", "disabled")
    assert row.attrs == (("attrs", "two\twords"),)


def test_a_dump_of_postgresql(read):
    text = '"DST_URI"\tgroup_id\tresources\tprobe_mode\r\nsip:192.0.2.1\t3\tvm=1\t\\N\r\n(1 row)\r\n'
    row = only(read(text))
    assert (row.uri, row.setid, row.probed) == ("sip:192.0.2.1", 3, False)


def test_a_dump_of_kamailio(read):
    row = only(read("setid\tdestination\tflags\tattrs\n1\tsip:192.0.2.1\t0x8\t\\N\n", read_kamailio_file))
    assert (row.setid, row.probed, row.attrs) == (1, True, ())


def test_columns_that_are_not_asked_for_need_not_be_there(read):
    assert only(read("destination\nsip:192.0.2.1\n")).setid == 0


def test_backslashes_that_escape_nothing_stay(read):
    assert _dump_values("a\\b\\") == ["a\\b\\"] and _dump_values("\\N\tNULL\tN\t") == [None, None, "N", ""]


@given(st.lists(st.text(alphabet=st.characters(exclude_characters="\0")), min_size=1, max_size=5))
def test_a_dump_is_taken_apart_as_mysql_puts_it_together(values):
    written = {"\n": "\\n", "\t": "\\t", "\\": "\\\\"}
    line = "\t".join("".join(written.get(letter, letter) for letter in value) for value in values)
    assert _dump_values(line) == [None if value == "NULL" else value for value in values]


# ---------------------------------------------------------------- which one it is


def test_a_list_of_kamailio_is_no_table(read):
    """Its usual first line, a comment, looks like one of db_text."""
    text = "# setid(int) destination(sip uri) flags(int,opt) priority(int,opt) attributes(str,opt)\n1 192.0.2.1 8 2\n"
    assert only(read(text, read_kamailio_file)).priority == 2


@pytest.mark.parametrize(("text", "reader", "why"), [
    (DISPATCHER, read_kamailio_file, "those of a table of OpenSIPS"),
    (LOAD_BALANCER, read_kamailio_file, "those of a table of OpenSIPS"),
    (KAMAILIO, read_opensips_file, "those of Kamailio's table"),
    ("1 sip:192.0.2.1\n", read_opensips_file, "does not say the columns"),
    ("", read_opensips_file, "does not say the columns"),
    ("id(int) setid(int)\n", read_opensips_file, "does not say the columns"),
    ("x" * 100_000, read_opensips_file, "does not say the columns"),
])  # fmt: skip
def test_what_is_none_of_the_tables_is_said(read, text, reader, why):
    with pytest.raises(SourceAway, match=why):
        read(text, reader)


# ---------------------------------------------------------------- bounds


def test_lines_have_a_bound(read):
    start = "destination\tattrs\nsip:192.0.2.1\t"
    room = columns.LONGEST_LINE - len("sip:192.0.2.1\t")
    assert only(read(start + "x" * room)).attrs == (("attrs", "x" * room),)
    reading = read(start + "x" * (room + 1))
    assert str(reading.misfits[0]) == "line 2: longer than 4096 characters" and not reading.rows


def test_rows_and_bytes_have_bounds(read, monkeypatch):
    monkeypatch.setattr(columns, "MOST_ROWS", 2)
    reading = read("destination\n" + "sip:192.0.2.1\n" * 3)
    assert len(reading.rows) == 2 and str(reading.misfits[0]) == "line 4: more than 2 destinations"
    monkeypatch.setattr(columns, "MOST_BYTES", 20)
    assert only(read("destination\n192.0.2.")).uri == "sip:192.0.2."
    with pytest.raises(SourceAway, match="larger than"):
        read("destination\n192.0.2.1")


@pytest.mark.parametrize("reader", [read_kamailio_file, read_opensips_file])
def test_what_is_no_file(tmp_path, reader):
    os.mkfifo(tmp_path / "fifo")
    for name in ("none", "fifo", "."):
        with pytest.raises(SourceAway, match="cannot be read"):
            reader(str(tmp_path / name))


def test_bytes_that_are_no_text(read):
    reading = read(b"\xef\xbb\xbfdestination\nsip:192.0.2.1\nsip:\xff\n")
    assert [row.uri for row in reading.rows] == ["sip:192.0.2.1", "sip:\ufffd"]
