"""What DNS said outlives a router: run_dir/names."""

import json

import pytest

from fastsip._core.transport.names import Names
from fastsip.base.run_dir import NAMES
from fastsip.router import name_file
from fastsip.router.name_file import Held, recall_answers, save_answers

NOW_MS = 5_000_000
HOST, OTHER = "a.example.net", "b.example.net"
ONE, SIX = ("192.0.2.1", 0), ("2001:db8::1", 5080)
MOST_NAMES = 4096


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    monkeypatch.setattr(name_file, "now_ms", lambda: NOW_MS)


def saved(place, *answers) -> Names:
    """(name, addresses, ttl_ms) as a router learned and saved them."""
    names = Names()
    for name, addresses, ttl_ms in answers:
        names.put(name, addresses, ttl_ms, NOW_MS)
    save_answers(names, place)
    return names


def recalled(place) -> Names:
    names = Names()
    recall_answers(names, place)
    return names


def test_answers_with_their_ports_and_what_is_left_of_their_time(tmp_path, monkeypatch):
    saved(tmp_path, (HOST, [ONE, SIX], 60_000), (OTHER, [SIX], 1_000))
    monkeypatch.setattr(name_file, "now_ms", lambda: NOW_MS + 2_000)
    names = recalled(tmp_path)
    assert names.known(HOST) == ("known", [ONE, SIX], NOW_MS + 60_000)
    assert names.find(HOST, NOW_MS + 2_000, families=(4,)) == (ONE, False)
    assert names.find(OTHER, NOW_MS + 2_000) == (SIX, True)  # used, and asked for again


def test_tiers_and_weights_of_each_key(tmp_path):
    targets = [("192.0.2.1", 5070, 0, 45_864), ("192.0.2.2", 5080, 0, 19_656), ("2001:db8::1", 5060, 1, 65_520)]
    names = Names()
    names.put(f"n:sip:{HOST}", targets, 60_000, NOW_MS, cut=True)
    names.put(f"a:{HOST}", [ONE], 60_000, NOW_MS)
    save_answers(names, tmp_path)
    assert recalled(tmp_path).learned() == names.learned()


def test_a_file_of_a_release_that_knew_addresses_alone(tmp_path):
    """Shape 1: they are the addresses of hosts; what is asked of a domain is asked."""
    content = {"boot_id": name_file.boot_id().decode(), "answers": [[HOST, [ONE, SIX], NOW_MS + 9]],
               "held": [["AAAA", 7, NOW_MS + 1, "QUNL"]]}
    (tmp_path / NAMES).write_text(json.dumps(content))
    names = Names()
    assert recall_answers(names, tmp_path) == [Held(b"\0\0\0", 7, NOW_MS + 1, b"ACK")]
    assert names.known(f"a:{HOST}") == ("known", [ONE, SIX], NOW_MS + 9)
    assert names.find(f"n:sip:{HOST}", NOW_MS) == ("unresolved", False)


BY_TCP = [f"n:sip:{HOST}", [["192.0.2.1", 1, "tcp", 0, 1]], 1, False]


@pytest.mark.parametrize("change", [{"shape": 3}, {"answers": [BY_TCP]}])
def test_a_file_of_a_later_release_is_put_aside(tmp_path, caplog, change):
    saved(tmp_path, (f"n:sip:{HOST}", [ONE], 1_000))
    place = tmp_path / NAMES
    place.write_text(json.dumps({**json.loads(place.read_bytes()), **change}))
    assert len(recalled(tmp_path)) == 0
    assert f"{place} could not be read" in caplog.text and len(list(tmp_path.glob("names.damaged-*"))) == 1


def test_what_does_not_exist_and_what_the_configuration_says_is_not_saved(tmp_path):
    names = Names()
    names.set_static({HOST: [ONE], "*": [ONE]})
    save_answers(names, tmp_path)
    assert len(recalled(tmp_path)) == 0
    names.set_static({})
    names.deny(OTHER, 1_000, NOW_MS)
    save_answers(names, tmp_path)
    assert len(recalled(tmp_path)) == 0


def test_the_configuration_is_right(tmp_path):
    saved(tmp_path, (HOST, [SIX], 1_000))
    names = Names()
    names.set_static({HOST: [ONE]})
    assert recall_answers(names, tmp_path) == []
    assert names.known(HOST)[:2] == ("static", [ONE])


def test_nothing_was_saved(tmp_path):
    assert len(recalled(tmp_path)) == 0


def test_answers_of_another_boot_are_not_read(tmp_path, monkeypatch):
    saved(tmp_path, (HOST, [ONE], 1_000))
    monkeypatch.setattr(name_file, "boot_id", lambda: b"another")
    assert len(recalled(tmp_path)) == 0


@pytest.mark.parametrize("late, left", [(0, 1), (1, 0)])
def test_what_was_held_is_of_use_until_its_time_is_over(tmp_path, monkeypatch, late, left):
    one = Held(bytes(range(24)), 2**32 - 1, NOW_MS + 2_000, b"ACK \xff\r\n")
    save_answers(Names(), tmp_path, [one])
    monkeypatch.setattr(name_file, "now_ms", lambda: NOW_MS + 1_999 + late)
    assert recall_answers(Names(), tmp_path) == [one] * left
    save_answers(Names(), tmp_path)
    assert recall_answers(Names(), tmp_path) == []


def damaged(content: bytes) -> list[bytes]:
    """The file cut short, and each kind of value that is none."""
    whole = json.loads(content)
    good, key = ["192.0.2.1", 0, "udp", 0, 1], f"a:{HOST}"
    wrong = [("a:" + "x" * 254, [good], 1, False), (key, [["nowhere", 0, "udp", 0, 1]], 1, False), (key, [], 1, False),
             (key, [["192.0.2.1", 65_536, "udp", 0, 1]], 1, False), (key, [["192.0.2.1", 0, "udp", 0, 0]], 1, False),
             (key, [good] * 33, 1, False), (key, [good], "soon", False), (key, [good], 1), (key, [ONE], 1, False)]
    return [content[:-1], b"", b"[]", b"\xff", *(json.dumps({**whole, "answers": [one]}).encode() for one in wrong)]


def test_a_file_that_cannot_be_read_stops_nobody(tmp_path, caplog):
    saved(tmp_path, (HOST, [ONE], 1_000))
    place = tmp_path / NAMES
    for content in damaged(place.read_bytes()):
        caplog.clear()
        place.write_bytes(content)
        assert len(recalled(tmp_path)) == 0
        assert f"{place} could not be read" in caplog.text
        caplog.clear()
        assert len(recalled(tmp_path)) == 0
        assert caplog.text == "", "said once"
    assert len(list(tmp_path.glob("names.damaged-*"))) == len(damaged(content))


def test_a_damaged_file_that_cannot_be_put_aside_stops_nobody(tmp_path, caplog, monkeypatch):
    def refuse(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(name_file, "keep_aside", refuse)
    (tmp_path / NAMES).write_bytes(b"")
    assert len(recalled(tmp_path)) == 0
    assert "DNS is asked again" in caplog.text


def test_a_full_table(tmp_path):
    saved(tmp_path, *((f"n{number}.example.net", [ONE], 1_000) for number in range(MOST_NAMES)))
    assert len(recalled(tmp_path)) == MOST_NAMES
