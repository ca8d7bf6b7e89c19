"""A connection to a server that ends, or falls silent, after so many bytes of the server's."""

import socket
import threading
from types import TracebackType

LIMIT_S = 60


class Relay:
    """Takes one connection to `port` of its own.  `after` bytes of the server's pass, and then nothing any more."""

    def __init__(self, to_port: int, after: int, silent: bool):
        self._to_port, self._after, self._silent = to_port, after, silent
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(LIMIT_S)
        self.port = self._listener.getsockname()[1]
        self.passed = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> "Relay":
        self._thread.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._over.set()
        self._listener.close()
        self._thread.join(LIMIT_S)

    def _serve(self) -> None:
        client, _ = self._listener.accept()
        with client, socket.create_connection(("127.0.0.1", self._to_port), LIMIT_S) as server:
            asker = threading.Thread(target=_pass_on, args=(client, server), daemon=True)
            asker.start()
            while self.passed < self._after:
                some = server.recv(self._after - self.passed)
                if not some:
                    break
                client.sendall(some)
                self.passed += len(some)
            if self._silent:
                self._over.wait(LIMIT_S)
            for each in (client, server):
                _shut(each)
            asker.join(LIMIT_S)


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    try:
        while some := source.recv(65536):
            target.sendall(some)
    except OSError:     # the other side has ended it
        return


def _shut(connected: socket.socket) -> None:
    try:
        connected.shutdown(socket.SHUT_RDWR)
    except OSError:     # by itself before
        return
