"""Checks of the kernels: they end a debug build that is wrong, and a release does not even evaluate them."""

import subprocess
from pathlib import Path

import pytest

CORE = Path(__file__).parents[2] / "fastsip" / "_core"
PROGRAM = """
#include <stdio.h>
#include "base/check.h"

static int looked;
static int look(int holds) { looked++; return holds; }

int main(int count, char **arguments)
{
    FASTSIP_CHECK(look(count > 1));
    return printf("%d\\n", looked) < 0;
}
"""


def run(place: Path, *flags: str, holds: bool) -> subprocess.CompletedProcess[str]:
    source, program = place / "checked.c", place / "checked"
    source.write_text(PROGRAM)
    command = ["gcc", "-Wall", "-Werror", "-std=gnu11", *flags, f"-I{CORE}", str(source), "-o", str(program)]
    subprocess.run(command, check=True, timeout=60)
    return subprocess.run([str(program), *["x"] * holds], capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(("holds", "said"), [(True, "1"), (False, "")])
def test_a_debug_build_dies_of_what_does_not_hold(tmp_path, holds, said):
    done = run(tmp_path, "-DFASTSIP_DEBUG=1", holds=holds)
    assert (done.returncode == 0, done.stdout.strip()) == (holds, said)
    assert holds or "does not hold: look(count > 1)" in done.stderr


def test_a_release_looks_at_nothing(tmp_path):
    done = run(tmp_path, "-O3", holds=False)
    assert (done.returncode, done.stdout.strip()) == (0, "0")


def test_a_check_is_one_comparison_or_one_call():
    """Of `and`, `or` and a chain Cython makes statements before the macro, which a release would evaluate."""
    kernels = [path for end in ("pyx", "pxd") for path in CORE.rglob(f"*.{end}")]
    checks = [line.strip() for path in kernels for line in path.read_text().splitlines() if " check(" in line]
    assert len(checks) > 50
    assert [line for line in checks if " and " in line.partition("#")[0] or " or " in line.partition("#")[0]] == []
