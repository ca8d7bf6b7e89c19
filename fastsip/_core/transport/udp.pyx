"""Sockets of one shard: receive in batches, send in batches, judge errors.

The rules of errno (measured on Linux): with IP_RECVERR on, an ICMP error for one
destination makes the *next* send or receive on the socket fail, whoever it is
for, and in a SO_REUSEPORT group it may surface at a socket that sent nothing.
So an errno is never evidence against a destination: drain the error queue, send
the same message again, and only a second failure in a row is the message's own.

It must never: take the GIL or allocate in a kernel; let one message's failure
reach another; change the order of messages to one listener; close a socket,
which belongs to whoever opened it.

RFC 3261 section 18 (transport over UDP), 18.1.1 (datagrams up to 65,535 bytes).
"""

import ipaddress
import os
import socket

cimport cython
from libc.errno cimport EAGAIN, ECONNREFUSED, EINTR, EMSGSIZE, ENOBUFS, ENOMEM, errno
from libc.stdint cimport int32_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset
from posix.mman cimport MAP_ANONYMOUS, MAP_FAILED, MAP_NORESERVE, MAP_PRIVATE, PROT_READ, PROT_WRITE, mmap, munmap
from posix.unistd cimport close, read

from fastsip._core.base.types cimport MAX_LISTENERS, MAX_MESSAGE
from fastsip._core.base.check cimport check
from fastsip._core.base.address cimport T_UDP, addr_t, is_well_formed
from fastsip._core.base.scarcity cimport SCARCE_OUTBOX, runs_short
from fastsip._core.transport.net_sys cimport (
    AF_INET, AF_INET6, EPOLLERR, EPOLLHUP, EPOLLIN, EPOLL_CLOEXEC, EPOLL_CTL_ADD, MSG_DONTWAIT, MSG_ERRQUEUE,
    MSG_NOSIGNAL, MSG_TRUNC, NET_CONTROL_BYTES, SOL_SOCKET, SO_ERROR, epoll_create1, epoll_ctl, epoll_event, epoll_wait,
    getsockopt, htons, iovec, mmsghdr, msghdr, net_drop_counter, net_icmp_errno, ntohs, recvmmsg, recvmsg, sendmmsg,
    sockaddr_in, sockaddr_in6, socklen_t,
)

from fastsip._core.transport.listen import OpenedListener, open_listener

__all__ = ["Net", "OpenedListener", "open_listener"]

cdef enum:
    SLOT_BYTES = 4160           # 4 KiB + 64: a power of two puts all first lines into the same cache sets
    LARGE_BYTES = 69632         # 17 pages: 65,535 bytes and what wide loads read behind them
    QUOTED_BYTES = 2048         # of a datagram that an error-queue entry quotes
    DRAIN_AT_MOST = 1024        # entries at once: a millisecond; what is left is read before the next use
    RECEIVE_ATTEMPTS = 4        # of one receive_batch, when errors are pending
    SEND_ATTEMPTS = 2           # of one message: the second failure is its own
    REFUSALS_BORNE = 8          # of other messages, while one is being sent
    EVENT_FD = 0xFFFFFFFF       # in place of a listener in the epoll
    NO_FAMILY = 255             # every socket refuses it

# One mapping; the pages of `large` stay untouched until a datagram needs them.
# A slot's second part points 4,160 bytes into its large place, so that a large
# datagram is made contiguous by copying its first 4,160 bytes only.
cdef struct buffers_t:
    mmsghdr receive[RECEIVE_BATCH]
    iovec receive_parts[2 * RECEIVE_BATCH]
    sockaddr_in6 sources[RECEIVE_BATCH]
    uint64_t control[RECEIVE_BATCH][4]  # NET_CONTROL_BYTES each; a cmsghdr begins where a long may
    mmsghdr send[SEND_BATCH]
    iovec send_parts[SEND_BATCH]
    sockaddr_in6 targets[SEND_BATCH]
    uint32_t flushed_count      # of the outbox, already sent or judged
    uint8_t quoted[QUOTED_BYTES]
    uint64_t quoted_control[64]
    sockaddr_in6 quoted_target
    char *slots
    char *large
    uint64_t mapped_bytes


# ---------------------------------------------------------------- addresses

cdef void read_source(const sockaddr_in6 *source, uint8_t family, addr_t *addr) noexcept nogil:
    cdef const sockaddr_in *v4 = <const sockaddr_in *>source
    memset(addr, 0, sizeof(addr_t))
    addr.family = family
    addr.transport = T_UDP
    addr.port = ntohs(source.sin6_port)     # stands at the same place in both
    if family == 4:
        addr.ip[10] = addr.ip[11] = 0xFF
        memcpy(&addr.ip[12], &v4.sin_addr, 4)
    else:
        memcpy(addr.ip, &source.sin6_addr, 16)
        addr.scope = source.sin6_scope_id
    check(is_well_formed(addr))


cdef socklen_t write_target(const addr_t *addr, sockaddr_in6 *target) noexcept nogil:
    """The length of the name.  An address that is none gets a family that the socket refuses."""
    cdef sockaddr_in *v4 = <sockaddr_in *>target
    target.sin6_port = htons(addr.port)
    if addr.family == 4:
        v4.sin_family = AF_INET
        memcpy(&v4.sin_addr, &addr.ip[12], 4)
        return sizeof(sockaddr_in)
    target.sin6_family = AF_INET6 if addr.family == 6 else NO_FAMILY
    target.sin6_flowinfo = 0
    memcpy(&target.sin6_addr, addr.ip, 16)
    target.sin6_scope_id = addr.scope
    return sizeof(sockaddr_in6)


# ---------------------------------------------------------------- waiting

cdef void keep_error(net_t *net, msghdr *entry, ssize_t size, uint32_t listener) noexcept nogil:
    cdef buffers_t *buffers = <buffers_t *>net.buffers
    cdef net_error_t *error = &net.errors[net.error_count]
    cdef uint32_t code = net_icmp_errno(entry)
    check(net.error_count <= ERROR_BATCH)
    if code == 0 or net.error_count >= ERROR_BATCH:
        return
    read_source(&buffers.quoted_target, net.family[listener], &error.to)
    error.code = code
    error.quote_len = <uint32_t>min(size, QUOTE_BYTES)
    memcpy(error.quote, buffers.quoted, error.quote_len)
    net.error_count += 1


cdef int drain_errors(net_t *net, uint32_t listener) noexcept nogil:
    """What ICMP said is kept in net.errors, as far as there is room; the rest timers find out."""
    cdef buffers_t *buffers = <buffers_t *>net.buffers
    cdef int fd = net.fds[listener]
    cdef int pending = 0
    cdef socklen_t pending_len = sizeof(pending)
    cdef int drained = 0
    cdef ssize_t size
    cdef iovec part
    cdef msghdr entry
    check(listener < net.socket_count)
    memset(&entry, 0, sizeof(entry))
    part.iov_base = buffers.quoted
    part.iov_len = QUOTED_BYTES
    entry.msg_iov = &part
    entry.msg_iovlen = 1
    entry.msg_name = &buffers.quoted_target
    entry.msg_control = buffers.quoted_control
    while drained < DRAIN_AT_MOST:
        entry.msg_namelen = sizeof(buffers.quoted_target)
        entry.msg_controllen = sizeof(buffers.quoted_control)
        size = recvmsg(fd, &entry, MSG_ERRQUEUE | MSG_DONTWAIT)
        if size < 0:
            break
        drained += 1
        keep_error(net, &entry, size, listener)
    # A queue that found no memory leaves only the socket's error behind; reading clears it.
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &pending, &pending_len)
    net.error[listener] = drained == DRAIN_AT_MOST
    net.counters.error_queue += drained
    return drained


cdef int wait_ready(net_t *net, int timeout_ms) noexcept nogil:
    cdef epoll_event events[MAX_LISTENERS + 1]  # and the eventfd
    cdef uint64_t wakes
    cdef uint32_t listener
    cdef int found, i
    cdef int ready = 0
    memset(net.ready, 0, sizeof(net.ready))
    net.eventfd_ready = 0
    net.counters.waits += timeout_ms != 0
    found = epoll_wait(net.epoll_fd, events, MAX_LISTENERS + 1, timeout_ms)
    for i in range(found):                  # -1 after a signal
        listener = events[i].data.u32
        if listener == EVENT_FD:
            net.eventfd_ready = read(net.event_fd, &wakes, sizeof(wakes)) == sizeof(wakes)
            continue
        check(listener < net.socket_count)      # what `watch` put there
        if events[i].events & <uint32_t>(EPOLLERR | EPOLLHUP):
            drain_errors(net, listener)     # unread, it would spin
        if events[i].events & <uint32_t>EPOLLIN:
            net.ready[listener] = 1
            ready += 1
    return ready


# ---------------------------------------------------------------- receiving

cdef int receive_past_errors(net_t *net, uint32_t listener, int most) noexcept nogil:
    """A pending ICMP error fails recvmmsg although datagrams wait: drain it, look again."""
    cdef buffers_t *buffers = <buffers_t *>net.buffers
    cdef int _, count
    check(most <= RECEIVE_BATCH)
    for _ in range(RECEIVE_ATTEMPTS):
        net.counters.receive_calls += 1
        count = recvmmsg(net.fds[listener], buffers.receive, most, MSG_DONTWAIT, NULL)
        if count >= 0:
            return count
        if errno == EAGAIN:
            return 0
        if errno != EINTR:
            net.counters.receive_errors += 1
            drain_errors(net, listener)
    return 0


cdef inline void read_datagram(net_t *net, uint32_t listener, int i) noexcept nogil:
    cdef buffers_t *buffers = <buffers_t *>net.buffers
    cdef mmsghdr *slot = &buffers.receive[i]
    cdef datagram_t *datagram = &net.batch[i]
    cdef char *large
    check(i < RECEIVE_BATCH)
    datagram.at = buffers.slots + <size_t>i * SLOT_BYTES
    datagram.len = slot.msg_len
    datagram.origin.listener = listener
    datagram.truncated = (slot.msg_hdr.msg_flags & MSG_TRUNC) != 0
    if slot.msg_len > SLOT_BYTES:
        large = buffers.large + <size_t>i * LARGE_BYTES
        memcpy(large, datagram.at, SLOT_BYTES)
        datagram.at = large
    read_source(&buffers.sources[i], net.family[listener], &datagram.origin.flow.remote)
    # The kernel wrote how much it used of both; the next batch wants all again.
    slot.msg_hdr.msg_namelen = sizeof(sockaddr_in6)
    slot.msg_hdr.msg_controllen = NET_CONTROL_BYTES
    net.counters.received_bytes += slot.msg_len


cdef inline void count_drops(net_t *net, uint32_t listener, uint32_t seen) noexcept nogil:
    """Signed difference: a datagram queued before the last one seen says less, 0 says nothing.

    A socket taken over from another process starts from 0, so that drops during
    the takeover are never hidden: its whole history is counted once more.
    """
    cdef int32_t more = <int32_t>(seen - net.overflow[listener])
    if seen != 0 and more > 0:
        net.counters.kernel_drops += <uint64_t>more
        net.overflow[listener] = seen


cdef int receive_batch(net_t *net, uint32_t listener, int most) noexcept nogil:
    cdef buffers_t *buffers = <buffers_t *>net.buffers
    cdef int count, i
    check(most > 0)
    net.batch_count = 0
    if listener >= net.socket_count:
        return 0
    if net.error[listener]:
        drain_errors(net, listener)
    count = receive_past_errors(net, listener, most)
    if count < most:
        net.ready[listener] = 0
    if count == 0:
        return 0
    # The counter only grows, so the last datagram's is enough.
    count_drops(net, listener, net_drop_counter(&buffers.receive[count - 1].msg_hdr))
    for i in range(count):
        read_datagram(net, listener, i)
    net.counters.received += count
    net.batch_count = count
    return count


# ---------------------------------------------------------------- sending

cdef outgoing_t *take_outgoing(net_t *net) noexcept nogil:
    cdef outgoing_t *place
    if net.out_count >= SEND_BATCH or runs_short(SCARCE_OUTBOX):
        return NULL
    place = &net.out[net.out_count]
    place.outcome = SENT
    net.out_count += 1
    check(net.out_count <= SEND_BATCH)
    return place


cdef void clear_outbox(net_t *net) noexcept nogil:
    net.out_count = 0
    (<buffers_t *>net.buffers).flushed_count = 0


cdef inline void write_headers(net_t *net, uint32_t i) noexcept nogil:
    cdef buffers_t *buffers = <buffers_t *>net.buffers
    cdef outgoing_t *message = &net.out[i]
    check(message.at != NULL)
    buffers.send_parts[i].iov_base = <void *>message.at
    buffers.send_parts[i].iov_len = message.len
    buffers.send[i].msg_hdr.msg_namelen = write_target(&message.to, &buffers.targets[i])


cdef void mark_sent(net_t *net, uint32_t first, uint32_t end) noexcept nogil:
    cdef uint32_t i, size
    check(end <= net.out_count)
    for i in range(first, end):
        size = net.out[i].len
        net.out[i].outcome = SENT
        net.counters.sent_bytes += size
        net.counters.over_1300 += size > 1300
        net.counters.over_1472 += size > 1472
    net.counters.sent += end - first


cdef void mark_failed(net_t *net, uint32_t i, send_outcome outcome) noexcept nogil:
    check(outcome != SENT)
    net.out[i].outcome = outcome
    net.counters.lost += outcome == LOST
    net.counters.refused += outcome == REFUSED
    net.counters.too_big += outcome == TOO_BIG


cdef inline bint is_wire_loss(int code) noexcept nogil:
    """Buffers are full: like a loss on the wire, which timers repair."""
    return code == EAGAIN or code == ENOBUFS or code == ENOMEM


cdef bint judge_failure(net_t *net, uint32_t i, int code, int failures) noexcept nogil:
    """True when message i has its outcome, False when it is to be sent again.

    Every errno but those of full buffers may be another's: ICMP and ICMPv6 can
    raise EMSGSIZE, EACCES or EHOSTDOWN just as well as ECONNREFUSED.
    """
    check(failures > 0)
    if is_wire_loss(code):
        mark_failed(net, i, LOST)
        return True
    if failures < SEND_ATTEMPTS:
        drain_errors(net, net.out[i].listener)
        return False
    if code == ECONNREFUSED:
        # Always another's on a socket that is not connected; while a peer refuses
        # many, one message may meet several.
        if failures < REFUSALS_BORNE:
            drain_errors(net, net.out[i].listener)
            return False
        mark_failed(net, i, LOST)
        return True
    mark_failed(net, i, TOO_BIG if code == EMSGSIZE else REFUSED)
    return True


cdef void send_run(net_t *net, uint32_t first, uint32_t end) noexcept nogil:
    """Sends messages of one listener, in order."""
    cdef buffers_t *buffers = <buffers_t *>net.buffers
    cdef uint32_t listener = net.out[first].listener
    cdef uint32_t at = first
    cdef int failures = 0                   # in a row, of message `at`
    cdef int sent
    check(end <= net.out_count)
    if listener >= net.socket_count:
        for at in range(first, end):
            mark_failed(net, at, REFUSED)
        return
    if net.error[listener]:
        drain_errors(net, listener)
    while at < end:
        sent = sendmmsg(net.fds[listener], &buffers.send[at], end - at, MSG_DONTWAIT | MSG_NOSIGNAL)
        net.counters.send_calls += 1
        if sent > 0:
            # Short of `end`: the next call asks what is wrong with the next one.
            mark_sent(net, at, at + sent)
            at += sent
            failures = 0
        elif errno != EINTR:
            failures += 1
            if judge_failure(net, at, errno, failures):
                at += 1
                failures = 0


cdef void flush_outbox(net_t *net) noexcept nogil:
    cdef buffers_t *buffers = <buffers_t *>net.buffers
    cdef uint32_t first = buffers.flushed_count
    cdef uint32_t i
    check(first <= net.out_count)
    for i in range(first, net.out_count):
        write_headers(net, i)
        if net.out[i].listener != net.out[first].listener:
            send_run(net, first, i)
            first = i
    if first < net.out_count:
        send_run(net, first, net.out_count)
    buffers.flushed_count = net.out_count


# ---------------------------------------------------------------- the owner

cdef void prefill_headers(buffers_t *buffers, uint32_t max_message) noexcept:
    """What no batch changes is written once."""
    cdef iovec *parts
    cdef msghdr *header
    cdef size_t i
    cdef uint32_t first_bytes = min(max_message, <uint32_t>SLOT_BYTES)
    for i in range(RECEIVE_BATCH):
        parts = &buffers.receive_parts[2 * i]
        parts[0].iov_base = buffers.slots + i * SLOT_BYTES
        parts[0].iov_len = first_bytes
        parts[1].iov_base = buffers.large + i * LARGE_BYTES + SLOT_BYTES
        parts[1].iov_len = max_message - first_bytes
        header = &buffers.receive[i].msg_hdr
        header.msg_iov = parts
        header.msg_iovlen = 2
        header.msg_name = &buffers.sources[i]
        header.msg_namelen = sizeof(sockaddr_in6)
        header.msg_control = buffers.control[i]
        header.msg_controllen = NET_CONTROL_BYTES
    for i in range(SEND_BATCH):
        header = &buffers.send[i].msg_hdr
        header.msg_iov = &buffers.send_parts[i]
        header.msg_iovlen = 1
        header.msg_name = &buffers.targets[i]


cdef buffers_t *map_buffers(uint32_t max_message) except NULL:
    cdef size_t head = (sizeof(buffers_t) + 4095) & ~<size_t>4095
    cdef size_t slots = (RECEIVE_BATCH * SLOT_BYTES + 4095) & ~<size_t>4095
    cdef size_t wanted = head + slots + RECEIVE_BATCH * LARGE_BYTES
    cdef void *at = mmap(NULL, wanted, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
    cdef buffers_t *buffers = <buffers_t *>at
    if at == MAP_FAILED:
        raise MemoryError(f"cannot map {wanted} bytes of receive buffers")
    buffers.mapped_bytes = wanted
    buffers.slots = <char *>at + head
    buffers.large = buffers.slots + slots
    prefill_headers(buffers, max_message)
    return buffers


cdef int watch(net_t *net, int fd, uint32_t listener) except -1:
    cdef epoll_event event
    event.events = EPOLLIN
    event.data.u32 = listener
    if epoll_ctl(net.epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0:
        raise OSError(errno, f"cannot watch descriptor {fd}: {os.strerror(errno)}")
    return 0


cdef addr_t addr_of(address) except *:
    """From (host, port); the host may carry a numeric %scope."""
    cdef addr_t addr
    cdef bytes packed
    host, port = address
    parsed = ipaddress.ip_address(host)
    packed = parsed.packed
    memset(&addr, 0, sizeof(addr))
    addr.family = parsed.version
    addr.transport = T_UDP
    addr.port = port
    if parsed.version == 4:
        addr.ip[10] = addr.ip[11] = 0xFF
        memcpy(&addr.ip[12], <const char *>packed, 4)
    else:
        memcpy(addr.ip, <const char *>packed, 16)
        addr.scope = int(parsed.scope_id or 0)
    return addr


cdef tuple address_of(const addr_t *addr):
    cdef const char *ip = <const char *>addr.ip
    if addr.family == 4:
        return socket.inet_ntop(socket.AF_INET, ip[12:16]), addr.port
    host = socket.inet_ntop(socket.AF_INET6, ip[:16])
    return (f"{host}%{addr.scope}" if addr.scope else host), addr.port


@cython.final
cdef class Net:
    """One shard's sockets, epoll and buffers.

    sockets: (descriptor, family 4 or 6) of each listener, in the order of the
        listeners' indexes; at most 16, non-blocking, borrowed.
    event_fd: the eventfd that wakes the shard; -1 = none; borrowed.
    max_message: bytes; larger datagrams are cut there and marked truncated.

    Raises ValueError for wrong arguments, OSError when a descriptor cannot be
    watched, MemoryError.  ``wait``, ``receive``, ``queue``, ``flush`` and
    ``drain`` are the kernels as tests and tools see them.
    """

    def __cinit__(self, sockets, int event_fd, uint32_t max_message=MAX_MESSAGE):
        if not 1 <= len(sockets) <= MAX_LISTENERS:
            raise ValueError(f"{len(sockets)} sockets: 1 to {MAX_LISTENERS} are possible")
        if not 1 <= max_message <= MAX_MESSAGE:
            raise ValueError(f"max_message is {max_message}: 1 to {MAX_MESSAGE} bytes are possible")
        self.queued = []
        self.net = <net_t *>calloc(1, sizeof(net_t))
        if self.net == NULL:
            raise MemoryError("cannot allocate a shard's sockets")
        self.net.event_fd = event_fd
        self.net.epoll_fd = epoll_create1(EPOLL_CLOEXEC)
        if self.net.epoll_fd < 0:
            raise OSError(errno, os.strerror(errno))
        self.net.buffers = map_buffers(max_message)
        for fd, family in sockets:
            if family not in (4, 6):
                raise ValueError(f"family {family!r} of descriptor {fd}: 4 or 6 is wanted")
            watch(self.net, fd, self.net.socket_count)
            self.net.fds[self.net.socket_count] = fd
            self.net.family[self.net.socket_count] = family
            self.net.socket_count += 1
        if event_fd >= 0:
            watch(self.net, event_fd, EVENT_FD)

    def __dealloc__(self):
        self.release()

    cdef void release(self) noexcept:
        if self.net == NULL:
            return
        if self.net.epoll_fd >= 0:
            close(self.net.epoll_fd)
        if self.net.buffers != NULL:
            munmap(self.net.buffers, (<buffers_t *>self.net.buffers).mapped_bytes)
        free(self.net)
        self.net = NULL

    cdef net_t *opened(self) except NULL:
        if self.net == NULL:
            raise ValueError("these sockets are closed")
        return self.net

    def close(self):
        """Gives epoll and buffers back; the sockets stay open.  Twice is harmless."""
        self.release()
        self.queued.clear()

    def counters(self):
        """net_counters_t as a dict of int, since the start; bytes and counts."""
        counted = dict(self.opened().counters)
        del counted["reserve"]
        return counted

    def wait(self, int timeout_ms):
        """wait_ready: (indexes of ready listeners, was the eventfd written)."""
        cdef net_t *net = self.opened()
        with nogil:
            wait_ready(net, timeout_ms)
        return [i for i in range(net.socket_count) if net.ready[i]], bool(net.eventfd_ready)

    def receive(self, uint32_t listener):
        """receive_batch: a list of (bytes, (host, port), truncated)."""
        cdef net_t *net = self.opened()
        cdef int i, count
        with nogil:
            count = receive_batch(net, listener, RECEIVE_BATCH)
        return [
            (net.batch[i].at[:net.batch[i].len], address_of(&net.batch[i].origin.flow.remote),
             bool(net.batch[i].truncated))
            for i in range(count)
        ]

    def is_ready(self, uint32_t listener):
        """Whether the last wait found datagrams that receive has not emptied yet."""
        return listener < self.opened().socket_count and bool(self.net.ready[listener])

    def queue(self, bytes message not None, uint32_t listener, address):
        """take_outgoing and fill it; False when the outbox is full."""
        cdef addr_t to = addr_of(address)
        cdef outgoing_t *place = take_outgoing(self.opened())
        if place == NULL:
            return False
        place.at = message
        place.len = <uint32_t>len(message)
        place.listener = listener
        place.to = to
        place.owner = 0
        place.owner_generation = 0
        self.queued.append(message)
        return True

    def flush(self):
        """flush_outbox and clear_outbox: the outcome of each message, in order."""
        cdef net_t *net = self.opened()
        cdef uint32_t i
        with nogil:
            flush_outbox(net)
        outcomes = [net.out[i].outcome for i in range(net.out_count)]
        clear_outbox(net)
        self.queued.clear()
        return outcomes

    def drain(self, uint32_t listener):
        """drain_errors: the number of entries read."""
        cdef net_t *net = self.opened()
        if listener >= net.socket_count:
            raise IndexError(f"no listener {listener}")
        return drain_errors(net, listener)
