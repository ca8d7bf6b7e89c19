"""The listeners' sockets, which the supervisor holds while routers come and go.

A listener's group has one socket for each shard.  The set of sockets changes only in a
planned takeover: first what is missing is opened, then what will be closed is
detached, so that the old router can read it empty, and closed when that has left.
What is opened is given to systemd to keep, what is closed is taken from it.
"""

import contextlib
import os
import resource
import socket
from collections.abc import Iterable, Sequence

from fastsip._core.transport.listen import open_listener
from fastsip.config import Listener
from fastsip.supervisor.systemd import Notifier

DISCARD_PORT = 9

Place = tuple[str, int]


def place_of(listener: Listener) -> Place:
    return listener.host, listener.port


def name_of(fd: int) -> str:
    """A name for systemd, which allows no colon: the address, and what tells sockets of a group apart."""
    with socket.socket(fileno=os.dup(fd)) as sock:
        host, port = sock.getsockname()[:2]
    return f"{host.replace(':', '.')}_{port}_{os.fstat(fd).st_ino}"


def place_of_socket(fd: int) -> Place | None:
    """Where a descriptor of unknown origin is bound; None when it can be none of our sockets."""
    with contextlib.suppress(OSError), socket.socket(fileno=os.dup(fd)) as sock:
        if sock.type == socket.SOCK_DGRAM and sock.family in (socket.AF_INET, socket.AF_INET6):
            shared = sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT)
            return sock.getsockname()[:2] if shared else None
    return None


class Sockets:
    """`groups`: descriptors by address and port."""

    def __init__(self, notifier: Notifier, groups: dict[Place, list[int]] | None = None) -> None:
        self.notifier = notifier
        self.groups = groups or {}
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))

    def adopt(self, fds: Iterable[int], listeners: Sequence[Listener], shards: int) -> None:
        """Takes what was kept for us and is wanted, and closes all else."""
        for fd in fds:
            place = place_of_socket(fd)
            if place:
                self.groups.setdefault(place, []).append(fd)
            else:
                os.close(fd)
        self.narrow(listeners, shards)

    def widen(self, listeners: Sequence[Listener], shards: int) -> None:
        """Opens what these want and is not there, all of it or nothing; OSError names the address."""
        before = {place: list(fds) for place, fds in self.groups.items()}
        try:
            for listener in listeners:
                have = self.groups.get(place_of(listener), [])
                wanted = max(shards, len(have))
                opened = open_listener(listener.host, listener.port, wanted, listener.rcvbuf_bytes, have)
                self.groups[place_of(listener)] = opened.fds
        except OSError:
            for fd in self._newer_than(before):
                os.close(fd)
            self.groups = before
            raise
        for fd in self._newer_than(before):
            self.notifier.store(name_of(fd), fd)

    def _newer_than(self, before: dict[Place, list[int]]) -> list[int]:
        return [fd for place, fds in self.groups.items() for fd in fds[len(before.get(place, ())) :]]

    def surplus(self, listeners: Sequence[Listener], shards: int) -> list[int]:
        """What these do not want."""
        places = {place_of(listener) for listener in listeners}
        return [fd for place, fds in self.groups.items() for fd in fds[shards if place in places else 0 :]]

    def detach(self, listeners: Sequence[Listener], shards: int) -> None:
        """The surplus gets nothing any more but keeps what has come: a connected socket hears its peer only."""
        for fd in self.surplus(listeners, shards):
            with socket.socket(fileno=os.dup(fd)) as sock, contextlib.suppress(OSError):
                sock.connect((sock.getsockname()[0], DISCARD_PORT, *sock.getsockname()[2:]))

    def narrow(self, listeners: Sequence[Listener], shards: int) -> None:
        """Closes the surplus."""
        for fd in self.surplus(listeners, shards):
            self.notifier.drop(name_of(fd))
            os.close(fd)
        places = {place_of(listener) for listener in listeners}
        self.groups = {place: fds[:shards] for place, fds in self.groups.items() if place in places}

    def of(self, listeners: Sequence[Listener], shards: int) -> list[int]:
        """Descriptors listener by listener, each shard's in its turn."""
        return [fd for listener in listeners for fd in self.groups[place_of(listener)][:shards]]

    def all(self) -> list[int]:
        return [fd for fds in self.groups.values() for fd in fds]
