"""The command line: exit codes, what goes to which stream, and that heavy imports wait until needed."""

import json
import os
import subprocess
import sys
import types
from pathlib import Path

import pytest
from click.testing import CliRunner

from fastsip import __version__
from fastsip.cli import COMMANDS, main
from fastsip.config import load_text
from fastsip.router import outlook as outlook_module
from fastsip.router.outlook import BUFFER_BYTES_PER_MS, effective_rcvbuf, outlook, rule_text
from fastsip.router.shards import GROWN_BYTES
from tests.unit.config_text import SMALL, read

ROOT = Path(__file__).parents[2]
EXAMPLE = str(ROOT / "config.example.toml")


@pytest.fixture
def kernels(monkeypatch):
    """The one kernel call that `check` makes, so that its figure is known."""
    store = types.ModuleType("fastsip._core.store.partitions")
    store.store_bytes = lambda count: count * 4096
    monkeypatch.setitem(sys.modules, "fastsip._core.store.partitions", store)


@pytest.fixture
def wrong(tmp_path):
    path = tmp_path / "wrong.toml"
    path.write_text(
        '[[listen]]\nuri = "udp:127.0.0.1:5060"\n[set.m]\ndestinations = ["sip:127.0.0.1:5071"]\nlimt = 1\n'
    )
    return str(path)


def invoke(*arguments):
    return CliRunner().invoke(main, arguments)


def test_version_and_help():
    assert invoke("--version").output.strip() == f"fastsip, version {__version__}"
    shown = invoke("--help").output
    assert all(name in shown for name in COMMANDS)
    assert invoke("nonsense").exit_code == 2


@pytest.mark.parametrize("name", COMMANDS)
def test_every_registered_command_exists(name):
    assert invoke(name, "--help").exit_code == 0


def test_check_shows_what_will_happen(kernels):
    result = invoke("check", EXAMPLE)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0] == f"{EXAMPLE}: right"
    assert any(line.startswith("memory") and "for 20,000 transactions: calls " in line for line in lines)
    assert any(
        line.startswith("listen     udp:127.0.0.1:5060") and "ms of 1,000 calls/s" in line for line in lines
    )
    assert any(line.startswith("set        media: call-id, answered by fastsip itself") for line in lines)
    assert any("sip:127.0.0.1:5072 (id two, weight 1, priority 0, no probes)" in line for line in lines)
    assert lines[-1] == "rule 1     calls: everything -> set media, failure next-media"


def test_check_shows_names(kernels, tmp_path):
    path = tmp_path / "names.toml"
    names = '[names]\n"pbx.test" = ["127.0.0.9:5080", "[::1]:5070", "[::1]"]\n"*" = "127.0.0.1"\n'
    path.write_text(Path(EXAMPLE).read_text() + '[[listen]]\nuri = "udp:[::1]:5060"\n' + names)
    lines = invoke("check", str(path)).stdout.splitlines()
    assert lines[-2:] == [
        "name       pbx.test: 127.0.0.9:5080, [::1]:5070, [::1]",
        "name       every other name, DNS is not asked: 127.0.0.1",
    ]
    found = json.loads(invoke("check", "--json", str(path)).stdout)
    assert found["names"][1] == {"name": "*", "addresses": ["127.0.0.1"]}


def test_check_shows_the_collector_and_what_rings_and_copies_take(kernels, tmp_path, monkeypatch):
    def parts(more: str) -> tuple[dict, dict[str, int]]:
        path.write_text(text + more)
        found = json.loads(invoke("check", "--json", str(path)).stdout)
        return found, dict(found["memory"])

    monkeypatch.setenv("HEP_KEY", "s3cret")
    path, text = tmp_path / "hep.toml", Path(EXAMPLE).read_text()
    found, before = parts("")
    shards = found["shards"]
    assert before["messages, while somebody looks"] == shards * (4 << 20) and found["hep"] == ""
    found, after = parts('[hep]\ncollector = "udp:192.0.2.9:9060"\nsample = 0.1\nnode = "a"\nkey = "env:HEP_KEY"\n'
                         '[otel]\nendpoint = "http://192.0.2.9:4318/v1/traces"\n')
    assert after["messages, for spans"] == shards * (4 << 20)
    copies = after["copies for the collector"]
    assert shards * (256 << 10) < copies < shards * (9 << 20)
    assert found["memory_bytes"] == sum(before.values()) + copies
    lines = invoke("check", str(path)).stdout.splitlines()
    assert "hep        udp:192.0.2.9:9060, 0.1 of all calls, as a, its key in the clear" in lines
    assert not any("s3cret" in line for line in lines)
    found, _ = parts('[hep]\ncollector = "udp:c.test:9060"\nsample = 0\nnode = "a"\n')
    assert found["hep"] == "udp:c.test:9060, nothing, as a"


def test_check_json_is_one_object(kernels):
    result = invoke("check", "--json", EXAMPLE)
    found = json.loads(result.stdout)
    assert (result.exit_code, found["ok"], found["memory_bytes"]) == (0, True, sum(size for _, size in found["memory"]))
    assert found["listeners"][0]["rcvbuf_bytes"] == 8 << 20
    assert found["listeners"][0]["buffer_ms"] == int(found["listeners"][0]["effective_bytes"] / 212992 * 15)
    assert [one["uri"] for one in found["sets"][0]["destinations"]] == [
        "sip:127.0.0.1:5071",
        "sip:127.0.0.1:5072",
    ]


def test_check_of_a_wrong_file(wrong):
    result = invoke("check", wrong)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert f"{wrong}:5: set.m.limt: found an unknown key" in result.stderr
    assert 'did you mean "limit"?' in result.stderr
    assert result.stderr.endswith(f"{wrong}: 1 error\n")


def test_check_json_of_a_wrong_file(wrong):
    result = invoke("check", wrong, "--json")
    found = json.loads(result.stdout)
    assert (result.exit_code, found["ok"]) == (2, False)
    assert [(one["line"], one["key"]) for one in found["errors"]] == [(5, "set.m.limt")]


def test_kernels_that_are_not_built_are_said_in_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "fastsip._core.store.partitions", None)
    result = invoke("check", EXAMPLE)
    assert result.exit_code == 1
    assert result.stderr == "fastsip: fastsip._core.store.partitions is not built; run: make build\n"


def test_check_writes_nothing(kernels, tmp_path):
    path = tmp_path / "c.toml"
    path.write_text(
        f'[router]\nstate_dir = "{tmp_path}/state"\nrun_dir = "{tmp_path}/run"\n'
        '[[listen]]\nuri = "udp:127.0.0.1:5060"\n[set.m]\ndestinations = ["sip:127.0.0.1:5071"]\n'
    )
    result = invoke("check", str(path))
    assert result.exit_code == 0
    assert "made at the first start" in result.stdout
    assert "no [[route]] given: the only set" in result.stdout
    assert [one.name for one in tmp_path.iterdir()] == ["c.toml"]


def test_run_of_a_wrong_file(wrong):
    result = invoke("run", wrong)
    assert result.exit_code == 2
    assert "set.m.limt" in result.stderr


@pytest.mark.parametrize("code", [0, 3])
def test_run_gives_the_file_to_the_supervisor_and_its_code_to_the_shell(monkeypatch, tmp_path, code):
    seen = []

    def run(file, born):
        """As one that never needs the router that was started for it: that ends in good order."""
        born.line.close()
        assert os.waitstatus_to_exitcode(os.waitpid(born.pid, 0)[1]) == 0
        seen.append(file)
        return code

    supervisor = types.ModuleType("fastsip.supervisor.run")
    supervisor.run = run
    monkeypatch.setitem(sys.modules, "fastsip.supervisor.run", supervisor)
    monkeypatch.setattr("fastsip.process.launch.end", sys.exit)
    path = tmp_path / "c.toml"
    path.write_text(
        f'[router]\nstate_dir = "{tmp_path}/state"\n[[listen]]\nuri = "udp:127.0.0.1:5060"\n'
        '[set.m]\ndestinations = ["sip:127.0.0.1:5071"]\n'
    )
    result = invoke("run", str(path))
    assert result.exit_code == code
    assert seen == [str(path)]


def test_rich_and_the_kernels_are_not_imported_before_they_are_needed(wrong):
    probe = f"""
import sys
from fastsip.cli import main
try:
    main(["check", {wrong!r}])
except SystemExit:
    heavy = ("rich", "fastsip._core.", "numpy", "uvloop")
    light = {{"fastsip._core.base", "fastsip._core.base.files", "fastsip._core.base.short_ids"}}
    print(sorted(name for name in sys.modules if name.startswith(heavy) and name not in light))
"""
    done = subprocess.run([sys.executable, "-c", probe], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stderr


def test_python_dash_m(wrong):
    done = subprocess.run(
        [sys.executable, "-m", "fastsip", "check", wrong],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert "set.m.limt" in done.stderr


# ---------------------------------------------------------------- the outlook

TWO_SETS = """
[router]
state_dir = "{state}"
[[listen]]
uri = "udp:127.0.0.1:5060"
rcvbuf = "{rcvbuf}"
[set.a]
probe = {{ interval = "5s", mode = "only-failed" }}
destinations = ["sip:127.0.0.1:5071"]
[set.b]
destinations = ["sip:127.0.0.1:5072"]
[failure.unused]
on = 500
[[route]]
to = "a"
[[route]]
reply = 404
"""


def facts(tmp_path, rcvbuf="8MiB"):
    text = TWO_SETS.format(state=tmp_path, rcvbuf=rcvbuf)
    return outlook(load_text(text, str(tmp_path / "c.toml"), make_secret=False))


def test_warnings_name_what_never_happens(kernels, tmp_path):
    warnings = facts(tmp_path).warnings
    assert "route-1 takes everything; never reached: route-2" in warnings
    assert "set b is not used by any rule" in warnings
    assert "failure policy unused is not used by any rule or set" in warnings


def test_a_small_buffer_is_a_warning_that_says_what_to_change(kernels, tmp_path):
    found = facts(tmp_path, rcvbuf="64KiB")
    assert found.listeners[0].buffer_ms == int(found.listeners[0].effective_bytes / BUFFER_BYTES_PER_MS) < 500
    assert any("less than 500 ms" in line and "set rcvbuf to" in line for line in found.warnings)


def test_a_buffer_that_the_kernel_cuts_names_the_sysctl(kernels, tmp_path, monkeypatch):
    monkeypatch.setattr("fastsip.router.outlook.effective_rcvbuf", lambda wanted, family: 425_984)
    found = facts(tmp_path)
    assert found.listeners[0].buffer_ms == 30
    assert any("sysctl -w net.core.rmem_max=4194304" in line for line in found.warnings)


def test_the_buffer_is_what_a_real_socket_gets():
    small, large = effective_rcvbuf(65_536, 4), effective_rcvbuf(131_072, 4)
    assert (small, large) == (65_536, 131_072)


@pytest.mark.parametrize(
    ("keys", "at_once"),
    [("", 2), ("tiers = false", 4), ("limit = 1", 1), ("tiers = false\nlimit = 3", 3), ('algorithm = "random"', 1)],
)
def test_how_many_are_asked_at_once(kernels, tmp_path, keys, at_once):
    """The largest tier of a parallel set, those of weight 0 apart."""
    algorithm = "" if "algorithm" in keys else 'algorithm = "parallel"\n'
    more = "".join(
        f', {{ uri = "sip:127.0.0.1:{5073 + n}", {key} }}'
        for n, key in enumerate(("priority = 1", "priority = 1", "weight = 0", "priority = 2"))
    )
    text = TWO_SETS.format(state=tmp_path, rcvbuf="8MiB").replace(
        '[set.b]\ndestinations = ["sip:127.0.0.1:5072"',
        f'[set.b]\n{algorithm}{keys}\ndestinations = ["sip:127.0.0.1:5072"{more}',
    )
    found = outlook(load_text(text, str(tmp_path / "c.toml"), make_secret=False))
    assert [one.at_once for one in found.sets] == [1, at_once]


def test_a_secret_that_everybody_can_read_is_a_warning(kernels, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("0123456789abcdef\n")
    secret.chmod(0o644)
    assert any("everybody" in line for line in facts(tmp_path).warnings)
    secret.chmod(0o600)
    assert not any("everybody" in line for line in facts(tmp_path).warnings)


def test_rules_in_words():
    text = """
[[listen]]
uri = "udp:127.0.0.1:5060"
[set.a]
destinations = ["sip:127.0.0.1:5071"]
[[route]]
to = "a"
ruri = "host"
record_route = false
[route.when]
method = ["INVITE", "SUBSCRIBE"]
to_tag = false
header = { X-A = true, X-B = "1" }
not = { user = "1" }
[[route]]
reply = "403 Not here"
"""
    rules = load_text(text, "c.toml", make_secret=False).rules
    assert [rule_text(rule) for rule in rules] == [
        "route-1: method INVITE or SUBSCRIBE and no To tag and header X-A and header X-B = 1 and not user 1 "
        "-> set a, ruri host, no Record-Route",
        "route-2: everything -> reply 403 Not here",
    ]


FORWARDS = """
[[listen]]
uri = "udp:127.0.0.1:5060"
[[route]]
when = { user_match = ["^8", "9$"], not = { source = "10.0.0.0/8" } }
forward = "request-uri"
headers = { remove = ["X-Auth-*"], set = { X-From = "{source}" } }
[[route]]
when = { source = "10.0.0.0/8" }
forward = "header:X-Next"
"""


def test_forwards_in_words():
    rules = load_text(FORWARDS, "c.toml", make_secret=False).rules
    assert [rule_text(rule) for rule in rules] == [
        "route-1: user_match ^8 or 9$ and not source 10.0.0.0/8 -> forward to the URI in the Request-URI, "
        'remove X-Auth-*, set X-From = "{source}", only from trusted sources and destinations',
        "route-2: source 10.0.0.0/8 -> forward to the URI in X-Next",
    ]


def test_a_forward_for_nobody_is_a_warning(kernels, tmp_path):
    def warned(text):
        config = load_text(f'[router]\nstate_dir = "{tmp_path}"\n{text}', str(tmp_path / "c.toml"), make_secret=False)
        return [line for line in outlook(config).warnings if "nobody" in line]

    assert len(warned(FORWARDS)) == 1 and warned(FORWARDS)[0].startswith("route-1 ")
    assert warned('trusted = ["10.0.0.0/8"]' + FORWARDS) == []
    assert warned(FORWARDS + '[set.a]\ndestinations = ["sip:127.0.0.1:5071"]\n') == []


def warnings_of(tmp_path, old, new):
    """Of TWO_SETS with one thing changed."""
    text = TWO_SETS.format(state=tmp_path, rcvbuf="8MiB").replace(old, new)
    return outlook(load_text(text, str(tmp_path / "c.toml"), make_secret=False)).warnings


def test_a_pattern_that_every_user_has_is_a_warning(kernels, tmp_path):
    found = warnings_of(tmp_path, 'to = "a"', 'to = "a"\nwhen = { user_match = ["8*", "^8"] }')
    (line,) = (line for line in found if "user_match" in line)
    assert line.startswith('route-1: user_match "8*" is found in every user')


def test_a_set_that_is_only_a_source_is_used(kernels, tmp_path):
    found = warnings_of(tmp_path, "reply = 404", 'reply = 404\nwhen = { source_set = "b" }')
    assert not any("set b is not used" in line for line in found)


def test_all_memory_is_counted(monkeypatch):
    """Of every kind, with what hangs on the number of shards and destinations."""
    monkeypatch.setattr(outlook_module, "effective_rcvbuf", lambda wanted, family: wanted)
    small, large = (dict(outlook_module.memory_of(read(f"[router]\nshards = {shards}\n{SMALL}"))) for shards in (1, 16))
    assert set(small) == {
        "calls", "rings between shards", "buffers of shards", "destinations", "names, when all are known",
        "three Python processes", "messages, while somebody looks",
    }  # fmt: skip
    assert all(small.values()) and large["rings between shards"] >= GROWN_BYTES
    assert large["buffers of shards"] == 16 * small["buffers of shards"] and small["calls"] == large["calls"]
