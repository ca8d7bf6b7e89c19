"""Where the collector is: names that answer, fall silent and move, ways that are not there, reloads in the middle."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest

from fastsip.resolve.asking import Records
from fastsip.router import collector
from fastsip.router.collector import Collector
from tests.unit.config_text import SMALL, read

LIMIT_S = 20.0
NAME = "homer.test"


class Views:
    """Notes where it is sent; `no_way`: addresses that no way leads to."""

    def __init__(self):
        self.sent, self.no_way = [], set()

    def send_to(self, hep, host=""):
        if host in self.no_way:
            raise OSError(101, "Network is unreachable")
        self.sent.append((hep and hep.port, host))
        self.hep = hep


class Servers:
    """What DNS says: name -> addresses, or a text of why there is none."""

    def __init__(self):
        self.zone, self.asked = {}, 0

    async def ask(self, name, kind):
        self.asked += kind == "A"
        said = self.zone.get(name, "timeout")
        if isinstance(said, str):
            return Records(why=said)
        return Records([one for one in said if (":" in one) == (kind == "AAAA")], 1)

    async def close(self):
        pass


def config(host: str = NAME, port: int = 9060, more: str = ""):
    return read(f'{SMALL}[hep]\ncollector = "udp:{host}:{port}"\n{more}')


@pytest.fixture
def views():
    return Views()


@pytest.fixture
def one(views, monkeypatch):
    monkeypatch.setattr(collector, "TTL_MIN_S", 0.01)
    monkeypatch.setattr(collector, "AGAIN_S", 0.01)
    with ThreadPoolExecutor(1) as pool:
        made = Collector(views, pool)
        made.servers = Servers()
        yield made


def ways(views) -> list:
    """Where it was sent, without those times that it was sent to nobody."""
    return [one for one in views.sent if one != (None, "")]


async def until(found) -> None:
    async with asyncio.timeout(LIMIT_S):
        while not found():
            await asyncio.sleep(0.01)


async def asked_again(one) -> None:
    """Twice, so that the first answer from now on was taken."""
    before = one.servers.asked
    await until(lambda: one.servers.asked >= before + 2)


async def test_an_address_is_where_it_says_and_the_same_configuration_changes_nothing(one, views):
    for _ in range(3):
        one.follow(config("192.0.2.9"))
        await until(lambda: views.sent == [(9060, "192.0.2.9")] and one.is_sure)
    one.follow(config("192.0.2.9", 9061))
    await until(lambda: views.sent[1:] == [(9061, "192.0.2.9")] and one.is_sure)
    one.follow(read(SMALL))
    await until(lambda: views.sent[2:] == [(None, "")])
    await one.close()
    assert one.servers.asked == 0


async def test_a_name_is_asked_again_and_its_last_address_goes_on_while_nobody_answers(one, views):
    one.follow(config())
    await asked_again(one)
    assert views.sent == []
    one.servers.zone[NAME] = ["192.0.2.9", "192.0.2.8"]
    await until(lambda: views.sent == [(9060, "192.0.2.8")])
    one.servers.zone[NAME] = ["192.0.2.8", "192.0.2.1"]     # the one in use stays while it is there
    await asked_again(one)
    one.servers.zone[NAME] = "nobody answers"
    await asked_again(one)
    assert views.sent == [(9060, "192.0.2.8")]
    one.servers.zone[NAME] = ["192.0.2.1"]
    await until(lambda: views.sent[1:] == [(9060, "192.0.2.1")])
    await one.close()


@pytest.mark.parametrize("host", [NAME, "192.0.2.1"])
async def test_to_another_collector_nothing_goes_until_there_is_a_way(one, views, host):
    """A name that nobody answers for, an address that no way leads to: the one before gets nothing more."""
    one.follow(config("192.0.2.9"))
    await until(lambda: views.sent == [(9060, "192.0.2.9")] and one.is_sure)
    views.no_way = {"192.0.2.1"}
    one.follow(config(host))
    await until(lambda: views.sent[1:] == [(None, "")])
    views.no_way, one.servers.zone[NAME] = set(), ["192.0.2.1"]
    await until(lambda: views.sent[2:] == [(9060, "192.0.2.1")])
    await one.close()


@pytest.mark.parametrize(("port", "more"), [
    (9061, ""), (9060, "sample = 0.5"), (9060, 'node = "other"'), (9060, "agent = 9"), (9060, 'key = "env:HEP_KEY"'),
])  # fmt: skip
async def test_to_the_same_host_it_goes_on_as_the_last_reload_says_though_nobody_answers(
        one, views, monkeypatch, port, more):
    monkeypatch.setenv("HEP_KEY", "s3cret")
    one.servers.zone[NAME] = ["192.0.2.9"]
    one.follow(config())
    await until(lambda: views.sent == [(9060, "192.0.2.9")] and one.is_sure)
    one.servers.zone[NAME] = "nobody answers"
    wanted = config(port=port, more=more)
    one.follow(wanted)
    await until(lambda: views.sent[1:] == [(port, "192.0.2.9")] and views.hep == wanted.hep)
    await asked_again(one)
    assert len(views.sent) == 2
    await one.close()


async def test_to_the_same_host_nothing_goes_when_the_last_reload_leaves_no_way_there(one, views):
    one.servers.zone[NAME] = ["192.0.2.9"]
    one.follow(config())
    await until(lambda: views.sent == [(9060, "192.0.2.9")] and one.is_sure)
    views.no_way = {"192.0.2.9"}
    one.follow(config(port=9061))
    await until(lambda: views.sent[1:2] == [(None, "")])
    await one.close()
    assert ways(views) == [(9060, "192.0.2.9")]


async def test_when_all_that_a_name_says_now_is_out_of_reach_nothing_goes_to_where_it_was(one, views):
    one.servers.zone[NAME] = ["192.0.2.9"]
    one.follow(config())
    await until(lambda: views.sent == [(9060, "192.0.2.9")] and one.is_sure)
    views.no_way, one.servers.zone[NAME] = {"192.0.2.1"}, ["192.0.2.1"]
    await until(lambda: views.sent[1:2] == [(None, "")])
    await one.close()


async def test_a_sample_of_nothing_needs_no_address_and_sends_nothing(one, views):
    one.servers.zone[NAME] = ["192.0.2.9"]
    one.follow(config())
    await until(lambda: views.sent == [(9060, "192.0.2.9")] and one.is_sure)
    one.servers.zone[NAME] = "nobody answers"
    one.follow(config(more="sample = 0"))
    await until(lambda: views.sent[1:] == [(None, "")] and one.keeping.done())
    await one.close()


async def test_a_name_that_leads_to_a_listener_is_no_collector_and_the_log_says_so(one, views, caplog):
    """Whatever a listener gets is copied."""
    config_here = config(port=5060)
    here = config_here.listeners[0]
    assert here.port == 5060
    one.servers.zone[NAME] = [here.host]
    with caplog.at_level("INFO", "fastsip"):
        one.follow(config_here)
        await asked_again(one)
        assert ways(views) == []
        assert any("is a listener of this router" in str(vars(said)) for said in caplog.records)
    one.servers.zone[NAME] = [here.host, "192.0.2.9"]
    await until(lambda: ways(views) == [(5060, "192.0.2.9")])
    await one.close()


async def test_addresses_that_no_way_leads_to_are_passed_over(one, views):
    views.no_way = {"192.0.2.8"}
    one.servers.zone[NAME] = ["192.0.2.8", "2001:db8::9"]
    one.follow(config())
    await until(lambda: views.sent == [(9060, "2001:db8::9")])
    one.follow(config("192.0.2.8"))
    await until(lambda: views.sent[1:] == [(None, "")])
    views.no_way = set()
    await until(lambda: views.sent[-1] == (9060, "192.0.2.8"))
    await one.close()


async def test_names_of_the_configuration_come_first(one, views):
    one.follow(config(more=f'[names]\n"{NAME}" = ["192.0.2.7", "192.0.2.6"]\n"*" = "192.0.2.5"\n'))
    await until(lambda: views.sent == [(9060, "192.0.2.7")])
    one.follow(config("other.test", more='[names]\n"*" = "192.0.2.5"\n'))
    await until(lambda: views.sent[1:] == [(None, "")])
    await asked_again(one)
    assert len(views.sent) == 2
    await one.close()


async def test_many_reloads_one_after_the_other_end_with_the_last(one, views):
    for number in range(1, 100):
        one.follow(config("192.0.2.9", number))
        if number % 3:
            await asyncio.sleep(0)
    await until(lambda: views.sent and views.sent[-1] == (99, "192.0.2.9") and one.is_sure)
    await one.close()
