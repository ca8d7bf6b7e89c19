"""The same rows and requests for a real Kamailio and for fastsip; `make same-choices` is the larger run of it."""

from dataclasses import replace

import pytest

from tests.tools.same_choices import CASES, CHECKS, OPENSIPS_CASES, Case, Found, compare, problem, with_priorities

CALLS = 500
# Turns and priorities, with the order of equals; shares by weight; and one of the hashes.
SOME = tuple(case for case in CASES if case.algorithm in (4, 8, 9, 0))
PLAIN = tuple(case for case in SOME if case.expected == "same")


def problems(place, cases, form: str) -> dict[str, str]:
    return {found.case.name: said for found in compare(place, cases, CALLS, form) if (said := problem(found))}


def test_a_list_leads_where_kamailio_leads_but_for_the_order_of_equals(scratch):
    assert problems(scratch, SOME, "list") == {}


def test_a_table_leads_where_kamailio_leads(scratch):
    assert problems(scratch, PLAIN, "table") == {}


def test_what_is_imported_from_opensips_leads_where_its_documentation_says(scratch):
    assert problems(scratch, OPENSIPS_CASES, "opensips, imported") == {}


# ---------------------------------------------------------------- the comparison itself

TURNS = [0, 1, 2] * 200
GOOD = {
    "same": (TURNS, TURNS), "mirrored": (TURNS, [2, 1, 0] * 200), "shares": (TURNS, sorted(TURNS)),
    "weights": (TURNS, [0] * 600), "chance": (TURNS, sorted(TURNS)), "keys": (TURNS, TURNS[::-1]),
}  # fmt: skip
ANOTHER = {
    "same": {"theirs": [0, *TURNS[:-1]]}, "mirrored": {"theirs": TURNS}, "shares": {"theirs": [0, *TURNS[:-1]]},
    "weights": {"ours": [0, 0, *TURNS[:-2]]}, "chance": {"theirs": [0, 1] * 300}, "keys": {"theirs": [0, 1] * 300},
}  # fmt: skip


def found(expected: str) -> Found:
    ours, theirs = GOOD[expected]
    return Found(Case("some", 4, with_priorities(0, 0, 0), expected), ours, theirs, ours, theirs)


@pytest.mark.parametrize("expected", CHECKS)
def test_what_differs_is_found(expected):
    assert problem(found(expected)) == ""
    assert problem(replace(found(expected), **ANOTHER[expected])) != ""


@pytest.mark.parametrize("what", ["ours_again", "theirs_again"])
def test_a_key_that_moves_is_found(what):
    good = found("keys")
    moved = [(getattr(good, what)[0] + 1) % 3, *getattr(good, what)[1:]]
    assert problem(replace(good, **{what: moved})) == "1 of 600 differ, the first at 0"


def test_every_algorithm_that_both_have_and_that_names_one_is_there():
    """5 and 7 are hashes by other keys, 10 is refused here, 12 asks several at once, 13 goes by times."""
    assert {case.algorithm for case in CASES} == {0, 1, 2, 3, 4, 6, 8, 9, 11}
