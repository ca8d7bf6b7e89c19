"""A socket where connections are accepted on the loop, a few in a turn, and left waiting when there is no room."""

import asyncio
import socket
from collections.abc import Callable

from fastsip.base.plain import reason
from fastsip.log import log

AT_ONCE = 20            # of one turn of the loop
NO_ROOM_PAUSE_S = 1.0   # when there are no descriptors left, or no memory


class Acceptor:
    """Owns the socket, which listens; whoever comes is given to `take`, as a connection that does not block."""

    def __init__(self, sock: socket.socket, take: Callable[[socket.socket], None], name: str):
        self.sock, self._take, self._name = sock, take, name
        sock.setblocking(False)
        self.go_on()

    def go_on(self) -> None:
        """Takes those who come, and those who have come while it rested."""
        if self.sock.fileno() >= 0:
            asyncio.get_running_loop().add_reader(self.sock.fileno(), self._accept)

    def rest(self) -> None:
        """Whoever comes waits, for go_on or for another one who accepts there."""
        asyncio.get_running_loop().remove_reader(self.sock.fileno())

    def close(self) -> None:
        self.rest()
        self.sock.close()

    def _accept(self) -> None:
        for _ in range(AT_ONCE):
            try:
                connection, _ = self.sock.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:
                log.error(f"nobody can be heard on {self._name}", extra={"fields": {"why": reason(error)}})
                self.rest()
                asyncio.get_running_loop().call_later(NO_ROOM_PAUSE_S, self.go_on)
                return
            connection.setblocking(False)
            self._take(connection)
