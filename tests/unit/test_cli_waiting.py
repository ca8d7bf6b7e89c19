"""cli._working and cli._watch: what a person at a terminal sees while he waits, and of what is shown anew."""

import os
import pty
import subprocess
import sys

import pytest

from fastsip.cli import _watch
from tests.unit.test_cli_ways import invoke

WORK = """
from fastsip.cli import _working
_working.PATIENCE_S = {patience}
with _working.working("reload"):
    input()
print("done")
"""


def work(patience: float, stderr: int) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", WORK.format(patience=patience)], stdin=subprocess.PIPE,
                            stdout=subprocess.PIPE, stderr=stderr, text=True)


def written(end: int) -> str:
    """All that the other end of this terminal wrote, until it is closed."""
    found = b""
    try:
        while some := os.read(end, 4096):
            found += some
    except OSError:     # the last one who held it has closed it
        pass
    finally:
        os.close(end)
    return found.decode()


def test_work_that_lasts_shows_a_bar_that_goes_when_it_is_done():
    ours, theirs = pty.openpty()
    with work(0.0, theirs) as process:
        os.close(theirs)
        seen = b""
        while b"reload" not in seen:
            seen += os.read(ours, 4096)
        assert process.communicate("\n", timeout=60)[0] == "done\n"
    assert written(ours).endswith("\033[2K")    # the line is empty again


@pytest.mark.parametrize("patience", [0.0, 3600.0])
def test_nobody_hears_of_work_that_is_short_or_for_a_program(patience):
    ours, theirs = pty.openpty() if patience else os.pipe()
    with work(patience, theirs) as process:
        os.close(theirs)
        assert process.communicate("\n", timeout=60)[0] == "done\n"
    assert written(ours) == ""


@pytest.mark.parametrize("words", [("status",), ("stats",), ("transactions",), ("dispatcher", "list"),
                                   ("dispatcher", "show", "m/a")])
def test_what_cannot_be_shown_is_not_shown_again_and_again(words, tmp_path, monkeypatch):
    """The command ends as it does without --watch."""
    monkeypatch.setattr(_watch.time, "sleep", lambda _: pytest.fail("it is shown again"))
    done = invoke(*words, "--config", str(tmp_path / "none.toml"), "--watch")
    assert done.exit_code == 2 and "none.toml" in done.stderr
