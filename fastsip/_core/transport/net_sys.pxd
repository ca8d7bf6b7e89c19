# The system calls of udp.pyx and their structs, as the C headers declare them,
# and the helpers of net_sys.h.  Nothing here is ours to change.

from libc.stdint cimport uint8_t, uint16_t, uint32_t
from posix.time cimport timespec
from posix.types cimport clockid_t

cdef extern from "sys/socket.h" nogil:
    ctypedef uint32_t socklen_t
    struct iovec:
        void *iov_base
        size_t iov_len
    struct msghdr:
        void *msg_name
        socklen_t msg_namelen
        iovec *msg_iov
        size_t msg_iovlen
        void *msg_control
        size_t msg_controllen
        int msg_flags
    struct mmsghdr:
        msghdr msg_hdr
        unsigned int msg_len
    struct sockaddr:
        pass
    int AF_INET, AF_INET6
    int SOCK_DGRAM, SOCK_CLOEXEC
    int socket(int family, int kind, int protocol)
    int connect(int fd, const sockaddr *name, socklen_t len)
    int getsockname(int fd, sockaddr *name, socklen_t *len)
    int SOL_SOCKET, SO_ERROR
    int MSG_DONTWAIT, MSG_ERRQUEUE, MSG_NOSIGNAL, MSG_TRUNC
    int recvmmsg(int fd, mmsghdr *messages, unsigned int count, int flags, timespec *timeout)
    int sendmmsg(int fd, mmsghdr *messages, unsigned int count, int flags)
    ssize_t recvmsg(int fd, msghdr *message, int flags)
    int getsockopt(int fd, int level, int option, void *value, socklen_t *size)

# Both families have port and family at the same place: one struct of the larger size serves for either.
cdef extern from "netinet/in.h" nogil:
    struct in_addr:
        uint32_t s_addr
    struct in6_addr:
        uint8_t s6_addr[16]
    struct sockaddr_in:
        uint16_t sin_family
        uint16_t sin_port
        in_addr sin_addr
    struct sockaddr_in6:
        uint16_t sin6_family
        uint16_t sin6_port
        uint32_t sin6_flowinfo
        in6_addr sin6_addr
        uint32_t sin6_scope_id
    uint16_t htons(uint16_t value)
    uint16_t ntohs(uint16_t value)

# Level-triggered: a socket that was not emptied is ready again at the next wait, so that a bounded batch loses nothing.
cdef extern from "sys/epoll.h" nogil:
    ctypedef union epoll_data_t:
        uint32_t u32
    struct epoll_event:
        uint32_t events
        epoll_data_t data
    int EPOLLIN, EPOLLERR, EPOLLHUP, EPOLL_CLOEXEC, EPOLL_CTL_ADD
    int epoll_create1(int flags)
    int epoll_ctl(int epoll_fd, int operation, int fd, epoll_event *event)
    int epoll_wait(int epoll_fd, epoll_event *events, int room, int timeout_ms)

cdef extern from "transport/net_sys.h" nogil:
    int NET_CONTROL_BYTES
    uint32_t net_drop_counter(msghdr *message)
    uint32_t net_icmp_errno(msghdr *message)
