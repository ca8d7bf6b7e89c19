"""docs/kamailio.md: each trap has a test that shows that it is not here."""

import re
from pathlib import Path

from tests.rfc_matrix import names_of_tests

PAGE = (Path(__file__).parents[2] / "docs" / "kamailio.md").read_text()
TRAPS = [line.strip("|").split(" | ") for line in PAGE.partition("## The same choices")[0].splitlines()
         if line.startswith("| ") and not line.startswith("| there ")]  # fmt: skip
SHOWN = re.compile(r"`(test_\w+)::(test_\w+)`")


def test_each_trap_says_what_is_here_and_which_test_shows_it():
    assert len(TRAPS) >= 40
    assert [one[0] for one in TRAPS if len(one) != 3 or not one[1].strip() or not SHOWN.search(one[2])] == []


def test_the_tests_are_there_by_file_and_name():
    there = names_of_tests()
    named = {pair for one in TRAPS for pair in SHOWN.findall(one[2])}
    assert [f"{file}::{name}" for file, name in named if not any(name in names for names in there.get(file, ()))] == []


def test_no_trap_stands_twice():
    assert len({one[0] for one in TRAPS}) == len(TRAPS)
