"""fastsip._core.store.wheel against a list of deadlines: never early, a tick late at most, any duration."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.kernels.store_doors import CLOCK, Wheel

TICK_MS, LONGEST_MS = CLOCK["tick_ms"], CLOCK["longest_ms"]
DAY_MS = 86_400_000
TIMERS = 24
LEVELS = (2**8, 2**16, 2**24, 2**32)  # ticks at which a level ends
MOST_ADVANCES = 20_000
INT_MAX = 2**31 - 1

# Each of the four levels is as likely as the others; the longest ones are cut to LONGEST_MS.
durations = st.one_of(
    st.integers(1, 3_000), st.integers(1, 600_000), st.integers(1, 2 * DAY_MS), st.integers(1, 400 * DAY_MS)
)


class Oracle:
    """Deadlines in a dict; those that are due are found by looking at all of them."""

    def __init__(self):
        self.deadline: dict[int, int] = {}

    def check(self, fired: list[int], then_ms: int, now_ms: int, wheel: Wheel) -> None:
        for ref in fired:
            assert self.deadline.pop(ref) <= now_ms, "a timer fired early"
        late = {ref: at for ref, at in self.deadline.items() if at + TICK_MS <= now_ms}
        assert not late, f"did not fire between {then_ms} and {now_ms}: {late}"
        assert wheel.armed == len(self.deadline)


def fire(wheel: Wheel, now_ms: int) -> list[int]:
    """As the shard does: advance, take all, until nothing is due."""
    fired = []
    for _ in range(MOST_ADVANCES):
        wheel.advance(now_ms)
        ref = wheel.take()
        if ref is None:
            return fired
        while ref is not None:
            fired.append(ref)
            ref = wheel.take()
    raise AssertionError("the wheel does not come to an end")


steps = st.lists(
    st.one_of(
        st.tuples(st.just("arm"), st.integers(0, TIMERS - 1), durations),
        st.tuples(st.just("disarm"), st.integers(0, TIMERS - 1), st.just(0)),
        st.tuples(st.just("pass"), st.just(0), durations),
        st.tuples(st.just("wait"), st.just(0), st.just(0)),
    ),
    min_size=1,
    max_size=80,
)


def ref_of(number: int) -> int:
    """Spread over three partitions, the last one included."""
    return ((0, 1, 63)[number % 3] << 26) | number // 3


@given(start_ms=st.integers(0, 500 * DAY_MS), steps=steps)
@settings(max_examples=300, deadline=None)
def test_against_the_oracle(start_ms, steps):
    wheel, oracle, now_ms = Wheel(TIMERS, start_ms), Oracle(), start_ms
    for step, number, ms in steps:
        ref, then_ms = ref_of(number), now_ms
        if step == "arm":
            wheel.arm(ref, now_ms + ms)
            # cut from the last tick that has passed, not from now
            oracle.deadline[ref] = min(now_ms + ms, now_ms - TICK_MS + LONGEST_MS)
        elif step == "disarm":
            wheel.disarm(ref)
            oracle.deadline.pop(ref, None)
        elif step == "pass":
            now_ms += ms
        else:
            now_ms += max(0, wheel.wait_ms(now_ms))
        oracle.check(fire(wheel, now_ms), then_ms, now_ms, wheel)
    # To the end, by the wheel's own account of when it wants to be called.
    for _ in range(MOST_ADVANCES):
        wait_ms = wheel.wait_ms(now_ms)
        if wait_ms < 0:
            break
        then_ms, now_ms = now_ms, now_ms + wait_ms
        oracle.check(fire(wheel, now_ms), then_ms, now_ms, wheel)
    assert not oracle.deadline and wheel.armed == 0


@given(st.lists(st.tuples(st.integers(0, TIMERS - 1), st.integers(-5_000, 5_000)), min_size=1, max_size=60))
@settings(deadline=None)
def test_rearmed_in_place_it_fires_once(moves):
    wheel, wanted = Wheel(TIMERS, 10_000), {}
    for ref, ms in moves:
        wheel.arm(ref, 10_000 + ms)
        wanted[ref] = 10_000 + ms
    assert wheel.armed == len(wanted)
    assert sorted(fire(wheel, 20_000)) == sorted(wanted)
    assert wheel.armed == 0


@pytest.mark.parametrize("boundary", LEVELS[:3])
@pytest.mark.parametrize("ticks_away", [-2, -1, 0, 1, 2])
@pytest.mark.parametrize("start_tick", [0, 1, 255, 256, 2**16 - 1, 2**24 - 1])
def test_at_the_boundary_of_a_level(boundary, ticks_away, start_tick):
    """Due at a boundary of the level or beside it, from a start that is at one, too."""
    start_ms = 1_000_000
    wheel = Wheel(1, start_ms)
    assert fire(wheel, start_ms + start_tick * TICK_MS) == []
    tick = start_tick // boundary * boundary + boundary + ticks_away
    if tick <= start_tick:
        tick += boundary
    due_ms = start_ms + tick * TICK_MS
    wheel.arm(0, due_ms)
    assert fire(wheel, due_ms - 1) == []
    assert fire(wheel, due_ms) == [0]


@pytest.mark.parametrize("ticks_away", range(-3, 4))
@pytest.mark.parametrize("step_ms", [TICK_MS, 200 * DAY_MS])
def test_where_the_highest_level_turns_round(ticks_away, step_ms):
    """A router that runs for more than a year: tick 2**32 is in the next turn of the wheel."""
    wheel = Wheel(1, 0)
    near_ms = (2**32 - 1_000) * TICK_MS
    for now_ms in range(0, near_ms, near_ms // 7):
        assert fire(wheel, now_ms) == []
    assert fire(wheel, near_ms) == []
    due_ms = (2**32 + ticks_away) * TICK_MS
    wheel.arm(0, due_ms)
    assert fire(wheel, due_ms - 1) == []
    assert fire(wheel, due_ms - 1 + step_ms) == [0]


@pytest.mark.parametrize("start_tick", [0, 77, 2**31, 2**32 - 5, 2**32, 2**33 + 12_345])
def test_the_longest_timer_from_anywhere(start_tick):
    wheel = Wheel(2, 0)
    fire(wheel, start_tick * TICK_MS)
    wheel.arm(0, start_tick * TICK_MS + LONGEST_MS)
    wheel.arm(1, start_tick * TICK_MS + 2 * LONGEST_MS)  # cut to the longest
    due_ms = start_tick * TICK_MS + LONGEST_MS
    assert fire(wheel, due_ms - 1) == []
    assert sorted(fire(wheel, due_ms)) == [0, 1]


@pytest.mark.parametrize("days", [1, 24, 25, 49, 50, 100, 200, 394])
def test_a_wait_is_never_negative_while_something_is_armed(days):
    """Also when it is longer than an int can say: the shard wakes up once in between."""
    wheel = Wheel(1, 0)
    wheel.arm(0, days * DAY_MS)
    wait_ms = wheel.wait_ms(0)
    assert 0 < wait_ms <= min(days * DAY_MS + TICK_MS, INT_MAX)


def test_overdue_timers_fire_in_the_order_of_their_deadlines():
    wheel = Wheel(TIMERS, 0)
    deadlines = [(ref, 100 + 7_919 * ref * ref % 90_000) for ref in range(TIMERS)]
    for ref, at_ms in deadlines:
        wheel.arm(ref, at_ms)
    fired = fire(wheel, 10 * DAY_MS)
    ticks = dict((ref, -(-at_ms // TICK_MS)) for ref, at_ms in deadlines)
    assert [ticks[ref] for ref in fired] == sorted(ticks.values())


def test_what_has_passed_fires_with_the_next_tick():
    wheel = Wheel(1, 5_000)
    wheel.arm(0, 10)
    assert fire(wheel, 5_000) == []
    assert fire(wheel, 5_000 + TICK_MS) == [0]


def test_nothing_armed_waits_for_ever():
    wheel = Wheel(1, 0)
    assert wheel.wait_ms(0) == -1
    wheel.disarm(0)  # not armed: nothing happens
    wheel.arm(0, 50)
    wheel.disarm(0)
    assert wheel.wait_ms(0) == -1 and wheel.armed == 0 and fire(wheel, DAY_MS) == []


def test_a_handler_that_rearms_at_once_does_not_hold_up_the_others():
    wheel = Wheel(2, 0)
    wheel.arm(0, 8)
    wheel.arm(1, 80)
    fired = []
    wheel.advance(80)
    for _ in range(100):
        ref = wheel.take()
        if ref is None:
            wheel.advance(80)
            ref = wheel.take()
            if ref is None:
                break
        fired.append(ref)
        if ref == 0:
            wheel.arm(0, 1)  # overdue again: the next tick
    assert fired == [0] * 10 + [1] or fired == [0] * 9 + [1, 0]
    assert wheel.armed == 1  # its next tick has not come yet
