"""One question to the servers of DNS, in the words of `asking`; how many and for how long is a matter of who asks.

    servers = Servers()
    records = await servers.ask("_sip._udp.example.net", "SRV")

Servers are those of /etc/resolv.conf, which c-ares watches.  FASTSIP_NAMESERVERS ("127.0.0.1:5353,...") in the
environment names others; it is there for tests, which cannot bind port 53, and no part of the configuration.  No
search domains, no /etc/hosts: `[names]` is for that.
"""

import os
from collections.abc import Callable
from typing import Any

import aiodns
from pycares import AAAARecordData, ARecordData, NAPTRRecordData, SRVRecordData

from fastsip.resolve.asking import Records
from fastsip.resolve.targets import Naptr, Srv

TIMEOUT_S, TRIES = 0.6, 2  # of c-ares for each server and question
MOST_RECORDS = 256  # of one answer that are looked at: an answer may hold thousands, and the loop waits meanwhile

NO_SUCH_NAME = (aiodns.error.ARES_ENOTFOUND, aiodns.error.ARES_EBADNAME)
NO_DATA = aiodns.error.ARES_ENODATA

# Type -> what pycares makes of it, and what `asking` reads.
RECORDS: dict[str, tuple[type, Callable[[Any], Any]]] = {
    "A": (ARecordData, lambda one: one.addr),
    "AAAA": (AAAARecordData, lambda one: one.addr),
    "SRV": (SRVRecordData, lambda one: Srv(one.priority, one.weight, one.port, one.target)),
    "NAPTR": (NAPTRRecordData,
              lambda one: Naptr(one.order, one.preference, one.flags, one.service, one.regexp, one.replacement)),
}


class Servers:
    """Of one loop: the first question ties them to it."""

    def __init__(self) -> None:
        self.servers = [one for one in os.environ.get("FASTSIP_NAMESERVERS", "").split(",") if one]
        self.channel: aiodns.DNSResolver | None = None

    async def close(self) -> None:
        if self.channel is not None:
            await self.channel.close()

    async def ask(self, name: str, kind: str) -> Records:
        """`kind` is one of RECORDS.  No exception for what servers say or leave unsaid: Records tell."""
        if self.channel is None:
            self.channel = aiodns.DNSResolver(self.servers or None, timeout=TIMEOUT_S, tries=TRIES)
        try:
            result = await self.channel.query_dns(name, kind)
        except aiodns.error.DNSError as error:
            if error.args[0] in NO_SUCH_NAME:
                return Records(exists=False)
            return Records() if error.args[0] == NO_DATA else Records(why=str(error.args[1]))
        data, read = RECORDS[kind]  # other data is an alias on the way, or what nobody has asked for
        # Sorted, so that it is the same ones that count, however a server turns them round.
        found = sorted(read(one.data) for one in result.answer if isinstance(one.data, data))
        return Records(found[:MOST_RECORDS], min((one.ttl for one in result.answer), default=0))
