"""packages/vendor.txt: what of others is kept here is what they gave out, with its licence, and the wheel has it."""

import hashlib
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROWS = [line.split() for line in (ROOT / "packages" / "vendor.txt").read_text().splitlines() if line[:1] != "#"]
FOLDERS = ("fastsip/desk/http/page/vendor", "tests/vendor")


@pytest.mark.parametrize(("package", "file", "place", "digest"), ROWS)
def test_a_file_of_others_is_as_it_was_given_out(package, file, place, digest):
    assert hashlib.sha256((ROOT / place).read_bytes()).hexdigest() == digest, f"not {file} of {package}: make vendor"


def test_each_of_them_is_named_with_its_licence():
    there = {str(path.relative_to(ROOT)) for folder in FOLDERS for path in (ROOT / folder).iterdir()}
    assert there == {place for _, _, place, _ in ROWS}
    for package in {row[0] for row in ROWS}:
        assert any(row[0] == package and row[1] == "LICENSE" for row in ROWS), package


def test_the_wheel_brings_all_that_the_page_is_made_of():
    data = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    page = ROOT / "fastsip" / "desk" / "http" / "page"
    folders = {path.name for path in page.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert set(data["fastsip.desk.http.page"]) == {f"{folder}/*" for folder in folders}
