"""A session of requests whose exchanges end by a deadline, whatever the other side does.

The timeouts of requests begin anew with each byte that comes, so that a server which says one letter at a time holds
its client for ever.  Here a timer shuts the connection down, and of an answer nothing but its head is read: the body
may be endless, and says nothing that is needed.
"""

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Lock, Timer
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

TOO_LONG = "it takes too long"


class Ended(Exception):
    """The deadline of the exchange has passed.  No error of a connection: nothing is tried again after it."""


class Session(requests.Session):
    """Without proxies, passwords and certificates of the environment; a connection for each exchange.

    why: how the last exchange failed, "" when it did not.  Errors of requests name the URL, which may have a password,
    so that of them no text is kept.
    """

    def __init__(self) -> None:
        super().__init__()
        self.trust_env = False
        self.headers["Connection"] = "close"
        self.why = ""
        self._deadline = _Deadline()
        for scheme in ("http://", "https://"):
            self.mount(scheme, _Adapter(self._deadline))

    @contextmanager
    def limited(self, seconds: float) -> Iterator[None]:
        """All exchanges within end by then.  What comes before a connection is there has limits of its own: looking up
        a name those of the resolver, connecting and TLS the `timeout` of each address.
        """
        self.why = ""
        timer = Timer(seconds, self._deadline.pass_by, (self._deadline.begin(),))
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def end(self) -> None:
        """Now, and for all that would come."""
        self._deadline.pass_for_good()

    def request(self, *args: Any, **more: Any) -> requests.Response:  # type: ignore[override]
        try:
            self._deadline.check()
            answer = super().request(*args, **{**more, "stream": True})
            answer.close()
            self._deadline.check()  # a head that was cut off looks whole
        except Exception as error:
            if self._deadline.passed or isinstance(error, requests.Timeout):
                self.why = TOO_LONG
                raise Ended from None
            self.why = type(error).__name__
            raise
        self.why = "" if 200 <= answer.status_code < 300 else f"it answers {answer.status_code}"
        return answer


class _Deadline:
    """Of one exchange after the other; passed in a thread of its own."""

    def __init__(self) -> None:
        self.passed = False
        self._for_good = False
        self._number = 0
        self._lock = Lock()
        self._connection: HTTPConnection | None = None

    def begin(self) -> int:
        """The number of the exchange: a timer that is late must not end the next one."""
        with self._lock:
            self.passed, self._connection = self._for_good, None
            self._number += 1
            return self._number

    def check(self) -> None:
        if self.passed:
            raise Ended

    def watch(self, connection: HTTPConnection) -> None:
        with self._lock:
            self._connection = connection

    def pass_by(self, number: int) -> None:
        with self._lock:
            if number == self._number:
                self._pass()

    def pass_for_good(self) -> None:
        with self._lock:
            self._for_good = True
            self._pass()

    def _pass(self) -> None:
        """Whoever waits for the other side finds its end at once.  Not by shutdown of TLS, which would wait, too."""
        self.passed = True
        sock = self._connection.sock if self._connection else None
        if sock:
            with suppress(OSError):     # it is closed already
                socket.socket.shutdown(sock, socket.SHUT_RDWR)


class _Adapter(HTTPAdapter):
    def __init__(self, deadline: _Deadline):
        self._deadline = deadline
        super().__init__()

    def init_poolmanager(self, *args: Any, **more: Any) -> None:
        super().init_poolmanager(*args, **more)
        self.poolmanager.pool_classes_by_scheme = _pools(self._deadline)


def _pools(deadline: _Deadline) -> dict[str, type[HTTPConnectionPool]]:
    """By scheme; their connections are watched."""

    class Plain(HTTPConnection):
        def connect(self) -> None:
            deadline.watch(self)
            super().connect()
            deadline.check()

    class Encrypted(HTTPSConnection):
        def connect(self) -> None:
            deadline.watch(self)
            super().connect()
            deadline.check()

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class EncryptedPool(HTTPSConnectionPool):
        ConnectionCls = Encrypted

    return {"http": PlainPool, "https": EncryptedPool}
