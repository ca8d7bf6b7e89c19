"""The router dies between any two steps of resizing its store, and nothing is lost (docs/core.md#another-size).

After each death another one opens the store: with the size that was wanted, with the one before, or with a third.
FASTSIP_CRASH=all dies at each step; otherwise at each of the first files, and now and then at those of the others.
"""

import os

from fastsip._core.store.partitions import Store, partition_sizes, read_header
from fastsip._core.store.slots import die_at_store
from tests.kernels.store_doors import Slots
from tests.unit.test_resize import LARGE, MIDDLE, SMALL, check, fill
from tests.unit.test_slots import CRASH_STATUS, files_of, in_child

EVERY = os.environ.get("FASTSIP_CRASH") == "all"
FIRST, STRIDE = 40, 37
SIZES = (SMALL, MIDDLE, LARGE)


def test_whoever_dies_on_the_way_leaves_one_file_or_the_other(scratch):
    wanted = fill(Slots(Store(scratch, SMALL)), range(64), calls=1)
    k, deaths, mixed, status = 0, 0, 0, CRASH_STATUS
    while status == CRASH_STATUS:
        before, size = SIZES[deaths % 3], SIZES[(deaths + 1) % 3]
        check(Store(scratch, before), wanted)

        def dying(k=k, size=size):
            die_at_store(k)
            Store(scratch, size)

        status = in_child(dying)
        sizes = {read_header(path)["sizes"] for path in files_of(scratch)}
        assert sizes <= {partition_sizes(before), partition_sizes(size)} and len(files_of(scratch)) == 64
        mixed += len(sizes) == 2
        store = Store(scratch, SIZES[k % 3])
        assert store.notes == []
        check(store, wanted)
        assert {path.suffix for path in (scratch / "transactions").iterdir()} == {".slots"}
        deaths += 1
        k += 1 if EVERY or k < FIRST else STRIDE
    assert status == 0 and deaths > FIRST and mixed > 10
