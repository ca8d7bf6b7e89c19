"""From records of DNS to the targets of a name, in tiers and with weights (RFC 3263 section 4, RFC 2782, RFC 3403).

Nobody is asked here, and nothing is remembered: records in, targets out, the same ones in the same order however a
server turns its answers round.  Who asks goes through it in this order:

    plain_place         a port is given: the name itself, by its addresses
    by_naptr            NAPTR records -> ways, those of transports that we have
    by_transport        no NAPTR record says anything: a way for each transport, in our order
    srv_places          SRV records of a way -> places; is_denied: they say that there is no such service
    best_places         as many as may be asked for
    find_targets        places and the addresses of their hosts -> targets

Hosts are in lower case and without a final dot, as `host_of` makes them.
"""

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import NamedTuple

MOST_TARGETS = 32   # of one name; of more the best tiers count
WHOLE = 65_520      # the weights in a tier are parts of it: it has 1 to 16 as divisors, all but 11, and fits 16 bits
MOST_LETTERS = 253  # of a name
PORTS = {"udp": 5060, "tcp": 5060, "tls": 5061}
SERVICES = {"sip+d2u": "udp", "sip+d2t": "tcp", "sips+d2t": "tls"}  # RFC 3263 section 4.1
SRV_NAMES = {"udp": "_sip._udp.", "tcp": "_sip._tcp.", "tls": "_sips._tcp."}

Rank = tuple[int, ...]  # smaller is tried earlier: NAPTR order and preference, or our order of transports; then SRV's


class Naptr(NamedTuple):
    order: int
    preference: int
    flags: str
    service: str
    regexp: str
    replacement: str


class Srv(NamedTuple):
    priority: int
    weight: int
    port: int
    host: str


class Way(NamedTuple):
    """A transport, and what to ask for next: `name` has SRV records, or addresses when `flag` is "a"."""

    rank: Rank
    transport: str
    name: str
    flag: str
    share: Fraction     # of the ways with this rank


class Place(NamedTuple):
    """A host whose addresses are asked for."""

    host: str
    port: int
    transport: str
    rank: Rank
    share: Fraction     # of the places with this rank


class Target(NamedTuple):
    """`host` is an address without brackets; tiers count from 0, which is tried first; `weight` is 1 to WHOLE, and
    those of a tier are WHOLE together, but for what is rounded.
    """

    host: str
    port: int
    transport: str
    tier: int
    weight: int


def host_of(name: str) -> str:
    return name.lower().removesuffix(".")


def is_host(name: str) -> bool:
    """Can it be asked for?  Of a name that stands in a record, where it may be anything."""
    return 0 < len(name) <= MOST_LETTERS and name.isascii() and name.isprintable() and " " not in name


def plain_place(host: str, port: int, transport: str = "udp") -> Place:
    """By its addresses alone; port 0 is the transport's own."""
    return Place(host_of(host), port or PORTS[transport], transport, (), Fraction(1))


def by_naptr(records: Iterable[Naptr], transports: Sequence[str]) -> list[Way]:
    """Those of services that we have a transport for, best first.  Records with a rule for rewriting, or a flag that
    leads neither to SRV records nor to addresses, say nothing for SIP.  Empty: it is as if there were no NAPTR record.
    """
    found = []
    for one in set(records):
        transport = SERVICES.get(one.service.lower(), "")
        name, flag = host_of(one.replacement), one.flags.lower()
        if transport in transports and flag in ("s", "a") and is_host(name) and not one.regexp:
            found.append(Way((one.order, one.preference), transport, name, flag, Fraction(1)))
    alike = [way.rank for way in found]
    return sorted(way._replace(share=Fraction(1, alike.count(way.rank))) for way in found)


def by_transport(name: str, transports: Sequence[str]) -> list[Way]:
    """What is asked for all at once where no NAPTR record leads on; `transports` in the order of preference."""
    return [Way((index, 0), transport, SRV_NAMES[transport] + host_of(name), "s", Fraction(1))
            for index, transport in enumerate(transports)]


def is_denied(records: Iterable[Srv]) -> bool:
    """The only target is the root: the service is decidedly not there (RFC 2782); no address is asked for instead."""
    return {host_of(one.host) for one in records} == {""}


def srv_places(way: Way, records: Iterable[Srv]) -> list[Place]:
    """Shares are RFC 2782's chances of the first draw: those of weight 0 have one unit among them."""
    good = [one for one in set(records) if 0 < one.port <= 0xFFFF and is_host(host_of(one.host))]
    found = []
    for priority in sorted({one.priority for one in good}):
        alike = [one for one in good if one.priority == priority]
        idle = sum(one.weight == 0 for one in alike)
        whole = sum(one.weight for one in alike) + (1 if idle else 0)
        for one in alike:
            units = Fraction(one.weight) if one.weight else Fraction(1, idle)
            share = way.share * units / whole
            found.append(Place(host_of(one.host), one.port, way.transport, (*way.rank, priority), share))
    return sorted(found)


def way_place(way: Way) -> Place:
    """Of a way with the flag "a"."""
    return Place(way.name, PORTS[way.transport], way.transport, (*way.rank, 0), way.share)


def best_places(places: Iterable[Place], most: int = MOST_TARGETS) -> tuple[list[Place], int]:
    """The best tiers, of the last one the heaviest; and how many were cut off."""
    found = sorted(places, key=lambda one: (one.rank, -one.share, one))
    return found[:most], max(0, len(found) - most)


def find_targets(
    places: Iterable[Place], addresses: Mapping[str, Iterable[str]], most: int = MOST_TARGETS
) -> tuple[list[Target], int]:
    """Targets, best first, and how many were cut off.  Addresses of a host share what it weighs.  A host without one is
    left out, and so is what no datagram is sent to; what two places lead to stands in the better tier alone.
    """
    shares: dict[tuple[str, str, int], tuple[Rank, Fraction]] = {}
    for place in sorted(places):
        hosts = sorted({host for raw in addresses.get(place.host, ()) if (host := _numeric(raw))})
        for host in hosts:
            key = (place.transport, host, place.port)
            rank, share = shares.get(key, (place.rank, Fraction(0)))
            added = place.share / len(hosts)
            if place.rank < rank:
                shares[key] = (place.rank, added)
            elif place.rank == rank:
                shares[key] = (rank, share + added)
    ordered = sorted(shares, key=lambda key: (shares[key][0], -shares[key][1], _order_of(key)))
    kept = ordered[:most]
    tiers = sorted({shares[key][0] for key in kept})
    sums = {rank: sum((share for other, share in (shares[key] for key in kept) if other == rank), Fraction(0))
            for rank in tiers}
    found = []
    for transport, host, port in kept:
        rank, share = shares[transport, host, port]
        weight = max(1, round(share / sums[rank] * WHOLE))
        found.append(Target(host, port, transport, tiers.index(rank), weight))
    return found, len(ordered) - len(kept)


def is_sound(one: Target) -> bool:
    """Is it what find_targets may have made?  Of one that was kept in a file."""
    return (_numeric(one.host) == one.host and 0 < one.port <= 0xFFFF and one.transport in PORTS
            and 0 <= one.tier < MOST_TARGETS and 0 < one.weight <= WHOLE)


def _order_of(key: tuple[str, str, int]) -> tuple[int, int, int, str]:
    """IPv4 first, then as numbers."""
    transport, host, port = key
    ip = ipaddress.ip_address(host)
    return ip.version, int(ip), port, transport


def _numeric(raw: str) -> str:
    """In its canonical spelling; "" for what is no address of one host that others can reach."""
    try:
        ip = ipaddress.ip_address(raw)
    except ValueError:
        return ""
    if ip.is_unspecified or ip.is_multicast or str(ip) == "255.255.255.255":
        return ""
    if isinstance(ip, ipaddress.IPv6Address) and (ip.is_link_local or ip.ipv4_mapped or ip.scope_id):
        return ""
    return str(ip)
