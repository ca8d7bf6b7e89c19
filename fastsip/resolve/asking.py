"""The order of questions of RFC 3263 section 4, by whoever can ask: all that may be asked at once is.

    a port is given             addresses of the name, and nothing else
    a transport is given        SRV records of it, else addresses
    neither                     NAPTR records, then SRV records of what they name; without NAPTR those of each
                                transport; without SRV records addresses of the name

Addresses in the additional section of an SRV answer are not used: nobody says that they are all.

Must never: take half an answer for a whole one.  What a server left unanswered is said in `why`, for who has an older
answer that is better.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import NamedTuple

import msgspec

from fastsip.resolve.targets import (
    Naptr,
    Place,
    Srv,
    Target,
    Way,
    best_places,
    by_naptr,
    by_transport,
    find_targets,
    host_of,
    is_denied,
    plain_place,
    srv_places,
    way_place,
)

MOST_WAYS = 8   # of one name: each is a question for SRV records
LONGEST_TTL_S = 3_600
NO_NAME, NO_ADDRESS, DENIED = "there is no such name", "it has no address", "DNS says that it has no such service"


class Question(NamedTuple):
    """What a URI says of where it leads: port 0 and transport "" are not given."""

    host: str
    port: int = 0
    transport: str = ""

    def __str__(self) -> str:
        return self.host + (f":{self.port}" if self.port else "")


class Records(NamedTuple):
    """One answer: records of the type that was asked for.  `why`: no server answered; exists: there is such a name."""

    found: Sequence[Naptr | Srv | str] = ()
    ttl_s: int = LONGEST_TTL_S
    exists: bool = True
    why: str = ""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What DNS says of one question.

    targets     best first; none: `nothing` says why
    cut         how many there are beyond the bounds
    why         what a server did not answer, "" = nothing
    denied      it is decidedly not there
    """

    targets: tuple[Target, ...] = ()
    ttl_s: int = LONGEST_TTL_S
    cut: int = 0
    why: str = ""
    nothing: str = ""
    denied: bool = False


Ask = Callable[[str, str], Awaitable[Records]]  # a name and NAPTR, SRV, A or AAAA


class _Asking:
    """One question on its way: the shortest TTL, and what was left unanswered."""

    def __init__(self, ask: Ask):
        self._ask = ask
        self.ttl_s, self.why, self.exists = LONGEST_TTL_S, "", False

    async def all_of(self, wanted: Iterable[tuple[str, str]]) -> list[Sequence[Naptr | Srv | str]]:
        """(name, type) of each -> its records."""
        asked = list(wanted)
        answers = await asyncio.gather(*(self._ask(name, kind) for name, kind in asked))
        for (name, kind), answer in zip(asked, answers, strict=True):
            if answer.found:
                self.ttl_s = min(self.ttl_s, answer.ttl_s)
            if answer.why and not self.why:
                self.why = f"{kind} of {name}: {answer.why}"
            self.exists = self.exists or (answer.exists and not answer.why)
        return [answer.found for answer in answers]


async def resolve(question: Question, types: Sequence[str], transports: Sequence[str], ask: Ask) -> Outcome:
    """types: "A" and "AAAA", as far as there is somebody to send from; transports in the order of preference."""
    asking = _Asking(ask)
    places, denied = await _places(asking, question, transports)
    if denied:
        return Outcome(ttl_s=asking.ttl_s, why=asking.why, nothing=DENIED, denied=True)
    kept, beyond = best_places(places)
    hosts = list(dict.fromkeys(place.host for place in kept))
    pairs = [(host, kind) for host in hosts for kind in types]
    addresses: dict[str, list[str]] = {host: [] for host in hosts}
    for (host, _), found in zip(pairs, await asking.all_of(pairs), strict=True):
        addresses[host] += [one for one in found if isinstance(one, str)]
    targets, cut = find_targets(kept, addresses)
    nothing = "" if targets else asking.why or (NO_ADDRESS if asking.exists else NO_NAME)
    return Outcome(targets=tuple(targets), ttl_s=asking.ttl_s, cut=cut + beyond, why=asking.why, nothing=nothing)


async def _places(asking: _Asking, question: Question, transports: Sequence[str]) -> tuple[list[Place], bool]:
    """Whose addresses are asked for; and whether the service is denied."""
    host, first = host_of(question.host), question.transport or transports[0]
    if question.port:
        return [plain_place(host, question.port, first)], False
    ways: list[Way] = []
    if not question.transport:
        [found] = await asking.all_of([(host, "NAPTR")])
        ways = by_naptr([one for one in found if isinstance(one, Naptr)], transports)[:MOST_WAYS]
    ways = ways or by_transport(host, [question.transport] if question.transport else transports)
    places, denied = await _srv_places(asking, ways)
    if places or denied:
        return places, not places
    return [plain_place(host, 0, first)], False


async def _srv_places(asking: _Asking, ways: Sequence[Way]) -> tuple[list[Place], bool]:
    """Of those that exist; and whether one of them is denied."""
    places = [way_place(way) for way in ways if way.flag == "a"]
    denied = False
    described = [way for way in ways if way.flag == "s"]
    for way, found in zip(described, await asking.all_of((way.name, "SRV") for way in described), strict=True):
        records = [one for one in found if isinstance(one, Srv)]
        denied = denied or is_denied(records)
        places += srv_places(way, records)
    return places, denied
