"""What is known of names, on clocks of its own: when each is asked for again, and which answer counts meanwhile."""

import pytest

from fastsip.resolve.answers import Answer
from fastsip.resolve.asking import DENIED, NO_NAME, Outcome, Question
from fastsip.resolve.targets import WHOLE, Target
from fastsip.supervisor.known_names import (
    FAILED_MAX_S,
    FAILED_S,
    HALVES,
    KEEP_S,
    MOST_NEW,
    NEW_EVERY_S,
    RESOLVED,
    TOO_MANY_NEW,
    TTL_MAX_S,
    TTL_MIN_S,
    KnownNames,
)

GW, OTHER = Question("gw.test"), Question("other.test", 5070)
STALE_S = 86_400.0
AWAY = Outcome(why="no server answered", nothing="no server answered")
GONE = Outcome(nothing=NO_NAME)


def target(number: int, weight: int = WHOLE) -> Target:
    return Target(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", 5060, "udp", 0, weight)


def says(*numbers: int, ttl_s: int = 60, why: str = "") -> Outcome:
    return Outcome(targets=tuple(map(target, numbers)), ttl_s=ttl_s, why=why)


class Clock:
    """KnownNames, told at times that a test sets."""

    def __init__(self, **answers: Answer):
        self.names, self.now_s = KnownNames({Question(name): one for name, one in answers.items()}), 1_000.0

    def note(self, outcome: Outcome, question: Question = GW) -> str:
        return self.names.note(question, outcome, STALE_S, self.now_s, 1e9 + self.now_s)

    def pass_by(self) -> float:
        """Until the question is asked again."""
        (due,) = [asked.next_s for asked in [self.names.asked[GW]]]
        waited, self.now_s = due - self.now_s, due
        return waited

    @property
    def hosts(self) -> set[str]:
        return {one.host for one in self.names.answers[GW].targets} if GW in self.names.answers else set()


def hosts(*numbers: int) -> set[str]:
    return {target(number).host for number in numbers}


@pytest.mark.parametrize(("ttl_s", "waits_s"), [(0, TTL_MIN_S), (5, 5), (6, 6), (3_600, TTL_MAX_S),
                                                (86_400, TTL_MAX_S)])  # fmt: skip
def test_an_answer_counts_for_its_time_within_bounds(ttl_s, waits_s):
    clock = Clock()
    assert clock.note(says(1, ttl_s=ttl_s)) == "" and clock.pass_by() == waits_s


def test_a_failure_is_tried_again_soon_and_then_less_often():
    clock = Clock()
    waits = [clock.pass_by() for _ in range(8) if clock.note(AWAY) is not None]
    assert waits == [min(FAILED_S * 2**turn, FAILED_MAX_S) for turn in range(8)]
    clock.note(says(1, ttl_s=30))
    assert clock.pass_by() == 30
    clock.note(AWAY)
    assert clock.pass_by() == FAILED_S


def test_thousand_failures_are_no_overflow():
    clock = Clock()
    for _ in range(2_000):
        clock.note(AWAY)
    assert clock.pass_by() == FAILED_MAX_S


@pytest.mark.parametrize("outcome", [AWAY, GONE])
def test_the_last_good_answer_goes_on_while_there_is_no_other(outcome):
    clock = Clock()
    clock.note(says(1, 2))
    clock.names.changed = False
    words = clock.note(outcome)
    assert words.endswith("; the last answer counts") and clock.hosts == hosts(1, 2) and not clock.names.changed
    assert clock.note(outcome) == "", "it is said once"
    assert clock.names.state_of(GW) == (True, outcome.nothing)
    assert clock.note(says(1, 2)) == RESOLVED and clock.names.state_of(GW) == (True, "")


def test_an_answer_that_is_too_old_counts_no_more():
    clock = Clock()
    clock.note(says(1))
    clock.names.changed = False
    clock.now_s += STALE_S - 1
    clock.note(AWAY)
    assert clock.hosts == hosts(1) and not clock.names.changed
    clock.now_s += 1
    clock.note(AWAY)
    assert clock.hosts == set() and clock.names.changed
    assert clock.names.state_of(GW) == (False, AWAY.nothing)


def test_what_dns_denies_is_gone_at_once_and_rests():
    clock = Clock()
    clock.note(says(1))
    assert clock.note(Outcome(nothing=DENIED, denied=True, ttl_s=30)) == DENIED
    assert clock.hosts == set() and clock.pass_by() == 30
    assert [one.target for one in clock.names.answers[GW].gone] == [target(1)]


def test_an_unresolved_name_says_why():
    clock = Clock()
    assert clock.names.state_of(GW) == (False, "not answered yet")
    assert clock.note(GONE) == NO_NAME and clock.names.state_of(GW) == (False, NO_NAME)
    assert clock.note(says(1)) == RESOLVED and clock.hosts == hosts(1)


def test_half_an_answer_is_better_than_none():
    clock = Clock()
    clock.note(says(1, why="AAAA of gw.test: timeout"))
    assert clock.hosts == hosts(1) and clock.pass_by() == FAILED_S


def test_half_an_answer_takes_nothing_away_at_first_and_counts_when_it_stays_one():
    """Who never says anything to one type is no reason to hold fast to an answer for ever."""
    clock = Clock()
    clock.note(says(1, 2))
    for turn in range(1, HALVES + 1):
        assert clock.hosts == hosts(1, 2)
        clock.note(says(3, why="AAAA of gw.test: timeout"))
        assert clock.names.asked[GW].failures == turn
    assert clock.hosts == hosts(3)


def test_only_another_answer_is_a_change():
    clock = Clock()
    for outcome, changed in ((says(1, 2), True), (says(1, 2), False), (says(1), True), (AWAY, False), (says(1), False)):
        clock.names.changed = False
        clock.note(outcome)
        assert clock.names.changed == changed


def test_the_same_answer_is_kept_again_once_in_a_while():
    clock = Clock()
    clock.note(says(1))
    assert clock.names.unwritten
    clock.names.unwritten, clock.names.kept_at_s = False, 1e9 + clock.now_s
    clock.now_s += KEEP_S - 1
    clock.note(says(1))
    assert not clock.names.unwritten
    clock.now_s += 1
    clock.note(says(1))
    assert clock.names.unwritten


def test_targets_that_nobody_has_seen_are_so_many_and_no_more():
    """Each gets an id for ever; a server that makes new ones with each answer must not fill the disk."""
    clock = Clock()
    made = 0
    while clock.note(says(made + 1)) == "":
        made += 1
        assert made <= MOST_NEW
    assert made == MOST_NEW and clock.hosts == hosts(made)
    assert clock.names.state_of(GW) == (True, TOO_MANY_NEW)
    clock.note(says(3))
    assert clock.hosts == hosts(3), "one that was there before has its id"
    clock.now_s += NEW_EVERY_S
    clock.note(says(999))
    assert clock.hosts == hosts(999)


def test_who_is_due_is_asked_in_turn():
    clock = Clock()
    clock.note(says(1, ttl_s=100))
    clock.note(says(1, ttl_s=50), OTHER)
    new = Question("new.test")
    assert clock.names.due([GW, OTHER], 1_049.0) == []
    assert clock.names.due([GW, OTHER, new], 1_100.0) == [new, OTHER, GW]
    assert clock.names.due([GW], 1_100.0) == [GW] and set(clock.names.asked) == {GW}


def test_answers_that_nobody_asks_for_are_forgotten_when_they_are_old():
    clock = Clock()
    clock.note(says(1))
    clock.names.forget_answers([], STALE_S, 1e9 + clock.now_s + STALE_S - 1)
    assert clock.hosts == hosts(1)
    clock.names.forget_answers([GW], STALE_S, 1e9 + clock.now_s + STALE_S)
    assert clock.hosts == hosts(1)
    clock.names.forget_answers([], STALE_S, 1e9 + clock.now_s + STALE_S)
    assert clock.names.answers == {}
