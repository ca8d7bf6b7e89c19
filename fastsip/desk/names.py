"""Asks DNS for the targets of names, in a thread with a loop of its own; it begins with the first question.

Servers are those of /etc/resolv.conf, which c-ares watches; FASTSIP_NAMESERVERS ("127.0.0.1:5353,...") names others,
for tests.  No search domains, no /etc/hosts: `[names]` is for that.
"""

import asyncio
import os
import threading
from collections.abc import Callable
from typing import Any

import aiodns
from pycares import AAAARecordData, ARecordData, NAPTRRecordData, SRVRecordData

from fastsip.base.plain import reason
from fastsip.log import log
from fastsip.process.line import Line
from fastsip.process.messages import AskName, NameAnswered
from fastsip.resolve.asking import Outcome, Records, resolve
from fastsip.resolve.targets import Naptr, Srv

LIMIT_S = 10.0              # of one name, whatever servers do
TIMEOUT_S, TRIES = 0.6, 2   # of c-ares for each server and question
MOST_AT_ONCE = 128          # questions to servers, of all names; others wait for their turn
MOST_RECORDS = 256          # of one answer
NO_SUCH_NAME = (aiodns.error.ARES_ENOTFOUND, aiodns.error.ARES_EBADNAME)
NO_RECORD = aiodns.error.ARES_ENODATA

READERS: dict[type, Callable[[Any], Any]] = {
    ARecordData: lambda one: one.addr,
    AAAARecordData: lambda one: one.addr,
    SRVRecordData: lambda one: Srv(one.priority, one.weight, one.port, one.target),
    NAPTRRecordData: lambda one: Naptr(one.order, one.preference, one.flags, one.service, one.regexp, one.replacement),
}
TYPES: dict[str, type] = {"A": ARecordData, "AAAA": AAAARecordData, "SRV": SRVRecordData, "NAPTR": NAPTRRecordData}


class Asker:
    """One for a desk."""

    def __init__(self, line: Line):
        self.line = line
        self.loop: asyncio.AbstractEventLoop | None = None
        self.channel: aiodns.DNSResolver | None = None
        self.servers = [one for one in os.environ.get("FASTSIP_NAMESERVERS", "").split(",") if one]

    def ask(self, order: AskName) -> None:
        """From another thread than the loop's; the line gets the answer."""
        if self.loop is None:
            self.loop = asyncio.new_event_loop()
            threading.Thread(target=self.loop.run_forever, name="names", daemon=True).start()
            self.turns = asyncio.Semaphore(MOST_AT_ONCE)
        asyncio.run_coroutine_threadsafe(self.answer(order), self.loop)

    async def answer(self, order: AskName) -> None:
        """Never an exception: whoever asked hears what is the matter."""
        try:
            async with asyncio.timeout(LIMIT_S):
                outcome = await resolve(order.question, order.types, order.transports, self.question)
        except TimeoutError:
            outcome = failed(f"no answer within {LIMIT_S:.0f} s")
        except Exception as error:
            log.exception("a name cannot be asked for, by a fault of fastsip")
            outcome = failed(f"{type(error).__name__}: {error}")
        try:
            self.line.send(NameAnswered(number=order.number, outcome=outcome))
        except OSError as error:
            log.error("a name was asked for nobody",
                      extra={"fields": {"name": str(order.question), "why": reason(error)}})

    async def question(self, name: str, kind: str) -> Records:
        async with self.turns:
            if self.channel is None:
                self.channel = aiodns.DNSResolver(self.servers or None, timeout=TIMEOUT_S, tries=TRIES)
            try:
                result = await self.channel.query_dns(name, kind)
            except aiodns.error.DNSError as error:
                if error.args[0] in NO_SUCH_NAME:
                    return Records(exists=False)
                return Records() if error.args[0] == NO_RECORD else Records(why=str(error.args[1]))
        # Sorted, so that the bound leaves the same ones however a server turns them round.
        found = sorted(READERS[TYPES[kind]](one.data) for one in result.answer if isinstance(one.data, TYPES[kind]))
        return Records(found=found[:MOST_RECORDS], ttl_s=min((one.ttl for one in result.answer), default=0))


def failed(why: str) -> Outcome:
    return Outcome(why=why, nothing=why)
