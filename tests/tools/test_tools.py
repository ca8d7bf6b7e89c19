"""The commands of tests/tools, as somebody calls them."""

import subprocess
import sys

import pytest

from tests.conftest import ROOT

INVITE = """INVITE sip:100@127.0.0.1 SIP/2.0
Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKone
From: <sip:a@192.0.2.1>;tag=1
To: <sip:100@127.0.0.1>
Call-ID: one
CSeq: 1 INVITE
Max-Forwards: 70
Content-Length: 0

"""


def tool(name: str, *words: str, given: str = "") -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", f"tests.tools.{name}", *words]
    return subprocess.run(argv, cwd=ROOT, input=given, capture_output=True, text=True, timeout=60)


def test_a_call_is_shown():
    done = tool("call", "-", given=INVITE)
    assert done.returncode == 0, done.stderr
    assert "--- to 127.0.0.1:" in done.stdout
    assert "INVITE sip:100@" in done.stdout and "SIP/2.0 100 Trying" in done.stdout
    assert "invites +1" in done.stdout and done.stdout.startswith("rule: ")


@pytest.mark.parametrize("words", [["none.txt"], ["-", "--config", "none.toml"], ["-", "--listener", "9"]])
def test_what_cannot_be_read_is_said(words):
    done = tool("call", *words, given=INVITE)
    assert (done.returncode, done.stdout) == (2, "") and "Traceback" not in done.stderr


def test_the_map_names_all_packages():
    done = tool("map")
    assert done.returncode == 0 and done.stdout.startswith("base ")
    assert "transaction " in done.stdout and "known by: -" in done.stdout
    assert "context: " in tool("map", "proxy").stdout
    assert tool("map", "nowhere").returncode == 2
