"""`fastsip import`: what another router's file has as text of our own means what the same file means as a source."""

import subprocess
import sys
import tomllib
from pathlib import Path
from unittest.mock import patch

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from fastsip.cli import main
from fastsip.config import Config, load_text
from fastsip.config import sources as config_sources
from fastsip.config.imported import READERS, Imported, import_rows
from fastsip.sources.kamailio import read_list
from fastsip.sources.rows import Reading, Row

ROOT = Path(__file__).parents[2]
LISTEN = """
[router]
name = "edge1"
shards = 1
run_dir = "/nowhere/run"
state_dir = "/nowhere/state"
[[listen]]
uri = "udp:192.0.2.1:5060"
[[listen]]
uri = "udp:192.0.2.9:5060"
tag = "inside"
[[listen]]
uri = "udp:[2001:db8::1]:5060"
"""
SOURCE = '[[source]]\nkind = "list"\npath = "dispatcher.list"\n'


def load(text: str) -> Config:
    """With a rule for each set, so that all of them may be there."""
    routes = "".join(f'[[route]]\nto = "{name}"\n' for name in tomllib.loads(text).get("set", {}))
    return load_text(LISTEN + text + routes, "/nowhere/edge.toml", make_secret=False)


def as_source(reading: Reading) -> Config:
    routes = "".join(f'[[route]]\nto = "{row.setid}"\n' for row in reading.rows)
    with patch.object(config_sources, "read_list_file", lambda path: reading):
        return load_text(LISTEN + SOURCE + routes, "/nowhere/edge.toml", make_secret=False)


def same(reading: Reading, router: str = "kamailio") -> Imported:
    """The text, loaded, has the sets of the source, without those that are empty; and the same is left out."""
    found = import_rows(router, reading)
    source = as_source(reading)
    wanted = tuple(group for group in source.sets if group.destinations or group.names)
    assert (load(found.text).sets if found.text else ()) == wanted
    assert sorted(one.where for one in found.left_out) == sorted(one.where for one in source.sources[0].left_out)
    assert bool(found.away) == (not wanted)
    return found


# ---------------------------------------------------------------- any rows


URIS = ["sip:192.0.2.21", "sip:192.0.2.21:5070", "sip:a@192.0.2.22;x=y", "sip:[2001:db8::21]", "192.0.2.23",
        "sip:gw.example.net", "sips:192.0.2.24", "sip:192.0.2.25;transport=tcp", "sip:192.0.2.2\n[router]\nx = 1", "",
        "sip:" + "a" * 250 + "@192.0.2.26"]
LISTENERS = {4: ["", "", "udp:192.0.2.1:5060", "udp:192.0.2.9", "inside", "tls:192.0.2.9", "a:b"], 6: [""]}
ODD = ["", "x", 'a "b" \\ c', "\x7f\x85\u202e\U000e0001", "]\n[set.9]\n"]
texts = st.one_of(st.sampled_from(ODD), st.text(max_size=9))


@st.composite
def any_row(draw, where):
    uri = draw(st.sampled_from(URIS))
    names = LISTENERS[6 if "[2001" in uri else 4]
    return Row(
        where=where, setid=draw(st.sampled_from([0, 7, 2**31 - 1])), uri=uri,
        name=draw(st.sampled_from(["", "", "", "gw1", "two words", '"q"'])),
        priority=draw(st.sampled_from([0, -(2**31), 2**31 - 1])),
        weight=draw(st.sampled_from([None, 0, 1, 1_000_000])),
        relative_weight=draw(st.sampled_from([None, 1, 60])),
        admin=draw(st.sampled_from(["enabled", "draining", "disabled"])), starts_down=draw(st.booleans()),
        probed=draw(st.sampled_from([None, False, True])), probe_mode=draw(st.sampled_from(["", "only-failed"])),
        socket=draw(st.sampled_from(names)), listener_tag="inside" if "inside" in names and draw(st.booleans()) else "",
        probe_from=draw(st.sampled_from(["", "sip:me@example.net", "nobody"])),
        attrs=tuple(draw(st.dictionaries(texts, texts, max_size=3)).items()),
    )  # fmt: skip


@st.composite
def any_reading(draw):
    count = draw(st.integers(1, 8))
    return Reading(at=1.0, rows=tuple(draw(any_row(f"line {number + 1}")) for number in range(count)))


@given(any_reading())
def test_rows_written_down_are_what_they_are_as_a_source(reading):
    same(reading)


# ---------------------------------------------------------------- files


KAMAILIO = """
# setid(int) destination(sip uri) flags(int,opt) priority(int,opt) attributes(str,opt)
1 sip:192.0.2.21 8 5 duid=gw1;weight=50;rweight=20;maxload=30
1 sip:192.0.2.22 9 0 socket=udp:192.0.2.9:5060;ping_from=sip:me@example.net
1 sip:192.0.2.22 4
1 sip:192.0.2.22 32
2 sip:gw.example.net;transport=tls
3 192.0.2.23
4
"""
DISPATCHER = """setid\tdestination\tsocket\tstate\tprobe_mode\tweight\tpriority\tattrs\tdescription
1\tsip:192.0.2.21\tudp:192.0.2.9:5060\t0\t1\t50\t3\tfree "text"\tNULL
1\tsip:192.0.2.21\tinside\t1\t0\t\t0\tNULL\tNULL
1\tsip:192.0.2.22\tNULL\t2\t0\tfs://:pw@192.0.2.8:8021\t0\tNULL\tNULL
x\tsip:192.0.2.23\tNULL\t0\t0\t1\t0\tNULL\tNULL
"""
LOAD_BALANCER = """id(int,auto) group_id(int) dst_uri(string) resources(string) probe_mode(int) attrs(string,null)
1:4:sip\\:192.0.2.21:pstn=32;vm=2:0:
2:4:sip\\:192.0.2.22:pstn=32:1:x
3:4:sip\\:192.0.2.23:pstn=32:2:
"""


@pytest.fixture
def put(tmp_path):
    def puts(text: str) -> str:
        (tmp_path / "table").write_text(text)
        return str(tmp_path / "table")

    return puts


@pytest.mark.parametrize(("router", "text", "count"), [("kamailio", KAMAILIO, 4), ("opensips", DISPATCHER, 3),
                                                       ("opensips", LOAD_BALANCER, 3)])
def test_files_written_down_are_what_they_are_as_a_source(put, router, text, count):
    found = same(READERS[router](put(text)), router)
    assert sum(len(group.destinations) for group in load(found.text).sets) == count


def test_a_set_stands_there_as_its_source_has_it():
    text = same(read_list(KAMAILIO, 1.0)).text
    assert text.splitlines()[4:7] == ["[set.1]", "setid = 1", "tiers = false  # there, priorities order a set for one "
                                      "algorithm and make no tiers"]
    table = tomllib.loads(text)["set"]["1"]["destinations"]
    assert [one["id"] for one in table] == ["1/gw1", "1/sip:192.0.2.22@udp:192.0.2.9:5060", "1/sip:192.0.2.22"]
    assert table[0] == {
        "uri": "sip:192.0.2.21", "id": "1/gw1", "weight": 50, "priority": 5, "probe": {},
        "attrs": {"duid": "gw1", "weight": "50", "rweight": "20", "maxload": "30"},
    }  # fmt: skip
    assert table[1]["listen"] == "udp:192.0.2.9:5060" and table[1]["starts_down"] is True
    assert table[1]["probe"] == {"from": "sip:me@example.net"} and table[2]["admin"] == "disabled"


def test_what_our_language_cannot_say_is_a_comment_at_its_place():
    lines = same(read_list(KAMAILIO, 1.0)).text.splitlines()
    assert lines[0] == "# 4 destinations in 2 sets, as `fastsip import kamailio` read them; 3 left out"
    assert lines[2] == "# A [[listen]] with this address or tag is needed for each of: udp:192.0.2.9:5060"
    assert "# `maxload` of 1 destination is kept in attrs and does nothing yet" in lines
    assert any(line.endswith(',  # with algorithm = "relative-weight": weight = 20') for line in lines)
    assert any(line.startswith("  # left out: line 6: it stands in this set already") for line in lines)
    here = lines.index("# [set.2] has no destination that can be used here")
    assert lines[here + 1].startswith("# left out: line 7: transport=tls is not in this release")


def test_what_a_freeswitch_says_and_resources_are_kept_and_said(put):
    text = same(READERS["opensips"](put(DISPATCHER)), "opensips").text
    assert "# `weight` of 1 destination is kept in attrs and does nothing yet" in text and "pw" not in text
    text = same(READERS["opensips"](put(LOAD_BALANCER)), "opensips").text
    assert "# `resources` of 3 destinations is kept in attrs and does nothing yet" in text
    probes = [one.get("probe") for one in tomllib.loads(text)["set"]["4"]["destinations"]]
    assert probes == [False, {"mode": "only-failed"}, {}]


def test_a_probe_table_of_the_set_says_when_for_all():
    """A row's own "only while it is down" counts where the set has no `probe`."""
    row = Row(where="line 1", setid=1, uri="sip:192.0.2.21", probed=True, probe_mode="only-failed")
    text = LISTEN + SOURCE + "[set.1]\nsetid = 1\n"
    with patch.object(config_sources, "read_list_file", lambda path: Reading(at=1.0, rows=(row,))):
        for keys, mode in (("", "only-failed"), ("probe = {}\n", "all"), ('probe = { mode = "marked" }\n', "marked")):
            (one,) = load_text(text + keys, "/nowhere/edge.toml", make_secret=False).set_named("1").destinations
            assert one.probe and one.probe.mode == mode


# ---------------------------------------------------------------- the command


def invoke(*words):
    return CliRunner().invoke(main, ["import", *words])


def test_the_command_prints_toml_and_says_what_is_left_out(put):
    """The real command, as a shell would run it: both streams by themselves."""
    argv = [sys.executable, "-m", "fastsip", "import", "kamailio", put(KAMAILIO)]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    assert load(done.stdout).sets == load(import_rows("kamailio", read_list(KAMAILIO, 1.0)).text).sets
    said = done.stderr.splitlines()
    assert said[0] == "left out: line 9: a set and a destination are the least, found 4"
    assert len(said) == 3 and all(line.startswith("left out: line ") for line in said)


def test_misfits_alone_are_no_failure_but_nothing_is(put):
    assert invoke("opensips", put(DISPATCHER)).exit_code == 0
    for text, words in (("1 sips:gw.example.net\nx\n", "no destination is in it that can be used here"),
                        ("", "no destination is in it that can be used here")):
        done = invoke("kamailio", put(text))
        assert (done.exit_code, done.stdout) == (1, "") and done.stderr.endswith(f"table: {words}\n")
    done = invoke("opensips", put(KAMAILIO))
    assert done.exit_code == 1 and "does not say the columns of a table" in done.stderr
    done = invoke("kamailio", "/nowhere/at/all")
    assert (done.exit_code, done.stdout) == (1, "") and "cannot be read: No such file" in done.stderr


def test_nothing_that_stands_in_a_file_does_anything_to_a_terminal(put):
    done = invoke("kamailio", put("1 sip:192.0.2.21 0 0 x=\x1b[2J\u202e\n1 sip:\x1b[31mred\n"))
    assert done.exit_code == 0 and (done.stdout + done.stderr).replace("\n", "").isprintable()
    assert tomllib.loads(done.stdout)["set"]["1"]["destinations"][0]["attrs"] == {"x": "\x1b[2J\u202e"}


@pytest.mark.parametrize("words", [["asterisk", "x"], ["kamailio"], []])
def test_a_wrong_command_line(words):
    assert invoke(*words).exit_code == 2
