"""What the kernels of the routing table answer, as Python calls them in tests."""

from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcpy, memset

from fastsip._core.base.types cimport OK
from fastsip._core.base.address cimport origin_t
from fastsip._core.base.arena cimport Arena
from fastsip._core.sip.types cimport HOST_IPV4, HOST_IPV6, SIP_PORT, message_t, uri_t
from fastsip._core.sip.uri cimport parse_address, parse_uri
from fastsip._core.sip.parser cimport parse_message, parse_routing
from fastsip._core.store.records cimport policy_copy_t
from fastsip._core.routing.types cimport pattern_t, table_t
from fastsip._core.routing.patterns cimport fill_pattern, match_pattern
from fastsip._core.routing.policies cimport policy_mark, policy_wants
from fastsip._core.routing.table cimport RoutingTable
from fastsip._core.routing.rules cimport is_own, match_each, match_rules, subject_t

from fastsip._core.routing.patterns import check_automaton
from fastsip._core.routing.policies import MARKS, REASONS


def match(RoutingTable table not None, bytes text not None, source="192.0.2.99", listener=0, port=SIP_PORT,
          by_key=True):
    """Index of the rule that this request meets, or None; ValueError if it cannot be read.

    by_key=False: each rule is asked, one after the other, whatever index there is.
    """
    cdef const table_t *sealed = table.sealed_table()
    cdef message_t m
    cdef uri_t ruri
    cdef origin_t origin
    cdef bytes peer = source.encode("ascii")
    cdef uint8_t kind = HOST_IPV6 if b":" in peer else HOST_IPV4
    cdef bint asks_each = not by_key
    cdef subject_t subject
    cdef int found
    if parse_message(text, <uint32_t>len(text), &m) != OK or parse_routing(&m) != OK:
        raise ValueError("not a SIP request")
    if parse_uri(m.buf, m.ruri.off, m.ruri.len, &ruri) != OK:
        raise ValueError("not a URI that is routed")
    memset(&origin, 0, sizeof(origin))
    origin.listener = listener
    if parse_address(peer, <uint32_t>len(peer), kind, port, &origin.flow.remote) != OK:
        raise ValueError(f"not an address: {source!r}")
    subject.table, subject.m, subject.ruri, subject.origin = sealed, &m, &ruri, &origin
    subject.host_len, subject.user.at = -1, NULL
    with nogil:
        found = match_each(sealed, &subject) if asks_each else match_rules(sealed, &m, &ruri, &origin)
    return found if found >= 0 else None


def own(RoutingTable table not None, bytes host not None, port=0):
    """Is host:port one of the table's own?"""
    return bool(is_own(table.sealed_table(), host, <uint32_t>len(host), port))


cdef int unpack(bytes packed, policy_copy_t *copy) except -1:
    if len(packed) != sizeof(policy_copy_t):
        raise ValueError(f"a packed policy has {sizeof(policy_copy_t)} bytes, not {len(packed)}")
    memcpy(copy, <const char *>packed, sizeof(policy_copy_t))
    return 0


def wants(packed: bytes, reason: str = "", code: int = 0) -> bool:
    """What the kernels answer: does `on` contain this reason (or, without one, this code)?"""
    cdef policy_copy_t copy
    unpack(packed, &copy)
    return policy_wants(&copy, REASONS[reason] if reason else 0, code)


def mark_for(packed: bytes, reason: str = "", code: int = 0) -> str:
    """The word that the kernels' mark_id stands for."""
    cdef policy_copy_t copy
    unpack(packed, &copy)
    wanted = policy_mark(&copy, REASONS[reason] if reason else 0, code)
    return next(word for word, number in MARKS.items() if number == wanted)


def is_found(automaton, bytes text not None) -> bool:
    """What the kernel answers, for tests."""
    cdef Arena arena = Arena()
    cdef pattern_t *pattern = fill_pattern(arena, check_automaton(automaton))
    return match_pattern(pattern, text, <uint32_t>len(text))
