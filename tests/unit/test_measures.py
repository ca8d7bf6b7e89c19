"""What is measured of destinations, in its file: lines kept over routers of any size, given away when they are free."""

import numpy as np
import pytest

from fastsip._core.base.buckets import BOUNDS_MS
from fastsip._core.base.files import ASIDE
from fastsip._core.base.mapped import HEAD_BYTES, Damaged
from fastsip._core.dispatcher import measures
from fastsip._core.dispatcher.measures import (
    ANSWER_NAMES,
    MOST_MEASURED,
    PROBE_NAMES,
    SILENCE_NAMES,
    THE_REST,
    Measures,
    fields,
    lines_of,
    read_head,
)
from fastsip.observe.measures import LINE, Measured, median_ms, quantile_ms, ratio, read_measured

COUNTED = ("attempts", "failovers", "answers", "silences", "probes")
TIMED = ("reply", "answer", "probe")


@pytest.fixture
def place(scratch):
    return scratch / "measures"


def lines(place):
    """The file's lines as [shard][line], writable: what the shards would count."""
    head = read_head(place.read_bytes())
    shape = head["shards"], head["lines"]
    return np.memmap(place, LINE, "r+", HEAD_BYTES, shape)


def fill(place, shard: int, index: int, factor: int) -> None:
    """Each number of a line another one."""
    line = lines(place)[shard, index]
    number = 1
    for name in (*COUNTED, *(f"{name}.{part}" for name in TIMED for part in ("sum_ms", "counts"))):
        values = np.arange(number, number + line[name].size, dtype=np.uint64) * np.uint64(factor)
        line[name] = values.reshape(line[name].shape)
        number += line[name].size


def plain(factor: int) -> dict:
    """What `fill` wrote, as Measures.read has it."""
    numbers = iter(n * factor for n in range(1, 1_000))
    found = {"attempts": next(numbers), "failovers": next(numbers)}
    for name, words in (("answers", ANSWER_NAMES), ("silences", SILENCE_NAMES), ("probes", PROBE_NAMES)):
        found[name] = {word: next(numbers) for word in words}
    for name in TIMED:
        found[name] = (next(numbers), [next(numbers) for _ in range(len(BOUNDS_MS) + 1)])
    return found


def made(place, cells: int, shards: int, assigned: dict[int, int]) -> Measures:
    found = Measures(place, cells, shards)
    found.follow(assigned)
    return found


def test_a_line_has_its_own_cache_lines():
    size = fields()["bytes"][1]
    assert size % 64 == 0 and size == LINE.itemsize == 448
    assert HEAD_BYTES % 64 == 0


def test_all_shards_are_added_up(place):
    found = made(place, 8, 3, {77: 2})
    for shard, factor in enumerate((1, 10, 100)):
        fill(place, shard, 2, factor)
    assert found.read(2) == plain(111) and found.read(3) == plain(0)


@pytest.mark.parametrize(("cells", "shards"), [(8, 2), (8, 1), (8, 5), (20, 2), (20, 1)])
def test_another_router_goes_on_with_what_was_measured(place, cells, shards):
    """Of the same sizes, with more destinations, with fewer and with more shards: the sums stay."""
    made(place, 8, 2, {77: 2, 78: 7})
    fill(place, 0, 2, 1)
    fill(place, 1, 2, 10)
    fill(place, 1, 7, 100)
    found = made(place, cells, shards, {77: 2, 78: 7})
    assert found.read(2) == plain(11) and found.read(7) == plain(100) and found.notes == []
    assert (found.lines, found.shards) == (cells + 1, shards)
    assert place.stat().st_size == found.file_bytes()
    assert [path.name for path in place.parent.iterdir()] == ["measures"]


def test_a_router_that_still_counts_into_the_file_is_seen(place):
    """The same sizes: it is the same file, for whoever has it mapped already."""
    first = made(place, 8, 1, {77: 2})
    second = made(place, 8, 1, {77: 2})
    fill(place, 0, 2, 3)
    assert first.read(2) == second.read(2) == plain(3)


def test_a_line_that_changes_hands_begins_at_0(place):
    found = made(place, 8, 2, {77: 2, 78: 3})
    for shard in range(2):
        fill(place, shard, 2, 1)
        fill(place, shard, 3, 1)
    found.follow({78: 3})
    assert found.read(2) == plain(2), "nobody has it yet"
    found.follow({79: 2, 78: 3})
    assert found.read(2) == plain(0) and found.read(3) == plain(2)


@pytest.mark.parametrize("beyond", [-1, 0, 1])
def test_cells_behind_the_bound_share_a_line(place, beyond, monkeypatch):
    monkeypatch.setattr(measures, "MOST_MEASURED", 4)
    found = made(place, 4 + beyond, 1, {10 + cell: cell for cell in range(4 + beyond)})
    assert found.lines == min(4 + beyond, 4) + 1
    fill(place, 0, found.lines - 1, 5)
    owners = lines(place)["destination_id"][0].tolist()
    assert owners == [*range(10, 10 + found.lines - 1), THE_REST]
    assert found.read(4) == found.read(1_000) == plain(5)
    assert found.read(0) == plain(0)


def test_the_bound_is_what_the_page_says():
    assert (MOST_MEASURED, lines_of(MOST_MEASURED), lines_of(10**6)) == (16_384, 16_385, 16_385)


def test_what_was_shared_stays_shared_when_there_are_more_lines(place, monkeypatch):
    monkeypatch.setattr(measures, "MOST_MEASURED", 2)
    made(place, 8, 1, {10: 0, 11: 1, 12: 2})
    fill(place, 0, 2, 7)
    monkeypatch.undo()
    found = made(place, 8, 1, {10: 0, 11: 1, 12: 2})
    assert found.read(2) == plain(0) and found.read(8) == plain(7)


@pytest.mark.parametrize("cut", [0, 1, 100, HEAD_BYTES - 1, HEAD_BYTES, -1])
def test_a_file_that_is_cut_off_is_kept_aside(place, cut):
    made(place, 8, 1, {77: 2})
    content = place.read_bytes()
    place.write_bytes(content[:cut])
    with pytest.raises(Damaged):
        read_head(place.read_bytes())
    found = made(place, 8, 1, {77: 2})
    assert len(found.notes) == 1 and ASIDE in found.notes[0] and found.read(2) == plain(0)


def test_a_head_that_promises_much_is_damage(place):
    """Sizes that no file has are not believed, whatever they multiply to."""
    made(place, 8, 1, {})
    content = bytearray(place.read_bytes())
    content[16:24] = b"\xff" * 8
    with pytest.raises(Damaged, match="4294967295 times 4294967295 lines"):
        read_head(bytes(content))


# ---------------------------------------------------------------- for who looks


def measured(**numbers) -> Measured:
    """One destination, m/a, of one shard."""
    found = np.zeros((1, 2), LINE)
    found["destination_id"] = [[77, THE_REST]]
    for name, value in numbers.items():
        column = found[name.replace("__", ".")][0, 0:1]
        if isinstance(value, dict):
            words = {"answers": ANSWER_NAMES, "silences": SILENCE_NAMES, "probes": PROBE_NAMES}[name]
            for word, count in value.items():
                column[0, words.index(word)] = count
        else:
            column[:] = value
    return Measured(found, {77: ("destination", "m/a")})


def test_ratios_of_rfc_6076():
    one = measured(attempts=100, silences={"timeout": 4, "transport": 1, "cancelled": 1}, answers={
        "2xx": 40, "3xx": 10, "challenge": 10, "480": 1, "486": 2, "600": 3, "603": 4, "408": 5, "500": 6, "503": 7,
        "504": 1, "4xx": 2, "487": 3}).of("m/a")  # fmt: skip
    assert one["ser"] == round(40 / 90, 4) and one["seer"] == round(50 / 80, 4)
    assert one["isa"] == round((5 + 6 + 7 + 1 + 4 + 1) / 100, 4)


def test_without_attempts_there_is_no_ratio():
    one = measured().of("m/a")
    assert (one["ser"], one["seer"], one["isa"], one["reply_ms"]) == (None, None, None, None)
    assert measured().of("m/b") is None
    only_redirected = measured(attempts=3, answers={"3xx": 3}).of("m/a")
    assert only_redirected["ser"] is None and only_redirected["isa"] == 0
    assert ratio(dict.fromkeys(ANSWER_NAMES, 0), ("2xx",), 4, ()) == 0


@pytest.mark.parametrize(("counts", "median"), [
    ([0] * 16, None), ([1] + [0] * 15, 0.5), ([0, 0, 4] + [0] * 13, 3.5), ([2, 2] + [0] * 14, 1.0),
    ([0] * 15 + [1], 60_000.0), ([1] * 3 + [0] * 12 + [9], 60_000.0),
])  # fmt: skip
def test_the_median_lies_in_its_bucket(counts, median):
    assert median_ms(counts) == median


def test_of_a_file_that_is_not_there_nothing_is_known(scratch):
    assert read_measured(scratch, {}) is None


def test_any_share_is_counted_from_below():
    counts = [100, 0, 0, 100, *([0] * 12)]
    assert [quantile_ms(counts, share) for share in (0.25, 0.5, 0.75, 1)] == [0.5, 1.0, 7.5, 10.0]
    assert quantile_ms([0] * 16, 0.95) is None and quantile_ms([0] * 15 + [3], 0.95) == 60_000
