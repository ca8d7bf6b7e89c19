"""fastsip._core.store.slots: the commit, the derived state, the scan, and files that are not what they were."""

import errno
import os
import random
import stat
import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastsip._core.store.partitions import Store, partition_sizes, store_bytes
from fastsip._core.store.slots import die_at_store
from tests.kernels.store_doors import BLOCKS, KINDS, LAYOUT, Slots

from .conftest import SMALL

CRASH_STATUS = 77
ROOT = Path(__file__).parents[2]
SERVER, CLIENT = KINDS["server-invite"], KINDS["client-invite"]
NO_BLOCK = (0, 0)
# Offsets in a partition file's header.
MAJOR_AT, MINOR_AT, PARTITION_AT, EPOCH_AT, BOOT_AT, HIGH_WATER_AT = 8, 12, 32, 36, 56, 112


def server_record(*, parked=NO_BLOCK, response=NO_BLOCK, best=NO_BLOCK, attempts=0, status=0, expire_ms=0):
    """server_record_t as it stands in the file."""
    blocks = (*parked, *response, *best)
    return struct.pack("=6IQQHHHBB16x", *blocks, 0, expire_ms, 0, status, 0, attempts, 0)


def client_record(*, request=NO_BLOCK, status=0):
    """client_record_t as it stands in the file."""
    return struct.pack("=2IQQQHHBB26x", *request, 0, 0, 0, 0, status, 0, 0)


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A store for tests that leave nothing behind in it."""
    return Store(tmp_path_factory.mktemp("shared"), SMALL)


def files_of(run_dir: Path) -> list[Path]:
    return sorted((run_dir / "transactions").glob("*.slots"))


def patch(path: Path, offset: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(content)


def slot_offset(ref: int) -> int:
    return LAYOUT["header_bytes"] + (ref & 0x3FFFFFF) * LAYOUT["slot_bytes"]


def live_server(slots, partition=0, key=1, **record) -> int:
    """A server transaction as the proxy makes one, in the index, too."""
    ref = slots.take(partition)
    slots.identify(ref, key)
    slots.commit(ref, SERVER, 1, record=server_record(**record))
    slots.index_insert(ref)
    return ref


def live_client(slots, parent, attempt, key=2) -> int:
    """A branch with a request block; published when the parent counts it."""
    ref = slots.take(parent >> 26, reserved=True)
    slots.identify(ref, key, parent, attempt)
    block = slots.write_block(ref, b"INVITE %d" % attempt)
    slots.commit(ref, CLIENT, 1, record=client_record(request=block))
    slots.index_insert(ref)
    slots.link_child(ref)
    return ref


# ---------------------------------------------------------------- commit


def test_a_commit_gives_what_was_committed_and_grows_the_generation_with_each_life(slots):
    ref = slots.take(7)
    assert ref >> 26 == 7
    before = slots.read(ref)
    assert (before["kind"], before["generation"]) == (KINDS["free"], 0)
    for life in (1, 2, 3):
        slots.identify(ref, 99)
        for state in (1, 2, 3):
            record = server_record(status=100 + state)
            slots.commit(ref, SERVER, state, 1, record)
            seen = slots.read(ref)
            assert seen["record"] == record
            assert (seen["kind"], seen["state"], seen["owes"]) == (SERVER, state, 1)
            assert seen["generation"] == life
        slots.give(ref)
        assert slots.read(ref)["kind"] == KINDS["free"]
        assert slots.take(7) == ref  # the last one given is the next one taken


def test_a_commit_leaves_the_copy_before_it_untouched(slots, scratch):
    ref = slots.take(0)
    slots.identify(ref, 1)
    first, second = server_record(status=180), server_record(status=200)
    slots.commit(ref, SERVER, 1, record=first)
    slots.commit(ref, SERVER, 2, record=second)
    raw = (scratch / "transactions" / "00.slots").read_bytes()[slot_offset(ref) :][: LAYOUT["slot_bytes"]]
    records = raw[LAYOUT["records_off"] :][: 2 * LAYOUT["record_bytes"]]
    assert {records[:64], records[64:]} == {first, second}


def in_child(work) -> int:
    """Runs it in a forked process and returns its exit status; 0 when it came to its end."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        except BaseException:
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_whoever_dies_in_a_commit_has_made_it_or_not(slots):
    """The k-th store to the mapping is the last: the slot is as before the commit, or as after it."""
    ref = slots.take(0)
    slots.identify(ref, 1)
    before, after = server_record(status=100), server_record(status=180, expire_ms=2**63)
    slots.commit(ref, SERVER, 1, 0, before)

    def dying(k):
        die_at_store(k)
        slots.commit(ref, SERVER, 2, 3, after)

    seen = []
    for k in range(20):
        status = in_child(lambda k=k: dying(k))
        now = slots.read(ref)
        seen.append((now["state"], now["owes"], now["record"]))
        if status == 0:
            break
        assert status == CRASH_STATUS
    assert set(seen) == {(1, 0, before), (2, 3, after)}
    assert seen == sorted(seen)  # once made, it stays
    assert len(seen) >= 4 and seen[0][0] == 1


def test_whoever_dies_in_a_give_leaves_a_live_or_a_free_slot(store, slots, scratch):
    ref = live_server(slots)

    def dying(k):
        die_at_store(k)
        slots.give(ref)

    kinds = []
    for k in range(10):
        status = in_child(lambda k=k: dying(k))
        kinds.append(slots.read(ref)["kind"])
        if status == 0:
            break
    assert kinds[0] == SERVER and kinds[-1] == KINDS["free"] and set(kinds) == {SERVER, KINDS["free"]}


def test_owes_is_cleared_bit_by_bit_in_the_same_life_only(slots):
    ref = slots.take(0)
    slots.identify(ref, 1)
    slots.commit(ref, SERVER, 5, 3, server_record(status=200))
    life = slots.read(ref)["generation"]
    slots.clear_owes(ref, life + 1, 1)
    slots.clear_owes(ref, life - 1, 3)
    slots.clear_owes(ref, life, 4)  # not owed
    assert slots.read(ref)["owes"] == 3
    slots.clear_owes(ref, life, 1)
    seen = slots.read(ref)
    assert (seen["owes"], seen["state"], seen["kind"], seen["generation"]) == (2, 5, SERVER, life)
    assert seen["record"] == server_record(status=200)
    slots.give(ref)
    assert slots.take(0) == ref
    slots.commit(ref, SERVER, 1, 2)
    slots.clear_owes(ref, life, 2)  # a send of the former life
    assert slots.read(ref)["owes"] == 2


def test_tried_destinations_are_kept_by_attempt(slots):
    ref = live_server(slots)
    for attempt in range(16):
        slots.tried(ref, attempt, 1_000 + attempt)
    assert slots.read(ref)["tried"] == [1_000 + attempt for attempt in range(16)]


# ---------------------------------------------------------------- taking


def test_the_last_tenth_is_for_those_inside(slots):
    sizes = slots.sizes(3)
    assert sizes["reserved"] == sizes["slots"] // 10 > 0
    taken = [slots.take(3) for _ in range(sizes["slots"] - sizes["reserved"])]
    assert None not in taken and len(set(taken)) == len(taken)
    assert slots.take(3) is None
    inside = [slots.take(3, reserved=True) for _ in range(sizes["reserved"])]
    assert None not in inside and not set(inside) & set(taken)
    assert slots.take(3, reserved=True) is None
    assert slots.sizes(3)["free"] == 0 and slots.sizes(2)["free"] == sizes["slots"]
    slots.give(inside[0])
    assert slots.take(3) is None
    assert slots.take(3, reserved=True) == inside[0]


def test_calls_spread_over_all_partitions(slots):
    found = [slots.partition(b"call-%d@example.net" % number) for number in range(6_400)]
    counts = [found.count(partition) for partition in range(64)]
    assert min(counts) > 50 and max(counts) < 160 and len(found) == sum(counts)


def test_blocks_keep_their_bytes_until_the_batch_is_sent(slots):
    ref = live_server(slots)
    first = slots.write_block(ref, b"a" * 700)
    assert first[1] == 700 and slots.sizes(0)["used_units"] == 4
    second = slots.write_block(ref, b"b" * 256)
    slots.drop_block(ref, *first)
    slots.drop_block(ref, 0, 0)  # none
    assert slots.read_block(ref, *first) == b"a" * 700
    assert slots.sizes(0)["used_units"] == 5
    assert slots.give_pending() == 1
    assert slots.sizes(0)["used_units"] == 1
    assert slots.read_block(ref, *second) == b"b" * 256


def test_no_room_for_a_block_is_none_and_takes_nothing(slots):
    ref = live_server(slots)
    assert slots.write_block(ref, bytes(65_537)) is None
    blocks = []
    for _ in range(slots.sizes(0)["units"]):
        block = slots.write_block(ref, bytes(65_536))
        if block is None:
            break
        blocks.append(block)
    sizes = slots.sizes(0)
    assert len(blocks) == sizes["units"] // 256 and sizes["used_units"] == 256 * len(blocks)
    for block in blocks:
        slots.drop_block(ref, *block)
    slots.give_pending()
    assert slots.sizes(0)["used_units"] == 0


# ---------------------------------------------------------------- index and children


@given(pick=st.randoms(use_true_random=False), bits=st.sampled_from([0, 1, 3, 6]))
@settings(max_examples=40, deadline=None)
def test_the_index_against_a_dict_when_keys_collide(shared, pick, bits):
    """Keys that agree in all bits that choose the place, and some that agree in the whole stored tag."""
    slots = Slots(shared)
    keys = [(high << 32) | (low << 20) | 5 for high in range(4) for low in range(1 << bits)]
    wanted: dict[tuple[int, int], int] = {}
    try:
        for _ in range(120):
            key, kind = pick.choice(keys), pick.choice([SERVER, CLIENT])
            turn_index(slots, wanted, key, kind)
            found = {(k, n): slots.index_find(5, k, n) for k in keys for n in (SERVER, CLIENT)}
            assert {each: ref for each, ref in found.items() if ref is not None} == wanted
            assert slots.index_entries(5) == len(wanted)
    finally:  # also when hypothesis breaks off: the store is shared by all examples
        for key, kind in list(wanted):
            turn_index(slots, wanted, key, kind)
    assert slots.index_entries(5) == 0


def turn_index(slots, wanted, key, kind) -> None:
    """Takes the key out of the index when it is in, and puts it in when it is not and a slot is free."""
    if (key, kind) in wanted:
        ref = wanted.pop((key, kind))
        slots.index_remove(ref)
        slots.give(ref)
        return
    ref = slots.take(5)
    if ref is not None:
        slots.identify(ref, key)
        slots.commit(ref, kind, 1)
        slots.index_insert(ref)
        wanted[key, kind] = ref


def test_what_wraps_round_the_end_of_the_index_is_found(slots):
    """Keys whose home is the last place spill to the first ones; a removal closes the gap over the end."""
    keys = [(number << 32) | 0xFFFFFFFF for number in range(6)] + [1 << 40, 1 << 41 | 1]
    refs = [live_server(slots, 0, key) for key in keys]
    for gone in (2, 0, 6):
        slots.index_remove(refs[gone])
        slots.give(refs[gone])
        refs[gone] = None
        assert [slots.index_find(0, key, SERVER) for key in keys] == refs
    slots.index_remove(refs[1])
    slots.index_remove(refs[1])  # not there any more: nothing happens
    assert slots.index_entries(0) == 4


def test_children_are_linked_and_unlinked_anywhere_in_the_list(slots):
    parent = live_server(slots, 9, attempts=3)
    children = [live_client(slots, parent, attempt) for attempt in range(3)]
    assert slots.children(parent) == children[::-1]
    slots.unlink_child(children[1])
    assert slots.children(parent) == [children[2], children[0]]
    slots.unlink_child(children[2])
    slots.unlink_child(children[2])  # not there any more: nothing happens
    assert slots.children(parent) == [children[0]]
    slots.unlink_child(children[0])
    assert slots.children(parent) == []


# ---------------------------------------------------------------- the scan


def derived(slots, partition, keys) -> dict:
    refs = {key: slots.index_find(partition, *key) for key in keys}
    return {
        "sizes": slots.sizes(partition),
        "index": refs,
        "children": {ref: sorted(slots.children(ref)) for ref in refs.values() if ref is not None},
    }


def test_a_scan_finds_what_was_derived_before(slots):
    keys = []
    for number in range(8):
        parent = live_server(slots, 4, number, attempts=2)
        response = slots.write_block(parent, b"x" * (300 + 400 * number))
        slots.commit(parent, SERVER, 2, record=server_record(response=response, attempts=2))
        for attempt in range(2):
            live_client(slots, parent, attempt, key=100 + 10 * number + attempt)
            keys.append((100 + 10 * number + attempt, CLIENT))
        keys.append((number, SERVER))
    gone = slots.index_find(4, 3, SERVER)
    for child in slots.children(gone):
        slots.unlink_child(child)
        slots.index_remove(child)
        slots.give(child)
        keys.remove((slots.read(child)["key"], CLIENT))
    before = derived(slots, 4, keys)
    freed = 2  # the units of the children that went were never dropped; a scan frees them
    assert slots.scan(4) == 8 * 3 - 2
    after = derived(slots, 4, keys)
    before["sizes"]["used_units"] -= freed
    assert after == before


@pytest.mark.parametrize("why", ["not-counted", "parent-gone", "parent-lives-again", "no-parent"])
def test_a_scan_sweeps_children_that_no_commit_published(slots, why):
    parent = live_server(slots, 1, attempts=2)
    published = live_client(slots, parent, 0, key=10)
    child = slots.take(1)
    slots.identify(child, 11, None if why == "no-parent" else parent, 2 if why == "not-counted" else 1)
    block = slots.write_block(child, b"INVITE")
    slots.commit(child, CLIENT, 1, 2, client_record(request=block))
    slots.index_insert(child)
    expected = [published]
    if why.startswith("parent"):
        slots.give(parent)
        expected = []
    if why == "parent-lives-again":
        again = slots.take(1)
        assert again == parent
        slots.identify(parent, 1)
        slots.commit(parent, SERVER, 1, record=server_record(attempts=2))
    live = slots.scan(1)
    assert live == {"parent-gone": 0, "parent-lives-again": 1}.get(why, 2)
    assert slots.read(child)["kind"] == KINDS["free"]
    assert slots.index_find(1, 11, CLIENT) is None
    assert slots.children(parent) == expected
    assert slots.sizes(1)["used_units"] == len(expected)


def two_with_one_block(slots, partition=2):
    first, second = live_server(slots, partition, 1), live_server(slots, partition, 2)
    block = slots.write_block(first, b"x" * 600)
    slots.commit(first, SERVER, 1, record=server_record(response=block))
    slots.commit(second, SERVER, 1, record=server_record(best=(block[0] + 1, 100)))


@pytest.mark.parametrize(
    "block",
    [(1 << 31, 10), (0, 65_537), (0, 2**32 - 1), (3, 600), (2**32 - 1, 1)],
    ids=["outside", "too-long", "absurd", "between", "last-unit-there-is-not"],
)
def test_a_scan_tells_of_a_block_where_none_can_be(slots, block):
    ref = live_server(slots, 2)
    slots.commit(ref, SERVER, 1, record=server_record(parked=block))
    assert slots.scan(2) == -1


def test_a_scan_tells_of_a_block_that_two_slots_name(slots):
    two_with_one_block(slots)
    assert slots.scan(2) == -1
    # and of one that a slot names twice
    ref = live_server(slots, 6)
    block = slots.write_block(ref, b"x")
    slots.commit(ref, SERVER, 1, record=server_record(response=block, best=block))
    assert slots.scan(6) == -1


TOO_SHORT = [{"taken_len": 9}, {"ruri_len": 8}, {"taken_len": 65_535, "ruri_len": 65_535}]


@pytest.mark.parametrize("lengths, live", [*((each, -1) for each in TOO_SHORT), ({"taken_len": 4, "ruri_len": 3}, 2)])
def test_a_scan_tells_of_a_block_too_short_for_what_it_holds(slots, lengths, live):
    parent = live_server(slots, 2, attempts=1)
    ref = slots.take(2, reserved=True)
    slots.identify(ref, 2, parent, 0, **lengths)
    slots.commit(ref, CLIENT, 1, record=client_record(request=slots.write_block(ref, b"INVITE 0")))
    assert slots.scan(2) == live


def test_a_scan_tells_of_more_branches_than_a_search_has(slots):
    ref = live_server(slots, 2)
    slots.commit(ref, SERVER, 1, record=server_record(attempts=17))
    assert slots.scan(2) == -1


# ---------------------------------------------------------------- files


def test_files_are_whole_private_and_as_large_as_said(store, scratch):
    files = files_of(scratch)
    assert [path.name for path in files] == [f"{number:02d}.slots" for number in range(64)]
    assert sum(path.stat().st_size for path in files) == store_bytes(SMALL) == store.in_use()["store_bytes"]
    assert sum(path.stat().st_blocks * 512 for path in files) >= store_bytes(SMALL)  # no hole in them
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o640}


@pytest.mark.parametrize("count", [1, 64, 1_000, 20_000, 1_000_000])
def test_store_bytes_follow_from_the_sizes(count):
    slots, units = partition_sizes(count)
    headers = -(-(LAYOUT["header_bytes"] + slots * LAYOUT["slot_bytes"]) // 4096) * 4096
    assert store_bytes(count) == 64 * (headers + units * BLOCKS["unit_bytes"])
    assert slots >= 2 * count / 64 and LAYOUT["slot_bytes"] <= 512


def test_reopened_it_holds_everything(scratch):
    store = Store(scratch, SMALL)
    slots = Slots(store)
    pick = random.Random(5)
    wanted = {}
    for number in range(100):
        partition = pick.randrange(64)
        parent = live_server(slots, partition, number, attempts=1)
        child = live_client(slots, parent, 0, key=1_000 + number)
        response = slots.write_block(parent, b"SIP/2.0 180 %d" % number)
        slots.commit(parent, SERVER, 2, 1, server_record(response=response, attempts=1, status=180))
        wanted[number] = (parent, child, response, slots.read(parent), slots.read(child))
    in_use = store.in_use()
    sizes = [slots.sizes(partition) for partition in range(64)]
    del store, slots
    again = Store(scratch, SMALL)
    slots = Slots(again)
    assert again.notes == [] and again.in_use() == in_use
    assert [slots.sizes(partition) for partition in range(64)] == sizes
    for number, (parent, child, response, server, client) in wanted.items():
        partition = parent >> 26
        assert slots.index_find(partition, number, SERVER) == parent
        assert slots.index_find(partition, 1_000 + number, CLIENT) == child
        assert slots.children(parent) == [child]
        assert slots.read_block(parent, *response) == b"SIP/2.0 180 %d" % number
        assert (slots.read(parent), slots.read(child)) == (server, client)


def asides(run_dir: Path) -> list[Path]:
    return sorted((run_dir / "transactions").glob("*.damaged-*"))


def assert_started_empty(store, run_dir, kept: int) -> None:
    assert store.in_use()["slots"] == 0 and store.in_use()["block_bytes"] == 0
    assert len(store.notes) == 1 and "started empty" in store.notes[0]
    assert len(asides(run_dir)) == kept
    if kept:
        assert str(asides(run_dir)[0]) in store.notes[0]
    slots = Slots(store)
    ref = live_server(slots, 17, 78)
    assert slots.index_find(17, 78, SERVER) == ref


def test_of_another_boot_it_starts_empty_and_keeps_nothing(scratch):
    live_server(Slots(Store(scratch, SMALL)))
    for path in files_of(scratch):
        patch(path, BOOT_AT, b"0" * 36)
    store = Store(scratch, 2 * SMALL)
    assert_started_empty(store, scratch, kept=0)
    assert store.in_use()["store_bytes"] == store_bytes(2 * SMALL)


DAMAGES = {
    "short": lambda path: os.truncate(path, path.stat().st_size - 256),
    "cut inside the header": lambda path: os.truncate(path, 100),
    "empty": lambda path: os.truncate(path, 0),
    "longer": lambda path: os.truncate(path, path.stat().st_size + 4096),
    "missing": lambda path: path.unlink(),
    "not ours": lambda path: patch(path, 0, b"somebody"),
    "newer layout": lambda path: patch(path, MAJOR_AT, struct.pack("=I", LAYOUT["major"] + 1)),
    "of another store": lambda path: patch(path, EPOCH_AT, struct.pack("=I", 0x10000)),
    "another partition's": lambda path: patch(path, PARTITION_AT, struct.pack("=I", 8)),
    "more slots used than there are": lambda path: patch(path, HIGH_WATER_AT, struct.pack("=I", 1 << 30)),
    "a block named twice": lambda path: None,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_cannot_be_read_is_set_aside(scratch, damage):
    """One file of 64: its calls are lost, and no others."""
    slots = Slots(Store(scratch, SMALL))
    live_server(slots, 17)
    other = live_server(slots, 3, 77)
    if damage == "a block named twice":
        two_with_one_block(slots, 17)
    del slots
    damaged = files_of(scratch)[17]
    DAMAGES[damage](damaged)
    store = Store(scratch, SMALL)
    assert store.in_use()["slots"] == 1 and Slots(store).index_find(3, 77, SERVER) == other
    assert len(store.notes) == 1 and store.notes[0].startswith(f"1 of 64 files of the store are lost: {damaged} ")
    assert [path.name.split(".damaged-")[0] for path in asides(scratch)] == ["17.slots"] * (damage != "missing")
    ref = live_server(Slots(store), 17, 78)
    # and it is over with that: the next start is a plain one
    del store
    store = Store(scratch, SMALL)
    assert store.notes == [] and Slots(store).index_find(17, 78, SERVER) == ref


def test_a_store_of_which_nothing_can_be_read_is_set_aside(scratch):
    live_server(Slots(Store(scratch, SMALL)), 17)
    for path in files_of(scratch):
        path.write_bytes(b"somebody's")
    assert_started_empty(Store(scratch, SMALL), scratch, kept=64)


def test_the_files_that_most_agree_with_are_the_store(scratch):
    """Three files of another store, of this boot: its key is none of ours."""
    Store(scratch / "other", SMALL)
    live_server(Slots(Store(scratch, SMALL)), 17, 77)
    for number in (0, 1, 2):
        os.replace(files_of(scratch / "other")[0], files_of(scratch)[number])
    store = Store(scratch, SMALL)
    assert store.in_use()["slots"] == 1 and len(asides(scratch)) == 3
    assert store.notes[0].startswith("3 of 64 files")


def test_what_was_kept_gives_way_when_there_is_no_room(scratch, monkeypatch):
    """The copies of a damaged store must not be what keeps the router from routing."""
    live_server(Slots(Store(scratch, SMALL)), 17, 77)
    os.truncate(files_of(scratch)[5], 100)
    allocate = os.posix_fallocate

    def refuse_beside_copies(*arguments):
        if asides(scratch):
            raise OSError(errno.ENOSPC, "No space left on device")
        allocate(*arguments)

    monkeypatch.setattr(os, "posix_fallocate", refuse_beside_copies)
    store = Store(scratch, SMALL)
    assert asides(scratch) == [] and "1 files removed" in store.notes[1]
    assert store.in_use()["slots"] == 1


def test_a_newer_minor_layout_is_read(scratch):
    slots = Slots(Store(scratch, SMALL))
    ref = live_server(slots, 0, 77)
    del slots
    for path in files_of(scratch):
        patch(path, MINOR_AT, struct.pack("=I", LAYOUT["minor"] + 1))
    store = Store(scratch, SMALL)
    assert store.notes == [] and Slots(store).index_find(0, 77, SERVER) == ref


# ---------------------------------------------------------------- clocks


def test_the_clock_pair_stands_in_the_header(slots, scratch):
    slots.write_clocks(12, 1_700_000_000_123, 55_000)
    raw = files_of(scratch)[12].read_bytes()
    assert struct.unpack_from("=QQ", raw, 96) == (1_700_000_000_123, 55_000)
