# cython: boundscheck=True, wraparound=True
"""Conditions of rules: checked when they are given, laid out for the kernels when the table is sealed.

Lists are laid out so that rules can search them by halves: texts are sorted by
their bytes; domains are lower case; of user prefixes none begins with another one
(the longer one says nothing more), so that the only prefix that can fit is the
greatest text that is not above the user.

A header's compact letter (words.COMPACT_FORMS) stands
beside its name: the kernel compares two names, not a list.

Must never: be used on the packet path.
"""

import ipaddress
from collections import namedtuple

from libc.stdint cimport uint16_t, uint32_t
from libc.string cimport memcpy

from fastsip._core.base.types cimport text_t
from fastsip._core.base.arena cimport Arena
from fastsip._core.sip.types cimport H_OTHER, M_OTHER
from fastsip._core.routing.types cimport (
    C_DOMAIN, C_HEADER, C_LISTEN, C_METHOD, C_SOURCE, C_SOURCE_SET, C_TO_TAG, C_USER, C_USER_MATCH, C_USER_PREFIX,
    condition_t, network_t,
)
from fastsip._core.routing.patterns cimport fill_pattern

from fastsip._core.sip.words import COMPACT_FORMS, HEADER_IDS, METHOD_IDS
from fastsip._core.sip.uri import canonical
from fastsip._core.routing.patterns import check_automaton

KINDS = {
    "method": C_METHOD, "user": C_USER, "user_prefix": C_USER_PREFIX, "domain": C_DOMAIN,
    "source": C_SOURCE, "listen": C_LISTEN, "header": C_HEADER, "to_tag": C_TO_TAG,
    "user_match": C_USER_MATCH, "source_set": C_SOURCE_SET,
}

LONG_TO_COMPACT = {name: letter for letter, name in COMPACT_FORMS.items()}

TOKEN = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.!%*_+`'~")
ALLOWED_KEYS = {"kind", "negate", "items", "flag"}


# A checked condition: what fill_condition writes, still as Python objects.
Plan = namedtuple(
    "Plan", "kind negate methods texts networks tags header_id flag compact automaton ports",
    defaults=(0, (), (), (), H_OTHER, False, 0, None, ()),
)


def as_text(item, what):
    """Bytes of a text that is not empty."""
    if isinstance(item, str):
        item = item.encode("utf-8")
    if not isinstance(item, bytes) or not item:
        raise ValueError(f"{what} is a text that is not empty, not {item!r}")
    return item


def as_token(item, what):
    """Bytes of a token (RFC 3261 section 25.1): a method or the name of a header."""
    text = as_text(item, what)
    if not TOKEN.issuperset(text):
        raise ValueError(f"{what} has letters, digits and -.!%*_+`'~ only, not {item!r}")
    return text


def as_user(item, what):
    """Canonical, as the user of a request is when it is compared with it."""
    return canonical(as_text(item, what))


def network_parts(text):
    """(16 bytes of address, prefix length of 128, family) of a network or an address; host bits must be zero."""
    try:
        network = ipaddress.ip_network(text)
    except ValueError as wrong:
        raise ValueError(f"source: {wrong}") from None
    packed = network.network_address.packed
    if network.version == 4:
        return b"\0" * 10 + b"\xff\xff" + packed, network.prefixlen + 96, 4
    return packed, network.prefixlen, 6


def widest_networks(parts):
    """The networks that lie in no other one, sorted by family and address."""
    kept = []
    for packed, bits, family in sorted(set(parts), key=lambda part: (part[2], part[0], part[1])):
        if kept and kept[-1][2] == family:
            last, width, _ = kept[-1]
            low = 128 - width
            if int.from_bytes(packed) >> low == int.from_bytes(last) >> low:
                continue
        kept.append((packed, bits, family))
    return tuple(kept)


def shortest_prefixes(texts):
    """The texts that begin with no other one, sorted: what matches one of all matches one of these."""
    kept = []
    shortest = None
    for text in sorted(set(texts)):
        if shortest is None or not text.startswith(shortest):
            shortest = text
            kept.append(text)
    return tuple(kept)


def plan_methods(items):
    names = [as_token(item, "method") for item in items]
    others = tuple(sorted(name for name in set(names) if name not in METHOD_IDS))
    bits = sum(1 << METHOD_IDS[name] for name in set(names) if name in METHOD_IDS)
    return {"methods": bits | (1 << M_OTHER if others else 0), "texts": others}


def plan_header(items):
    name = as_token(items[0], "header name").lower()
    name = COMPACT_FORMS.get(name, name)
    values = () if items[1:] == [True] else tuple(as_text(item, "header value").strip() for item in items[1:])
    letter = LONG_TO_COMPACT.get(name, b"\0")[0]
    return {"texts": (name, *values), "header_id": HEADER_IDS.get(name, H_OTHER), "flag": not values, "compact": letter}


def plan_numbers(items):
    """Tags by their ids, sets by their indexes."""
    for number in items:
        if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < 2**32:
            raise ValueError(f"listen, source_set: a tag is given by its id, a set by its index, not as {number!r}")
    return {"tags": tuple(sorted(set(items)))}


def plan_domains(items):
    """A host alone means every port of it."""
    places = sorted({(as_host(host, "domain"), port) for host, port in map(as_place, items)})
    return {"texts": tuple(host for host, _ in places), "ports": tuple(port for _, port in places)}


def as_place(item):
    host, port = item if isinstance(item, tuple) else (item, 0)
    if isinstance(port, bool) or not isinstance(port, int) or not 0 <= port <= 65535:
        raise ValueError(f"domain: a port is 0 (any) to 65535, not {port!r}")
    return host, port


def plan_patterns(items):
    if len(items) != 1:
        raise ValueError("user_match: the patterns of one condition make one automaton")
    return {"automaton": check_automaton(items[0])}


PLANNERS = {
    C_METHOD: plan_methods,
    C_USER: lambda items: {"texts": tuple(sorted({as_user(item, "user") for item in items}))},
    C_USER_PREFIX: lambda items: {"texts": shortest_prefixes([as_user(item, "user_prefix") for item in items])},
    C_DOMAIN: plan_domains,
    C_SOURCE: lambda items: {"networks": widest_networks(network_parts(item) for item in items)},
    C_LISTEN: plan_numbers,
    C_HEADER: plan_header,
    C_USER_MATCH: plan_patterns,
    C_SOURCE_SET: plan_numbers,
}


def as_host(item, what):
    """Lower case, no brackets, no final dot; an IPv6 address in its one short form (RFC 5952)."""
    text = as_text(item, what).lower()
    if text.startswith(b"[") and text.endswith(b"]"):
        text = text[1:-1]
    if b":" in text:
        try:
            address = ipaddress.IPv6Address(text.decode("utf-8"))
            return str(address.ipv4_mapped or address).encode()
        except ValueError as wrong:
            raise ValueError(f"{what}: {wrong}; a port is given apart") from None
    return text.removesuffix(b".")


def plan_condition(given):
    """The Plan of a condition given as {"kind", "negate", "items", "flag"}; ValueError says what is wrong.

    items: methods, users, prefixes, domains (a host, or host and port), networks, tag ids, indexes of sets, one
    automaton, or [header, value...];
    flag: the wanted presence for to_tag (default True); a header without values asks for its presence.
    """
    unknown = set(given) - ALLOWED_KEYS
    if unknown:
        allowed = ", ".join(sorted(ALLOWED_KEYS))
        raise ValueError(f"a condition has no {', '.join(sorted(unknown))}; possible are {allowed}")
    kind = KINDS.get(given.get("kind"))
    if kind is None:
        raise ValueError(f"kind is one of {', '.join(KINDS)}, not {given.get('kind')!r}")
    negate = bool(given.get("negate", False))
    items = given.get("items", ())
    if isinstance(items, (str, bytes)):
        raise ValueError(f"{given['kind']}: items is a list, not {items!r}")
    items = list(items)
    if kind == C_TO_TAG:
        return Plan(kind, negate, flag=bool(given.get("flag", items[0] if items else True)))
    if not items:
        raise ValueError(f"{given['kind']}: an empty list matches nothing")
    return Plan(kind, negate, **PLANNERS[kind](items))


cdef int fill_texts(Arena arena, condition_t *condition, tuple texts) except -1:
    cdef Py_ssize_t i
    condition.texts = <text_t *>arena.take(len(texts) + 1, sizeof(text_t))
    for i in range(len(texts)):
        condition.texts[i] = arena.keep(texts[i])
    condition.count = <uint32_t>len(texts)
    return 0


cdef int fill_networks(Arena arena, condition_t *condition, tuple networks) except -1:
    cdef Py_ssize_t i
    condition.networks = <network_t *>arena.take(len(networks), sizeof(network_t))
    for i in range(len(networks)):
        packed, bits, family = networks[i]
        memcpy(condition.networks[i].ip, <const char *>(<bytes>packed), 16)
        condition.networks[i].bits = bits
        condition.networks[i].family = family
    condition.count = <uint32_t>len(networks)
    return 0


cdef int fill_tags(Arena arena, condition_t *condition, tuple tags) except -1:
    cdef Py_ssize_t i
    condition.tags = <uint32_t *>arena.take(len(tags), sizeof(uint32_t))
    for i in range(len(tags)):
        condition.tags[i] = tags[i]
    condition.count = <uint32_t>len(tags)
    return 0


cdef int fill_condition(Arena arena, condition_t *condition, plan) except -1:
    condition.kind = plan.kind
    condition.negate = plan.negate
    condition.methods = plan.methods
    condition.header_id = plan.header_id
    condition.flag = plan.flag
    condition.compact = plan.compact
    if plan.texts:
        fill_texts(arena, condition, plan.texts)
    if plan.ports:
        condition.ports = <uint16_t *>arena.take(len(plan.ports), sizeof(uint16_t))
        for place in range(len(plan.ports)):
            condition.ports[<Py_ssize_t>place] = plan.ports[place]
    if plan.networks:
        fill_networks(arena, condition, plan.networks)
    if plan.tags:
        fill_tags(arena, condition, plan.tags)
    if plan.automaton:
        condition.pattern = fill_pattern(arena, plan.automaton)
        condition.count = 1
    return 0
