"""Where a request to a URI would go, by `[names]` and by DNS: for an operator who asks (docs/names.md#fastsip-resolve).

What is asked, how answers become targets, and whom a Call-ID chooses of them is found out by what a router uses.
"""

import re

import msgspec

from fastsip._core.base.clock import now_ms
from fastsip._core.transport.names import PREFIXES, Names, choice_of, split_key
from fastsip.config import Config
from fastsip.config.secrets import purpose_key
from fastsip.router.dns import OF_DOMAIN, OF_HOST, OF_SERVICE, Dns, Found
from fastsip.router.name_file import answers_of, read_answers
from fastsip.router.resolver import TTL_MAX_S, TTL_MIN_S
from fastsip.routing.compile import compile_names

URI = re.compile(r"(?:sip:)?(?:[^@\s]*@)?([A-Za-z0-9.-]+)(?::([0-9]{1,5}))?((?:;[^;\s]+)*)", re.IGNORECASE)
USUAL_PORT = 5060


class NotAName(ValueError):
    """Nothing that DNS is asked for, in words."""


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """key: what is asked; port: the URI's own, 0 = none."""

    key: str
    port: int


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """order: when a request of the Call-ID would try it, from 1; tiers from 1; share: of its tier, 0 to 1."""

    order: int
    host: str
    port: int
    tier: int
    share: float


class Resolved(msgspec.Struct, frozen=True, kw_only=True):
    """places: in their order.  by: "[names]" or "DNS"; counts_s: 0 = for ever; why: what no server answered."""

    key: str
    by: str
    places: tuple[Place, ...]
    counts_s: int = 0
    cut: bool = False
    why: str = ""
    nothing: str = ""


def read_uri(text: str) -> Wanted:
    """sip:NAME[:PORT][;transport=udp], "sip:" may be missing."""
    found = URI.fullmatch(text)
    if text.lower().startswith("sips:"):
        raise NotAName("sips (TLS) is not in this release")
    if not found or re.fullmatch(r"[0-9.]+", found[1]) or int(found[2] or 1) not in range(1, 65_536):
        raise NotAName(f"{text} is not sip:NAME[:PORT]; a numeric address is where it says")
    transport = dict(one.lower().partition("=")[::2] for one in found[3].split(";")[1:]).get("transport", "")
    if transport not in ("", "udp"):
        raise NotAName(f"transport={transport} is not in this release")
    kind = OF_HOST if found[2] else OF_SERVICE if transport else OF_DOMAIN
    return Wanted(key=PREFIXES[kind] + found[1].lower().removesuffix("."), port=int(found[2] or 0))


async def resolve_now(config: Config, wanted: Wanted, call_id: str) -> Resolved:
    """What `[names]` says, else what DNS says now."""
    fixed = compile_names(config)
    families = {listener.family for listener in config.listeners}
    name = split_key(wanted.key)[1]
    for line in (name, "*"):
        if line in fixed:
            places = _places(config, wanted, list(fixed[line]), call_id)
            return Resolved(key=wanted.key, by="[names]", places=places)
    dns = Dns(families)
    try:
        found = await dns.find(wanted.key)
    finally:
        await dns.close()
    return Resolved(key=wanted.key, by="DNS", places=_places(config, wanted, found.targets, call_id),
                    counts_s=_counts_s(found), cut=found.cut, why=found.why, nothing=found.nothing)


def known_to_router(config: Config, wanted: Wanted, call_id: str) -> Resolved | None:
    """What the router had from DNS when it last wrote run_dir/names; None: nothing.  OSError, ValueError: it cannot be
    read.
    """
    try:
        content = read_answers(config.router.run_dir)
    except FileNotFoundError:
        return None
    for answer in answers_of(content) if content else ():
        if answer.key == wanted.key:
            targets = [(one.host, one.port, one.tier, one.weight) for one in answer.targets]
            return Resolved(key=wanted.key, by="the router", places=_places(config, wanted, targets, call_id),
                            counts_s=max(0, answer.until_ms - now_ms()) // 1_000, cut=answer.cut)
    return None


def _counts_s(found: Found) -> int:
    return min(max(found.ttl_s, TTL_MIN_S), TTL_MAX_S)


def _places(
    config: Config, wanted: Wanted, targets: list[tuple[str, int, int, int]], call_id: str
) -> tuple[Place, ...]:
    """In the order that the kernels would take, when nothing rests."""
    if not targets:
        return ()
    families = {listener.family for listener in config.listeners}
    choice = choice_of(purpose_key(config.router.secret_keys[0], "branch"), call_id)
    names = Names()
    names.put(wanted.key, targets, 0, 0)
    tiers = sorted({tier for _, _, tier, _ in targets})
    sums = {tier: sum(weight for _, _, other, weight in targets if other == tier) for tier in tiers}
    ranks = {(host, port): (tier, weight) for host, port, tier, weight in targets}
    found: list[Place] = []
    while len(found) < len(targets):
        tried = [(one.host, one.port) for one in found]
        place, _ = names.find(wanted.key, 0, choice, families, tried=tried, port=wanted.port)
        if isinstance(place, str):
            break
        host, port = place
        tier, weight = ranks[place]
        found.append(Place(order=len(found) + 1, host=host, port=wanted.port or port or USUAL_PORT,
                           tier=tiers.index(tier) + 1, share=weight / sums[tier]))
    return tuple(found)
