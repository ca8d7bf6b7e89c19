"""fastsip.router.epochs: what is remembered of former stores, and what a file may hold that is not."""

import pytest

from fastsip.base.run_dir import EPOCHS
from fastsip.router.epochs import note_epoch, read_epochs


def test_the_last_four_are_remembered(scratch):
    assert read_epochs(scratch) == []
    for epoch in (1, 2, 3, 65_535, 5, 5):
        note_epoch(scratch, epoch)
    assert read_epochs(scratch) == [5, 65_535, 3, 2]
    note_epoch(scratch, 3)
    assert read_epochs(scratch) == [3, 5, 65_535, 2]


@pytest.mark.parametrize(
    "content, read",
    [(b"", []), (b"\xff\0 12 x", [12]), (b"9" * 5_000, []), (b"-1 1.5 7", [7]), (b"1 2 3 4 5 6", [1, 2, 3, 4])],
)
def test_a_damaged_file_costs_what_it_held(scratch, content, read):
    (scratch / EPOCHS).write_bytes(content)
    assert read_epochs(scratch) == read
    note_epoch(scratch, 4711)
    assert read_epochs(scratch) == [4711, *read][:4]


def test_what_cannot_be_written_stops_nobody(scratch):
    (scratch / EPOCHS).mkdir()
    assert read_epochs(scratch) == []
    note_epoch(scratch, 7)
    assert read_epochs(scratch) == []
