"""[[source]]: what rows become in the sets with their number, what is left out, and what counts while one is away."""

import os
import threading

import pytest

from fastsip._core.dispatcher.cells import Cells
from fastsip._core.dispatcher.chooser import Chooser
from fastsip.config import Config, ConfigError, load_text, short_names
from fastsip.config import rows as rows_module
from fastsip.config import sources as module
from fastsip.dispatcher.diff import compare
from fastsip.router.outlook import outlook
from fastsip.routing.compile import admin_lines, compile_table, set_admin_states
from fastsip.routing.registry import Registry
from fastsip.sources import columns

LISTEN = """
[router]
name = "edge1"
shards = 1
run_dir = "run"
state_dir = "state"
[[listen]]
uri = "udp:192.0.2.1:5060"
[[listen]]
uri = "udp:192.0.2.9:5060"
tag = "inside"
"""
SOURCE = '[[source]]\nkind = "list"\npath = "dispatcher.list"\n'
ROUTE = '[[route]]\nto = "1"\n'


@pytest.fixture
def read(tmp_path):
    """Reads a configuration beside a list; None: there is none."""

    def reads(text: str, rows: str | None, *, keep: bool = True) -> Config:
        place = tmp_path / "dispatcher.list"
        place.unlink(missing_ok=True)
        if rows is not None:
            place.write_text(rows)
        return load_text(LISTEN + text, str(tmp_path / "edge.toml"), make_secret=keep)

    return reads


def ids(config: Config, name: str = "1") -> list[str]:
    return [one.id for one in config.set_named(name).destinations]


def test_rows_go_to_the_set_with_their_number(read):
    config = read(SOURCE + '[set.media]\nsetid = 1\ndestinations = ["sip:192.0.2.20"]\n'
                  '[[route]]\nto = "media"\n', "1 sip:192.0.2.21 0 7\n")
    assert ids(config, "media") == ["media/sip:192.0.2.20", "media/sip:192.0.2.21"]
    assert config.set_named("media").destinations[1].priority == 7
    assert config.set_named("media").tiers


def test_a_set_that_no_table_has_is_made(read):
    config = read(SOURCE + ROUTE, "1 sip:192.0.2.21\n2 sip:192.0.2.22\n")
    assert [(group.name, group.setid, group.tiers) for group in config.sets] == [("1", 1, False), ("2", 2, False)]


def test_the_only_set_needs_no_rule(read):
    assert read(SOURCE, "5 sip:192.0.2.21\n").rules[0].to == "5"


def test_a_set_that_a_rule_names_stays_when_its_last_row_goes(read):
    assert ids(read(SOURCE + ROUTE, "2 sip:192.0.2.21\n")) == []
    policy = '[failure.next]\non = [500]\nthen = "3"\n'
    assert ids(read(SOURCE + policy + ROUTE, "1 sip:192.0.2.21\n"), "3") == []


@pytest.mark.parametrize("name", ["01", "1x", "x", "", "-1", "12345678901"])
def test_other_names_are_not_made(read, name):
    with pytest.raises(ConfigError):
        read(SOURCE + f'[[route]]\nto = "{name}"\n', "1 sip:192.0.2.21\n")


def test_identity_is_the_duid_or_the_uri_and_its_socket(read):
    config = read(SOURCE + ROUTE, "1 192.0.2.21 0 0 duid=gw1\n1 192.0.2.22\n1 192.0.2.22 0 0 sockname=inside\n"
                                  "1 192.0.2.22 0 0 socket=udp:192.0.2.1:5060\n1 192.0.2.22 0 0 site=x\n")
    assert ids(config) == ["1/gw1", "1/sip:192.0.2.22", "1/sip:192.0.2.22@inside",
                           "1/sip:192.0.2.22@udp:192.0.2.1:5060"]
    assert [one.listener for one in config.set_named("1").destinations] == [0, 0, 1, 0]
    assert [str(one) for one in config.sources[0].left_out] == [
        "line 5: it stands in this set already; another `duid` or `socket` would tell the two apart, "
        "found sip:192.0.2.22"]


def test_a_row_that_is_left_out_keeps_no_other_one_from_its_id(read):
    config = read(SOURCE + ROUTE, "1 192.0.2.21 8 0 duid=gw;ping_from=nobody\n1 192.0.2.22 8 0 duid=gw\n")
    assert [one.uri for one in config.set_named("1").destinations] == ["sip:192.0.2.22"]


LEFT_OUT = {
    "1 sip:gw.example.net 0 0 sockname=outside": "no [[listen]] outside has an address to send from",
    "1 sip:gw.example.net;transport=tcp": "transport=tcp is not in this release",
    "1 sips:192.0.2.21": "sips (TLS) is not in this release",
    "1 sip:192.0.2.21;transport=tcp": "transport=tcp is not in this release",
    "1 sip:[2001:db8::1]": "no [[listen]] has an IPv6 address",
    "1 sip:192.0.2.1:5060": "this is our own [[listen]] address",
    "1 sip:192.0.2.21 0 0 socket=udp:192.0.2.77:5060": "no [[listen]] udp:192.0.2.77:5060",
    "1 sip:192.0.2.21 0 0 socket=nonsense": "",
    "1 sip:192.0.2.21 0 0 sockname=outside": "no [[listen]] outside",
    "1 sip:192.0.2.21 8 0 ping_from=nobody": "allowed: a SIP URI",
}


@pytest.mark.parametrize("line", LEFT_OUT)
def test_a_row_that_no_set_can_take_is_left_out(read, line):
    config = read(SOURCE + ROUTE, f"{line}\n1 sip:192.0.2.30\n")
    assert ids(config) == ["1/sip:192.0.2.30"]
    (left,) = config.sources[0].left_out
    assert left.where == "line 1" and left.why.startswith(LEFT_OUT[line])
    assert any("line 1: " in warning and "left out" in warning for warning in outlook(config).warnings)


def test_a_table_that_has_the_name_of_another_number(read):
    config = read(SOURCE + '[set.1]\nsetid = 9\ndestinations = ["sip:192.0.2.20"]\n', "1 sip:192.0.2.21\n")
    assert ids(config) == ["1/sip:192.0.2.20"]
    assert config.sources[0].left_out[0].why == "a set with another number, or none, has its name"


def test_two_that_tokens_could_not_tell_apart(read, monkeypatch):
    """One of a list leaves out itself, not the configuration."""
    for place in (rows_module, short_names):
        monkeypatch.setattr(place, "short_ids_of", lambda group, destination: (1, len(destination) % 3))
    config = read(SOURCE + '[set.x]\nsetid = 9\ndestinations = ["sip:192.0.2.20"]\n' + ROUTE,
                  "1 192.0.2.21 0 0 duid=a\n1 192.0.2.22 0 0 duid=bcd\n1 192.0.2.23 0 0 duid=ef\n"
                  "1 192.0.2.24 0 0 duid=ghi\n")
    assert [one.where for one in config.sources[0].left_out] == ["line 3", "line 4"]


# The set's keys, the row's flags -> is it probed?
PROBED = [("", 0, False), ("", 8, True), ("", 24, True), ("", 40, False), ("probe = {}", 0, True),
          ("probe = {}", 32, False), ("probe = false", 8, False)]  # fmt: skip


@pytest.mark.parametrize(("keys", "flags", "probed"), PROBED)
def test_who_is_probed(read, keys, flags, probed):
    config = read(SOURCE + f"[set.1]\nsetid = 1\n{keys}\n", f"1 192.0.2.21 {flags}\n")
    assert (config.set_named("1").destinations[0].probe is not None) == probed


def test_probes_are_as_the_set_says(read):
    rows = "1 192.0.2.21\n1 192.0.2.22 0 0 ping_from=sip:me@example.net;sockname=inside\n"
    config = read(SOURCE + '[set.1]\nsetid = 1\nprobe = { interval = "3s" }\n', rows)
    first, second = (one.probe for one in config.set_named("1").destinations)
    assert first and second and first.interval_ms == second.interval_ms == 3_000
    assert (first.from_uri, second.from_uri) == ("sip:edge1@192.0.2.1:5060", "sip:me@example.net")


@pytest.mark.parametrize(("algorithm", "weight"), [("weight", 30), ("relative-weight", 60), ("call-id", 30)])
def test_the_weight_is_the_one_that_the_algorithm_uses(read, algorithm, weight):
    config = read(SOURCE + f'[set.1]\nsetid = 1\nalgorithm = "{algorithm}"\n', "1 192.0.2.21 0 0 weight=30;rweight=60")
    assert config.set_named("1").destinations[0].weight == weight


# ---------------------------------------------------------------- what is chosen


def chosen(config: Config, run_dir, count: int) -> list[str]:
    """Where so many calls to the first set go, one after the other."""
    cells = Cells(64)
    with Registry(run_dir) as registry:
        chooser = Chooser(compile_table(config, registry, cells, 1), cells)
        set_admin_states(cells, admin_lines(cells, registry, config), {})
        return [registry.name(chooser.choose(0, key))[1].removeprefix("1/sip:") for key in range(count)]


@pytest.fixture
def run_dir(tmp_path):
    (tmp_path / "registry").mkdir(mode=0o750)
    return tmp_path / "registry"


ROWS = "1 192.0.2.21 0 5\n1 192.0.2.22 0 9\n1 192.0.2.23 0 9\n1 192.0.2.24 4 20\n"


def test_the_highest_priority_first_and_the_list_s_order_among_equals(read, run_dir):
    """The other router takes the last of equals first."""
    config = read(SOURCE + '[set.1]\nsetid = 1\nalgorithm = 8\n', ROWS)
    assert chosen(config, run_dir, 3) == ["192.0.2.22"] * 3


def test_priorities_of_a_list_make_no_tiers(read, run_dir):
    """There they order one algorithm and exclude nobody from the others; who is disabled gets nothing."""
    assert set(chosen(read(SOURCE + ROUTE, ROWS), run_dir, 300)) == {"192.0.2.21", "192.0.2.22", "192.0.2.23"}


# ---------------------------------------------------------------- a source that is away


def test_what_was_read_last_counts_while_it_is_away(read):
    read(SOURCE + ROUTE, "1 sip:192.0.2.21\n")
    for rows in (None, "", "# nothing\n"):
        config = read(SOURCE + ROUTE, rows)
        assert ids(config) == ["1/sip:192.0.2.21"] and config.sources[0].away
        assert any("what was read last counts" in warning for warning in outlook(config).warnings)
    assert not read(SOURCE + ROUTE, "1 sip:192.0.2.22\n").sources[0].away


def test_what_cannot_be_read_and_never_was_is_an_error(read):
    with pytest.raises(ConfigError, match=r"source\[1\].path.*cannot be read"):
        read(SOURCE + ROUTE, None)


def test_who_only_looks_keeps_nothing(read, tmp_path):
    read(SOURCE + ROUTE, "1 sip:192.0.2.21\n", keep=False)
    assert not (tmp_path / "state").exists()


def test_another_file_is_another_source(read, tmp_path):
    read(SOURCE + ROUTE, "1 sip:192.0.2.21\n")
    with pytest.raises(ConfigError, match="cannot be read"):
        read(SOURCE.replace("dispatcher.list", "other.list") + ROUTE, None)


def test_a_kept_file_that_is_damaged_is_as_none(read, tmp_path):
    read(SOURCE + ROUTE, "1 sip:192.0.2.21\n")
    (kept,) = (tmp_path / "state" / "sources").iterdir()
    raw = kept.read_bytes()
    for spoilt in (b"", b"nonsense", raw[:-1], raw + b"x"):
        kept.write_bytes(spoilt)
        with pytest.raises(ConfigError, match="cannot be read"):
            read(SOURCE + ROUTE, None)
    assert ids(read(SOURCE + ROUTE, "1 sip:192.0.2.21\n")) == ["1/sip:192.0.2.21"]


def test_a_disk_that_is_full_costs_nothing_but_what_is_kept(read, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "write_kept", full)
    assert ids(read(SOURCE + ROUTE, "1 sip:192.0.2.21\n")) == ["1/sip:192.0.2.21"]


@pytest.mark.parametrize("kind", ["folder", "fifo", "large"])
def test_what_is_no_list_file(read, tmp_path, monkeypatch, kind):
    place = tmp_path / "other"
    if kind == "folder":
        place.mkdir()
    elif kind == "fifo":
        os.mkfifo(place)
    else:
        monkeypatch.setattr(columns, "MOST_BYTES", 10)
        place.write_text("1 sip:192.0.2.21\n")
    with pytest.raises(ConfigError, match=r"source\[1\].path"):
        read(SOURCE.replace("dispatcher.list", "other") + ROUTE, None)


def test_bytes_that_are_no_text(read, tmp_path):
    (tmp_path / "raw").write_bytes(b"1 sip:192.0.2.21\n1 sip:\xff\xfe\n")
    config = read(SOURCE.replace("dispatcher.list", "raw") + ROUTE, None)
    assert ids(config) == ["1/sip:192.0.2.21"] and len(config.sources[0].left_out) == 1


def test_many_sources_mixed_by_set(read, tmp_path):
    (tmp_path / "other.list").write_text("1 sip:192.0.2.31\n3 sip:192.0.2.32\n")
    other = '[[source]]\nkind = "list"\nname = "other"\npath = "other.list"\n'
    config = read(SOURCE + other + ROUTE, "1 sip:192.0.2.21\n")
    assert ids(config) == ["1/sip:192.0.2.21", "1/sip:192.0.2.31"] and ids(config, "3") == ["3/sip:192.0.2.32"]
    assert any("other.list, 2 destinations" in text for text in outlook(config).sources)
    assert [(source.name, source.row_count) for source in config.sources] == [("source-1", 1), ("other", 2)]


def test_how_many_sources_there_may_be(read):
    names = [f'{SOURCE}name = "s{number}"\n' for number in range(17)]
    assert len(read("".join(names[:16]) + ROUTE, "1 sip:192.0.2.21\n").sources) == 16
    with pytest.raises(ConfigError, match="at most 16"):
        read("".join(names) + ROUTE, "1 sip:192.0.2.21\n")
    with pytest.raises(ConfigError, match="a name of its own"):
        read(2 * names[0] + ROUTE, "1 sip:192.0.2.21\n")


def test_sources_are_read_at_the_same_time(read, monkeypatch):
    both, read_one = threading.Barrier(2), module.Spec.read

    def read_together(spec):
        both.wait(10)   # a broken barrier when nobody else reads meanwhile
        return read_one(spec)

    monkeypatch.setattr(module.Spec, "read", read_together)
    assert ids(read(SOURCE + SOURCE + ROUTE, "1 192.0.2.21\n")) == ["1/sip:192.0.2.21"]


def test_what_is_kept_counts_unread_where_it_is_not_asked_for(read, monkeypatch, tmp_path):
    read(SOURCE + ROUTE, "1 192.0.2.21\n")
    monkeypatch.setattr(module.Spec, "read", lambda spec: pytest.fail("nobody has asked for that"))
    text, file = LISTEN + SOURCE + ROUTE, str(tmp_path / "edge.toml")
    assert ids(load_text(text, file, fresh=module.none_of_them)) == ["1/sip:192.0.2.21"]


# ---------------------------------------------------------------- what a reload changes


def test_the_difference_is_by_id(read):
    before = read(SOURCE + ROUTE, "1 192.0.2.21 0 0 duid=a\n1 192.0.2.22\n1 192.0.2.23\n")
    after = read(SOURCE + ROUTE, "1 192.0.2.29 0 0 duid=a\n1 192.0.2.23\n1 192.0.2.24\n")
    diff = compare(before, after)
    assert (diff.added, diff.removed, diff.changed) == (("1/sip:192.0.2.24",), ("1/sip:192.0.2.22",), ("1/a",))
    assert diff.facts() == {"added": 1, "removed": 1, "changed": 1}
    assert compare(after, after).facts() == {"added": 0, "removed": 0, "changed": 0}


def test_of_many_the_first_are_named(read):
    nothing = read(SOURCE + ROUTE, "1 192.0.2.21\n")
    many = read(SOURCE + ROUTE, "1 192.0.2.21\n" + "".join(f"1 10.0.0.{number}\n" for number in range(101)))
    named = compare(nothing, many).named()
    assert named["added"]["count"] == 101 and len(named["added"]["ids"]) == 100
