"""`fastsip trace`: what may be asked for, and that nobody who asks wrongly waits for it."""

import pytest
from click.testing import CliRunner

from fastsip.cli import main
from tests.unit.config_text import SMALL


@pytest.fixture
def config(scratch):
    """A configuration whose router has never run."""
    (scratch / "c.toml").write_text(f'[router]\nrun_dir = "{scratch}/run"\nstate_dir = "{scratch}/state"\n{SMALL}')
    return str(scratch / "c.toml")


@pytest.mark.parametrize("words, complaint", [
    ((), "name a CALL-ID, or what to find calls by: --from, --to, --source"),
    (("a@b", "--from", "x"), "name a CALL-ID"), (("a@b", "--json", "--ladder"), "contradict each other"),
    (("--source", "example.net"), "is no IPv4 or IPv6 address"), (("--source", "192.0.2.0/24"), "is no IPv4"),
    (("a@b", "--seconds", "0"), "0.1"), (("a@b", "--seconds", "86401"), "86400"), (("a@b", "--calls", "0"), "x>=1"),
])  # fmt: skip
def test_what_is_wrong_is_said(config, words, complaint):
    done = CliRunner().invoke(main, ["trace", "--config", config, *words])
    assert (done.exit_code, done.stdout) == (2, "") and complaint in done.stderr


@pytest.mark.parametrize("words", [("a@b",), ("--source", "2001:DB8::1"), ("--from", "x", "--to", "y", "--ladder")])
def test_where_no_router_runs_it_says_so(config, words):
    done = CliRunner().invoke(main, ["trace", "--config", config, *words])
    assert (done.exit_code, done.stdout) == (3, "") and "fastsip: no router runs in " in done.stderr


def test_a_capture_that_cannot_be_written_is_said_before_anybody_looks(config, scratch):
    done = CliRunner().invoke(main, ["trace", "--config", config, "a@b", "--pcap", str(scratch / "none" / "c.pcap")])
    assert (done.exit_code, done.stdout) == (1, "") and "none/c.pcap: No such file or directory" in done.stderr
