"""Kamailio's list, line by line: what each of its columns and flags becomes, and what is said about the rest."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastsip.sources import columns
from fastsip.sources.kamailio import read_columns, read_list
from fastsip.sources.rows import Row


def one(line: str) -> Row:
    reading = read_list(line, 0.0)
    assert not reading.misfits, reading.misfits
    (row,) = reading.rows
    return row


def why(line: str) -> str:
    reading = read_list(line, 0.0)
    assert not reading.rows
    (misfit,) = reading.misfits
    return str(misfit)


def test_a_whole_line():
    row = one("7 sip:192.0.2.1:5070 8 -3 duid=gw1;weight=50;rweight=20;socket=udp:192.0.2.9:5060;"
              "ping_from=sip:us@example.net;site=east;flag  # the old one")
    assert (row.where, row.setid, row.uri, row.name) == ("line 1", 7, "sip:192.0.2.1:5070", "gw1")
    assert (row.priority, row.weight, row.relative_weight) == (-3, 50, 20)
    assert (row.socket, row.probe_from) == ("udp:192.0.2.9:5060", "sip:us@example.net")
    assert dict(row.attrs)["site"] == "east" and dict(row.attrs)["flag"] == ""
    assert len(row.attrs) == 7  # nothing of a list is lost


def test_the_shortest_line():
    row = one("0 192.0.2.1")
    assert (row.setid, row.uri, row.priority, row.attrs) == (0, "sip:192.0.2.1", 0, ())
    assert (row.admin, row.starts_down, row.probed, row.weight) == ("enabled", False, None, None)


# Flags -> admin, starts down, probed.
FLAGS = {
    "0": ("enabled", False, None), "1": ("disabled", False, None), "2": ("enabled", False, None),
    "4": ("disabled", False, None), "8": ("enabled", False, True), "9": ("enabled", True, True),
    "0x9": ("enabled", True, True), "0X0c": ("disabled", False, True), "16": ("enabled", False, None),
    "24": ("enabled", False, True), "32": ("enabled", False, False), "40": ("enabled", False, False),
}  # fmt: skip


@pytest.mark.parametrize("flags", FLAGS)
def test_flags(flags):
    row = one(f"1 sip:192.0.2.1 {flags}")
    assert (row.admin, row.starts_down, row.probed) == FLAGS[flags]


UNFIT = {
    "x sip:192.0.2.1": "setid: allowed is a whole number from 0 to 2147483647, found x",
    "-1 sip:192.0.2.1": "setid: ",
    "2147483648 sip:192.0.2.1": "setid: ",
    "1_0 sip:192.0.2.1": "setid: ",
    "1": "a set and a destination are the least",
    "1 sip:192.0.2.1 64": "flags: allowed is a whole number from 0 to 63, found 64",
    "1 sip:192.0.2.1 AP": "flags: ",
    "1 sip:192.0.2.1 0 2147483648": "priority: ",
    "1 sip:192.0.2.1 0 0 weight=fifty": "weight: allowed is a whole number from 0 to 1000000, found fifty",
    "1 sip:192.0.2.1 0 0 rweight=1000001": "rweight: ",
    "1 sip:192.0.2.1 0 0 duid=" + "x" * 65: "duid: allowed are 64 letters that can be printed",
    "1 sip:192.0.2.1 0 0 duid=a\0b": "duid: allowed are 64 letters",
    "1 sip:192.0.2.1 0 0 a=b c": "more than five words",
    "1 sip:192.0.2.1 " + "0" * columns.LONGEST_LINE: "longer than 4096 characters",
}


@pytest.mark.parametrize("line", UNFIT)
def test_what_is_left_out(line):
    assert why(line).startswith(f"line 1: {UNFIT[line]}")


def test_the_edges_of_numbers():
    assert len(one("1 192.0.2.1 0 0 duid=" + "x" * 64).name) == 64
    assert one("2147483647 192.0.2.1 63 2147483647 weight=1000000").weight == 1_000_000
    assert one("1 192.0.2.1 0 -2147483648").priority == -(1 << 31)


def test_one_bad_line_leaves_the_others():
    reading = read_list("\ufeff# a list\r\n\r\n1 sip:192.0.2.1\r\nnonsense here\n  \n1 sip:192.0.2.2 #", 5.0)
    assert [(row.where, row.uri) for row in reading.rows] == [("line 3", "sip:192.0.2.1"), ("line 6", "sip:192.0.2.2")]
    assert [misfit.where for misfit in reading.misfits] == ["line 4"]
    assert reading.at == 5.0


def test_bounds_of_a_list(monkeypatch):
    monkeypatch.setattr(columns, "MOST_ROWS", 3)
    reading = read_list("1 192.0.2.1\n" * 4, 0.0)
    assert len(reading.rows) == 3 and str(reading.misfits[0]) == "line 4: more than 3 destinations"


def test_misfits_are_said_one_by_one_up_to_a_bound():
    exact = read_list("x y\n" * columns.MOST_MISFITS, 0.0).misfits
    assert len(exact) == columns.MOST_MISFITS and exact[-1].where == f"line {columns.MOST_MISFITS}"
    more = read_list("x y\n" * (columns.MOST_MISFITS + 2), 0.0).misfits
    assert len(more) == columns.MOST_MISFITS + 1 and more[-1].where == "2 more"


def test_columns_that_are_null_have_their_defaults():
    row = read_columns({"id": 3, "setid": 2, "destination": "sip:192.0.2.1", "flags": None, "priority": None,
                        "attrs": None, "description": "x"}, "id 3")
    assert (row.where, row.setid, row.priority, row.attrs, row.admin) == ("id 3", 2, 0, (), "enabled")


@given(st.text(alphabet="012 x#=;:.sipw\n\t\r\0é\u2028_-", max_size=120))
def test_any_text_is_read(text):
    """Each line that has words is a row or is said."""
    reading = read_list(text, 0.0)
    lines = [line for line in text.split("\n") if line.partition("#")[0].split()]
    assert len(reading.rows) + len(reading.misfits) == len(lines)
