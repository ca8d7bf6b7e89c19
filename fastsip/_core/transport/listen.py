"""Opens the sockets of a listener: one SO_REUSEPORT group, one socket for each shard.

It must never bind a wildcard (a reply has to leave from the address that was
asked) nor join a group that somebody else opened.

RFC 3261 section 18.2.1.  The supervisor keeps the sockets while routers come and go.
"""

import errno
import ipaddress
import os
import socket
from collections.abc import Sequence
from typing import NamedTuple

# Linux names that the socket module of Python 3.11 lacks.
SO_SNDBUFFORCE = 32
SO_RCVBUFFORCE = 33
SO_RXQ_OVFL = 40
IP_MTU_DISCOVER = 10
IP_RECVERR = 11
IPV6_MTU_DISCOVER = 23
IPV6_RECVERR = 25
PMTUDISC_DONT = 0

SNDBUF_BYTES = 2 << 20

# (level, option, value), set before bind.
COMMON_OPTIONS = (
    (socket.SOL_SOCKET, socket.SO_REUSEPORT, 1),
    (socket.SOL_SOCKET, SO_RXQ_OVFL, 1),
)
FAMILY_OPTIONS = {
    socket.AF_INET: (
        (socket.IPPROTO_IP, IP_RECVERR, 1),
        (socket.IPPROTO_IP, IP_MTU_DISCOVER, PMTUDISC_DONT),
    ),
    socket.AF_INET6: (
        (socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1),
        (socket.IPPROTO_IPV6, IPV6_RECVERR, 1),
        (socket.IPPROTO_IPV6, IPV6_MTU_DISCOVER, PMTUDISC_DONT),
    ),
}


class OpenedListener(NamedTuple):
    """fds: descriptors that the caller owns; port: the bound one; rcvbuf_bytes: the
    smallest receive buffer of the group, as the kernel says it."""

    fds: list[int]
    port: int
    rcvbuf_bytes: int


def set_buffer(sock: socket.socket, forced: int, plain: int, wanted_bytes: int) -> int:
    """Beyond the sysctl's limit where the process may, else up to it; what it became.

    The kernel doubles what it is told, for its book-keeping, and says the doubled
    value: it is told half, so that what is read back is what was wanted.
    """
    try:
        sock.setsockopt(socket.SOL_SOCKET, forced, wanted_bytes // 2)
    except PermissionError:
        sock.setsockopt(socket.SOL_SOCKET, plain, wanted_bytes // 2)
    return sock.getsockopt(socket.SOL_SOCKET, plain)


def bind_socket(family: int, sockaddr: tuple, options: tuple) -> socket.socket:
    """A bound, non-blocking, close-on-exec socket; OSError with the address in its text."""
    sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    try:
        for level, option, value in options:
            sock.setsockopt(level, option, value)
        sock.bind(sockaddr)
    except OSError as error:
        sock.close()
        code = error.errno or 0
        name = f"[{sockaddr[0]}]" if family == socket.AF_INET6 else sockaddr[0]
        why = "it is in use; is another router running?" if code == errno.EADDRINUSE else os.strerror(code)
        raise OSError(code, f"cannot listen on udp:{name}:{sockaddr[1]}: {why}") from error
    return sock


def numeric_sockaddr(address: str, port: int) -> tuple[socket.AddressFamily, tuple]:
    """(family, sockaddr); ValueError for a text that is no address, or a wildcard."""
    parsed = ipaddress.ip_address(address)
    if parsed.is_unspecified:
        raise ValueError(f"{address} is a wildcard: name one address, from which every reply will leave")
    family = socket.AF_INET if parsed.version == 4 else socket.AF_INET6
    found = socket.getaddrinfo(address, port, family, socket.SOCK_DGRAM, 0, socket.AI_NUMERICHOST)
    return family, found[0][4]


def open_listener(
    address: str, port: int, shards: int, rcvbuf_bytes: int = 8 << 20, have: Sequence[int] = ()
) -> OpenedListener:
    """Opens the group of one UDP listener, or what is missing of it.

    address: a numeric IPv4 or IPv6 address of this machine, link-local ones with
        %interface.  port: 0 = any free one.  rcvbuf_bytes: wanted, as read back.
    have: descriptors of the group that are open already; they come first in `fds`.

    Raises ValueError for a wildcard, a text that is no address or no shards;
    OSError, naming the address, when it cannot be bound.  A stranger on the port
    is found although he uses SO_REUSEPORT himself.
    """
    if shards < 1:
        raise ValueError(f"{shards} shards: at least one is wanted")
    family, sockaddr = numeric_sockaddr(address, port)
    if not have:
        # Without SO_REUSEPORT nobody else can be on the port: a group could be joined unnoticed.
        with bind_socket(family, sockaddr, ()) as alone:
            sockaddr = alone.getsockname()
    group = [socket.socket(fileno=fd) for fd in have]
    try:
        while len(group) < shards:
            group.append(bind_socket(family, sockaddr, COMMON_OPTIONS + FAMILY_OPTIONS[family]))
        effective = [set_buffer(sock, SO_RCVBUFFORCE, socket.SO_RCVBUF, rcvbuf_bytes) for sock in group]
        for sock in group:
            set_buffer(sock, SO_SNDBUFFORCE, socket.SO_SNDBUF, SNDBUF_BYTES)
    except BaseException:
        for sock in group[len(have):]:
            sock.close()
        for sock in group[: len(have)]:
            sock.detach()
        raise
    return OpenedListener([sock.detach() for sock in group], sockaddr[1], min(effective))
