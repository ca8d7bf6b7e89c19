"""What several files of unit tests stand on."""

import pytest

from fastsip._core.store.partitions import Store
from tests.kernels.store_doors import Slots

SMALL = 64  # max_transactions of most tests


@pytest.fixture
def store(scratch):
    return Store(scratch, SMALL)


@pytest.fixture
def slots(store):
    return Slots(store)
