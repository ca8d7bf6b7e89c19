"""The collector of [hep]: where it is, and that each shard sends there (docs/hep.md).

Its name is asked of DNS here, again when the answer's time is over, and of nobody else: shards know addresses.  While
no server answers the last address goes on, and while there is none nothing is sent.  No call waits for any of this.
What a reload has taken back ends with it, whether the new collector is reached or not.
"""

import asyncio
import contextlib
import errno
from collections.abc import Sequence
from concurrent.futures import Executor
from ipaddress import IPv4Address, IPv6Address, ip_address

from fastsip import log as logs
from fastsip.base.plain import reason
from fastsip.config import Config, Hep
from fastsip.resolve.asking import Question, resolve
from fastsip.resolve.servers import Servers
from fastsip.router.views import Views

TTL_MIN_S, TTL_MAX_S = 5.0, 3_600.0
AGAIN_S = 5.0       # when nobody has answered, or there is no way there
TYPES = ("A", "AAAA")


class Collector:
    """One for a router, on its loop.  beside: runs one thing after the other, reloads among them."""

    def __init__(self, views: Views, beside: Executor):
        self.views, self.beside = views, beside
        self.servers = Servers()
        self.wanted: tuple[Hep | None, Sequence[str]] = (None, ())
        self.shown: tuple[Hep, str] | None = None   # and its numeric address
        self.is_sure = True     # that this is shown: who was given up meanwhile cannot say
        self.keeping: asyncio.Task[None] | None = None
        self.ours: set[tuple[IPv4Address | IPv6Address, int]] = set()   # listeners, which are no collectors
        self.said = logs.Limited()

    def follow(self, config: Config) -> None:
        """What this configuration says, from now on; nothing happens when it says what was said before.  Of a sample of
        0 nobody needs to know where it would go.
        """
        hep = config.hep if config.hep and config.hep.sample > 0 else None
        wanted = hep, _fixed_addresses(config) if hep else ()
        self.ours = {(ip_address(one.host), one.port) for one in config.listeners}
        if wanted == self.wanted:
            return
        self.wanted = wanted
        if self.keeping:
            self.keeping.cancel()
        self.keeping = asyncio.get_running_loop().create_task(self.keep(*wanted))

    async def close(self) -> None:
        if self.keeping:
            self.keeping.cancel()
            await asyncio.wait({self.keeping})
        await self.servers.close()

    async def keep(self, hep: Hep | None, fixed: Sequence[str]) -> None:
        """Until the configuration says something else."""
        while hep is not None:
            try:
                await self.end_what_was_said_before(hep)
                addresses, counts_s, why = await self.addresses_of(hep, fixed)
                await self.send_to_one_of(hep, addresses)
            except (OSError, MemoryError) as error:
                why, counts_s = reason(error), AGAIN_S
            if why:
                self.said.info("the collector is not reached", {"collector": hep.collector, "why": why})
            await asyncio.sleep(counts_s)
        await self.send_to(None, "")

    async def end_what_was_said_before(self, hep: Hep) -> None:
        """Who has reloaded relies on it, so it waits for no answer of DNS, and for no way to another collector: what
        goes to the same host goes on as this configuration says, all else ends.
        """
        if self.is_sure and self.shown and self.shown[0] == hep:
            return
        if self.is_sure and self.shown and self.shown[0].host == hep.host:
            with contextlib.suppress(OSError, MemoryError):     # then to nobody, until there is a way
                await self.send_to(hep, self.shown[1])
                return
        await self.send_to(None, "")

    async def send_to_one_of(self, hep: Hep, addresses: Sequence[str]) -> None:
        """To whom it goes already, if that is one of them; else to the first that there is a way to, and to nobody when
        there is none.  While nobody knows of any the last one goes on.
        """
        if not addresses or (self.shown and self.shown[1] in addresses):
            return
        for left, address in enumerate(addresses, 1 - len(addresses)):
            try:
                await self.send_to(hep, address)
                return
            except OSError:
                if left == 0:
                    await self.send_to(None, "")
                    raise

    async def send_to(self, hep: Hep | None, host: str) -> None:
        """OSError: there is no way there, and what goes where is as it was."""
        if hep and (ip_address(host), hep.port) in self.ours:
            raise OSError(errno.ELOOP, f"{host} port {hep.port} is a listener of this router")
        if not hep and not self.shown and self.is_sure:
            return
        was_sure, self.is_sure = self.is_sure, False
        try:
            await asyncio.get_running_loop().run_in_executor(self.beside, self.views.send_to, hep, host)
        except OSError:
            self.is_sure = was_sure
            raise
        self.shown, self.is_sure = ((hep, host) if hep else None), True

    async def addresses_of(self, hep: Hep, fixed: Sequence[str]) -> tuple[Sequence[str], float, str]:
        """Best first, in an order that stays; for how many seconds; and why there is none."""
        with contextlib.suppress(ValueError):
            return [str(ip_address(hep.host))], TTL_MAX_S, ""
        if fixed:
            return fixed, TTL_MAX_S, ""
        outcome = await resolve(Question(hep.host, hep.port), TYPES, ("udp",), self.servers.ask)
        found = list(dict.fromkeys(one.host for one in outcome.targets))
        if not found:
            return (), AGAIN_S, outcome.nothing
        return found, min(max(float(outcome.ttl_s), TTL_MIN_S), TTL_MAX_S), ""


def _fixed_addresses(config: Config) -> Sequence[str]:
    """What [names] says of the collector's name; what it says of all others (`*`) is meant for calls."""
    return [host for one in config.names if config.hep and one.name == config.hep.host for host, _ in one.addresses]
