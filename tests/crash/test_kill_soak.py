"""A short turn of the soak: `make kill-soak` has the long ones."""

import subprocess
import sys

from tests.conftest import ROOT


def test_calls_do_not_notice_what_happens_to_routers():
    argv = [sys.executable, "-m", "tests.crash.kill_soak", "--seconds", "8", "--rate", "20", "--seed", "5"]
    found = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=90)
    assert found.returncode == 0, found.stdout + found.stderr
