"""The tests and files that the pages of docs/ name are there.  Links are looked at by test_docs_links."""

import re
from pathlib import Path

import pytest

from tests.rfc_matrix import names_of_tests

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs").glob("*.md"))
FUNCTIONS = names_of_tests()


def cited(text: str) -> list[tuple[str, str]]:
    """(file, function) of each test that is named; `::name` is one of the file before it, of a file alone ""."""
    found, file = [], ""
    for stem, function in re.findall(r"`(test_\w+)?(?:::(test_\w+))?`", text):
        file = stem or file
        if stem or function:
            found.append((file, function))
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_test_is_there(page):
    for stem, function in cited(page.read_text()):
        assert stem in FUNCTIONS, stem
        assert not function or any(function in names for names in FUNCTIONS[stem]), f"{stem}::{function}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_is_there(page):
    for name in re.findall(r"`((?:fastsip|tests|bench)/[\w/.-]+)`", page.read_text()):
        assert (ROOT / name).exists(), name
    for name in re.findall(r"`bench\.(\w+)", page.read_text()):
        assert (ROOT / "bench" / f"{name}.py").exists(), name

