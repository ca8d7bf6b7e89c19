"""Names of next hops, asked of DNS when a shard wants to know (docs/names.md#names-of-next-hops).

    resolver = Resolver(names, tell, families)
    resolver.ask("n:sip:example.net")   a key that a shard reported
        -> names.put / deny / keep, then tell(hash): who waits for the name is routed again

One question for a key at a time; what it costs stands in router/dns.  An answer counts for its TTL, within
bounds, and is asked for again by the first request behind that, which still uses it: names in use stay fresh,
others rest.  (Not before its time is over: c-ares would answer from its cache.)  While no server answers, the
last good answer goes on; name_file hands it to the next router.

Must never: block the loop, or forget a target because a server failed.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Collection

from fastsip import log as logs
from fastsip._core.base.clock import now_ms
from fastsip._core.transport.names import Names, plain_key, split_key
from fastsip.router.dns import Dns, Found, zone_of

MOST_NAMES = 256  # keys at a time; more are asked for again by the next request
MOST_OF_ZONE = 64  # of these, names of one zone (zone_of) that had no target before
HALVES = 3  # answers of which a part is missing, in a row, until they count instead of a whole one of before
TTL_MIN_S, TTL_MAX_S = 5, 3_600
NEGATIVE_S = 10  # how long a name is believed not to exist
FAILED_S = 5  # until the next try when no server answered


def is_failure(found: Found) -> bool:
    """No targets, nobody who says that there are none, and a server that did not answer."""
    return not found.targets and found.why != ""


class Resolver:
    """The keys that are asked for.  `tell` gets the hash of each name of which there is news."""

    def __init__(self, names: Names, tell: Callable[[int], object], families: Collection[int]):
        self.names, self.tell = names, tell
        self.dns = Dns(families)
        self.halves: dict[str, int] = {}  # key -> answers in a row of which a part was missing
        self.again: dict[str, bool] = {}  # key that is being asked for -> wanted once more meanwhile
        self.zones: Counter[str] = Counter()  # how many of these end alike
        self.tasks: set[asyncio.Task[None]] = set()
        self.failures = logs.Limited()
        self.changed = False  # there are answers that name_file does not know

    def ask(self, key: str) -> None:
        """A name as it stood in a request, by what is asked of it; once, however many want to know."""
        key = plain_key(key)
        if key in self.again:
            self.again[key] = True
        elif self.has_room(key):
            self.again[key] = False
            self.zones[zone_of(split_key(key)[1])] += 1
            task = asyncio.create_task(self.answer(key))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)

    def has_room(self, key: str) -> bool:
        """A zone that does not answer must not keep others waiting; a name that was good before comes first."""
        if (self.names.known(key) or ("",))[0] == "known":
            return len(self.again) < 2 * MOST_NAMES
        return len(self.again) < MOST_NAMES and self.zones[zone_of(split_key(key)[1])] < MOST_OF_ZONE

    async def close(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await self.dns.close()

    # ------------------------------------------------------------ one name

    async def answer(self, key: str) -> None:
        try:
            found = await self.dns.find(key)
            while self.again[key] and is_failure(found):
                self.again[key] = False
                found = await self.dns.find(key)
            self.publish(key, found)
        finally:
            del self.again[key]
            self.zones[zone_of(split_key(key)[1])] -= 1
            self.zones += Counter()  # without those that are at nothing

    def is_kept(self, key: str, found: Found) -> bool:
        """Does the last answer go on in place of this one?"""
        if not found.unsure and not is_failure(found):
            self.halves.pop(key, None)
            return False
        if found.targets:
            if len(self.halves) > 2 * MOST_NAMES:
                self.halves.clear()
            self.halves[key] = self.halves.get(key, 0) + 1
            if self.halves[key] >= HALVES:
                return False
        return self.names.keep(key, FAILED_S * 1_000, now_ms())

    def publish(self, key: str, found: Found) -> None:
        """Half an answer is one, unless there was a whole one before: then it counts the third time in a row, for some
        servers never answer one part.  A failure says nothing about the name.
        """
        self.changed = True
        kept = self.is_kept(key, found)
        if kept or is_failure(found):
            name = split_key(key)[1]
            self.failures.info("name not resolved", {"name": name, "why": found.why, "last_answer_kept": kept})
            return
        if found.targets:
            ttl_s = FAILED_S if found.unsure else min(max(found.ttl_s, TTL_MIN_S), TTL_MAX_S)
            self.names.put(key, found.targets, ttl_s * 1_000, now_ms(), found.cut)
        else:
            self.names.deny(key, NEGATIVE_S * 1_000, now_ms())
        self.tell(self.names.hash(key))
