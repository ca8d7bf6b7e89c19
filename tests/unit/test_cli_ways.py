"""What all commands have in common: prefixes, exit codes, help, streams that take nothing, kernels that are missing."""

import re
import subprocess
import sys
from importlib import import_module
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest
from click.testing import CliRunner

from fastsip.cli import COMMANDS, main
from fastsip.cli._ask import EXITS
from fastsip.observe import counters
from fastsip.process import launch
from tests.unit.config_text import SMALL

ROOT = Path(__file__).parents[2]
EXAMPLE = str(ROOT / "config.example.toml")
ORDERS = ("reload", "drain", "upgrade", "stop")


def invoke(*words):
    return CliRunner().invoke(main, words)


@pytest.fixture
def config(tmp_path):
    """A configuration whose router has never run."""
    (tmp_path / "run").mkdir()
    path = tmp_path / "c.toml"
    path.write_text(f'[router]\nrun_dir = "{tmp_path}/run"\nstate_dir = "{tmp_path}/state"\n{SMALL}')
    return path


# ---------------------------------------------------------------- words and codes


def test_the_help_of_the_group_has_whole_sentences():
    lines = invoke("--help").stdout.partition("Commands:\n")[2].splitlines()
    assert [line.split()[0] for line in lines] == list(COMMANDS)
    assert all(line.endswith(".") and not line.endswith("...") for line in lines)


@pytest.mark.parametrize("name", ORDERS)
def test_orders_name_their_exit_codes(name):
    assert EXITS in " ".join(invoke(name, "--help").stdout.split())


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "demo"])
def test_every_complaint_has_one_prefix(name, tmp_path):
    """A file that is missing, an option that nobody has: 2, and words behind "fastsip: "."""
    for words in ((name, str(tmp_path / "none.toml")), (name, "--nonsense")):
        done = invoke(*words)
        assert (done.exit_code, done.stdout) == (2, "") and "Error:" not in done.stderr
        assert name == "check" or re.search(r"^fastsip: ", done.stderr, re.M)
    assert re.search(r"^fastsip: No such command", invoke("nonsense").stderr, re.M)
    assert re.search(r"^fastsip: No such option", invoke("--nonsense").stderr, re.M)


@pytest.mark.parametrize("name", ["status", *ORDERS, "stats"])
def test_no_router_is_the_same_everywhere(name, config):
    done = invoke(name, str(config))
    assert (done.exit_code, done.stdout) == (3, "")
    assert re.fullmatch(rf"fastsip: no router runs in {config.parent}/run(, and none has left its numbers there)?\n",
                        done.stderr)  # fmt: skip


def test_then_stop_and_undo_contradict_each_other(config):
    done = invoke("drain", str(config), "--then", "stop", "--undo")
    assert done.exit_code == 2 and "contradict" in done.stderr


def test_durations_are_named_alike():
    assert "--deadline DURATION" in invoke("drain", "--help").stdout
    assert "--older DURATION" in invoke("transactions", "--help").stdout


@pytest.mark.parametrize("flags", [[], ["--json"], ["--all", "--explain"]])
def test_the_numbers_of_a_router_that_is_gone(config, flags):
    counters.StatsFile(str(config.parent / "run"), 1).gauges[0] = 7
    done = invoke("stats", str(config), *flags)
    assert done.exit_code == 3 and re.search(r"slots\W+7\b", done.stdout)
    told = [re.sub(r"\w+ +[\d,]+ *", "", line, count=1) for line in done.stdout.splitlines()]
    assert "--explain" not in flags or told == list(counters.HELP.values())
    assert re.fullmatch(r"fastsip: no router runs in \S+: these are the last numbers of .*\n", done.stderr)


@pytest.mark.parametrize("damage", [b"", b"\xff" * 5000, "folder"])
def test_damaged_numbers_are_said_in_one_line(config, damage):
    place = config.parent / "run" / "stats"
    place.mkdir() if damage == "folder" else place.write_bytes(damage)
    done = invoke("stats", str(config))
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith(f"fastsip: {place} is ") and done.stderr.count("\n") == 1


# ---------------------------------------------------------------- streams


COMMAND_LINES = [["--help"], ["--version"], ["check", EXAMPLE], ["check", "--json", EXAMPLE], ["unit", EXAMPLE],
                 ["stats", "CONFIG"], ["stats", "--json", "CONFIG"], ["transactions", "--help"]]  # fmt: skip


@pytest.mark.parametrize("words", COMMAND_LINES, ids=" ".join)
def test_a_full_disk_is_said_in_one_line(config, words):
    counters.StatsFile(str(config.parent / "run"), 1).gauges[0] = 7
    argv = [sys.executable, "-m", "fastsip", *(str(config) if word == "CONFIG" else word for word in words)]
    with open("/dev/full", "w") as full:
        done = subprocess.run(argv, cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    said = [line for line in done.stderr.splitlines() if not line.startswith("warning: ")]
    assert done.returncode == 1 and len(said) == 1
    assert said[0].startswith("fastsip: ") and said[0].endswith("No space left on device")


@pytest.mark.parametrize("words, code", [(["check", EXAMPLE], 0), (["check", "/nowhere.toml"], 2), (["unit", ""], 2),
                                         (["status", "CONFIG"], 3)])  # fmt: skip
def test_who_cannot_take_the_words_gets_the_code(config, words, code):
    argv = [sys.executable, "-m", "fastsip", *(str(config) if word == "CONFIG" else word for word in words)]
    with open("/dev/full", "w") as full:
        done = subprocess.run(argv, cwd=ROOT, stdout=subprocess.PIPE, stderr=full, timeout=60)
    assert done.returncode == code


# ---------------------------------------------------------------- kernels


@pytest.fixture
def core(tmp_path, monkeypatch):
    """A folder of kernels, all of them built."""
    place = tmp_path / "_core"
    (place / "base").mkdir(parents=True)
    for name in ("slots.pyx", f"slots{EXTENSION_SUFFIXES[0]}", "ring.pyx", "ring.abi3.so", "folder.py"):
        (place / "base" / name).touch()
    monkeypatch.setattr(launch, "CORE", str(place))
    return place


@pytest.mark.parametrize("words", [["run", EXAMPLE], ["check", EXAMPLE], ["check", "--takeover", EXAMPLE]])
def test_a_missing_kernel_is_said_in_one_line(core, monkeypatch, words):
    """Any of them, and before a process is started that would need it."""
    monkeypatch.setattr(launch, "launch", lambda: pytest.fail("a router was started"))
    (core / "base" / "ring.abi3.so").unlink()
    done = invoke(*words)
    assert (done.exit_code, done.stderr) == (1, "fastsip: fastsip._core.base.ring is not built; run: make build\n")


def test_all_kernels_are_there(core):
    launch.need_kernels()
    (core / "base" / "ring.pyx").unlink()  # as installed: without sources
    (core / "base" / "ring.abi3.so").unlink()
    launch.need_kernels()


def test_what_takes_over_is_all_imported_by_the_check():
    """A module that a router loads late is missed before it routes, not after."""
    check = (ROOT / "fastsip" / "cli" / "check.py").read_text()
    process = (ROOT / "fastsip" / "router" / "process.py").read_text()
    late = [".".join(found) for found in re.findall(r"^ +from (fastsip[\w.]+) import (\w+)$", process, re.M)]
    assert late and all(f"import {name}\n" in check for name in late)
    assert all(import_module(name) for name in late)
