"""Names to ids: stable, never given twice, over restarts, damage and rivals."""

import multiprocessing
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastsip.dispatcher.registry import FAR_OFF, FILE_NAME, KINDS, Registry, parse_record, write_record


def test_ids_count_from_one_and_stay(tmp_path):
    with Registry(tmp_path) as registry:
        assert [registry.id("set", name) for name in ("media", "gateways", "media")] == [1, 2, 1]
        assert registry.id("tag", "media") == 3
        assert registry.find("set", "gateways") == 2
        assert registry.find("set", "nobody") is None
        assert registry.name(3) == ("tag", "media")
        assert registry.name(99) is None
        assert len(registry) == 3
    with Registry(tmp_path) as registry:
        assert registry.id("set", "gateways") == 2
        assert registry.id("set", "new") == 4


@given(st.lists(st.tuples(st.sampled_from(KINDS), st.text(max_size=20)), max_size=30))
def test_any_name_survives_a_restart(tmp_path_factory, names):
    directory = tmp_path_factory.mktemp("run")
    with Registry(directory) as registry:
        given_ids = {name: registry.id(*name) for name in names}
    assert sorted(given_ids.values()) == list(range(1, len(given_ids) + 1))
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
def test_damaged_tail_is_cut_and_its_id_not_given_again(tmp_path, cut, caplog):
    with Registry(tmp_path) as registry:
        registry.id("set", "one")
        registry.id("set", "two-with-a-long-name")
    path = tmp_path / FILE_NAME
    path.write_bytes(path.read_bytes()[:-cut])
    with Registry(tmp_path) as registry:
        assert "1 damaged record" in caplog.text
        assert registry.id("set", "one") == 1
        assert registry.find("set", "two-with-a-long-name") is None
        assert registry.id("set", "three") == 3
    with Registry(tmp_path) as registry:
        assert registry.id("set", "three") == 3


def test_damage_in_the_middle_loses_one_name_only(tmp_path, caplog):
    with Registry(tmp_path) as registry:
        for name in ("one", "two", "three"):
            registry.id("set", name)
    path = tmp_path / FILE_NAME
    path.write_bytes(path.read_bytes().replace(b'"two"', b'"tw0"'))
    with Registry(tmp_path) as registry:
        assert "left out" in caplog.text
        assert (registry.id("set", "one"), registry.id("set", "three")) == (1, 3)
        assert registry.id("set", "two") == 4


@pytest.mark.parametrize("length", range(1, 19))
def test_cut_short_while_made_counts_as_empty(tmp_path, length):
    path = tmp_path / FILE_NAME
    path.write_bytes(b"fastsip registry 1\n"[:length])
    with Registry(tmp_path) as registry:
        assert registry.id("set", "one") == 1
    assert path.read_bytes().startswith(b"fastsip registry 1\n")


@pytest.mark.parametrize("text, complaint", [
    (b"fastsip registry 2\n", "layout 2"), (b"fastsip registry 10\n", "layout 10"),
    (b"\x7fELF and more", "not a registry"),
])
def test_what_cannot_be_read_is_kept_aside(tmp_path, caplog, text, complaint):
    path = tmp_path / FILE_NAME
    path.write_bytes(text)
    with Registry(tmp_path) as registry:
        assert registry.id("set", "one") == 1
    (aside,) = tmp_path.glob(f"{FILE_NAME}.damaged-*")
    assert aside.read_bytes() == text
    assert complaint in caplog.text and str(aside) in caplog.text


DAMAGES = {
    "gone": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b""),
    "another's": lambda path: path.write_bytes(b"\x7fELF"),
    "its tail": lambda path: path.write_bytes(path.read_bytes()[:-10]),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_ids_that_calls_may_name_are_not_given_again(tmp_path, damage):
    """There is a store, and nobody knows any more what its ids stand for."""
    with Registry(tmp_path) as registry:
        registry.id("destination", "one")
        (tmp_path / "transactions").mkdir()
        registry.id("destination", "two")
    DAMAGES[damage](tmp_path / FILE_NAME)
    with Registry(tmp_path) as registry:
        number = registry.id("destination", "other")
        assert number > FAR_OFF
    with Registry(tmp_path) as registry:
        assert registry.find("destination", "other") == number
        assert registry.id("destination", "next") == number + 1


def test_two_that_begin_far_off_agree(tmp_path):
    (tmp_path / "transactions").mkdir()
    with Registry(tmp_path) as old, Registry(tmp_path) as spare:
        a, b = spare.id("set", "a"), old.id("set", "b")
        assert a != b and min(a, b) > FAR_OFF
        assert (old.id("set", "a"), spare.id("set", "b")) == (a, b)


def test_closed(tmp_path):
    registry = Registry(tmp_path)
    registry.close()
    registry.close()
    with pytest.raises(ValueError, match="closed"):
        registry.id("set", "one")


def test_two_openings_agree(tmp_path):
    """A spare router compiles while the old one runs: neither gives an id of the other's."""
    with Registry(tmp_path) as old, Registry(tmp_path) as spare:
        assert [old.id("set", "a"), spare.id("set", "b"), old.id("set", "c")] == [1, 2, 3]
        assert (spare.id("set", "a"), old.id("set", "b"), spare.id("set", "c")) == (1, 2, 3)


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
        assert sorted(registry.id("destination", name) for name in names) == list(range(1, 201))


def test_killed_without_close_keeps_what_was_given(tmp_path):
    script = (
        "import os, sys; from fastsip.dispatcher.registry import Registry\n"
        "Registry(sys.argv[1]).id('set', 'one'); os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], timeout=60)
    assert done.returncode == -9
    with Registry(tmp_path) as registry:
        assert registry.find("set", "one") == 1
