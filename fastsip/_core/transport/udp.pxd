# Sockets of one shard: receive in batches, send in batches, errno rules of
# docs/core.md#errors-of-sockets.  See udp.pyx.

cimport cython
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from fastsip._core.base.types cimport MAX_LISTENERS
from fastsip._core.base.address cimport addr_t, origin_t
from fastsip._core.transport.net_sys cimport sockaddr_in6, socklen_t

cdef enum:
    RECEIVE_BATCH = 64
    SEND_BATCH = 128
    ERROR_BATCH = 32
    QUOTE_BYTES = 512       # enough for a request line and our Via

# A datagram of the current batch; valid until the next receive_batch.
cdef struct datagram_t:
    char *at
    uint32_t len
    origin_t origin         # but for the id of the listener, which the table knows
    uint8_t truncated       # larger than MAX_MESSAGE or than the overflow area

# What the sender is told about a datagram that could not be sent: the second
# failure in a row of the same message (never the first: it may be another's).
cdef enum send_outcome:
    SENT = 0
    LOST = 1                # EAGAIN, ENOBUFS, ENOMEM: as if lost on the wire
    REFUSED = 2             # ECONNREFUSED, EHOSTUNREACH, ENETUNREACH, EPROTO twice
    TOO_BIG = 3             # EMSGSIZE

# One datagram to send.  `at` must stay valid until flush_outbox.
cdef struct outgoing_t:
    const char *at
    uint32_t len
    uint32_t listener
    addr_t to
    uint64_t owner          # the caller's word, given back with the outcome
    uint32_t owner_generation
    uint8_t outcome         # send_outcome, after the flush
    uint8_t reserve[3]

# What ICMP said of a datagram that we sent: where it was to go, and its beginning.
cdef struct net_error_t:
    addr_t to
    uint32_t code           # errno
    uint32_t quote_len
    char quote[QUOTE_BYTES]

cdef struct net_counters_t:
    uint64_t received
    uint64_t received_bytes
    uint64_t receive_calls
    uint64_t sent
    uint64_t sent_bytes
    uint64_t send_calls
    uint64_t lost
    uint64_t refused
    uint64_t too_big
    uint64_t over_1300
    uint64_t over_1472
    uint64_t kernel_drops   # SO_RXQ_OVFL
    uint64_t error_queue    # entries drained
    uint64_t waits          # epoll_wait calls that slept
    uint64_t receive_errors  # recvmmsg failed, errors drained or not
    uint64_t reserve[1]

# Sockets and buffers of one shard; owned by Net (udp.pyx), never copied.
cdef struct net_t:
    int epoll_fd
    uint32_t socket_count
    int fds[MAX_LISTENERS]  # [listener index]
    uint8_t family[MAX_LISTENERS]  # 4 or 6, of each socket
    uint32_t overflow[MAX_LISTENERS]  # last SO_RXQ_OVFL value seen
    uint8_t ready[MAX_LISTENERS]  # set by wait_ready
    uint8_t error[MAX_LISTENERS]  # EPOLLERR was set: drain before use
    uint8_t eventfd_ready
    int event_fd            # the sleeper's, also in the epoll
    uint32_t batch_count
    datagram_t batch[RECEIVE_BATCH]
    uint32_t out_count
    outgoing_t out[SEND_BATCH]
    uint32_t error_count
    net_error_t errors[ERROR_BATCH]  # the shard reads and empties them
    net_counters_t counters
    void *buffers           # mmsghdr, iovec, names, control: private to udp.pyx

# Waits at most timeout_ms (-1 = for ever, 0 = looks only) and sets ready[];
# returns how many sockets are ready (the eventfd not counted), 0 on time-out or a signal.
cdef int wait_ready(net_t *net, int timeout_ms) noexcept nogil

# One recvmmsg of at most `most` datagrams (1 to RECEIVE_BATCH) on a ready socket; returns
# the count and clears ready[] when the queue was emptied (count < most).
cdef int receive_batch(net_t *net, uint32_t listener, int most) noexcept nogil

# A free place in the outbox; NULL when it is full (flush first).
cdef outgoing_t *take_outgoing(net_t *net) noexcept nogil

# Sends all of the outbox, in order; sets each outcome.  The entries stay
# readable; clear_outbox empties it.
cdef void flush_outbox(net_t *net) noexcept nogil
cdef void clear_outbox(net_t *net) noexcept nogil

# An address as the kernel names it, and the other way round.
cdef void read_source(const sockaddr_in6 *source, uint8_t family, addr_t *addr) noexcept nogil
cdef socklen_t write_target(const addr_t *addr, sockaddr_in6 *target) noexcept nogil

# Reads the socket's error queue, a bounded part of it at once; returns the entries read.
cdef int drain_errors(net_t *net, uint32_t listener) noexcept nogil


# Owns one shard's net_t and what it points to, but not the sockets.
@cython.final
cdef class Net:
    cdef net_t *net
    cdef list queued        # keeps the bytes of the test doors' outbox alive
    cdef net_t *opened(self) except NULL
    cdef void release(self) noexcept
