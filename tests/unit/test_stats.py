"""The file of counters: what a router writes, anyone reads, summed or by shard."""

import pytest
from fastsip._core.core import COUNTER_NAMES

from fastsip import stats


def test_shards_and_their_sum(tmp_path):
    file = stats.StatsFile(str(tmp_path), 3)
    received = COUNTER_NAMES.index("received")
    for shard in range(3):
        file.shards[shard][received] = 10**shard
    file.gauges[stats.GAUGES.index("slots")] = 7
    assert [shard["received"] for shard in stats.read_shards(tmp_path)] == [1, 10, 100]
    found = stats.read(tmp_path)
    assert (found["received"], found["slots"]) == (111, 7)
    assert set(found) == {*stats.GAUGES, *COUNTER_NAMES}


def test_without_a_router(tmp_path):
    for read in (stats.read, stats.read_shards):
        with pytest.raises(FileNotFoundError):
            read(tmp_path)
