"""A collector beside a router that runs: both legs of calls, through reloads and deaths, and never in their way."""

import asyncio
import contextlib
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from dns_server import DnsServer, Host
from ua import UserAgent

from fastsip.observe import counters
from tests.hep3 import read_datagram

from .edge import connect, edge_config
from .lives import Home, command

LIMIT_S, CALLS = 60, 12
MESSAGES = 11       # of a whole call, on both legs
SNGREP = shutil.which("sngrep")
NAME = "collector.test"
UNREACHED = "the collector is not reached"


class Collector:
    """A socket, and what came there: `found`, and the datagrams as they were, `raw`."""

    def __init__(self) -> None:
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.sock.bind(("127.0.0.1", 0))
        self.sock.setblocking(False)
        self.port: int = self.sock.getsockname()[1]
        self.found: list[dict] = []
        self.raw: list[bytes] = []

    def read(self) -> list[dict]:
        with contextlib.suppress(BlockingIOError):
            while True:
                self.raw.append(self.sock.recv(65_536))
                self.found.append(read_datagram(self.raw[-1]))
        return self.found

    async def until(self, enough: Callable[[list[dict]], bool]) -> list[dict]:
        async with asyncio.timeout(LIMIT_S):
            while not enough(self.read()):
                await asyncio.sleep(0.02)
        return self.found

    def of(self, call_id: str) -> list[dict]:
        return [one for one in self.read() if one["correlation"] == call_id.encode()]


@pytest.fixture
def collectors() -> Iterator[list[Collector]]:
    made = [Collector(), Collector()]
    yield made
    for one in made:
        one.sock.close()


def hep(port: int, host: str = "127.0.0.1", more: str = "") -> str:
    return f'[hep]\ncollector = "udp:{host}:{port}"\nagent = 42\nnode = "edge-a"\n{more}\n'


async def reload(home: Home, text: str) -> None:
    home.write(text)
    done = await asyncio.to_thread(command, "reload", home.config)
    assert done.returncode == 0, done.stderr


async def whole_call(alice: UserAgent, bob: UserAgent, edge) -> str:
    alice_leg, bob_leg = await connect(alice, bob, edge)
    bye = alice_leg.bye()
    bob.reply(await bob_leg.expect("BYE"), 200)
    await alice_leg.expect(lambda m: m.status == 200 and m.cseq_method == "BYE")
    return bye.call_id


async def calls_until(one: Collector, alice: UserAgent, bob: UserAgent, edge) -> str:
    """Calls, until one is seen whole there: its Call-ID."""
    async with asyncio.timeout(LIMIT_S):
        while True:
            call_id = await whole_call(alice, bob, edge)
            for _ in range(10):
                if len(one.of(call_id)) == MESSAGES:
                    return call_id
                await asyncio.sleep(0.02)


async def read_by_sngrep(collector: Collector, calls: list[str], place: Path, port: int) -> None:
    """All that came is sent on to it, until it has written down each message of these calls, as it reads HEP3."""
    capture = place / "sngrep.pcap"
    argv = [SNGREP, "-N", "-q", "-L", f"udp:127.0.0.1:{port}", "-O", str(capture)]
    process = await asyncio.create_subprocess_exec(*argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

    def is_read() -> bool:
        content = capture.read_bytes() if capture.exists() else b""
        return all(content.count(f"Call-ID: {call}".encode()) >= MESSAGES for call in calls)

    try:
        async with asyncio.timeout(LIMIT_S):
            while not is_read():
                for datagram in collector.raw:
                    with contextlib.suppress(ConnectionRefusedError, BlockingIOError):    # it does not listen yet
                        collector.sock.sendto(datagram, ("127.0.0.1", port))
                await asyncio.sleep(0.2)
    finally:
        process.kill()
        await process.wait()


async def test_a_collector_gets_both_legs_through_reloads_and_deaths(home, free_port, collectors, tmp_path):
    edge = ("127.0.0.1", free_port())
    first, second = collectors
    (home.place / "key").write_text("open sesame\n")
    async with UserAgent(name="alice") as alice, UserAgent(name="bob") as bob:
        base = edge_config(edge, [bob.address], shards=2, timers='t1 = "4s"')
        life = home.start(base + hep(first.port))
        await asyncio.to_thread(life.ready)
        await calls_until(first, alice, bob, edge)
        calls = await asyncio.gather(*(whole_call(alice, bob, edge) for _ in range(CALLS)))    # many in a round
        await first.until(lambda _: all(len(first.of(call)) == MESSAGES for call in calls))
        for call in calls:
            found = first.of(call)
            ports = {(one["source"][1], one["target"][1]) for one in found}
            assert ports == {(a, b) for one in (alice, bob) for a, b in
                             ((one.port, edge[1]), (edge[1], one.port))}  # fmt: skip
            assert {(one["agent"], one["node"], one["type"], "key" in one) for one in found} == {
                (42, b"edge-a", 1, False)}  # fmt: skip
        if SNGREP:
            await read_by_sngrep(first, calls, tmp_path, free_port())

        # Another one, and its key: the same router.
        await reload(home, base + hep(second.port, more='key = "file:key"'))
        call = await calls_until(second, alice, bob, edge)
        assert {one["key"] for one in second.of(call)} == {b"open sesame"} and not first.of(call)
        # Nothing of no call.
        await reload(home, base + hep(first.port, more="sample = 0"))
        calls = [await whole_call(alice, bob, edge) for _ in range(3)]
        # Nobody is there any more: calls go on, and what is lost is counted, though not all of it.
        second.sock.close()
        await reload(home, base + hep(second.port))
        calls += [await whole_call(alice, bob, edge) for _ in range(3)]
        async with asyncio.timeout(LIMIT_S):
            while counters.read(home.place / "run")["hep_lost"] == 0:
                calls.append(await whole_call(alice, bob, edge))
        await reload(home, base + hep(first.port))
        await calls_until(first, alice, bob, edge)
        assert not [call for call in calls if first.of(call)]
        assert len(life.records("router started")) == 1 and counters.read(home.place / "run")["hep_sent"]

        life.kill_router()
        await life.logged("router took over")
        await calls_until(first, alice, bob, edge)
        await reload(home, base)
        before = len(first.read())
        await whole_call(alice, bob, edge)
        assert len(first.read()) == before


async def test_a_name_that_nobody_knows_keeps_no_call_waiting_and_is_used_when_it_is_known(
        home, free_port, collectors, monkeypatch):
    edge = ("127.0.0.1", free_port())
    first, second = collectors
    async with DnsServer() as dns, UserAgent(name="alice") as alice, UserAgent(name="bob") as bob:
        monkeypatch.setenv("FASTSIP_NAMESERVERS", dns.text)
        dns.zone[NAME] = Host(a=["127.0.0.1"], silent=("A", "AAAA"), ttl=1)
        base = edge_config(edge, [bob.address], shards=2, timers='t1 = "4s"')
        life = home.start(base + hep(first.port, NAME))
        await asyncio.to_thread(life.ready)
        for _ in range(3):
            await whole_call(alice, bob, edge)
        await life.logged(UNREACHED)
        assert not first.read()
        dns.zone[NAME] = Host(a=["127.0.0.1"], ttl=1)
        await calls_until(first, alice, bob, edge)
        # While nobody answers the last address goes on; another collector's does not.
        del dns.zone[NAME]
        asked = len(dns.asked)
        async with asyncio.timeout(LIMIT_S):
            while len(dns.asked) <= asked:
                await asyncio.sleep(0.05)
        await calls_until(first, alice, bob, edge)
        # [names] says it without DNS.
        await reload(home, base + hep(second.port, "other.test") + '[names]\n"other.test" = "127.0.0.1"\n')
        await calls_until(second, alice, bob, edge)
