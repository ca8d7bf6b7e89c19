"""The RFC 4475 and RFC 5118 messages against the running router.

The messages and their checker are not part of this repository: FASTSIP_TORTURE names the
directory with `torture_check.py` and one folder for each set.  The checker plays both sides,
the sender on the well-known ports of an address of its own, and judges what comes through.

The sender is a stranger, as at the border of a network: Routes that it brings are removed,
the rules decide, and one of them asks for requests inside a dialog.
"""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import is_free

from .edge import edge_config

DIRECTORY = os.environ.get("FASTSIP_TORTURE", "")
CHECKER = Path(DIRECTORY) / "torture_check.py"
LIMIT_S = 240
WELL_KNOWN = 5060
# Set of messages -> checks, and how many of them may be arguable.
SETS = {"rfc4475": (54, 4), "rfc5118": (12, 0)}

pytestmark = [
    pytest.mark.skipif(not DIRECTORY, reason="FASTSIP_TORTURE names no directory of torture messages"),
    pytest.mark.skipif(not CHECKER.is_file(), reason=f"there is no {CHECKER}"),
]
IN_DIALOG = """
[[route]]
when = { to_tag = true }
to = "media"
"""


def free_loopback() -> str:
    """An address of this machine on which nobody listens at the well-known port."""
    hosts = (".".join(["127", *(str(random.randrange(1, 255)) for _ in range(3))]) for _ in range(100))
    return next(host for host in hosts if is_free(host, WELL_KNOWN))


@pytest.mark.parametrize("name", SETS)
def test_the_bar(router, free_port, scratch, name):
    """No failure, the router lives, and few verdicts that could be argued about."""
    total, arguable = SETS[name]
    edge, sink, verdicts = ("127.0.0.1", free_port()), ("127.0.0.1", free_port()), scratch / "verdicts.json"
    router(edge_config(edge, [sink], policy="on = [500]", timers="", rules=IN_DIALOG))
    checker = subprocess.run(
        [
            sys.executable, str(CHECKER), "--set", name, "--json", str(verdicts), "--client", free_loopback(),
            "--proxy", f"{edge[0]}:{edge[1]}", "--sink-ip", sink[0], "--sink", str(sink[1]),
        ],
        capture_output=True, text=True, errors="replace", timeout=LIMIT_S, check=False,
    )  # fmt: skip
    said = checker.stdout + checker.stderr
    assert verdicts.exists(), said
    found = json.loads(verdicts.read_text())
    counts = found["counts"]
    assert (found["total"], sum(counts.values())) == (total, total), said
    assert (counts["FAIL"], counts["DEAD"]) == (0, 0), said
    assert counts["ARGUABLE"] <= arguable, said
