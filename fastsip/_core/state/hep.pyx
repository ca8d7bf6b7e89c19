"""Messages on their way to a collector: HEP3, the Homer Encapsulation Protocol, one UDP datagram a message.

    "HEP3", length of all (16 bits); then chunks of vendor 0, type, length with these six bytes (16 bits each), value:
    1 family 2 or 10, 2 protocol 17, 7 and 8 ports, 9 seconds, 10 microseconds, 11 type 1 = SIP, 12 id of who captured,
    3 and 4 IPv4 or 5 and 6 IPv6 source and target, 14 key, 15 message, 17 correlation id, 19 node

as sipcapture's "HEP/EEP Network Protocol Specification", revision 12, has them; all in network byte order, and in the
order of its own programs, since some that read them know no other.  Both legs of a call have the same correlation id,
its Call-ID, which the router keeps; a message that has none that can be used has no chunk 17.

Lossy by design: the socket neither waits nor is asked again, and a collector that is dead or refuses costs no more than
one that listens.  A message is copied when it is queued: what was received lies in buffers that the next batch takes,
and a copy costs a twentieth of the datagram that it goes into.

What a datagram costs is the way through the kernel.  So those of about one size go it together and are cut apart behind
it (UDP_SEGMENT, udp(7)): they are filled to the same size by a chunk of vendor 0xFFFF, which nobody reads.  Where the
kernel or the network cannot do that, each goes by itself.

A collector that is a listener of SIP gets what its router would copy again, and again with the copies in it: so what
is HEP3 itself is never queued (state/mirror), and no router takes it for SIP (proxy/requests).

Must never: wait, retry, or send what is HEP3 already.
"""

cimport cython
from libc.errno cimport EAGAIN, EINTR, EINVAL, EIO, EMSGSIZE, ENOBUFS, errno
from libc.stdint cimport uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from fastsip._core.base.address cimport addr_t
from fastsip._core.base.check cimport check
from fastsip._core.base.types cimport MAX_TOKEN
from fastsip._core.transport.net_sys cimport MSG_DONTWAIT, MSG_NOSIGNAL, sendmmsg

cdef extern from "<netinet/udp.h>" nogil:
    int SOL_UDP, UDP_SEGMENT

cdef enum:
    CHUNK_HEAD = 6
    FIRST_BYTES = 6         # "HEP3" and the length
    # All but the message at most: addresses of IPv6, texts, a Call-ID, the heads of its chunk and of the message's.
    MOST_HEAD = (FIRST_BYTES + 3 * 7 + 2 * 8 + 3 * 10 + 2 * 22 + 2 * (CHUNK_HEAD + MOST_HEP_TEXT)
                 + 2 * CHUNK_HEAD + MAX_TOKEN)
    CLASS_BYTES = 128       # what is to be cut has one of these sizes: a twentieth more on the wire
    CLASSES = 12
    MOST_CUT = (CLASSES - 1) * CLASS_BYTES  # of each: 1,408 bytes fit into an Ethernet frame, with IPv6, too
    MOST_CUTS = 44          # of one: MOST_CUT times that is less than a datagram may have, and 64 the kernel's bound
    FILLING = 0xFFFF        # vendor and type

LONGEST_DATAGRAM = MOST_HEP
LONGEST_TEXT = MOST_HEP_TEXT
HEP_BYTES = sizeof(hep_t)       # of each shard

assert MOST_HEAD < 2048 and MOST_HEP + CLASS_BYTES <= HEP_ARENA and MOST_CUTS * MOST_CUT < MOST_HEP


# ---------------------------------------------------------------- chunks

cdef inline char *put16(char *out, uint32_t value) noexcept nogil:
    out[0] = <char>(value >> 8)
    out[1] = <char>value
    return out + 2


cdef inline char *put32(char *out, uint32_t value) noexcept nogil:
    return put16(put16(out, value >> 16), value & 0xFFFF)


cdef inline char *put_chunk(char *out, uint32_t kind, uint32_t len) noexcept nogil:
    """The head of a chunk of so many bytes."""
    check(len + CHUNK_HEAD <= 0xFFFF)
    return put16(put16(put16(out, 0), kind), len + CHUNK_HEAD)


cdef inline char *put_byte(char *out, uint32_t kind, char value) noexcept nogil:
    out = put_chunk(out, kind, 1)
    out[0] = value
    return out + 1


cdef inline char *put_port(char *out, uint32_t kind, uint16_t port) noexcept nogil:
    return put16(put_chunk(out, kind, 2), port)


cdef inline char *put_number(char *out, uint32_t kind, uint32_t value) noexcept nogil:
    return put32(put_chunk(out, kind, 4), value)


cdef inline char *put_bytes(char *out, uint32_t kind, const void *at, uint32_t len) noexcept nogil:
    out = put_chunk(out, kind, len)
    memcpy(out, at, len)
    return out + len


cdef inline char *put_all(char *out, const char *chunk, uint32_t len) noexcept nogil:
    memcpy(out, chunk, len)
    return out + len


cdef char *put_datagram(char *start, hep_t *hep, const addr_t *source, const addr_t *target, uint64_t when_ns,
                        const char *call_id, uint32_t call_id_len, const char *at, uint32_t len) noexcept nogil:
    """Its end.  Of two families, which no socket sends between, both addresses are written as IPv6 has them."""
    cdef bint is_v4 = source.family == 4 and target.family == 4
    cdef char *out = put_byte(start + FIRST_BYTES, 1, 2 if is_v4 else 10)
    check(call_id_len <= MAX_TOKEN)
    out = put_byte(out, 2, 17)
    out = put_port(put_port(out, 7, source.port), 8, target.port)
    out = put_number(out, 9, <uint32_t>(when_ns // 1000000000))
    out = put_number(out, 10, <uint32_t>(when_ns % 1000000000 // 1000))
    out = put_number(put_byte(out, 11, 1), 12, hep.agent)
    if is_v4:
        out = put_bytes(put_bytes(out, 3, &source.ip[12], 4), 4, &target.ip[12], 4)
    else:
        out = put_bytes(put_bytes(out, 5, source.ip, 16), 6, target.ip, 16)
    out = put_all(out, hep.key, hep.key_len)
    out = put_bytes(out, 15, at, len)
    if call_id != NULL:
        out = put_bytes(out, 17, call_id, call_id_len)
    out = put_all(out, hep.node, hep.node_len)
    check(out - start <= len + MOST_HEAD)
    memcpy(start, b"HEP3", 4)
    put16(start + 4, <uint32_t>(out - start))
    return out


# ---------------------------------------------------------------- waiting

cdef uint32_t class_of(uint32_t len) noexcept nogil:
    """What fills has a head of its own, or is not there."""
    cdef uint32_t size_class = (len + CLASS_BYTES - 1) // CLASS_BYTES
    cdef uint32_t left = size_class * CLASS_BYTES - len
    if 0 < left < CHUNK_HEAD:
        size_class += 1
    return size_class if size_class < CLASSES else 0


cdef void queue_hep(hep_t *hep, const addr_t *source, const addr_t *target, uint64_t when_ns, const char *call_id,
                    uint32_t call_id_len, const char *at, uint32_t len) noexcept nogil:
    cdef uint32_t kept = min(len, <uint32_t>(MOST_HEP - MOST_HEAD))
    cdef waiting_hep_t *one
    check(not is_hep(at, len))
    if hep.count == HEP_BATCH or hep.used + MOST_HEAD + kept + 2 * CLASS_BYTES > HEP_ARENA:
        send_hep(hep)
    check(hep.used + MOST_HEAD + kept + 2 * CLASS_BYTES <= HEP_ARENA)
    one = &hep.waiting[hep.count]
    one.at = hep.arena + hep.used
    one.len = <uint32_t>(put_datagram(one.at, hep, source, target, when_ns, call_id, call_id_len, at, kept) - one.at)
    one.size_class = class_of(one.len) if hep.cuts else 0
    hep.count += 1
    hep.used += (max(one.len, one.size_class * CLASS_BYTES) + 63) & ~<uint32_t>63


cdef void fill(waiting_hep_t *one, uint32_t size) noexcept nogil:
    """Up to the size of its class."""
    cdef char *out = one.at + one.len
    cdef uint32_t left = size - one.len
    check(left < CLASS_BYTES + CHUNK_HEAD)
    if left:
        check(left >= CHUNK_HEAD)
        memset(put16(put16(put16(out, FILLING), FILLING), left), 0, left - CHUNK_HEAD)
    put16(one.at + 4, size)
    one.len = size


# ---------------------------------------------------------------- sending

cdef void set_header(hep_t *hep, uint32_t header, uint32_t part, uint32_t count, uint32_t size) noexcept nogil:
    """One send of so many parts: each of that size, if there are several."""
    check(count > 0)
    check(count <= MOST_CUTS)
    check(part + count <= HEP_BATCH)
    hep.headers[header].msg_hdr.msg_iov = &hep.parts[part]
    hep.headers[header].msg_hdr.msg_iovlen = count
    hep.headers[header].msg_hdr.msg_control = NULL
    hep.headers[header].msg_hdr.msg_controllen = 0
    if count > 1:
        hep.sizes[header].size = <uint16_t>size
        hep.headers[header].msg_hdr.msg_control = &hep.sizes[header]
        hep.headers[header].msg_hdr.msg_controllen = sizeof(segment_size_t)


cdef uint32_t arrange(hep_t *hep) noexcept nogil:
    """Those of one class together, in their order; how many sends it takes."""
    cdef uint32_t counts[CLASSES]
    cdef uint32_t places[CLASSES]
    cdef uint32_t i, c, count
    cdef uint32_t part = 0
    cdef uint32_t headers = 0
    cdef waiting_hep_t *one
    memset(counts, 0, sizeof(counts))
    for i in range(hep.count):
        counts[hep.waiting[i].size_class] += 1
    for c in range(<uint32_t>CLASSES):
        places[c] = part
        part += counts[c]
    for i in range(hep.count):
        one = &hep.waiting[i]
        c = one.size_class
        if c and counts[c] > 1:
            fill(one, c * CLASS_BYTES)
        hep.parts[places[c]].iov_base = one.at
        hep.parts[places[c]].iov_len = one.len
        places[c] += 1
    part = 0
    for c in range(<uint32_t>CLASSES):
        while part < places[c]:
            count = min(places[c] - part, <uint32_t>MOST_CUTS) if c else 1
            set_header(hep, headers, part, count, c * CLASS_BYTES)
            part += count
            headers += 1
    check(part == hep.count)
    return headers


cdef uint32_t take_apart(hep_t *hep, uint32_t first) noexcept nogil:
    """From this send on each goes by itself, and so in future; how many sends that are."""
    cdef uint32_t part = <uint32_t>(hep.headers[first].msg_hdr.msg_iov - hep.parts)
    cdef uint32_t i
    check(part < hep.count)
    hep.cuts = False
    for i in range(hep.count - part):
        set_header(hep, i, part + i, 1, 0)
    return hep.count - part


cdef inline bint is_full(int code) noexcept nogil:
    """No buffer is free: neither would the next one be taken."""
    return code == EAGAIN or code == ENOBUFS


cdef inline bint cannot_cut(int code) noexcept nogil:
    """The kernel does not know how, or what lies on the way does not bear the size."""
    return code == EINVAL or code == EIO or code == EMSGSIZE


cdef void send_hep(hep_t *hep) noexcept nogil:
    """A failure is of the datagram before, as ICMP says, or of its own; either way this one is lost."""
    cdef uint32_t at = 0
    cdef uint32_t end = arrange(hep)
    cdef uint32_t i
    cdef int sent
    while at < end:
        sent = sendmmsg(hep.fd, &hep.headers[at], end - at, MSG_DONTWAIT | MSG_NOSIGNAL)
        if sent > 0:
            for i in range(at, at + sent):
                hep.sent += hep.headers[i].msg_hdr.msg_iovlen
            at += sent
        elif is_full(errno):
            for i in range(at, end):
                hep.lost += hep.headers[i].msg_hdr.msg_iovlen
            break
        elif hep.headers[at].msg_hdr.msg_iovlen > 1 and cannot_cut(errno):
            end = take_apart(hep, at)
            at = 0
        elif errno != EINTR:
            hep.lost += hep.headers[at].msg_hdr.msg_iovlen
            at += 1
    hep.count = 0
    hep.used = 0


@cython.final
cdef class Hep:
    """Hep(socket, share, agent, node, key): for one shard.

    socket: of UDP, connected to the collector; kept open as long as this lives.  share: 0 to 1, of all calls.
    agent: 32 bits.  node and key: at most LONGEST_TEXT bytes, b"" = none.  ValueError for others.
    """

    def __cinit__(self):
        self.hep = <hep_t *>calloc(1, sizeof(hep_t))
        if self.hep == NULL:
            raise MemoryError("no memory for what goes to a collector")

    def __init__(self, socket, double share, uint32_t agent, bytes node not None, bytes key not None):
        cdef hep_t *hep = self.hep
        cdef int i
        if not 0 <= share <= 1:
            raise ValueError(f"a share is from 0 to 1, not {share}")
        if max(len(node), len(key)) > LONGEST_TEXT:
            raise ValueError(f"a node's name and a key have at most {LONGEST_TEXT} bytes")
        self.socket = socket
        hep.fd = socket.fileno()
        hep.share = <uint64_t>round(share * <double>(<uint64_t>1 << 32))
        hep.agent, hep.cuts = agent, True
        if key:
            hep.key_len = <uint32_t>(put_bytes(hep.key, 14, <const char *>key, <uint32_t>len(key)) - hep.key)
        if node:
            hep.node_len = <uint32_t>(put_bytes(hep.node, 19, <const char *>node, <uint32_t>len(node)) - hep.node)
        for i in range(HEP_BATCH):
            hep.sizes[i].len = sizeof(size_t) + 2 * sizeof(int) + sizeof(uint16_t)
            hep.sizes[i].level, hep.sizes[i].kind = SOL_UDP, UDP_SEGMENT

    def __dealloc__(self):
        free(self.hep)

    @property
    def cuts(self) -> bool:
        """Do many datagrams go through the kernel as one, as far as is known?"""
        return bool(self.hep.cuts)

    def send(self) -> tuple:
        """send_hep, as tests see it: (sent, lost) since the last time."""
        send_hep(self.hep)
        counted = self.hep.sent, self.hep.lost
        self.hep.sent = self.hep.lost = 0
        return counted
