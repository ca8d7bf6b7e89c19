"""What DNS says of one key of the table of names, within bounds of time and questions (docs/names.md#questions-to-dns).

    dns = Dns(families)
    found = await dns.find("n:sip:example.net")     Found: targets, and for how long

resolve/asking says what is asked and in which order, resolve/servers asks; here stands what a name may cost.  A request
waits for its name for two seconds, so all is over before that: who has not answered by then is left out.  Of a zone
whose servers are silent so many questions may be out and no more, so that it keeps nobody else waiting.

Must never: block the loop.
"""

import asyncio
from collections.abc import Collection
from typing import Any, NamedTuple
from weakref import WeakValueDictionary

from fastsip._core.transport.names import split_key
from fastsip.resolve.asking import Outcome, Question, Records, resolve
from fastsip.resolve.servers import Servers
from fastsip.resolve.targets import MOST_TARGETS

TYPES = {4: "A", 6: "AAAA"}
TRANSPORTS = ("udp",)  # those of listeners, in the order of preference
MOST_QUESTIONS = 512  # out at a time
MOST_OF_ZONE = 128  # of these, of names that end in the same two labels
MOST_OF_NAME = 16
WHOLE_S = 1.8  # for a name: done before who waits gives up after 2 s
# For what comes before the addresses: some servers drop what they do not know, and the addresses need time as well.
LIMIT_S = {"NAPTR": 0.5, "SRV": 0.5}
SECOND_FAMILY_S = 0.05  # how long the other type may come later once a host has addresses (as in RFC 8305)

OF_HOST, OF_SERVICE, OF_DOMAIN = 1, 2, 3  # places of PREFIXES (transport/names)


class Found(NamedTuple):
    """What DNS says of a key.

    targets     (host, port, tier, weight), port 0 = none said
    cut         there are more of them
    why         what no server answered, "" = nothing
    unsure      a part was not answered, so that the targets are but the best guess
    nothing     without targets: why there are none
    """

    targets: list[tuple[str, int, int, int]]
    ttl_s: int
    cut: bool
    why: str
    unsure: bool
    nothing: str


def zone_of(name: str) -> str:
    """What one owner has, as far as can be told: two labels, and three where countries divide theirs, as in co.uk."""
    labels = name.rsplit(".", 3)[-3:]
    divided = len(labels) == 3 and len(labels[-1]) == 2 and len(labels[-2]) <= 3
    return ".".join(labels if divided else labels[-2:])


class Dns:
    """The servers, and how many questions are out.  `families` are those of listeners."""

    def __init__(self, families: Collection[int]):
        self.types = [TYPES[family] for family in sorted(set(families))]
        self.servers = Servers()
        self.turns = asyncio.Semaphore(MOST_QUESTIONS)
        self.zones: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    async def close(self) -> None:
        await self.servers.close()

    async def find(self, key: str) -> Found:
        return await _Name(self, key).find()

    def zone(self, name: str) -> asyncio.Semaphore:
        """Kept as long as somebody asks for a name of it."""
        zone = zone_of(name)
        turns = self.zones.get(zone)
        if turns is None:
            turns = self.zones[zone] = asyncio.Semaphore(MOST_OF_ZONE)
        return turns


class _Name:
    """One key on its way."""

    def __init__(self, dns: Dns, key: str):
        self.dns = dns
        self.kind, self.host = split_key(key)
        self.zone = dns.zone(self.host)
        self.turns = asyncio.Semaphore(MOST_OF_NAME)
        self.over_s = asyncio.get_running_loop().time() + WHOLE_S
        self.first: dict[str, asyncio.Future[None]] = {}  # host -> done when one type has addresses
        self.unsure = self.gone = self.cut = False

    async def find(self) -> Found:
        question = Question(self.host)
        if self.kind == OF_HOST:
            question = Question(self.host, 5060)
        elif self.kind == OF_SERVICE:
            question = Question(self.host, 0, TRANSPORTS[0])
        return self.found(await resolve(question, self.dns.types, TRANSPORTS, self.ask))

    def found(self, outcome: Outcome) -> Found:
        """Of a name that does not exist, as one server says, it matters not what another one left open."""
        targets = [(one.host, 0 if self.kind == OF_HOST else one.port, one.tier, one.weight)
                   for one in outcome.targets]
        unsure = self.unsure or bool(targets and outcome.why)
        sure = not unsure if targets else outcome.denied or self.gone
        return Found(targets, outcome.ttl_s, self.cut or outcome.cut > 0, "" if sure else outcome.why, unsure,
                     outcome.nothing)

    async def ask(self, name: str, kind: str) -> Records:
        question = asyncio.ensure_future(self.in_turn(name, kind))
        try:
            await self.wait(question, name, kind)
            records = question.result() if question.done() else Records(why="no answer in time")
        finally:
            question.cancel()
        if kind in LIMIT_S:
            self.unsure = self.unsure or bool(records.why)
        elif name == self.host:
            self.gone = self.gone or not records.exists
        return self.some_of(records) if kind in TYPES.values() else records

    async def in_turn(self, name: str, kind: str) -> Records:
        async with self.turns, self.zone, self.dns.turns:
            return await self.dns.servers.ask(name, kind)

    async def wait(self, question: asyncio.Future[Records], name: str, kind: str) -> None:
        """As long as it may take; a host with addresses does not wait long for those of the other type."""
        left_s = self.over_s - asyncio.get_running_loop().time()
        if kind in LIMIT_S:
            await asyncio.wait({question}, timeout=max(0.0, min(left_s, LIMIT_S[kind])))
            return
        first = self.first.setdefault(name, asyncio.get_running_loop().create_future())
        either: set[asyncio.Future[Any]] = {question, first}
        await asyncio.wait(either, timeout=max(0.0, left_s), return_when=asyncio.FIRST_COMPLETED)
        if first.done() and not question.done():
            await asyncio.wait({question}, timeout=SECOND_FAMILY_S)
        if question.done() and question.result().found and not first.done():
            first.set_result(None)

    def some_of(self, records: Records) -> Records:
        """Where two types are asked for, each has its half of what a name can have."""
        most = MOST_TARGETS // len(self.dns.types)
        self.cut = self.cut or len(records.found) > most
        return records._replace(found=sorted(map(str, records.found))[:most])
