"""What a shard shows of the messages that it receives and sends, and to whom: those who look, and a collector.

A View says it; a shard that nobody looks at has none, and asks one pointer per message.  The control plane makes
another View for each change and swaps it as it does tables (shard/loop), so nothing here changes or is freed while
a shard reads it; but for the ring and what waits for the collector, which the shard alone writes and one View hands
on to the next.

A sender chooses the Call-ID, and so may choose to be in a sample or out of it.  One that is empty, or longer than may
be, is none.  A collector gets what has a start line of SIP, right or wrong, and nothing else.

Must never: wait, or judge a message.
"""

import ipaddress

cimport cython
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

from fastsip._core.base.types cimport MAX_HEAD, MAX_TOKEN, OK, span_t
from fastsip._core.base.address cimport addr_t
from fastsip._core.base.check cimport check
from fastsip._core.base.clock cimport unix_ns
from fastsip._core.base.hashing cimport hash_text
from fastsip._core.sip.parser cimport has_start_line, most_read, scan_call_id
from fastsip._core.state.hep cimport Hep, hep_t, is_hep, queue_hep
from fastsip._core.state.mirror_ring cimport SEEN_RECEIVED, SEEN_SENT, MirrorRing, put_sighting

MOST_AT_ONCE = MOST_LOOKS
LONGEST_CALL_ID = MAX_TOKEN

# Never to be changed: nodes of two releases, and who reads what they sampled, agree by it.
cdef uint64_t[2] SAMPLE_KEY = [0x454C504D41535346, 0x31454E4F454E4F44]
cdef uint64_t EVERY_CALL = <uint64_t>1 << 32


cdef uint32_t sample_of(const char *call_id, uint32_t len) noexcept nogil:
    return <uint32_t>(hash_text(SAMPLE_KEY, call_id, len) >> 32)


def place_in_sample(bytes call_id not None) -> float:
    """From 0 to below 1: a call is in each sample whose share is above that."""
    return <double>sample_of(call_id, <uint32_t>len(call_id)) / <double>EVERY_CALL


cdef bint is_named(const looks_t *looks, const char *call_id, uint32_t len) noexcept nogil:
    cdef uint32_t i
    check(looks.call_count <= MOST_LOOKS)
    for i in range(looks.call_count):
        if looks.call_lens[i] == len and memcmp(looks.calls[i], call_id, len) == 0:
            return True
    return False


cdef bint is_peer(const looks_t *looks, const addr_t *peer) noexcept nogil:
    cdef uint32_t i
    check(looks.peer_count <= MOST_LOOKS)
    for i in range(looks.peer_count):
        if memcmp(looks.peers[i], peer.ip, 16) == 0:
            return True
    return False


cdef inline bint asks_for_calls(const looks_t *looks) noexcept nogil:
    """Is there a look that depends on the Call-ID?"""
    return looks.call_count != 0 or 0 < looks.share < EVERY_CALL


cdef bint is_looked_at(const looks_t *looks, const addr_t *peer, const char *call_id, uint32_t len) noexcept nogil:
    """call_id: NULL = none."""
    check(looks.share <= EVERY_CALL)
    if looks.share >= EVERY_CALL or is_peer(looks, peer):
        return True
    return call_id != NULL and (sample_of(call_id, len) < looks.share or is_named(looks, call_id, len))


cdef bint is_for_collector(const hep_t *hep, const char *call_id, uint32_t call_id_len, const char *at, uint32_t len,
                           uint32_t max_head) noexcept nogil:
    if hep.share < EVERY_CALL and (call_id == NULL or sample_of(call_id, call_id_len) >= hep.share):
        return False
    return has_start_line(at, len, max_head) and not is_hep(at, len)


cdef void show_message(const mirror_t *mirror, sighting_kind kind, const addr_t *ours, const addr_t *peer,
                       const char *at, uint32_t len, uint32_t max_head) noexcept nogil:
    """The Call-ID is looked for when somebody asks for it; NULL: it has none, and is in no sample but all there is."""
    cdef uint64_t now_ns = unix_ns()
    cdef hep_t *hep = mirror.hep
    cdef const char *call_id = NULL
    cdef span_t span
    check((at != NULL) | (len == 0))
    span.len = 0
    if (hep != NULL or asks_for_calls(&mirror.looks)) and scan_call_id(at, most_read(len, max_head), &span) == OK:
        call_id = at + span.off if span.len else NULL
    if call_id == NULL:
        span.len = 0
    if mirror.ring != NULL and is_looked_at(&mirror.looks, peer, call_id, span.len):
        put_sighting(mirror.ring, kind, now_ns, ours, peer, at, len)
    if hep != NULL and is_for_collector(hep, call_id, span.len, at, len, max_head):
        queue_hep(hep, peer if kind == SEEN_RECEIVED else ours, ours if kind == SEEN_RECEIVED else peer, now_ns,
                  call_id, span.len, at, len)


@cython.final
cdef class View:
    """View(looks, ring, hep): what is in at least one of the looks goes into the ring, and what is in the sample of
    `hep` to its collector; either may be None.

    looks: at most MOST_AT_ONCE of (kind, value): ("share", 0.0 to 1.0 of all calls; 1.0 is all there is), ("call", the
    bytes of a Call-ID), ("peer", an address as text: what comes from there, and goes there).  ValueError for others.
    """

    def __init__(self, looks, MirrorRing ring, Hep hep=None):
        if len(looks) > MOST_LOOKS:
            raise ValueError(f"{len(looks)} looks: at most {MOST_LOOKS} are possible")
        self.ring, self.hep = ring, hep
        if ring is not None:
            self.mirror.ring = &ring.ring
        if hep is not None:
            self.mirror.hep = hep.hep
        for kind, value in looks:
            if kind == "share":
                self.add_share(value)
            elif kind == "call":
                self.add_call(value)
            elif kind == "peer":
                self.add_peer(value)
            else:
                raise ValueError(f"{kind!r} is no kind of look")

    cdef int add_share(self, share) except -1:
        if not 0 <= share <= 1:
            raise ValueError(f"a share is from 0 to 1, not {share}")
        self.mirror.looks.share = max(self.mirror.looks.share, <uint64_t>round(share * EVERY_CALL))
        return 0

    cdef int add_call(self, bytes call_id) except -1:
        cdef looks_t *all = &self.mirror.looks
        if not 0 < len(call_id) <= MAX_TOKEN:
            raise ValueError(f"a Call-ID of {len(call_id)} bytes: 1 to {MAX_TOKEN} are possible")
        memcpy(all.calls[all.call_count], <const char *>call_id, len(call_id))
        all.call_lens[all.call_count] = <uint32_t>len(call_id)
        all.call_count += 1
        return 0

    cdef int add_peer(self, address) except -1:
        cdef looks_t *all = &self.mirror.looks
        cdef bytes packed = packed_address(address)
        memcpy(all.peers[all.peer_count], <const char *>packed, 16)
        all.peer_count += 1
        return 0

    def show(self, bint received, peer, bytes message not None) -> None:
        """show_message, as tests see it: from or to (host, port); ours is that address with port 0."""
        cdef addr_t ours, other
        cdef bytes packed = packed_address(peer[0])
        memset(&ours, 0, sizeof(ours))
        memcpy(ours.ip, <const char *>packed, 16)
        ours.family = ipaddress.ip_address(peer[0]).version
        other = ours
        other.port = peer[1]
        show_message(&self.mirror, SEEN_RECEIVED if received else SEEN_SENT, &ours, &other, message,
                     <uint32_t>len(message), MAX_HEAD)


def packed_address(text) -> bytes:
    """As addr_t has it; ValueError for what is no numeric address."""
    address = ipaddress.ip_address(text)
    return address.packed if address.version == 6 else bytes(10) + b"\xff\xff" + address.packed
