"""The command line of `fastsip top`, where there is no router, no terminal or no textual."""

import sys

import pytest
from click.testing import CliRunner

from fastsip.cli import main
from tests.unit.config_text import SMALL


@pytest.fixture
def config(tmp_path):
    """A configuration whose router has never run."""
    (tmp_path / "run").mkdir()
    path = tmp_path / "c.toml"
    path.write_text(f'[router]\nrun_dir = "{tmp_path}/run"\nstate_dir = "{tmp_path}/state"\n{SMALL}')
    return str(path)


def invoke(*words):
    done = CliRunner().invoke(main, ("top", *words))
    return done.exit_code, done.stdout, done.stderr


def test_one_picture_of_no_router_is_none(config):
    code, out, err = invoke(config, "--once")
    assert (code, out) == (3, "") and err.startswith("fastsip: no router runs in ")


def test_no_terminal_is_said_before_anything_is_looked_at(config):
    code, out, err = invoke(config)
    assert (code, out) == (2, "") and "this is no terminal: --once prints one picture" in err


def test_without_textual_it_is_said_how_to_get_it(config, monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "textual" or name == "fastsip.top.screen"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "textual", None)
    assert invoke(config)[0] == 1
    assert invoke(config)[2] == ('fastsip: textual is missing: pip install "fastsip[tui]"; '
                                 'without it there is `fastsip top --once`\n')  # fmt: skip
    assert invoke(config, "--once")[0] == 3     # which needs none


@pytest.mark.parametrize("interval, code", [("99ms", 2), ("100ms", 3), ("60s", 3), ("61s", 2)])
def test_the_interval_has_bounds(config, interval, code):
    assert invoke(config, "--once", "--interval", interval)[0] == code
