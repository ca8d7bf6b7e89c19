"""Messages on their way to a collector: HEP3, the Homer Encapsulation Protocol, one UDP datagram a message.

    "HEP3", length of all (16 bits); then chunks of vendor 0, type, length with these six bytes (16 bits each), value:
    1 family 2 or 10, 2 protocol 17, 3 and 4 IPv4 or 5 and 6 IPv6 source and target, 7 and 8 their ports,
    9 seconds, 10 microseconds, 11 type 1 = SIP, 12 id of who captured, 14 key, 15 message, 17 correlation id, 19 node

as sipcapture's "HEP/EEP Network Protocol Specification", revision 12, has it; all in network byte order.  Both legs of
a call have the same correlation id, its Call-ID, which the router keeps.

Lossy by design: the socket neither waits nor is asked again, and a collector that is dead or refuses costs as much as
one that listens.  A message is copied when it is queued: what was received lies in buffers that the next batch takes,
and a copy costs a twentieth of the datagram that it goes into.

Must never: wait, retry, or send what has no Call-ID.
"""

cimport cython
from libc.errno cimport EAGAIN, EINTR, ENOBUFS, errno
from libc.stdint cimport uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

from fastsip._core.base.address cimport addr_t
from fastsip._core.base.check cimport check
from fastsip._core.base.types cimport MAX_TOKEN
from fastsip._core.transport.net_sys cimport MSG_DONTWAIT, MSG_NOSIGNAL, sendmmsg

cdef enum:
    CHUNK_HEAD = 6
    FIRST_BYTES = 6             # "HEP3" and the length
    # Before the message at most: addresses of IPv6, times, the same chunks, a Call-ID, the head of the message's chunk.
    MOST_HEAD = FIRST_BYTES + 2 * 7 + 2 * 22 + 2 * 8 + 2 * 10 + MOST_SAME + CHUNK_HEAD + MAX_TOKEN + CHUNK_HEAD

LONGEST_DATAGRAM = MOST_HEP
LONGEST_TEXT = 255              # bytes of a node's name, of a key

assert MOST_HEAD < 2048 and MOST_HEP <= HEP_ARENA


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


cdef inline char *put_number(char *out, uint32_t kind, uint32_t value) noexcept nogil:
    return put32(put_chunk(out, kind, 4), value)


cdef inline char *put_port(char *out, uint32_t kind, uint16_t port) noexcept nogil:
    return put16(put_chunk(out, kind, 2), port)


cdef inline char *put_bytes(char *out, uint32_t kind, const void *at, uint32_t len) noexcept nogil:
    out = put_chunk(out, kind, len)
    memcpy(out, at, len)
    return out + len


cdef char *put_addresses(char *out, const addr_t *source, const addr_t *target) noexcept nogil:
    """Of two families, which no socket sends between, both are written as IPv6 has them."""
    cdef bint is_v4 = source.family == 4 and target.family == 4
    out = put_chunk(out, 1, 1)
    out[0] = 2 if is_v4 else 10
    out = put_chunk(out + 1, 2, 1)
    out[0] = 17
    if is_v4:
        out = put_bytes(out + 1, 3, &source.ip[12], 4)
        out = put_bytes(out, 4, &target.ip[12], 4)
    else:
        out = put_bytes(out + 1, 5, source.ip, 16)
        out = put_bytes(out, 6, target.ip, 16)
    return put_port(put_port(out, 7, source.port), 8, target.port)


cdef void queue_hep(hep_t *hep, const addr_t *source, const addr_t *target, uint64_t when_ns, const char *call_id,
                    uint32_t call_id_len, const char *at, uint32_t len) noexcept nogil:
    cdef char *start
    cdef char *out
    cdef uint32_t kept = min(len, <uint32_t>(MOST_HEP - MOST_HEAD))
    check(call_id_len <= MAX_TOKEN)
    if hep.count == HEP_BATCH or hep.used + MOST_HEAD + kept > HEP_ARENA:
        send_hep(hep)
    check(hep.used + MOST_HEAD + kept <= HEP_ARENA)
    start = hep.arena + hep.used
    out = put_addresses(start + FIRST_BYTES, source, target)
    out = put_number(out, 9, <uint32_t>(when_ns // 1000000000))
    out = put_number(out, 10, <uint32_t>(when_ns % 1000000000 // 1000))
    memcpy(out, hep.same, hep.same_len)
    out = put_bytes(out + hep.same_len, 17, call_id, call_id_len)
    out = put_bytes(out, 15, at, kept)
    memcpy(start, b"HEP3", 4)
    put16(start + 4, <uint32_t>(out - start))
    hep.parts[hep.count].iov_base = start
    hep.parts[hep.count].iov_len = out - start
    hep.count += 1
    hep.used += (<uint32_t>(out - start) + 63) & ~<uint32_t>63


cdef inline bint is_full(int code) noexcept nogil:
    """No buffer is free: neither would the next one be taken."""
    return code == EAGAIN or code == ENOBUFS


cdef void send_hep(hep_t *hep) noexcept nogil:
    """Each failure but an interruption costs a datagram: of the one before it, as ICMP says, or of its own."""
    cdef uint32_t at = 0
    cdef int sent
    check(hep.count <= HEP_BATCH)
    while at < hep.count:
        sent = sendmmsg(hep.fd, &hep.headers[at], hep.count - at, MSG_DONTWAIT | MSG_NOSIGNAL)
        if sent > 0:
            at += sent
            hep.sent += sent
        elif is_full(errno):
            hep.lost += hep.count - at
            break
        elif errno != EINTR:
            hep.lost += 1
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
        cdef char *out = self.hep.same
        cdef int i
        if not 0 <= share <= 1:
            raise ValueError(f"a share is from 0 to 1, not {share}")
        if max(len(node), len(key)) > LONGEST_TEXT:
            raise ValueError(f"a node's name and a key have at most {LONGEST_TEXT} bytes")
        self.socket = socket
        self.hep.fd = socket.fileno()
        self.hep.share = <uint64_t>round(share * <double>(<uint64_t>1 << 32))
        out = put_chunk(out, 11, 1)
        out[0] = 1
        out = put_number(out + 1, 12, agent)
        if key:
            out = put_bytes(out, 14, <const char *>key, <uint32_t>len(key))
        if node:
            out = put_bytes(out, 19, <const char *>node, <uint32_t>len(node))
        self.hep.same_len = <uint32_t>(out - self.hep.same)
        for i in range(HEP_BATCH):
            self.hep.headers[i].msg_hdr.msg_iov = &self.hep.parts[i]
            self.hep.headers[i].msg_hdr.msg_iovlen = 1

    def __dealloc__(self):
        free(self.hep)

    def send(self) -> tuple:
        """send_hep, as tests see it: (sent, lost) since the last time."""
        send_hep(self.hep)
        counted = self.hep.sent, self.hep.lost
        self.hep.sent = self.hep.lost = 0
        return counted
