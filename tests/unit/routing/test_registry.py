"""Names to ids: stable, never given twice, over restarts, damage and rivals."""

import multiprocessing
import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastsip.base.run_dir import REGISTRY
from fastsip.routing import registry as module
from fastsip.routing.registry import KINDS, LAST_ID, Registry, RegistryError, parse_record, write_record


def test_ids_stay(tmp_path):
    with Registry(tmp_path) as registry:
        media, gateways, again = (registry.id("set", name) for name in ("media", "gateways", "media"))
        tag = registry.id("tag", "media")
        assert again == media and len({media, gateways, tag}) == 3
        assert registry.find("set", "gateways") == gateways
        assert registry.find("set", "nobody") is None
        assert registry.name(tag) == ("tag", "media")
        assert registry.name(99) is None
        assert len(registry) == 3
    with Registry(tmp_path) as registry:
        assert registry.id("set", "gateways") == gateways


@given(st.lists(st.tuples(st.sampled_from(KINDS), st.text(max_size=20)), max_size=30))
def test_any_name_survives_a_restart(tmp_path_factory, names):
    directory = tmp_path_factory.mktemp("run")
    with Registry(directory) as registry:
        given_ids = {name: registry.id(*name) for name in names}
    assert len(set(given_ids.values())) == len(given_ids) and all(1 <= one <= LAST_ID for one in given_ids.values())
    with Registry(directory) as registry:
        assert {name: registry.id(*name) for name in names} == given_ids


@given(st.integers(1, 2**32 - 1), st.sampled_from(KINDS), st.text())
def test_record_round_trip(number, kind, name):
    record = write_record(number, kind, name)
    assert parse_record(record) == (number, kind, name)
    assert parse_record(record[:-1]) is None
    assert parse_record(record.replace(b" ", b"  ", 1)) is None


def test_unknown_kind(tmp_path):
    with Registry(tmp_path) as registry, pytest.raises(ValueError, match="kind is one of"):
        registry.id("colour", "red")


@pytest.mark.parametrize("cut", range(1, 30))
def test_damaged_tail_is_cut(tmp_path, cut, caplog):
    with Registry(tmp_path) as registry:
        one, two = registry.id("set", "one"), registry.id("set", "two-with-a-long-name")
    path = tmp_path / REGISTRY
    path.write_bytes(path.read_bytes()[:-cut])
    with Registry(tmp_path) as registry:
        assert "1 damaged record" in caplog.text
        assert registry.id("set", "one") == one
        assert registry.find("set", "two-with-a-long-name") is None
        three = registry.id("set", "three")
    with Registry(tmp_path) as registry:
        assert (registry.id("set", "three"), registry.id("set", "two-with-a-long-name")) == (three, two)


def test_damage_in_the_middle_loses_one_name_only(tmp_path, caplog):
    with Registry(tmp_path) as registry:
        before = [registry.id("set", name) for name in ("one", "two", "three")]
    path = tmp_path / REGISTRY
    path.write_bytes(path.read_bytes().replace(b'"two"', b'"tw0"'))
    with Registry(tmp_path) as registry:
        assert "left out" in caplog.text
        assert registry.find("set", "two") is None
        assert [registry.id("set", name) for name in ("one", "two", "three")] == before


@pytest.mark.parametrize("length", range(1, 19))
def test_cut_short_while_made_counts_as_empty(tmp_path, length):
    path = tmp_path / REGISTRY
    path.write_bytes(b"fastsip registry 1\n"[:length])
    with Registry(tmp_path) as registry:
        assert registry.find("set", "one") is None and registry.id("set", "one")
    assert path.read_bytes().startswith(b"fastsip registry 1\n")


@pytest.mark.parametrize("text, complaint", [
    (b"fastsip registry 2\n", "layout 2"), (b"fastsip registry 10\n", "layout 10"),
    (b"\x7fELF and more", "not a registry"),
])
def test_what_cannot_be_read_is_kept_aside(tmp_path, caplog, text, complaint):
    path = tmp_path / REGISTRY
    path.write_bytes(text)
    with Registry(tmp_path) as registry:
        assert registry.id("set", "one")
    (aside,) = tmp_path.glob(f"{REGISTRY}.damaged-*")
    assert aside.read_bytes() == text
    assert complaint in caplog.text and str(aside) in caplog.text


DAMAGES = {
    "gone": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b""),
    "another's": lambda path: path.write_bytes(b"\x7fELF"),
    "its tail": lambda path: path.write_bytes(path.read_bytes()[:-10]),
    "half of it": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_names_find_their_ids_again(tmp_path, damage):
    """Calls in the store go on by them, whatever becomes of the file and whoever comes first then."""
    names = [f"ms{number}" for number in range(20)]
    with Registry(tmp_path) as registry:
        before = {name: registry.id("destination", name) for name in names}
    DAMAGES[damage](tmp_path / REGISTRY)
    with Registry(tmp_path) as registry:
        registry.id("destination", "another")
        assert {name: registry.id("destination", name) for name in reversed(names)} == before


def test_names_that_want_one_id(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "wanted_id", lambda kind, name: LAST_ID - 1)
    with Registry(tmp_path) as registry:
        assert [registry.id("set", name) for name in "abc"] == [LAST_ID - 1, LAST_ID, 1]
    with Registry(tmp_path) as registry:
        assert [registry.id("set", name) for name in "cdba"] == [1, 2, LAST_ID, LAST_ID - 1]


def test_many_names_are_written_at_once(tmp_path, monkeypatch):
    names = [("set", str(number)) for number in range(1000)]
    written = []
    monkeypatch.setattr(module.os, "write", lambda fd, raw, write=os.write: written.append(raw) or write(fd, raw))
    with Registry(tmp_path) as registry:
        first = registry.id("set", "5")
        registry.learn([*names, *names])
        registry.learn(names)
        ids = {name: registry.id(*name) for name in names}
        assert len(written) == 3 and ids["set", "5"] == first  # the head, one, and all the rest
    with Registry(tmp_path) as registry:
        assert {name: registry.id(*name) for name in names} == ids


def test_many_names_that_want_one_id_get_one_each(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "wanted_id", lambda kind, name: 7)
    with Registry(tmp_path) as registry:
        registry.learn([("set", name) for name in "abc"])
        assert [registry.id("set", name) for name in "abc"] == [7, 8, 9]


def test_all_of_many_names_or_none(tmp_path, monkeypatch):
    """The disk is full in the middle of them."""
    with Registry(tmp_path) as registry:
        registry.id("set", "old")
        whole = registry.path.read_bytes()
        with monkeypatch.context() as patch:
            patch.setattr(module.os, "write", lambda fd, raw, write=os.write: write(fd, raw[:60]))
            with pytest.raises(RegistryError, match="no room"):
                registry.learn([("set", name) for name in "abc"])
        assert registry.path.read_bytes() == whole and len(registry) == 1
        registry.learn([("set", name) for name in "abc"])
        assert len(registry) == 4


def test_closed(tmp_path):
    registry = Registry(tmp_path)
    registry.close()
    registry.close()
    with pytest.raises(ValueError, match="closed"):
        registry.id("set", "one")


def test_two_openings_agree(tmp_path):
    """A spare router compiles while the old one runs: neither gives an id of the other's."""
    with Registry(tmp_path) as old, Registry(tmp_path) as spare:
        a, b, c = old.id("set", "a"), spare.id("set", "b"), old.id("set", "c")
        assert len({a, b, c}) == 3
        assert (spare.id("set", "a"), old.id("set", "b"), spare.id("set", "c")) == (a, b, c)


def test_two_openings_agree_about_names_that_want_one_id(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "wanted_id", lambda kind, name: 7)
    with Registry(tmp_path) as old, Registry(tmp_path) as spare:
        assert [old.id("set", "a"), spare.id("set", "b"), old.id("set", "c")] == [7, 8, 9]
        assert (spare.id("set", "a"), old.id("set", "b"), spare.id("set", "c")) == (7, 8, 9)


def _name_many(directory, names):
    with Registry(directory) as registry:
        for name in names:
            registry.id("destination", name)


def test_rival_processes_give_each_name_one_id(tmp_path):
    names = [f"ms{number}" for number in range(200)]
    context = multiprocessing.get_context("spawn")
    rivals = [context.Process(target=_name_many, args=(tmp_path, order)) for order in (names, names[::-1])]
    for rival in rivals:
        rival.start()
    for rival in rivals:
        rival.join(60)
        assert rival.exitcode == 0
    with Registry(tmp_path) as registry:
        assert len(registry) == len({registry.id("destination", name) for name in names}) == 200


def test_killed_without_close_keeps_what_was_given(tmp_path):
    script = (
        "import os, sys; from fastsip.routing.registry import Registry\n"
        "Registry(sys.argv[1]).id('set', 'one'); os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], timeout=60)
    assert done.returncode == -9
    with Registry(tmp_path) as registry:
        assert registry.find("set", "one")
