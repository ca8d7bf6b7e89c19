"""The seeded bugs are mistakes in the kernels as they are: each patch still applies."""

import subprocess

import pytest

from tests.conftest import ROOT

PATCHES = sorted((ROOT / "tests" / "simulate" / "bugs").glob("*.patch"))


@pytest.mark.parametrize("path", PATCHES, ids=lambda path: path.stem)
def test_a_patch_applies(path):
    command = ["patch", "-p1", "--dry-run", "--fuzz=0", "--silent", "-i", str(path)]
    assert subprocess.run(command, cwd=ROOT, capture_output=True, timeout=10).returncode == 0


def test_there_are_enough():
    assert len(PATCHES) >= 50
