"""[hep]: where copies of messages go, and what is said when that cannot be."""

import pytest

from fastsip.config import ConfigError, Hep, load_text
from tests.unit.config_text import SMALL

COLLECTOR = 'collector = "udp:192.0.2.9:9060"\n'


def read(place, keys: str):
    return load_text(f'{SMALL}[router]\nname = "edge1"\n[hep]\n{keys}\n', str(place / "c.toml"), make_secret=False).hep


def problem(place, keys: str) -> str:
    with pytest.raises(ConfigError) as caught:
        read(place, keys)
    (found,) = caught.value.problems
    return str(found)


def test_without_it_nothing_is_sent(tmp_path):
    assert load_text(SMALL, str(tmp_path / "c.toml"), make_secret=False).hep is None


def test_what_is_not_said_has_a_value(tmp_path):
    assert read(tmp_path, COLLECTOR) == Hep(
        collector="udp:192.0.2.9:9060", host="192.0.2.9", port=9060, sample=1.0, node="edge1", agent=0, key="")


@pytest.mark.parametrize(("collector", "host", "port"), [
    ("udp:[2001:db8::9]:1", "2001:db8::9", 1), ("udp:Collector.Example.NET.:65535", "collector.example.net", 65535),
    ("udp:homer:9060", "homer", 9060),
])  # fmt: skip
def test_where_the_collector_is(tmp_path, collector, host, port):
    found = read(tmp_path, f'collector = "{collector}"')
    assert (found.collector, found.host, found.port) == (collector, host, port)


@pytest.mark.parametrize("collector", [
    '"192.0.2.9:9060"', '"tcp:192.0.2.9:9060"', '"udp:192.0.2.9"', '"udp:[::1]"', '"udp:2001:db8::9:9060"',
    '"udp::9060"', '"udp:192.0.2.9:0"', '"udp:192.0.2.9:65536"', '"udp:a b:9060"', '"udp:0.0.0.0:9060"',
    '"udp:224.0.0.1:9060"', "9060",
])  # fmt: skip
def test_where_no_collector_can_be(tmp_path, collector):
    assert "hep.collector" in problem(tmp_path, f"collector = {collector}")


@pytest.mark.parametrize(("listener", "collector"), [
    ("udp:192.0.2.1:5060", "udp:192.0.2.1:5060"), ("udp:[2001:db8::1]:5062", "udp:[2001:DB8:0::1]:5062"),
])  # fmt: skip
def test_a_listener_is_no_collector(tmp_path, listener, collector):
    """It would get copies of copies."""
    text = f'[[listen]]\nuri = "{listener}"\n[set.s]\ndestinations = ["sip:b.test"]\n[hep]\ncollector = "%s"\n'
    with pytest.raises(ConfigError) as caught:
        load_text(text % collector, str(tmp_path / "c.toml"), make_secret=False)
    (found,) = caught.value.problems
    assert found.key == "hep.collector" and "listener" in found.allowed
    another = collector.rpartition(":")[0] + ":9060"
    assert load_text(text % another, str(tmp_path / "c.toml"), make_secret=False).hep.port == 9060


def test_a_collector_is_needed(tmp_path):
    assert "`collector` is missing" in problem(tmp_path, "sample = 0.5")


@pytest.mark.parametrize(("keys", "words"), [
    ("sample = 1.1", "hep.sample"), ("sample = -0.1", "hep.sample"), ("sample = true", "hep.sample"),
    ('sample = "all"', "hep.sample"), ("agent = -1", "hep.agent"), ("agent = 4294967296", "hep.agent"),
    ('node = ""', "hep.node"), (f'node = "{"n" * 256}"', "hep.node"), ('key = "open sesame"', "hep.key"),
    ('key = "file:gone"', "gone cannot be read"), ('key = "env:GONE_AWAY"', "GONE_AWAY"),
    ('key = "file:long"', "hep.key"),
    ('key = "file:empty"', "hep.key"), ('key = "file:lines"', "hep.key"), ("retry = 3", "hep.retry"),
])  # fmt: skip
def test_what_cannot_be_said(tmp_path, keys, words):
    for name, text in {"long": "k" * 256, "empty": "\n", "lines": "one\ntwo\n"}.items():
        (tmp_path / name).write_text(text)
    assert words in problem(tmp_path, COLLECTOR + keys)


def test_bounds_may_be_reached_and_the_key_is_not_shown(tmp_path, monkeypatch):
    (tmp_path / "key").write_text("k" * 255 + "\n")
    monkeypatch.setenv("HEP_KEY", "s3cret")
    assert read(tmp_path, COLLECTOR + 'key = "file:key"').key == "k" * 255
    found = read(tmp_path, COLLECTOR + f'key = "env:HEP_KEY"\nsample = 0\nagent = 4294967295\nnode = "{"n" * 255}"')
    assert (found.key, found.sample, found.agent, len(found.node)) == ("s3cret", 0.0, 4294967295, 255)
    assert "s3cret" not in repr(found)
