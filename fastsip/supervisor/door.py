"""The socket where HTTP is spoken over TCP.  The supervisor holds it, whoever serves there: it is bound before anything
changes, and whoever comes while nobody serves waits in it.
"""

import contextlib
import os
import socket
from collections.abc import Iterator

from fastsip.base.plain import reason
from fastsip.config.model import Api

WAITING = 100   # connections that the kernel keeps

Place = tuple[str, int]


class Door:
    """`fd` is -1, and `place` None, when nobody is to come in."""

    def __init__(self, place: Place | None = None, fd: int = -1):
        self.place, self.fd = place, fd

    @contextlib.contextmanager
    def opened(self, api: Api | None) -> Iterator[None]:
        """Open where `api` says, before what is done meanwhile; what was open is closed behind that.

        OSError names the address that cannot be had; after any exception all is as before.
        """
        wanted = (api.host, api.port) if api else None
        if wanted == self.place:
            yield
            return
        fd = bound(wanted) if wanted else -1
        try:
            yield
        except BaseException:
            close(fd)
            raise
        close(self.fd)
        self.place, self.fd = wanted, fd

    def passed_on(self) -> tuple[str, int, int] | None:
        """Address, port, descriptor: for the program after this one."""
        return (*self.place, self.fd) if self.place else None


def bound(place: Place) -> int:
    sock = socket.socket(socket.AF_INET6 if ":" in place[0] else socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)     # connections that just ended do not bar a start
        if sock.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.setblocking(False)
        sock.bind(place)
        sock.listen(WAITING)
    except OSError as error:
        sock.close()
        raise OSError(error.errno, f"api.listen: {place[0]} port {place[1]}: {reason(error)}") from None
    return sock.detach()


def close(fd: int) -> None:
    if fd >= 0:
        os.close(fd)
