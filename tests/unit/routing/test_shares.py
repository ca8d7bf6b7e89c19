"""A set with names as kernels see it: what a name weighs, in which tiers it stands, and which algorithm takes turns."""

import random
import time
from collections import Counter

import pytest

from fastsip._core.dispatcher.cells import Cells
from fastsip._core.dispatcher.chooser import Chooser
from fastsip.config import load_text
from fastsip.resolve.answers import Answer
from fastsip.resolve.asking import Question
from fastsip.resolve.targets import WHOLE, Target
from fastsip.routing.compile import Before, compile_table
from fastsip.routing.registry import Registry
from fastsip.routing.shares import PARTS, laid_out

ONE, TWO = Question("one.test"), Question("two.test")
HEAD = """[router]
run_dir = "/nowhere/r"
state_dir = "/nowhere/s"
shards = 1
[[listen]]
uri = "udp:192.0.2.1:5060"
"""


def answer(*targets: tuple[int, int, int]) -> Answer:
    """(last part of the address, tier, weight) of each."""
    return Answer(targets=tuple(Target(f"10.0.0.{host}", 5060, "udp", tier, weight) for host, tier, weight in targets),
                  at=time.time())


THREE = answer((1, 0, WHOLE // 3), (2, 0, WHOLE // 3), (3, 0, WHOLE // 3))


def group_of(*destinations: str, answers=None, **keys):
    lines = "".join(f"{key} = {value}\n" for key, value in keys.items())
    text = f"{HEAD}[set.a]\ndestinations = [{', '.join(destinations)}]\n{lines}"
    return load_text(text, "/nowhere/c.toml", make_secret=False, answers=answers or {ONE: THREE}).set_named("a")


def laid(group) -> dict[str, tuple[int, int]]:
    """Weight and priority by host."""
    return {one.host.removeprefix("10.0.0."): (one.weight, one.priority) for one in laid_out(group).destinations}


def test_a_set_without_names_is_as_it_stands():
    group = group_of('"sip:10.0.0.9"', algorithm='"round-robin"')
    assert laid_out(group) is group


@pytest.mark.parametrize("count", range(1, 33))
def test_a_name_weighs_what_it_weighed(count):
    answers = {ONE: answer(*((host, 0, WHOLE // count) for host in range(1, count + 1)))}
    group = group_of('{ uri = "sip:one.test", weight = 5 }', '{ uri = "sip:10.0.0.99", weight = 5 }', answers=answers)
    weights = {host: weight for host, (weight, _) in laid(group).items()}
    other = weights.pop("99")
    assert other == 5 * PARTS and sum(weights.values()) == pytest.approx(other, abs=count / 2)


def test_shares_are_of_what_counts_and_each_is_one_at_least():
    group = group_of('"sip:one.test"', answers={ONE: answer((1, 0, 2), (2, 0, 6), (3, 1, WHOLE))})
    assert laid(group) == {"1": (PARTS // 4, 1), "2": (PARTS * 3 // 4, 1), "3": (PARTS, 0)}
    group = group_of('"sip:one.test"', answers={ONE: answer((1, 0, 1), (2, 0, WHOLE))})
    assert laid(group)["1"] == (1, 0)


def test_a_weight_of_0_stays_one_and_the_largest_has_room():
    assert {weight for weight, _ in laid(group_of('{ uri = "sip:one.test", weight = 0 }')).values()} == {0}
    most = group_of('{ uri = "sip:one.test", weight = 1000000 }', answers={ONE: answer((1, 0, WHOLE))})
    assert laid(most) == {"1": (1_000_000 * PARTS, 0)} and 1_000_000 * PARTS < 2**31


TIERS = {ONE: answer((1, 0, 1), (2, 1, 1)), TWO: answer((3, 0, 1), (4, 2, 1))}
BOTH = ('{ uri = "sip:one.test", priority = 5 }', '{ uri = "sip:two.test", priority = 5 }',
        '{ uri = "sip:10.0.0.8", priority = 9 }', '{ uri = "sip:10.0.0.9", priority = -3 }')


def order(group) -> list[set[str]]:
    ranks = laid(group)
    return [{host for host, (_, rank) in ranks.items() if rank == each}
            for each in sorted({rank for _, rank in ranks.values()}, reverse=True)]


def test_tiers_of_a_name_stand_behind_its_priority():
    group = group_of(*BOTH, answers=TIERS)
    assert order(group) == [{"8"}, {"1", "3"}, {"2"}, {"4"}, {"9"}] and laid_out(group).tiers


def test_where_priorities_make_no_tiers_those_of_names_do_all_the_same():
    group = group_of(*BOTH, answers=TIERS, tiers="false")
    assert order(group) == [{"1", "3", "8", "9"}, {"2"}, {"4"}] and laid_out(group).tiers


def test_a_list_is_in_order_without_tiers():
    group = group_of(*BOTH, answers=TIERS, tiers="false", algorithm='"priority"')
    assert order(group) == [{"8"}, {"1", "3"}, {"2"}, {"4"}, {"9"}] and not laid_out(group).tiers


def test_srv_has_tiers_whatever_the_set_says():
    assert order(group_of(*BOTH, answers=TIERS, tiers="false", algorithm='"srv"')) == [
        {"8"}, {"1", "3"}, {"2"}, {"4"}, {"9"}]


def test_a_call_is_not_offered_to_two_targets_of_a_name_at_once():
    destinations = ('"sip:one.test"', '"sip:two.test"', '"sip:10.0.0.9"')
    answers = {ONE: THREE, TWO: answer((4, 0, 1), (5, 1, 1))}
    for tiers in ("true", "false"):
        group = group_of(*destinations, answers=answers, algorithm='"parallel"', tiers=tiers)
        assert order(group) == [{"1", "4", "9"}, {"2", "5"}, {"3"}]


@pytest.mark.parametrize(("asked", "zero", "done", "by_weight"), [
    ("round-robin", False, "weight", False),
    ("random", False, "srv", False),
    ("random", True, "weight", False),
    ("ordered-round-robin", False, "priority", True),
    ("weight", False, "weight", True),
    ("call-id", False, "call-id", True),
    ("srv", True, "srv", True),
])  # fmt: skip
def test_turns_and_lots_without_weights_are_by_shares(asked, zero, done, by_weight):
    group = group_of('{ uri = "sip:one.test", weight = 7 }', f'{{ uri = "sip:10.0.0.9", weight = {0 if zero else 3} }}',
                     algorithm=f'"{asked}"')
    found = laid_out(group)
    assert (found.algorithm, group.algorithm) == (done, asked)
    assert laid(group)["1"][0] == (7 if by_weight else 1) * PARTS // 3
    assert laid(group)["9"][0] == (0 if zero else (3 if by_weight else 1) * PARTS)


def test_ordered_turns_are_turns_when_all_priorities_are_equal_and_above_0():
    names = ('{ uri = "sip:one.test", priority = 4 }', '{ uri = "sip:10.0.0.9", priority = 4 }')
    assert laid_out(group_of(*names, algorithm='"ordered-round-robin"')).algorithm == "weight"
    others = (names[0], '{ uri = "sip:10.0.0.9", priority = 5 }')
    assert laid_out(group_of(*others, algorithm='"ordered-round-robin"')).algorithm == "priority"


# ---------------------------------------------------------------- what the kernels choose

CALLS = 3_000


class Chosen:
    """The hosts that one configuration after the other chooses, by the real table, taken from the one before."""

    def __init__(self, place, *destinations: str, algorithm: str = "call-id"):
        self.registry, self.cells, self.before = Registry(place), Cells(256), None
        (place / "secret").write_text("0123456789abcdef" * 4)
        destination_list = ", ".join(destinations)
        self.text = (HEAD.replace("[[listen]]", f'secret = "file:{place}/secret"\n[[listen]]')
                     + f'[set.a]\nalgorithm = "{algorithm}"\ndestinations = [{destination_list}]\n')

    def by(self, answers) -> list[str]:
        config = load_text(self.text, "/nowhere/c.toml", make_secret=False, answers=answers)
        table = compile_table(config, self.registry, self.cells, 1, self.before)
        self.before = Before(config, table)
        hosts = {self.registry.find("destination", one.id): one.host.removeprefix("10.0.0.")
                 for one in config.sets[0].destinations}
        dice = random.Random(7)
        return [hosts[one] for one in Chooser(table, self.cells, 0).choose_many(
            0, (dice.getrandbits(64) | 1 for _ in range(CALLS)), 1)]


TWO_LEFT = answer((1, 0, WHOLE // 2), (3, 0, WHOLE // 2))


def moved(before: list[str], after: list[str]) -> Counter:
    return Counter(pair for pair in zip(before, after, strict=True) if pair[0] != pair[1])


def test_only_calls_of_a_target_that_went_move(scratch):
    chosen = Chosen(scratch, '"sip:one.test"')
    before, after = chosen.by({ONE: THREE}), chosen.by({ONE: TWO_LEFT})
    assert {host for host, _ in moved(before, after)} == {"2"}
    assert chosen.by({ONE: THREE}) == before, "and come back with it"


def test_beside_others_a_name_weighs_the_same_whoever_is_left_of_it(scratch):
    """Its other targets keep their calls and take over what others lose, who get as much from the one that went."""
    chosen = Chosen(scratch, '"sip:one.test"', '"sip:10.0.0.8"', '"sip:10.0.0.9"')
    before, after = chosen.by({ONE: THREE}), chosen.by({ONE: TWO_LEFT})
    for found in (before, after):
        assert Counter(host if host in "89" else "name" for host in found) == pytest.approx(
            {"8": CALLS / 3, "9": CALLS / 3, "name": CALLS / 3}, rel=0.1)
    pairs = moved(before, after)
    assert not [pair for pair in pairs if pair[0] in ("1", "3")], "targets that stay keep what they have"
    assert sum(count for (was, _), count in pairs.items() if was in "89") / CALLS < 0.08


def test_turns_are_by_names_and_not_by_targets(scratch):
    chosen = Chosen(scratch, '"sip:one.test"', '"sip:10.0.0.9"', algorithm="round-robin")
    found = chosen.by({ONE: THREE})
    assert Counter(found) == {"9": CALLS / 2, "1": CALLS / 6, "2": CALLS / 6, "3": CALLS / 6}
    assert {len(set(found[at : at + 6])) for at in range(0, CALLS, 6)} == {4}


def test_lots_are_by_names_and_not_by_targets(scratch):
    found = Chosen(scratch, '"sip:one.test"', '"sip:10.0.0.9"', algorithm="random").by({ONE: THREE})
    assert Counter(found) == pytest.approx({"9": CALLS / 2, "1": CALLS / 6, "2": CALLS / 6, "3": CALLS / 6}, rel=0.2)


def test_a_lower_tier_has_no_calls_as_long_as_one_above_lives(scratch):
    for algorithm in ("call-id", "round-robin", "random", "weight", "priority", "srv"):
        place = scratch / algorithm
        place.mkdir()
        found = Chosen(place, '"sip:one.test"', algorithm=algorithm).by({ONE: answer((1, 0, 1), (2, 0, 1), (3, 1, 1))})
        assert set(found) <= {"1", "2"}
