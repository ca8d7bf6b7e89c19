"""Names of next hops, asked of DNS when a shard wants to know (docs/names.md#names-of-next-hops).

    resolver = Resolver(names, tell, families)
    resolver.ask("gw.example.net")      what a shard reported
        -> names.put / deny / keep, then tell(hash): who waits for the name is routed again

A and AAAA in parallel, as far as a listener has the family; one question per name at a time.  An answer
counts for its TTL, within bounds, and is asked for again by the first request behind that, which still uses
it: names in use stay fresh, others rest.  (Not before its time is over: c-ares would answer from its cache.)
While no server answers, the last good answer goes on; name_file hands it to the next router.
No search domains, no /etc/hosts: `[names]` is for that.

FASTSIP_NAMESERVERS ("127.0.0.1:5353,...") in the environment names other servers than /etc/resolv.conf; it is
there for tests, which cannot bind port 53, and no part of the configuration.

Must never: block the loop, or forget an address because a server failed.
"""

import asyncio
import os
from collections import Counter
from collections.abc import Callable, Collection

import aiodns
import msgspec
from pycares import AAAARecordData, ARecordData

from fastsip import log as logs
from fastsip._core.base.clock import now_ms
from fastsip._core.transport.names import Names
from fastsip.config.language import MAX_ADDRESSES

TYPES = {4: "A", 6: "AAAA"}
MOST_QUESTIONS = 256  # names at a time; more are asked for again by the next request
MOST_OF_ZONE = 64  # of these, names that end in the same two labels and had no address before
TTL_MIN_S, TTL_MAX_S = 5, 3_600
NEGATIVE_S = 10  # how long a name is believed not to exist
FAILED_S = 5  # until the next try when no server answered
SECOND_FAMILY_S = 0.05  # how long the other type may come later once there are addresses (as in RFC 8305)
TIMEOUT_S, TRIES = 0.6, 2  # of c-ares for each server: done before who waits gives up after 2 s

NO_SUCH_NAME = {aiodns.error.ARES_ENOTFOUND, aiodns.error.ARES_EBADNAME}
NO_ADDRESS = aiodns.error.ARES_ENODATA


class Answer(msgspec.Struct, frozen=True):
    """What DNS said to one question.  `why` is "" unless no server answered."""

    hosts: tuple[str, ...] = ()
    ttl_s: int = TTL_MAX_S
    exists: bool = True
    why: str = ""


def some_of_each(found: list[tuple[str, ...]]) -> list[tuple[str, int]]:
    """IPv4 first, MAX_ADDRESSES at most; both families have their half when they want it."""
    half = MAX_ADDRESSES // 2
    first, second = [*found, (), ()][:2]
    first = first[: max(half, MAX_ADDRESSES - len(second))]
    return [(host, 0) for host in (*first, *second)][:MAX_ADDRESSES]


def zone_of(name: str) -> str:
    return ".".join(name.rsplit(".", 2)[-2:])


class Resolver:
    """The questions that are out.  `tell` gets the hash of each name of which there is news."""

    def __init__(self, names: Names, tell: Callable[[int], object], families: Collection[int]):
        self.names, self.tell = names, tell
        self.types = [TYPES[family] for family in sorted(set(families))]
        self.again: dict[str, bool] = {}  # name that is being asked for -> wanted once more meanwhile
        self.zones: Counter[str] = Counter()  # how many of these end alike
        self.tasks: set[asyncio.Task[None]] = set()
        self.servers = [one for one in os.environ.get("FASTSIP_NAMESERVERS", "").split(",") if one]
        self.channel: aiodns.DNSResolver | None = None
        self.failures = logs.Limited()
        self.changed = False  # there are answers that name_file does not know

    def ask(self, name: str) -> None:
        """A name as it stood in a request; asked for once, however many want to know."""
        name = name.lower().removesuffix(".")
        if name in self.again:
            self.again[name] = True
        elif self.has_room(name):
            self.again[name] = False
            self.zones[zone_of(name)] += 1
            task = asyncio.create_task(self.answer(name))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)

    def has_room(self, name: str) -> bool:
        """A zone that does not answer must not keep others waiting; a name that was good before comes first."""
        if (self.names.known(name) or ("",))[0] == "known":
            return len(self.again) < 2 * MOST_QUESTIONS
        return len(self.again) < MOST_QUESTIONS and self.zones[zone_of(name)] < MOST_OF_ZONE

    async def close(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        if self.channel is not None:
            await self.channel.close()

    # ------------------------------------------------------------ one name

    async def answer(self, name: str) -> None:
        try:
            answers = await self.look_up(name)
            while self.again[name] and is_failure(answers):
                self.again[name] = False
                answers = await self.look_up(name)
            self.publish(name, answers)
        finally:
            del self.again[name]
            self.zones[zone_of(name)] -= 1
            self.zones += Counter()  # without those that are at nothing

    def publish(self, name: str, answers: list[Answer]) -> None:
        """Half an answer is one; a failure says nothing about the name."""
        found = [answer.hosts for answer in answers]
        self.changed = True
        if any(found):
            ttl_s = min(answer.ttl_s for answer in answers if answer.hosts)
            ttl_s = min(max(ttl_s, TTL_MIN_S), TTL_MAX_S)
            self.names.put(name, some_of_each(found), ttl_s * 1_000, now_ms())
        elif is_failure(answers):
            kept = self.names.keep(name, FAILED_S * 1_000, now_ms())
            why = next(answer.why for answer in answers if answer.why)
            self.failures.info("name not resolved", {"name": name, "why": why, "last_answer_kept": kept})
            return
        else:
            self.names.deny(name, NEGATIVE_S * 1_000, now_ms())
        self.tell(self.names.hash(name))

    async def look_up(self, name: str) -> list[Answer]:
        """One answer for each type, in their order; addresses do not wait long for the other type."""
        asked = [asyncio.ensure_future(self.question(name, kind)) for kind in self.types]
        late = Answer(why="late")
        try:
            waiting = set(asked)
            while waiting:
                found = any(one.done() and one.result().hosts for one in asked)
                done, waiting = await asyncio.wait(
                    waiting, timeout=SECOND_FAMILY_S if found else None, return_when=asyncio.FIRST_COMPLETED
                )
                if not done:
                    break
            return [one.result() if one.done() else late for one in asked]
        finally:
            for one in asked:
                one.cancel()

    async def question(self, name: str, kind: str) -> Answer:
        if self.channel is None:
            self.channel = aiodns.DNSResolver(self.servers or None, timeout=TIMEOUT_S, tries=TRIES)
        try:
            result = await self.channel.query_dns(name, kind)
        except aiodns.error.DNSError as error:
            if error.args[0] in NO_SUCH_NAME:
                return Answer(exists=False)
            return Answer() if error.args[0] == NO_ADDRESS else Answer(why=str(error.args[1]))
        hosts = [one.data.addr for one in result.answer if isinstance(one.data, ARecordData | AAAARecordData)]
        return Answer(tuple(hosts), min((one.ttl for one in result.answer), default=0))


def is_failure(answers: list[Answer]) -> bool:
    """No address, nobody who says that there is no such name, and a server that did not answer."""
    return (
        not any(answer.hosts for answer in answers)
        and all(answer.exists for answer in answers)
        and any(answer.why for answer in answers)
    )
