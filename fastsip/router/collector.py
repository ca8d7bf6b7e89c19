"""The collector of [hep]: where it is, and that each shard sends there (docs/hep.md).

Its name is asked of DNS here, again when the answer's time is over, and of nobody else: shards know addresses.  While
no server answers the last address goes on, and while there is none nothing is sent.  No call waits for any of this.
"""

import asyncio
import contextlib
import ipaddress
from collections.abc import Sequence
from concurrent.futures import Executor

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
        self.said = logs.Limited()

    def follow(self, config: Config) -> None:
        """What this configuration says, from now on; nothing happens when it says what was said before."""
        wanted = config.hep, _fixed_addresses(config) if config.hep else ()
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
            addresses, counts_s, why = await self.addresses_of(hep, fixed)
            try:
                await self.send_to_one_of(hep, addresses)
            except (OSError, MemoryError) as error:
                why, counts_s = reason(error), AGAIN_S
            if why:
                self.said.info("the collector is not reached", {"collector": hep.collector, "why": why})
            await asyncio.sleep(counts_s)
        await self.send_to(None, "")

    async def send_to_one_of(self, hep: Hep, addresses: Sequence[str]) -> None:
        """To whom it goes already, if that is one of them; else to the first that there is a way to.  Without any the
        last one goes on, unless it is another collector's.
        """
        shown = self.shown if self.is_sure else None
        if shown and shown[0] == hep and (shown[1] in addresses or not addresses):
            return
        if not addresses:
            if not self.is_sure or (self.shown and self.shown[0].host != hep.host):
                await self.send_to(None, "")
            return
        for left, address in enumerate(addresses, 1 - len(addresses)):
            try:
                await self.send_to(hep, address)
                return
            except OSError:
                if left == 0:
                    raise

    async def send_to(self, hep: Hep | None, host: str) -> None:
        self.is_sure = False
        await asyncio.get_running_loop().run_in_executor(self.beside, self.views.send_to, hep, host)
        self.shown, self.is_sure = ((hep, host) if hep else None), True

    async def addresses_of(self, hep: Hep, fixed: Sequence[str]) -> tuple[Sequence[str], float, str]:
        """Best first, in an order that stays; for how many seconds; and why there is none."""
        with contextlib.suppress(ValueError):
            return [str(ipaddress.ip_address(hep.host))], TTL_MAX_S, ""
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
