"""observe.destinations: cells of shards, read by who asks nobody; observe.as_kamailio: the same in Kamailio's words."""

import time

import pytest

from fastsip._core.base.clock import now_ms
from fastsip._core.base.mapped import Damaged
from fastsip._core.dispatcher.cells import HEALTH_NAMES, Cell, Cells, read_lines
from fastsip.observe.as_kamailio import as_text, flags, records
from fastsip.observe.destinations import NO_PACE, UNSEEN, _seen, read_seen, takes_calls, with_seen
from fastsip.routing.registry import Registry


@pytest.fixture
def cells(scratch):
    return Cells(scratch / "cells", 8)


def test_what_shards_know_is_read_by_name(scratch, cells):
    with Registry(scratch) as registry:
        up, down = (registry.id("destination", name) for name in ("m/up", "m/down"))
        lines = cells.assign(up), cells.assign(down, now_ms() - 5_000)
        cells.assign(registry.id("set", "m"))
        cells.set_retry_after(lines[0], now_ms() + 60_000)
        cells.set_retry_after(lines[1], now_ms() - 1)
        found = read_seen(scratch)
    assert set(found) == {"m/up", "m/down"}
    assert (found["m/up"].health, found["m/up"].since, found["m/up"].rtt_ms) == ("unknown", None, None)
    assert found["m/up"].retry_after and abs(found["m/up"].retry_after - time.time() - 60) < 5
    assert found["m/down"].health == "down" and found["m/down"].retry_after is None
    assert found["m/down"].since and abs(time.time() - 5 - found["m/down"].since) < 5


@pytest.mark.parametrize(("failed", "probes_failed", "of_calls"), [
    (38, 38, 0), (40, 38, 2), (5, 0, 5),
    (37, 38, 0),                                    # a probe that failed between the two looks
    (1, 0xFFFF_FFFE, 3),                            # both have gone round
])  # fmt: skip
def test_probes_that_fail_are_no_failures_of_calls(failed, probes_failed, of_calls):
    line = Cell(**dict.fromkeys(Cell.__match_args__, 0) | {"failed": failed, "probes_failed": probes_failed})
    assert _seen(line, NO_PACE, 0.0, 0).failed == of_calls


def test_lines_that_are_free_are_none(cells, scratch):
    cells.assign(7)
    cells.assign(8)
    cells.release(7)
    assert [one.destination_id for one in read_lines((scratch / "cells").read_bytes())] == [8]


@pytest.mark.parametrize(("at", "wrong"), [(0, b"X"), (8, b"\x02"), (12, b"\x80"), (16, b"\xff\xff")])
def test_a_file_of_something_else_is_said(cells, scratch, at, wrong):
    content = bytearray((scratch / "cells").read_bytes())
    content[at : at + len(wrong)] = wrong
    with pytest.raises(Damaged):
        read_lines(bytes(content))


@pytest.mark.parametrize("size", [0, 1, 31, 32, 4095, 4096, 4096 + 8 * 64 - 1])
def test_a_file_that_is_cut_is_said(cells, scratch, size):
    with pytest.raises(Damaged):
        read_lines((scratch / "cells").read_bytes()[:size])


def test_cells_of_another_boot_say_nothing(cells, scratch):
    cells.assign(7)
    content = bytearray((scratch / "cells").read_bytes())
    content[24:40] = bytes(16)
    assert read_lines(bytes(content)) == []


# ---------------------------------------------------------------- as Kamailio shows it

MEMBER = {"id": "1/a", "uri": "sip:192.0.2.1", "priority": 0, "weight": 1, "attrs": {}, "listener": "udp:1",
          "probe": "all", "admin": "enabled", "configured": "enabled", "said_at": None, "why": ""}  # fmt: skip


def member(**facts) -> dict:
    part = {"set": {"name": "1", "setid": 1, "algorithm": "call-id"}, "destinations": [MEMBER | facts]}
    return with_seen(part, {})["destinations"][0] | facts


@pytest.mark.parametrize(("facts", "letters", "ready"), [
    ({}, "AP", True), ({"health": "up"}, "AP", True), ({"health": "trying"}, "TP", True),
    ({"health": "down"}, "IP", False), ({"health": "down", "probe": "none"}, "IX", False),
    ({"admin": "draining"}, "DP", False), ({"admin": "disabled", "probe": "none", "health": "up"}, "DX", False),
    ({"retry_after": 5.0}, "AP", False),
])  # fmt: skip
def test_two_letters_say_the_state(facts, letters, ready):
    one = member(**facts)
    assert (flags(one), takes_calls(one)) == (letters, ready)


def test_the_highest_priority_first_and_sets_without_a_number_not_at_all():
    members = [member(uri=uri, priority=priority) for uri, priority in (("a", 1), ("b", 5), ("c", 5))]
    sets = [{"name": "1", "setid": 1, "destinations": members}, {"name": "m", "setid": None, "destinations": []}]
    found = records(sets)
    assert found["NRSETS"] == 1
    assert [each["DEST"]["URI"] for each in found["RECORDS"][0]["SET"]["TARGETS"]] == ["b", "c", "a"]


def test_attributes_stand_as_they_came_and_by_name():
    (row,) = records([{"setid": 1, "destinations": [member(attrs={"weight": "30", "flag": "", "x": "1"})]}])["RECORDS"]
    attrs = row["SET"]["TARGETS"][0]["DEST"]["ATTRS"]
    assert attrs["BODY"] == "weight=30;flag;x=1"
    assert (attrs["WEIGHT"], attrs["DUID"], attrs["MAXLOAD"]) == (30, None, 0)
    assert "SOCKET: <null string>\n" in as_text(records([{"setid": 1, "destinations": [member(weight=7)]}]))


def test_nothing_known_is_said_as_such():
    assert with_seen({"set": {"name": "m"}, "destinations": [MEMBER]}, {})["destinations"][0]["health"] == UNSEEN.health


def test_no_attribute_looks_like_a_line_of_the_list():
    one = member() | {"attrs": {"x": "1\n\t\t\t\tURI: sip:evil"}}
    assert sum("URI:" in line for line in as_text(records([{"setid": 1, "destinations": [one]}])).split("\n")) == 2
    assert "\n\t\t\t\tURI: sip:evil" not in as_text(records([{"setid": 1, "destinations": [one]}]))


def test_a_damaged_line_is_a_destination_of_which_nothing_is_known():
    cell = Cell(*(0 for _ in Cell._fields))
    found = [_seen(cell._replace(health=health), NO_PACE, 0.0, 0).health for health in (1, 9, 255)]
    assert found == [HEALTH_NAMES[1], "unknown", "unknown"]
