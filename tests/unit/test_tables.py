"""The routing table's builder, failure policies, and the file of cells."""

import os
import threading
from uuid import UUID

import pytest

from fastsip._core.base.files import boot_id
from fastsip._core.base.hashing import siphash_pieces
from fastsip._core.dispatcher.cells import Cells, CellsError
from fastsip._core.dispatcher.chooser import Chooser, Positions
from fastsip._core.routing import policies
from fastsip._core.routing.parts import DEFAULT_ACCEPT
from fastsip._core.routing.table import RoutingTable
from tests.kernels import rule_doors

SECRET = bytes(range(16))


def with_listener(**fields):
    table = RoutingTable(1, **fields)
    table.add_listener(1, 1, "192.0.2.1", 5060, "192.0.2.1")
    return table


def with_set(**fields):
    table = with_listener()
    table.add_set(1, 4, hash_key=SECRET, **fields)
    return table


def add(table, id, set_index=0, address="10.0.0.1", listener_index=0, **fields):
    table.add_destination(set_index, id, 0, address, 5060, listener_index, b"sip:ms", b"ms", **fields)


# ---------------------------------------------------------------- layout

def test_indexes_are_given_in_order():
    table = with_listener()
    assert table.add_listener(2, 1, "192.0.2.2", 5060, "b") == 1
    assert [table.add_set(id, 4) for id in (5, 6)] == [0, 1]
    assert [table.add_policy(id) for id in (7, 8)] == [1, 2]
    assert [table.add_rule(id, 0) for id in (9, 10)] == [0, 1]


def test_members_stand_together_by_priority_then_order():
    table = with_set()
    table.add_set(2, 4)
    for id, set_index, priority in ((1, 0, 0), (2, 1, 5), (3, 0, 9), (4, 0, 0), (5, 1, 6), (6, 0, 9)):
        add(table, id, set_index, priority=priority)
    table.seal()
    assert [(index, id) for index, id, *_ in table.members(0)] == [(0, 3), (1, 6), (2, 1), (3, 4)]
    assert [(index, id) for index, id, *_ in table.members(1)] == [(4, 5), (5, 2)]


def test_seed_is_the_keyed_hash_of_the_name_and_tells_twins_apart():
    table = with_set()
    add(table, 1, name="ms1")
    add(table, 2)
    add(table, 3)
    table.seal()
    seeds = [member[5] for member in table.members(0)]
    assert seeds == [siphash_pieces(SECRET, [name, twin])
                     for name, twin in ((b"ms1", 0), (b"sip:ms", 0), (b"sip:ms", 1))]


def test_sealed_is_final():
    table = with_set()
    assert table.sealed is False
    with pytest.raises(RuntimeError, match="not sealed"):
        Chooser(table, Cells(1))
    with pytest.raises(RuntimeError, match="not sealed"):
        table.members(0)
    assert table.seal() is table
    assert table.sealed is True
    assert table.pointer != 0
    for attempt in (
        lambda: table.add_listener(2, 1, "192.0.2.2", 5060, "b"), lambda: table.add_set(2, 4), table.seal,
        lambda: table.add_policy(1), lambda: table.add_rule(1, 0), lambda: table.add_own("a"),
        lambda: add(table, 1),
    ):
        with pytest.raises(RuntimeError, match="sealed"):
            attempt()


def test_positions_keep_their_table():
    """Positions hold the table they count in: a reload may drop every other reference."""
    table = with_set()
    add(table, 1)
    positions = Positions(table.seal(), 0)
    del table
    assert positions.table.members(0)[0][1] == 1


def test_thousands_of_destinations():
    table = with_set()
    for id in range(1, 5001):
        add(table, id, priority=id % 3, name=b"ms%d" % id)
    members = table.seal().members(0)
    assert len({seed for *_, seed in members}) == 5000
    assert [member[2] for member in members] == sorted((id % 3 for id in range(1, 5001)), reverse=True)


@pytest.mark.parametrize("attempt, complaint", [
    (lambda: RoutingTable(-1), "version"),
    (lambda: RoutingTable(1, clocks=(500, 4000, 5000)), "zip"),
    (lambda: RoutingTable(1, clocks=(500, 4000, 0, 181000)), "t4"),
    (lambda: RoutingTable(1, max_message=65536), "max_message"),
    (lambda: RoutingTable(1, max_head=511), "max_head"),
    (lambda: RoutingTable(1, branch_key=b"short"), "branch_key has 16"),
    (lambda: RoutingTable(1).add_listener(1, 1, "host.example.net", 5060, "x"), "address"),
    (lambda: RoutingTable(1).add_listener(1, 1, "192.0.2.1", 0, "x"), "port"),
    (lambda: RoutingTable(1).add_listener(0, 1, "192.0.2.1", 5060, "x"), "listener id"),
    (lambda: RoutingTable(1).add_listener(1, 1, "192.0.2.1", 5060, "x\r\nVia: y"), "one line"),
    (lambda: RoutingTable(1).add_listener(1, 1, "192.0.2.1", 5060, "x" * 260), "bytes of sent_by"),
    (lambda: RoutingTable(1).add_listener(1, 1, "192.0.2.1", 5060, ""), "bytes of sent_by"),
    (lambda: with_listener().add_set(1, 16), "algorithm"),
    (lambda: with_listener().add_set(1, 0, limit=17), "limit"),
    (lambda: with_listener().add_set(1, 0, hash_key=b""), "hash_key has 16"),
    (lambda: with_listener().add_set(2**32, 0), "set id"),
    (lambda: add(with_listener(), 1), "set index"),
    (lambda: add(with_set(), 1, listener_index=1), "listener index"),
    (lambda: add(with_set(), 1, address="2001:db8::1"), "other address family"),
    (lambda: add(with_set(), 1, weight=-1), "weight"),
    (lambda: add(with_set(), 1, priority=2**31), "priority"),
    (lambda: add(with_set(), 1, max_load=1.5), "max_load"),
    (lambda: add(with_set(), 1, probe={"every": 5}), "has no every"),
    (lambda: add(with_set(), 1, probe={"rise": 0}), "rise"),
    (lambda: add(with_set(), 1, probe={"fall": 256}), "fall"),
    (lambda: add(with_set(), 1, probe={"mode": "some"}), "mode"),
    (lambda: add(with_set(), 1, probe={"accept": [100]}), "accepted code"),
    (lambda: with_set().add_rule(1, 0, set_index=1), "set index"),
    (lambda: with_set().add_rule(1, 0, policy_index=1), "policy index"),
    (lambda: with_set().add_rule(1, 1), "needs reply"),
    (lambda: with_set().add_rule(1, 1, reply=(200, "OK")), "code of reply"),
    (lambda: with_set().add_rule(1, 0, ruri=3), "ruri"),
    (lambda: with_set().add_rule(1, 3), "action"),
    (lambda: with_set().add_rule(1, 2, forward=b"X Y"), "forward has letters"),
    (lambda: with_set().add_rule(1, 0, headers={"remove": [b"X:"]}), "headers.remove has letters"),
    (lambda: with_set().add_rule(1, 0, headers={"remove": [b"*"]}), "headers.remove is a text"),
    (lambda: with_set().add_rule(1, 0, headers={"remove": [b"X*Y*", b"via"]}), "via"),
    (lambda: with_set().add_rule(1, 0, headers={"remove": [b"F"]}), "takes from"),
    (lambda: with_set().add_rule(1, 0, headers={"remove": [b"C*"]}), "takes call-id, contact, content-length, cseq"),
    (lambda: with_set().add_rule(1, 0, headers={"set": [(b"Route", [("text", b"x")])]}), "takes route"),
    (lambda: with_set().add_rule(1, 0, headers={"set": [(b"X", [])]}), "no value"),
    (lambda: with_set().add_rule(1, 0, headers={"set": [(b"X", [("text", b"a\r\nB: c")])]}), "one line"),
    (lambda: with_set().add_rule(1, 0, headers={"set": [(b"X", [("user", b"")])]}), "none of text, source"),
    (lambda: with_set().add_own("a", 65536), "port"),
])
def test_what_the_kernels_could_not_rely_on_is_refused(attempt, complaint):
    with pytest.raises(ValueError, match=complaint):
        attempt()


def test_more_listeners_than_there_is_room_for():
    table = RoutingTable(1)
    for id in range(1, 17):
        table.add_listener(id, 1, "192.0.2.1", 5060 + id, "x")
    with pytest.raises(ValueError, match="more than 16"):
        table.add_listener(17, 1, "192.0.2.1", 6000, "x")


def test_then_set_may_come_later_but_must_come():
    table = with_listener()
    table.add_policy(1, then_set=0)
    with pytest.raises(ValueError, match="then_set"):
        table.seal()
    table.add_set(1, 4)
    assert table.seal().sealed


def test_default_accept_is_wire_section_4():
    assert set(range(200, 700)) - set(DEFAULT_ACCEPT) == {408, 500, 503, 504}


def test_probe_mode_none_means_not_probed():
    """Down without probing gets a trial call; with probing it does not."""
    for mode, expected in (("none", 1), ("all", None)):
        table = with_set(retry_ms=10)
        add(table, 1, probe={"mode": mode, "interval_ms": 1000})
        chooser = Chooser(table.seal(), Cells(1))
        chooser.mark(0, "down", now_ms=5)
        assert chooser.choose(0, now_ms=100) == expected


def test_chooser_refuses_what_would_point_outside():
    table = with_set()
    table.add_destination(0, 1, 7, "10.0.0.1", 5060, 0, b"a", b"a")
    table.seal()
    with pytest.raises(ValueError, match="cell 7 of 2"):
        Chooser(table, Cells(2))
    chooser = Chooser(table, Cells(8))
    with pytest.raises(IndexError):
        chooser.choose(1)
    with pytest.raises(IndexError):
        chooser.mark(1, "failed")
    with pytest.raises(ValueError, match="16 attempts"):
        chooser.choose(0, tried=range(1, 18))
    with pytest.raises(ValueError, match="shard"):
        Chooser(table, Cells(8), 64)
    with pytest.raises(ValueError, match="outcome"):
        chooser.mark(0, "tired")


# ---------------------------------------------------------------- policies

CODES = (300, 302, 404, 408, 486, 500, 502, 503, 600)
REASONS = ("timeout", "progress", "ring", "transport")


@pytest.mark.parametrize("on, codes, reasons", [
    ((), set(), set()),
    ([500, "timeout", "transport"], {500}, {"timeout", "transport"}),
    (["5xx", "ring"], {500, 502, 503}, {"ring"}),
    (["4xx", "3xx", "progress"], {300, 302, 404, 408, 486}, {"progress"}),
    (["503", 404, 404], {503, 404}, set()),
])
def test_wants(on, codes, reasons):
    packed = policies.pack_policy(1, on=on)
    assert {code for code in CODES if rule_doors.wants(packed, code=code)} == codes
    assert {reason for reason in REASONS if rule_doors.wants(packed, reason)} == reasons


def test_ten_codes_fit():
    ten = list(range(400, 410))
    packed = policies.pack_policy(1, on=ten)
    assert [code for code in range(300, 600) if rule_doors.wants(packed, code=code)] == ten
    assert not rule_doors.wants(packed, code=0)
    with pytest.raises(ValueError, match="more than 10 codes"):
        policies.pack_policy(1, on=[*ten, 410])


@pytest.mark.parametrize("on, mark, expected", [
    ((), "suspect", {"timeout": "suspect", "transport": "suspect", "progress": "suspect", "ring": "none"}),
    ((), "suspect", {486: "none", 500: "none", 503: "none"}),
    ([500], "down", {"timeout": "down", "ring": "none", 500: "down", 503: "none", 486: "none"}),
    ([500], "none", {"timeout": "none", 500: "none"}),
    (["5xx"], {"timeout": "down", 500: "suspect", "default": "none"},
     {"timeout": "down", "transport": "none", 500: "suspect", 502: "none"}),
    (["5xx"], {"5xx": "down", "503": "none"}, {500: "down", 502: "down", 503: "none", "timeout": "suspect"}),
    ([404], {"4xx": "suspect", "default": "down"}, {404: "suspect", 403: "suspect", "transport": "down"}),
    ([], {"ring": "none", "progress": "down"}, {"progress": "down", "ring": "none", "timeout": "suspect"}),
])
def test_mark(on, mark, expected):
    packed = policies.pack_policy(1, on=on, mark=mark)
    for what, word in expected.items():
        asked = {"reason": what} if isinstance(what, str) else {"code": what}
        assert rule_doors.mark_for(packed, **asked) == word


@pytest.mark.parametrize("fields, complaint", [
    ({"on": ["6xx"]}, "6xx"), ({"on": [600]}, "code in on"), ({"on": [200]}, "code in on"),
    ({"on": ["soon"]}, "soon"),
    ({"mark": "dead"}, "none, suspect or down"), ({"mark": {"ring": "down"}}, "ring never"),
    ({"mark": {404: "down"}}, "cannot be told apart"), ({"mark": {"500": "dead"}}, "mark for 500"),
    ({"timeout_ms": -1}, "timeout"), ({"budget_ms": 2**32}, "budget"),
])
def test_policies_that_are_refused(fields, complaint):
    with pytest.raises(ValueError, match=complaint):
        with_listener().add_policy(1, **fields)


@pytest.mark.parametrize("fields", [
    {"exhausted": (200, "OK")}, {"exhausted": 404}, {"unavailable": (500, "a\r\nb")},
])
def test_replies_that_are_refused(fields):
    with pytest.raises(ValueError, match=r"exhausted|unavailable"):
        with_listener().add_policy(1, **fields)


# ---------------------------------------------------------------- cells

def test_lines_are_found_again_and_freed():
    cells = Cells(3)
    assert [cells.assign(id) for id in (70, 80, 70, 90)] == [0, 1, 0, 2]
    with pytest.raises(CellsError, match="all 3"):
        cells.assign(100)
    cells.add_load(1, 5)
    cells.release(80)
    cells.release(80)
    assert cells.assign(100) == 1
    assert cells.read(1) == (100, *[0] * 13)
    assert cells.assigned == {70: 0, 90: 2, 100: 1}
    assert (cells.owner(1), len(cells)) == (100, 3)


@pytest.mark.parametrize("attempt", [
    lambda c: c.read(3), lambda c: c.read(-1), lambda c: c.set_admin(3, 0), lambda c: c.add_load(9, 1),
])
def test_indexes_are_checked(attempt):
    with pytest.raises(IndexError):
        attempt(Cells(3))


@pytest.mark.parametrize("attempt", [
    lambda: Cells(0), lambda: Cells("x", -1), lambda: Cells(1).assign(0), lambda: Cells(1).set_admin(0, 3),
])
def test_values_are_checked(attempt):
    with pytest.raises(ValueError):
        attempt()


def test_file_keeps_what_was_learned(tmp_path):
    path = tmp_path / "cells"
    first = Cells(path, 4)
    first.assign(5)
    index = first.assign(6)
    first.set_admin(index, 1)
    first.add_load(index, 9)
    second = Cells(path, 2)
    assert (second.count, second.path) == (4, str(path))
    assert second.assign(6) == index
    assert (second.read(index).admin, second.read(index).load) == (1, 9)
    assert second.assign(7) == 2
    assert os.stat(path).st_mode & 0o777 == 0o640
    # One mapping: what one does the other sees.
    second.add_load(index, -4)
    assert first.load(index) == 5


def test_file_grows(tmp_path):
    path = tmp_path / "cells"
    Cells(path, 1).assign(5)
    grown = Cells(path, 2000)
    assert (grown.count, grown.assign(5), grown.assign(6)) == (2000, 0, 1)
    assert [grown.assign(id) for id in range(7, 2005)][-1] == 1999
    assert Cells(path, 1).count == 2000


def test_file_is_fully_allocated(tmp_path):
    path = tmp_path / "cells"
    Cells(path, 10000)
    assert os.stat(path).st_blocks * 512 >= 4096 + 64 * 10000


def test_cut_short_while_made_counts_as_empty(tmp_path):
    path = tmp_path / "cells"
    path.write_bytes(bytes(100))
    assert Cells(path, 2).assign(1) == 0


def test_another_boot_starts_empty(tmp_path):
    path = tmp_path / "cells"
    Cells(path, 2).assign(5)
    written = bytearray(path.read_bytes())
    boot = UUID(boot_id().decode()).bytes
    at = written.index(boot)
    written[at:at + 16] = bytes(16)
    path.write_bytes(written)
    again = Cells(path, 2)
    assert again.assigned == {}
    assert Cells(path, 2).path == str(path)
    assert path.read_bytes()[at:at + 16] == boot


@pytest.mark.parametrize("at, wrong, complaint", [
    (0, b"X", "not a file of cells"), (8, b"\x02", "newer version"), (12, b"\x80", "lines of 128 bytes"),
    (16, b"\xff\xff", "65535 of them"),
])
def test_what_cannot_be_read_is_kept_aside(tmp_path, at, wrong, complaint):
    path = tmp_path / "cells"
    Cells(path, 2)
    written = bytearray(path.read_bytes())
    written[at:at + len(wrong)] = wrong
    path.write_bytes(written)
    again = Cells(path, 2)
    (aside,) = tmp_path.glob("cells.damaged-*")
    assert aside.read_bytes() == written
    assert again.assigned == {} and len(again) == 2
    assert complaint in again.notes[0] and str(aside) in again.notes[0]
    assert Cells(path, 2).notes == []


def test_marks_of_many_threads_are_all_counted():
    """Each failure of 8 threads is one step of the streak: exactly one of them sees it go down."""
    table = with_set()
    add(table, 1, probe={"fall": 200})
    table.seal()
    cells = Cells(1)
    shards = [Chooser(table, cells, shard) for shard in range(8)]
    seen = []
    threads = [threading.Thread(target=lambda s=s: seen.extend(s.mark(0, "failed", 0, 1) for _ in range(25)))
               for s in shards]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert sorted(seen) == sorted(["trying", "down"] + ["none"] * 198)
    assert (cells.read(0).failed, cells.read(0).health) == (200, 3)
