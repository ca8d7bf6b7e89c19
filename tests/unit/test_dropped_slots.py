"""What of a store is not taken up: a slot that kills, files of another layout."""

import struct

import pytest

from fastsip._core.store.partitions import Store, unreadable
from tests.kernels.store_doors import LAYOUT, Slots

from .test_slots import BOOT_AT, CLIENT, MAJOR_AT, SERVER, SMALL, files_of, live_client, live_server, patch


def test_a_dropped_slot_takes_its_branches_along(store, slots, scratch):
    poison, other = live_server(slots, 5, 1, attempts=1), live_server(slots, 5, 2)
    live_client(slots, poison, 0, key=3)
    again = Store(scratch, SMALL)
    content = again.drop(poison, 1)
    assert len(content) == LAYOUT["slot_bytes"] and again.in_use()["slots"] == 1
    after = Slots(again)
    assert after.index_find(5, 1, SERVER) is None and after.index_find(5, 3, CLIENT) is None
    assert after.index_find(5, 2, SERVER) == other
    assert Store(scratch, SMALL).in_use()["slots"] == 1


def test_a_dropped_branch_leaves_its_search(store, slots, scratch):
    parent = live_server(slots, 5, 1, attempts=1)
    branch = live_client(slots, parent, 0, key=3)
    again = Store(scratch, SMALL)
    assert again.drop(branch, 1) and Slots(again).children(parent) == []
    assert Slots(again).index_find(5, 1, SERVER) == parent


@pytest.mark.parametrize("ref, generation", [(0, 2), (1, 1), (0x3FFFFFF, 1), (1 << 26, 1), (0xFFFFFFFF, 1)])
def test_only_that_slot_in_that_life_is_dropped(store, slots, ref, generation):
    assert live_server(slots, 0, 1) == 0
    assert store.drop(ref, generation) == b"" and store.in_use()["slots"] == 1


def test_what_another_layout_wrote_is_unreadable(scratch):
    assert unreadable(scratch) == ""
    Store(scratch, SMALL)
    assert unreadable(scratch) == ""
    boots = [path.read_bytes()[BOOT_AT:][:40] for path in files_of(scratch)]
    for path in files_of(scratch):
        patch(path, BOOT_AT, b"another boot".ljust(40))
    assert unreadable(scratch) == ""  # nobody wants them
    for path, boot in zip(files_of(scratch), boots, strict=True):
        patch(path, BOOT_AT, boot)
    patch(files_of(scratch)[9], MAJOR_AT, struct.pack("=I", LAYOUT["major"] + 1))
    assert "layout" in unreadable(scratch)
