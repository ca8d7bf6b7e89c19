"""fastsip._core.store.kinds: the table, the rows of it in the head of each file, and what a later release began."""

import struct

import pytest

from fastsip._core.store.partitions import Store, unreadable
from fastsip._core.store.slots import die_at_store
from tests.kernels.store_doors import HEAD, KINDS, LAYOUT, Slots, families, kind_rows

from .test_slots import (
    CLIENT,
    CRASH_STATUS,
    HIGH_WATER_AT,
    MINOR_AT,
    SERVER,
    SMALL,
    asides,
    client_record,
    files_of,
    in_child,
    live_client,
    live_server,
    patch,
    server_record,
    slot_offset,
)  # fmt: skip

ROW = struct.Struct("=BB2xI")
LATER = 9  # a kind that nobody has; its first and its seventh word name blocks
LATER_ROW = (LATER, 4, 0b100_0001)
ENDED = 6  # the last state of a server transaction


def rows_of(path) -> list[tuple[int, int, int]]:
    raw = path.read_bytes()[HEAD["kinds_off"] :][: HEAD["kind_rows"] * ROW.size]
    return [row for row in ROW.iter_unpack(raw) if row[0]]


def write_later(path, *more, minor=1) -> None:
    """As a later release leaves a file behind: rows of ours may say more, others are new."""
    named = {row[0]: row for row in (*kind_rows(), *more)}
    raw = b"".join(ROW.pack(*row) for row in named.values()).ljust(HEAD["kind_rows"] * ROW.size, b"\0")
    patch(path, HEAD["kinds_off"], raw)
    patch(path, MINOR_AT, struct.pack("=I", LAYOUT["minor"] + minor))


def later_record(first, seventh=(0, 0)) -> bytes:
    return struct.pack("=2I40x2I8x", *first, *seventh)


def begin_later(slots, partition=5, state=2):
    """A slot of that kind with two blocks."""
    ref = slots.take(partition)
    slots.identify(ref, 4711)
    blocks = slots.write_block(ref, b"first" * 100), slots.write_block(ref, b"seventh")
    slots.commit(ref, LATER, state, 1, later_record(*blocks))
    return ref, blocks


def bytes_of(run_dir, ref) -> bytes:
    return files_of(run_dir)[ref >> 26].read_bytes()[slot_offset(ref) :][: LAYOUT["slot_bytes"]]


# ---------------------------------------------------------------- the table


def test_the_table_says_what_is_asked_on_the_packet_path():
    rows = {row[0] for row in kind_rows()}
    assert rows == set(KINDS.values()) - {KINDS["free"]} and len(rows) <= HEAD["kind_rows"]
    for kind in range(256):
        family, child, server, is_child = families(kind)
        assert (family != 0) == (kind in rows)
        assert (child, family == 1) == (is_child, server)


def test_the_head_of_each_file_has_the_table(scratch):
    Store(scratch, SMALL)
    assert [rows_of(path) for path in files_of(scratch)] == [kind_rows()] * 64


def test_a_file_of_the_first_minor_layout_gets_it(scratch):
    """Whoever dies on the way leaves a file that either release reads."""
    slots = Slots(Store(scratch, SMALL))
    ref = live_server(slots, 0, 77)
    path = files_of(scratch)[0]
    seen = set()
    for k in range(10):
        patch(path, HEAD["kinds_off"], bytes(ROW.size * HEAD["kind_rows"]))
        patch(path, MINOR_AT, struct.pack("=I", 0))

        def dying(k=k):
            die_at_store(k)
            Store(scratch, SMALL)

        status = in_child(dying)
        (minor,) = struct.unpack_from("=I", path.read_bytes(), MINOR_AT)
        seen.add((minor, len(rows_of(path))))
        assert minor == 0 or rows_of(path) == kind_rows()
        again = Store(scratch, SMALL)
        assert again.notes == [] and Slots(again).index_find(0, 77, SERVER) == ref
        if status == 0:
            break
        assert status == CRASH_STATUS
    assert (1, 4) in seen and (0, 0) in seen


def test_damaged_rows_of_our_own_layout_mean_nothing(scratch):
    slots = Slots(Store(scratch, SMALL))
    ref = live_server(slots, 5, 77)
    patch(files_of(scratch)[5], HEAD["kinds_off"], bytes(range(1, 97)))
    again = Store(scratch, SMALL)
    assert again.notes == [] and Slots(again).index_find(5, 77, SERVER) == ref
    assert rows_of(files_of(scratch)[5]) == kind_rows()


# ---------------------------------------------------------------- what a later release began


def test_what_a_later_release_began_is_kept_untouched(scratch):
    slots = Slots(Store(scratch, SMALL))
    ref, (first, seventh) = begin_later(slots)
    ours = live_server(slots, 5, 77)
    write_later(files_of(scratch)[5], LATER_ROW)
    before = bytes_of(scratch, ref)
    for _ in range(2):
        store = Store(scratch, SMALL)
        slots = Slots(store)
        assert store.notes == [] and store.in_use()["slots"] == 2
        assert slots.later(ref) and not slots.later(ours) and slots.index_find(5, 4711, LATER) is None
        sizes = slots.sizes(5)
        assert (sizes["later"], sizes["used_units"], sizes["hinted"]) == (1, 3, 0)
        assert slots.index_find(5, 77, SERVER) == ours and store.count_open() == 1
        while slots.take(5, reserved=True) is not None:
            pass
        for length in (65_536, 256):
            while block := slots.write_block(ours, b"x" * length):
                assert not set(range(block[0], block[0] + -(-length // 256))) & {first[0], first[0] + 1, seventh[0]}
        assert bytes_of(scratch, ref) == before
        assert slots.read_block(ref, *first) == b"first" * 100 and slots.read_block(ref, *seventh) == b"seventh"
    assert rows_of(files_of(scratch)[5]) == [*kind_rows(), LATER_ROW]


def test_a_branch_stays_with_a_parent_that_is_kept(scratch):
    slots = Slots(Store(scratch, SMALL))
    parent, _ = begin_later(slots)
    branch, stale = live_client(slots, parent, 0, key=8), live_client(slots, parent, 1, key=9)
    patch(files_of(scratch)[5], slot_offset(stale) + 20, struct.pack("=I", 99))  # a parent of another life
    write_later(files_of(scratch)[5], LATER_ROW)
    again = Slots(Store(scratch, SMALL))
    assert again.later(parent) and again.later(branch) and again.read(stale)["kind"] == KINDS["free"]
    assert again.index_find(5, 8, CLIENT) is None and again.children(parent) == []


@pytest.mark.parametrize(
    "kind, state, kept", [(SERVER, ENDED + 1, True), (SERVER, ENDED + 2, False), (LATER, 5, False), (10, 1, False)]
)
def test_kept_is_what_the_head_names_and_no_more(scratch, kind, state, kept):
    slots = Slots(Store(scratch, SMALL))
    ref = slots.take(5)
    slots.identify(ref, 77)
    slots.commit(ref, kind, state, record=server_record())
    write_later(files_of(scratch)[5], LATER_ROW, (SERVER, ENDED + 1, 0b111))
    again = Slots(Store(scratch, SMALL))
    assert again.later(ref) == kept and (again.read(ref)["kind"] == kind) == kept
    assert again.sizes(5)["free"] == again.sizes(5)["slots"] - kept


@pytest.mark.parametrize("minor", [0, -1])
def test_a_kind_that_our_own_layout_does_not_have_is_damage(scratch, minor):
    slots = Slots(Store(scratch, SMALL))
    ref, _ = begin_later(slots)
    write_later(files_of(scratch)[5], LATER_ROW, minor=minor)
    assert unreadable(scratch) == ""
    store = Store(scratch, SMALL)
    assert Slots(store).read(ref)["kind"] == KINDS["free"] and store.in_use()["slots"] == 0


def test_a_block_that_a_later_release_added_to_a_kind_of_ours_is_not_given_away(scratch):
    slots = Slots(Store(scratch, SMALL))
    ref = live_server(slots, 5, 77)
    response, more = slots.write_block(ref, b"response"), slots.write_block(ref, b"more")
    record = bytearray(server_record(response=response))
    struct.pack_into("=2I", record, 48, *more)
    slots.commit(ref, SERVER, 2, record=bytes(record))
    write_later(files_of(scratch)[5], (SERVER, ENDED, 0b100_0111))
    store = Store(scratch, SMALL)
    again = Slots(store)
    assert again.sizes(5)["used_units"] == 2 and not again.later(ref)
    again.give(ref)
    assert Slots(Store(scratch, SMALL)).sizes(5)["used_units"] == 0


def test_a_kept_block_that_another_slot_names_is_damage(scratch):
    slots = Slots(Store(scratch, SMALL))
    _, (first, _) = begin_later(slots)
    slots.commit(live_server(slots, 5), SERVER, 2, record=server_record(response=first))
    write_later(files_of(scratch)[5], LATER_ROW)
    assert len(Store(scratch, SMALL).notes) == len(asides(scratch)) == 1


def test_code_that_does_not_know_what_lives_there_does_not_take_over(scratch):
    slots = Slots(Store(scratch, SMALL))
    ref, _ = begin_later(slots)
    assert unreadable(scratch) == ""  # of our own layout it is damage
    write_later(files_of(scratch)[5], LATER_ROW)
    assert "1 slots" in unreadable(scratch) and "later release" in unreadable(scratch)
    patch(files_of(scratch)[5], HIGH_WATER_AT, struct.pack("=I", 0))
    assert unreadable(scratch) == ""
    patch(files_of(scratch)[5], HIGH_WATER_AT, struct.pack("=I", 1))
    slots.give(ref)
    assert unreadable(scratch) == ""


def test_any_byte_of_the_rows_may_be_damaged(scratch):
    """At the worst the calls of this partition are lost; those of the others go on."""
    slots = Slots(Store(scratch, SMALL))
    begin_later(slots)
    live_client(slots, live_server(slots, 5, 77, attempts=1), 0)
    other = live_server(slots, 6, 78)
    write_later(files_of(scratch)[5], LATER_ROW)
    path = files_of(scratch)[5]
    whole = path.read_bytes()
    for at in range(HEAD["kinds_off"], HEAD["kinds_off"] + 6 * ROW.size):
        spoilt = bytearray(whole)
        spoilt[at] ^= (0xFF, 0x80, 0x01)[at % 3]
        path.write_bytes(spoilt)
        unreadable(scratch)
        again = Slots(Store(scratch, SMALL))
        assert again.index_find(6, 78, SERVER) == other
        assert again.sizes(5)["used_units"] <= 4
        for aside in asides(scratch):
            aside.unlink()


def test_clients_of_ours_are_told_from_what_is_later(scratch):
    """A record that would contradict itself as one of ours is no damage as one of theirs."""
    slots = Slots(Store(scratch, SMALL))
    parent, _ = begin_later(slots)
    ref = slots.take(5, reserved=True)
    slots.identify(ref, 8, parent, 0, taken_len=500)
    slots.commit(ref, CLIENT, 1, record=client_record(request=slots.write_block(ref, b"x")))
    write_later(files_of(scratch)[5], LATER_ROW)
    store = Store(scratch, SMALL)
    assert store.notes == [] and Slots(store).later(ref)
