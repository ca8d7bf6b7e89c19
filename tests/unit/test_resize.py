"""fastsip._core.store.resize: another max_transactions moves what lives, and who dies on the way loses nothing."""

import errno
import os
import random
import struct

import pytest

from fastsip._core.base.clock import now_ms
from fastsip._core.store.partitions import (
    Store,
    StoreError,
    file_bytes,
    fresh_epoch,
    lack_of_room,
    partition_sizes,
    read_header,
    store_bytes,
    unreadable,
)  # fmt: skip
from fastsip._core.transaction.inspect import CLIENT_STATES, SERVER_KINDS, SERVER_STATES
from fastsip.observe.transactions import Partition, Reader
from tests.kernels.store_doors import Slots

from .test_kinds import LATER_ROW, begin_later, write_later
from .test_slots import (
    CLIENT,
    HIGH_WATER_AT,
    NO_BLOCK,
    SERVER,
    SMALL,
    files_of,
    live_client,
    live_server,
    patch,
    server_record,
)  # fmt: skip

MIDDLE, LARGE = 20 * SMALL, 80 * SMALL
SLOTS_AT, UNITS_AT, EPOCH_AT = 20, 28, 36
OPEN = {"trying", "proceeding", "calling", "cancel pending", "cancelling"}


def fill(slots: Slots, partitions, calls: int = 3) -> dict:
    """Calls with a branch and a response each, all over these partitions, some ended in between."""
    pick, wanted = random.Random(5), {}
    for number in range(calls * len(partitions)):
        partition = partitions[number % len(partitions)]
        ended = live_server(slots, partition, 9_000 + number)
        parent = live_server(slots, partition, number, attempts=1)
        child = live_client(slots, parent, 0, key=1_000 + number)
        text = b"SIP/2.0 180 %d " % number + b"x" * pick.choice((1, 300, 900, 5_000))
        response = slots.write_block(parent, text)
        slots.commit(parent, SERVER, 2, 1, server_record(response=response, attempts=1, status=180))
        slots.give(ended)
        wanted[number] = parent, child, text
    return wanted


def check(store: Store, wanted: dict) -> None:
    """All that was there is there, at its place."""
    slots = Slots(store)
    assert store.in_use()["slots"] == 2 * len(wanted)
    for number, (parent, child, text) in wanted.items():
        assert slots.index_find(parent >> 26, number, SERVER) == parent
        assert slots.index_find(parent >> 26, 1_000 + number, CLIENT) == child
        assert slots.children(parent) == [child]
        unit, length = struct.unpack_from("=2I", slots.read(parent)["record"], 8)
        assert slots.read_block(parent, unit, length) == text
        assert slots.read_block(child, *struct.unpack_from("=2I", slots.read(child)["record"])) == b"INVITE 0"
        assert (slots.read(parent)["state"], slots.read(parent)["owes"]) == (2, 1)


def sizes_of(run_dir) -> set:
    return {read_header(path)["sizes"] for path in files_of(run_dir)}


@pytest.mark.parametrize("sizes", [(SMALL, MIDDLE), (SMALL, LARGE, SMALL), (MIDDLE, SMALL, MIDDLE)])
def test_what_lives_moves_to_another_size(scratch, sizes):
    store = Store(scratch, sizes[0])
    wanted, epoch = fill(Slots(store), range(64)), store.epoch
    generations = [Slots(store).read(ref)["generation"] for ref in (0, 2, 5)]
    for size in sizes[1:]:
        store = Store(scratch, size)
        assert store.notes == [] and store.epoch == epoch and unreadable(scratch) == ""
        assert store.in_use()["store_bytes"] == store_bytes(size) and sizes_of(scratch) == {partition_sizes(size)}
        check(store, wanted)
        assert [Slots(store).read(ref)["generation"] for ref in (0, 2, 5)] == generations
        assert {path.suffix for path in (scratch / "transactions").iterdir()} == {".slots"}
        assert sum(path.stat().st_blocks * 512 for path in files_of(scratch)) >= store_bytes(size)
    slots = Slots(store)
    assert slots.sizes(0)["hinted"] == slots.sizes(0)["slots"] == partition_sizes(size)[0]
    assert len(list(iter(lambda: slots.take(0, reserved=True), None))) == partition_sizes(size)[0] - 6


def test_a_slot_that_does_not_fit_keeps_its_partition_as_large_as_before(scratch):
    slots = Slots(Store(scratch, MIDDLE))
    few = partition_sizes(SMALL)[0]
    for key in range(few + 1):
        live_server(slots, 7, key)
    wanted = fill(slots, (3,))
    store = Store(scratch, SMALL)
    (note,) = store.notes
    assert "max_transactions" in note and "1 of 64 files" in note and "does not fit" in note
    slots = Slots(store)
    assert (slots.sizes(7)["slots"], slots.sizes(8)["slots"]) == (partition_sizes(MIDDLE)[0], few)
    assert slots.index_find(7, few, SERVER) == 7 << 26 | few and slots.index_find(3, 1, SERVER) == wanted[1][0]
    # a file of another size is one of the store, also for those who only look, and another start tries again
    assert unreadable(scratch) == "" and len(list(Reader(scratch).transactions())) == few + 1 + len(wanted)
    slots.give(7 << 26 | few)
    assert Store(scratch, SMALL).notes == [] and sizes_of(scratch) == {partition_sizes(SMALL)}


def test_blocks_that_do_not_fit_keep_their_partition_as_large_as_before(scratch):
    slots = Slots(Store(scratch, LARGE))
    ref = live_server(slots, 7, 77)
    blocks = [slots.write_block(ref, bytes(65_536)) for _ in range(3)]
    slots.commit(ref, SERVER, 2, record=server_record(parked=blocks[0], response=blocks[1], best=blocks[2]))
    other = live_server(slots, 7, 78)
    blocks = [slots.write_block(other, bytes(65_536)) for _ in range(2)]
    slots.commit(other, SERVER, 2, record=server_record(response=blocks[0], best=blocks[1]))
    assert "1 of 64 files" in Store(scratch, SMALL).notes[0]
    slots.give(other)
    assert Store(scratch, SMALL).notes == []
    assert Slots(Store(scratch, SMALL)).sizes(7)["used_units"] == 3 * 256


SERVERS = [(kind, state, name) for kind in SERVER_KINDS for state, name in SERVER_STATES.items()]


def at_the_top(slots: Slots) -> list[int]:
    """Two places that no small store has."""
    taken = [slots.take(0) for _ in range(partition_sizes(SMALL)[0] + 2)]
    for ref in taken[:-1]:
        slots.give(ref)
    return taken[-2:]


def shrinks(scratch, name, left_ms) -> None:
    needed = name in OPEN or left_ms > 0
    again = Store(scratch, SMALL)
    assert (again.in_use()["store_bytes"] != store_bytes(SMALL)) == needed == bool(again.notes)
    assert (again.in_use()["slots"] > 0) == needed


@pytest.mark.parametrize("left_ms", [-1, 60_000])
@pytest.mark.parametrize(("kind", "state", "name"), SERVERS)
def test_what_only_absorbed_repetitions_gives_way_when_its_time_is_over(scratch, kind, state, name, left_ms):
    """An operator who has drained and stopped the router need not start it once more to get rid of these."""
    store = Store(scratch, MIDDLE)
    slots = Slots(store)
    slots.commit(at_the_top(slots)[1], kind, state, record=server_record(expire_ms=now_ms() + left_ms))
    assert store.count_open() == (name in OPEN)
    shrinks(scratch, name, left_ms)


@pytest.mark.parametrize("left_ms", [-1, 60_000])
@pytest.mark.parametrize(("state", "name"), CLIENT_STATES.items())
def test_so_do_branches(scratch, state, name, left_ms):
    store = Store(scratch, MIDDLE)
    slots, expired = Slots(store), now_ms() - 1
    branch = at_the_top(slots)[1]
    parent = live_server(slots, 0)
    slots.commit(parent, SERVER, 6, record=server_record(attempts=1, expire_ms=expired))
    slots.identify(branch, 2, parent, 0)
    record = struct.pack("=2IQQQHHBB26x", *NO_BLOCK, 0, now_ms() + left_ms, 0, 0, 0, 0, 0)
    slots.commit(branch, CLIENT, state, record=record)
    assert store.count_open() == (name in OPEN)
    shrinks(scratch, name, left_ms)


def test_what_a_later_release_began_is_not_moved(scratch):
    slots = Slots(Store(scratch, SMALL))
    ref, blocks = begin_later(slots)
    write_later(files_of(scratch)[5], LATER_ROW)
    store = Store(scratch, MIDDLE)
    assert "later release" in store.notes[0] and "1 of 64" in store.notes[0]
    again = Slots(store)
    assert again.later(ref) and again.read_block(ref, *blocks[0]) == b"first" * 100
    assert again.sizes(4)["slots"] == partition_sizes(MIDDLE)[0] != again.sizes(5)["slots"]


# ---------------------------------------------------------------- want of room


def test_without_room_nothing_is_changed(scratch, monkeypatch):
    wanted = fill(Slots(Store(scratch, SMALL)), range(64))
    space = os.statvfs(scratch)
    few = type("Space", (), {"f_bavail": 100, "f_frsize": space.f_frsize})
    assert lack_of_room(scratch, SMALL) == lack_of_room(scratch, 1) == lack_of_room(scratch, MIDDLE) == ""
    monkeypatch.setattr(os, "statvfs", lambda path: few)
    assert f"{store_bytes(MIDDLE):,}" in lack_of_room(scratch, MIDDLE) and lack_of_room(scratch, SMALL) == ""
    store = Store(scratch, MIDDLE)
    assert "64 of 64" in store.notes[0] and f"{store_bytes(MIDDLE):,} bytes" in store.notes[0]
    check(store, wanted)
    assert sizes_of(scratch) == {partition_sizes(SMALL)}


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_what_fails_on_the_way_leaves_the_rest_as_it_was(scratch, monkeypatch, code):
    wanted, allocate, made = fill(Slots(Store(scratch, SMALL)), range(64)), os.posix_fallocate, []

    def fail_later(fd, offset, length):
        made.append(length)
        if len(made) > 40:
            raise OSError(code, os.strerror(code))
        allocate(fd, offset, length)

    monkeypatch.setattr(os, "posix_fallocate", fail_later)
    store = Store(scratch, MIDDLE)
    assert "24 of 64" in store.notes[0] and os.strerror(code) in store.notes[0]
    check(store, wanted)
    assert sizes_of(scratch) == {partition_sizes(SMALL), partition_sizes(MIDDLE)}
    monkeypatch.undo()
    store = Store(scratch, MIDDLE)
    assert store.notes == [] and sizes_of(scratch) == {partition_sizes(MIDDLE)}
    check(store, wanted)


def test_a_damaged_file_among_files_of_two_sizes_costs_its_own_calls(scratch, monkeypatch):
    slots = Slots(Store(scratch, SMALL))
    wanted = fill(slots, range(63))
    live_server(slots, 63, 77)
    os.truncate(files_of(scratch)[63], 100)
    store = Store(scratch, MIDDLE)
    assert len(store.notes) == 1 and "1 of 64 files of the store are lost" in store.notes[0]
    check(store, wanted)
    assert sizes_of(scratch) == {partition_sizes(MIDDLE)}


@pytest.mark.parametrize("place", [SLOTS_AT, UNITS_AT])
@pytest.mark.parametrize("bit", [0, 1, 5, 31])
def test_a_damaged_size_costs_no_other_calls(scratch, place, bit):
    slots = Slots(Store(scratch, SMALL))
    wanted = fill(slots, range(63))
    path = files_of(scratch)[63]
    (size,) = struct.unpack_from("=I", path.read_bytes(), place)
    patch(path, place, struct.pack("=I", size ^ 1 << bit))
    store = Store(scratch, SMALL)
    check(store, wanted)
    assert sizes_of(scratch) == {partition_sizes(SMALL)}


# ---------------------------------------------------------------- deaths, and who looks


def test_who_still_looks_at_the_file_that_was_sees_it_whole(scratch):
    """`fastsip transactions`, or a router that has left and is not yet gone."""
    old = Store(scratch, SMALL)
    slots = Slots(old)
    wanted = fill(slots, (3,))
    looking = Partition(files_of(scratch)[3])
    store = Store(scratch, MIDDLE)
    check(old, wanted)
    for parent, _, text in wanted.values():
        unit, length = struct.unpack_from("=2I", slots.read(parent)["record"], 8)
        assert looking.block(parent & 0x3FFFFFF, unit, length) == text
    check(store, wanted)
    assert len(list(Reader(scratch).transactions())) == len(wanted)


def test_a_mark_of_use_that_is_spoilt_moves_what_it_covers(scratch):
    slots = Slots(Store(scratch, SMALL))
    wanted = fill(slots, (3,))
    patch(files_of(scratch)[3], HIGH_WATER_AT, struct.pack("=I", partition_sizes(SMALL)[0]))
    check(Store(scratch, MIDDLE), wanted)


# ---------------------------------------------------------------- epochs


def test_another_store_has_an_epoch_that_none_before_it_had(scratch):
    all_but_two = set(range(1, 0x10000)) - {17, 4711}
    assert {fresh_epoch(all_but_two) for _ in range(50)} == {17, 4711}
    assert fresh_epoch(range(0x10000)) in range(1, 0x10000)  # there is none: any is better than no router
    store = Store(scratch, SMALL, all_but_two | {17})
    assert store.epoch == 4711
    # of another boot, in a run_dir that is no tmpfs: theirs is not used again either
    for path in files_of(scratch):
        patch(path, 56, b"0" * 36)
    assert Store(scratch, SMALL, all_but_two).epoch == 17


def test_a_store_that_is_taken_up_keeps_its_epoch(scratch):
    epoch = Store(scratch, SMALL).epoch
    assert Store(scratch, SMALL, [epoch]).epoch == epoch


def test_the_first_store_still_asks_for_its_room(scratch, monkeypatch):
    assert file_bytes(*partition_sizes(SMALL)) * 64 == store_bytes(SMALL)
    few = type("Space", (), {"f_bavail": 1, "f_frsize": 4096})
    monkeypatch.setattr(os, "statvfs", lambda path: few)
    with pytest.raises(StoreError):
        Store(scratch, SMALL)


def test_an_empty_store_places_by_the_key_that_it_is_given(scratch):
    """Nodes of one placement key agree on partitions; a store that was begun keeps the key that its calls know."""
    Store(scratch, SMALL, key=b"k" * 16)
    assert {read_header(path)["key"] for path in files_of(scratch)} == {b"k" * 16}
    Store(scratch, SMALL, key=b"another 16 bytes")
    assert {read_header(path)["key"] for path in files_of(scratch)} == {b"k" * 16}
    Store(scratch / "other", SMALL)
    assert {read_header(path)["key"] for path in files_of(scratch / "other")} not in ({b"k" * 16}, {bytes(16)})
