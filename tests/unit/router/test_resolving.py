"""`fastsip resolve`: where a name leads, in the order in which a call would go (docs/names.md#fastsip-resolve)."""

import asyncio
import json

import pytest
from click.testing import CliRunner
from dns_server import DnsServer, Host

from fastsip._core.base.clock import now_ms
from fastsip._core.base.hashing import siphash
from fastsip._core.transport.names import Names
from fastsip.cli import main
from fastsip.config import load_text
from fastsip.config.secrets import purpose_key
from fastsip.router.name_file import save_answers
from fastsip.router.resolving import NotAName, known_to_router, read_uri, resolve_now
from tests.unit.config_text import SMALL

DOMAIN = "example.test"
SRV = Host(srv=[(1, 70, 5070, "a.test"), (1, 30, 5071, "b.test"), (2, 1, 5072, "a.test")], ttl=90)
CALLS = [f"{number}@alice" for number in range(40)]


def config_of(place, more=""):
    (place / "run").mkdir(exist_ok=True)
    (place / "state").mkdir(exist_ok=True)
    (place / "words").write_text("a secret of sixteen or more")
    (place / "words").chmod(0o600)
    router = f'[router]\nrun_dir = "{place}/run"\nstate_dir = "{place}/state"\nsecret = "file:{place}/words"\n'
    return router + SMALL + more


@pytest.mark.parametrize(
    "text, key, port",
    [
        ("sip:Example.test.", "n:sip:example.test", 0),
        ("example.test", "n:sip:example.test", 0),
        ("sip:alice@example.test;lr", "n:sip:example.test", 0),
        ("sip:example.test;transport=UDP", "s:udp:example.test", 0),
        ("sip:example.test:5070;transport=udp", "a:example.test", 5070),
    ],
)
def test_what_a_uri_leaves_open(text, key, port):
    wanted = read_uri(text)
    assert (wanted.key, wanted.port) == (key, port)


@pytest.mark.parametrize("text", ["sips:example.test", "sip:192.0.2.1", "sip:[2001:db8::1]", "sip:example.test:0", "",
                                  "sip:example.test:65536", "sip:example.test;transport=tcp", "sip:a b"])  # fmt: skip
def test_what_is_no_name_to_ask_for(text):
    with pytest.raises(NotAName):
        read_uri(text)


async def test_targets_in_the_order_of_a_call(tmp_path, monkeypatch):
    """As the kernels choose with the keys of this configuration."""
    config = load_text(config_of(tmp_path), "test.toml", make_secret=False)
    async with DnsServer() as dns:
        monkeypatch.setenv("FASTSIP_NAMESERVERS", dns.text)
        dns.zone[f"_sip._udp.{DOMAIN}"] = SRV
        dns.zone["a.test"], dns.zone["b.test"] = Host(a=["192.0.2.1"]), Host(a=["192.0.2.2"])
        wanted = read_uri(f"sip:{DOMAIN}")
        firsts = set()
        for call_id in CALLS:
            found = await resolve_now(config, wanted, call_id)
            assert (found.by, found.counts_s, found.cut, found.why) == ("DNS", 60, False, "")
            assert [one.order for one in found.places] == [1, 2, 3] and [one.tier for one in found.places] == [1, 1, 2]
            assert {one.port: round(one.share, 2) for one in found.places} == {5070: 0.7, 5071: 0.3, 5072: 1.0}
            names = Names()
            names.put(wanted.key, [("192.0.2.1", 5070, 0, 70), ("192.0.2.2", 5071, 0, 30)], 1, 0)
            choice = siphash(purpose_key(config.router.secret_keys[0], "branch"), call_id.encode())
            assert names.find(wanted.key, 0, choice)[0] == (found.places[0].host, found.places[0].port)
            firsts.add(found.places[0].port)
        assert firsts == {5070, 5071}


async def test_names_of_the_configuration_come_first_and_in_their_order(tmp_path):
    config = load_text(config_of(tmp_path, '[names]\n"example.test" = ["10.0.0.8:5080", "10.0.0.7"]\n'), "test.toml",
                       make_secret=False)  # fmt: skip
    for uri, ports in ((f"sip:{DOMAIN}", [5080, 5060]), (f"sip:{DOMAIN}:5099", [5099, 5099])):
        found = await resolve_now(config, read_uri(uri), "x@alice")
        assert found.by == "[names]" and [(one.host, one.port) for one in found.places] == [
            ("10.0.0.8", ports[0]), ("10.0.0.7", ports[1])]


def test_what_the_router_knows(tmp_path):
    config = load_text(config_of(tmp_path), "test.toml", make_secret=False)
    wanted = read_uri(f"sip:{DOMAIN}")
    assert known_to_router(config, wanted, "x@alice") is None
    names = Names()
    names.put(wanted.key, [("192.0.2.9", 5070, 0, 7)], 60_000, now_ms())
    save_answers(names, config.router.run_dir)
    known = known_to_router(config, wanted, "x@alice")
    assert (known.places[0].host, known.places[0].port) == ("192.0.2.9", 5070) and 0 < known.counts_s <= 60
    assert known_to_router(config, read_uri("sip:other.test"), "x@alice") is None


async def test_the_command(tmp_path, monkeypatch):
    path = tmp_path / "c.toml"
    path.write_text(config_of(tmp_path))

    def invoke(*words):
        return CliRunner().invoke(main, ("resolve", *words, "--config", str(path)))

    async with DnsServer() as dns:
        monkeypatch.setenv("FASTSIP_NAMESERVERS", dns.text)
        dns.zone[DOMAIN] = Host(a=["192.0.2.1"])
        done = await asyncio.to_thread(invoke, f"sip:{DOMAIN}")
        assert done.exit_code == 0, done.output
        assert done.stdout.splitlines() == [
            f"n:sip:{DOMAIN} by DNS for 60 s", "    ADDRESS         TIER  SHARE", "1.  192.0.2.1:5060     1  100.0 %"]
        told = json.loads((await asyncio.to_thread(invoke, f"sip:{DOMAIN}", "--json")).stdout)
        assert told["router"] is None and told["resolved"]["places"][0]["host"] == "192.0.2.1"
        done = await asyncio.to_thread(invoke, "sip:none.test")
        assert done.exit_code == 1 and "none.test: there is no such name" in done.stderr
        (tmp_path / "run" / "names").write_text("{")
        done = await asyncio.to_thread(invoke, f"sip:{DOMAIN}")
        assert done.exit_code == 0 and "what the router knows cannot be read" in done.stderr
        assert (await asyncio.to_thread(invoke, "sips:example.test")).exit_code == 2
