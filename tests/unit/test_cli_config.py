"""Which CONFIG a command is about when it is not named, and how destinations are shown."""

import subprocess
import time

import pytest
from click.testing import CliRunner

from fastsip.api import answers
from fastsip.cli import _config, _watch, dispatcher, main
from fastsip.cli._config import VARIABLE, find_config
from tests.unit.config_text import SMALL


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty place to stand in, and no file in the machine's."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr(_config, "PLACES", ("fastsip.toml", str(tmp_path / "etc.toml")))
    return tmp_path


def config(place, name: str = "fastsip.toml"):
    (place / "run").mkdir(exist_ok=True)
    file = place / name
    file.write_text(f'[router]\nrun_dir = "{place}/run"\nstate_dir = "{place}/state"\n{SMALL}')
    return file


def test_what_is_named_comes_first(here, monkeypatch):
    monkeypatch.setenv(VARIABLE, "of-the-variable")
    config(here)
    assert find_config("named", None) == find_config(None, "named") == find_config("named", "named") == "named"


def test_then_the_variable_then_here_then_the_machine_s(here, monkeypatch):
    config(here, "etc.toml")
    assert find_config(None, None) == str(here / "etc.toml")
    config(here)
    assert find_config(None, None) == "fastsip.toml"
    monkeypatch.setenv(VARIABLE, "of-the-variable")
    assert find_config(None, None) == "of-the-variable"


def test_who_found_it_by_itself_says_so_on_a_terminal(here, monkeypatch, capsys):
    config(here)
    monkeypatch.setattr(_config.sys.stderr, "isatty", lambda: True, raising=False)
    find_config(None, None)
    monkeypatch.setenv(VARIABLE, "x.toml")
    find_config(None, None)
    assert capsys.readouterr().err == f"fastsip: CONFIG is fastsip.toml\nfastsip: CONFIG is x.toml ({VARIABLE})\n"


@pytest.mark.parametrize("words", [("status",), ("check",), ("run",), ("dispatcher", "list"), ("unit",)])
def test_none_at_all_is_said(here, words):
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 2 and "no CONFIG: name one" in done.stderr


def test_two_are_one_too_many(here):
    done = CliRunner().invoke(main, ("status", "a.toml", "--config", "b.toml"))
    assert done.exit_code == 2 and "either a.toml or --config b.toml" in done.stderr


@pytest.mark.parametrize("words", [(), ("fastsip.toml",), ("--config", "fastsip.toml")])
def test_each_way_leads_to_the_same_file(here, words):
    config(here)
    assert CliRunner().invoke(main, ("check", *words)).exit_code == 0
    done = CliRunner().invoke(main, ("status", *words))
    assert done.exit_code == 3 and "no router runs in" in done.stderr


# ---------------------------------------------------------------- completion


def completed(*words: str) -> list[str]:
    """What a shell is offered behind these words."""
    env = {"_FASTSIP_COMPLETE": "bash_complete", "COMP_WORDS": " ".join(("fastsip", *words)),
           "COMP_CWORD": str(len(words))}  # fmt: skip
    return CliRunner().invoke(main, prog_name="fastsip", env=env).stdout.split()


def test_words_are_completed():
    assert completed("dis") == ["plain,dispatcher"]
    assert completed("dispatcher", "dr") == ["plain,drain"]
    assert "plain,--set" in completed("dispatcher", "list", "--")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_a_script(shell):
    done = CliRunner().invoke(main, ("completion", shell))
    assert done.exit_code == 0 and "_FASTSIP_COMPLETE" in done.stdout


def test_bash_takes_it():
    script = CliRunner().invoke(main, ("completion", "bash")).stdout
    done = subprocess.run(["bash", "-c", f"{script}\ncomplete -p fastsip"], capture_output=True, text=True, timeout=20,
                          check=False)  # fmt: skip
    assert done.returncode == 0 and "fastsip" in done.stdout, done.stderr


# ---------------------------------------------------------------- destinations

AGES = [(0, "0s"), (59, "59s"), (60, "1m 00s"), (3_599, "59m 59s"), (3_600, "1h 00m"), (86_399, "23h 59m"),
        (86_400, "1d 00h"), (864_000 + 7_200, "10d 02h"), (-5, "0s")]  # fmt: skip


@pytest.mark.parametrize(("seconds", "text"), AGES)
def test_an_age_has_two_units(monkeypatch, seconds, text):
    monkeypatch.setattr(time, "time", lambda: 1_000_000.5)
    assert dispatcher._ago(1_000_000 - seconds) == text


MEMBER = {"id": "m/a", "uri": "sip:192.0.2.1", "priority": 0, "weight": 1, "attrs": {}, "listener": "udp:1",
          "probe": "all", "admin": "enabled", "configured": "enabled", "said_at": None, "why": ""}  # fmt: skip


@pytest.fixture
def listed(here, monkeypatch):
    """A router whose supervisor lists one set in two parts."""
    config(here)
    group = {"name": "m", "setid": 7, "algorithm": "call-id"}
    parts = [{"set": group, "destinations": [MEMBER, MEMBER | {"id": "m/\x1b[31mred", "admin": "draining"}]},
             {"set": group, "destinations": [MEMBER | {"id": "m/c"}]}, {"done": "destinations"}]  # fmt: skip
    monkeypatch.setattr(answers, "ask", lambda *_: iter(parts))
    monkeypatch.setattr(answers, "read_seen", lambda run_dir: {})


def test_a_set_is_a_table_that_does_nothing_to_a_terminal(listed):
    lines = CliRunner().invoke(main, ("dispatcher", "list")).stdout.splitlines()
    assert lines[0] == "m (setid 7, call-id): 3 destinations, 2 take calls"
    assert lines[1].split() == list(dispatcher.HEAD)
    assert lines[3].startswith("m/\\u001b[31mred  unknown") and len(lines) == 5


@pytest.mark.parametrize("wanted", ["m", "7"])
def test_a_set_is_found_by_name_and_number(listed, wanted):
    assert CliRunner().invoke(main, ("dispatcher", "list", "--set", wanted)).stdout.count("m/") == 3


def test_watching_shows_it_again_until_it_is_interrupted(listed, monkeypatch):
    turns = []

    def rest(seconds):
        turns.append(seconds)
        if len(turns) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(_watch.time, "sleep", rest)
    done = CliRunner().invoke(main, ("dispatcher", "list", "--watch", "--json"))
    assert done.exit_code == 1 and done.stdout.count('"setid":7') == 3 and turns == [1, 1, 1]
