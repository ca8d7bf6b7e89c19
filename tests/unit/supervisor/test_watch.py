"""Who hangs and who only sleeps long: looks are counted, not time."""

import pytest

from fastsip.supervisor.watch import Watch


def test_who_goes_round_does_not_hang():
    watch = Watch(patience=3)
    for rounds in range(10):
        watch.look([rounds, 7 * rounds])
        assert watch.all_beat and not watch.hangs


@pytest.mark.parametrize("still, beats, hangs", [(1, True, ""), (2, False, ""), (3, False, "shard 1")])
def test_a_shard_that_stands_still_hangs_after_its_time(still, beats, hangs):
    watch = Watch(patience=3)
    for look in range(still + 1):
        watch.look([look, look, 5])
    assert (watch.all_beat, watch.hangs) == (beats, hangs)
    watch.look([9, 9, 6])
    assert watch.all_beat and not watch.hangs


@pytest.mark.parametrize(
    ("still", "slow", "hangs"), [(2, False, ""), (3, True, ""), (5, True, ""), (6, False, "the loop")]
)
def test_a_loop_alone_has_more_time(still, slow, hangs):
    watch = Watch(patience=3, for_the_loop=6)
    for look in range(still + 1):
        watch.look([5, look, look])
    assert (watch.slow_loop, watch.hangs, watch.all_beat) == (slow, hangs, not hangs)


def test_a_loop_that_stands_still_with_a_shard_hangs_as_soon_as_that():
    watch = Watch(patience=3, for_the_loop=60)
    for look in range(4):
        watch.look([5, look, 5])
    assert watch.hangs == "the loop, shard 1" and not watch.slow_loop and watch.idle_shards == [1]


def test_all_that_hang_are_named():
    watch = Watch(patience=1)
    watch.look([1, 2])
    watch.look([1, 2])
    assert watch.hangs == "the loop, shard 0"


def test_another_number_of_shards_begins_anew():
    watch = Watch(patience=1)
    watch.look([1, 2])
    watch.look([1, 2, 3])
    assert watch.all_beat and not watch.hangs


def test_before_the_first_look_nobody_hangs():
    assert Watch(patience=1).all_beat and Watch(patience=1).hangs == ""
