"""fastsip.observe.counters: what the file of counters holds, and what a reader makes of it."""

import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest

from fastsip.observe import counters
from fastsip.observe.counters import COUNTER_NAMES


def test_counters_are_summed_over_the_shards_and_gauges_stand_alone(scratch):
    file = counters.StatsFile(str(scratch), 3)
    for number, row in enumerate(file.shards, 1):
        for i in range(len(COUNTER_NAMES)):
            row[i] = i * 10**number
    for i, value in enumerate((7, 8, 9, 2**63, 5)):
        file.gauges[i] = value
    found = counters.read(str(scratch))
    assert tuple(found) == (*counters.GAUGES, *COUNTER_NAMES)
    assert [found[name] for name in counters.GAUGES] == [7, 8, 9, 2**63, 5]
    assert [found[name] for name in COUNTER_NAMES] == [1_110 * i for i in range(len(COUNTER_NAMES))]
    assert all(type(value) is int for value in found.values())


def test_a_new_file_counts_from_zero_and_names_its_process(scratch):
    counters.StatsFile(str(scratch), 2).gauges[0] = 5
    counters.StatsFile(str(scratch), 1)
    assert set(counters.read(str(scratch)).values()) == {0}
    head = json.loads((scratch / "stats").read_bytes()[: counters.HEAD_BYTES])
    assert (head["shards"], head["pid"]) == (1, os.getpid())
    assert [path.name for path in scratch.iterdir()] == ["stats"]


def test_a_reader_of_the_old_file_is_not_disturbed_by_the_new_one(scratch):
    """The name changes hands in one step: who has the old file open keeps it."""
    old = counters.StatsFile(str(scratch), 1)
    old.gauges[0] = 11
    with open(scratch / "stats", "rb") as held:
        counters.StatsFile(str(scratch), 1)
        row = np.frombuffer(held.read(), np.uint64, offset=counters.HEAD_BYTES)
    assert row[0] == 11 and counters.read(str(scratch))["slots"] == 0


def test_another_process_sees_what_is_counted_at_once(scratch):
    file = counters.StatsFile(str(scratch), 1)
    code = "import sys; from fastsip.observe import counters; print(counters.read(sys.argv[1])['datagrams'])"
    at = COUNTER_NAMES.index("datagrams")
    for value in (1, 2**40):
        file.shards[0][at] = value
        done = subprocess.run(
            [sys.executable, "-c", code, str(scratch)], capture_output=True, text=True, check=True, timeout=30
        )
        assert int(done.stdout) == value


def test_it_is_wholly_allocated_and_not_for_strangers_to_write(scratch):
    counters.StatsFile(str(scratch), 4)
    status = (scratch / "stats").stat()
    assert status.st_size == counters.HEAD_BYTES + 5 * counters.COLUMNS * 8
    assert status.st_blocks * 512 >= status.st_size
    assert not stat.S_IMODE(status.st_mode) & 0o002


def test_a_file_of_another_version_gives_the_names_it_has(scratch):
    """Names stand in the file: a reader of another release shows what was counted, not what it expects."""
    head = {"shards": 1, "pid": 1, "gauges": ["kites"], "counters": ["stones", "feathers"]}
    rows = np.zeros((2, counters.COLUMNS), np.uint64)
    rows[0, 0], rows[1, :2] = 3, (5, 6)
    (scratch / "stats").write_bytes(json.dumps(head).encode().ljust(counters.HEAD_BYTES) + rows.tobytes())
    assert counters.read(str(scratch)) == {"kites": 3, "stones": 5, "feathers": 6}


def test_no_file_is_an_os_error(scratch):
    with pytest.raises(FileNotFoundError):
        counters.read(str(scratch))


def damaged_files(whole: bytes) -> Iterator[bytes]:
    """Of the head every third byte another one, and every third length; of the numbers a few."""
    head = len(whole[: counters.HEAD_BYTES].rstrip())
    for place in [*range(0, head + 2, 3), counters.HEAD_BYTES - 1, counters.HEAD_BYTES, len(whole) - 1]:
        for byte in (0, 0x22, 0x2C, 0x39, 0x5B, 0x80, 0xFF, whole[place] ^ 1):
            yield whole[:place] + bytes([byte]) + whole[place + 1 :]
    for length in (*range(0, head + 2, 3), *range(counters.HEAD_BYTES - 2, len(whole), 509), len(whole) - 1):
        yield whole[:length]
    yield from (whole + b"x", whole + whole, b"[" * len(whole))
    yield from (head.ljust(len(whole)) for head in (b"{}", b'{"gauges":{}}', b"[]", b"1"))


def test_a_damaged_file_is_read_or_refused_as_such(scratch):
    counters.StatsFile(str(scratch), 2)
    place, refused = scratch / "stats", 0
    for content in damaged_files(place.read_bytes()):
        place.write_bytes(content)
        for read in (counters.read, counters.read_shards):
            try:
                found = read(str(scratch))
            except counters.Damaged as error:
                assert str(error) == f"{place} is damaged, or of another version"
                refused += 1
            else:
                json.dumps(found)
    assert refused > 1_000


def test_each_shard_by_itself(scratch):
    file = counters.StatsFile(str(scratch), 3)
    at = COUNTER_NAMES.index("received")
    for shard in range(3):
        file.shards[shard][at] = 10**shard
    assert [shard["received"] for shard in counters.read_shards(str(scratch))] == [1, 10, 100]
    with pytest.raises(FileNotFoundError):
        counters.read_shards(str(scratch / "nowhere"))


def test_each_number_has_a_help_of_one_line():
    assert set(counters.HELP) == {*counters.GAUGES, *COUNTER_NAMES}
    texts = list(counters.HELP.values())
    assert all(text == text.strip() and 5 < len(text) < 100 and not text.endswith(".") for text in texts)
    assert len(set(texts)) == len(texts)
