"""How a database is reached: SQLite, PostgreSQL, MariaDB and MySQL, to read from and nothing else.

Each read has a connection of its own.  Reads are seconds apart and a connection costs some milliseconds; one that is
kept would hold a place at the server, and after a failover or behind a firewall that forgot it, it would be dead or,
worse, lead to the server that no longer counts.  Names of hosts are asked for anew, too.

No read takes longer than its Limit, whatever the server does: what a driver offers ends a wait for the next bytes only,
or has to be done by the server that stands still.  A Limit shuts the socket from another thread.  Before there is a
socket to shut, the driver's own limit holds, for each address that a name has (PostgreSQL: at least two seconds).  How
long names are looked up is said by resolv.conf.  What the server does for us is bounded there, too, so that statements
that nobody waits for any more do not pile up.

Whatever a driver says may come from a server and is made fit for a log; a password is taken out of it.
"""

import math
import os
import re
import socket
import sqlite3
import stat
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

from fastsip.base.plain import printable, reason
from fastsip.sources.apart import TELLING
from fastsip.sources.rows import SourceAway

if TYPE_CHECKING:
    from sqlalchemy import URL, Connection, Engine

LONGEST_REASON = 300
AGAIN_S = 0.05      # SQLite forgets an interrupt that comes between two statements
HOW_TO_WRITE = "it is written postgresql://user:password@host:port/database, mysql://... or sqlite:////path"


class Limit:
    """Cuts the connection of a read that takes longer than this; `over` says that it did."""

    def __init__(self, seconds: float):
        self.seconds, self.over = seconds, False
        self._cut: Callable[[], None] = lambda: None
        self._socket: socket.socket | None = None
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="limit of a read", daemon=True)

    def __enter__(self) -> "Limit":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join(timeout=10)
        if self._socket:
            self._socket.close()

    def hold_socket(self, connected: socket.socket) -> None:
        """Takes a duplicate, for whoever owns the other may close it, and its number go to somebody else."""
        self._socket = connected
        self._cut = self._shut

    def hold_sqlite(self, raw: sqlite3.Connection) -> None:
        self._cut = raw.interrupt

    def _shut(self) -> None:
        if self._socket:
            self._socket.shutdown(socket.SHUT_RDWR)

    def _watch(self) -> None:
        if self._done.wait(self.seconds):
            return
        self.over = True
        while not self._done.is_set():
            with suppress(OSError, sqlite3.Error):     # it has ended by itself meanwhile
                self._cut()
            self._done.wait(AGAIN_S)


# ---------------------------------------------------------------- connections


def _connect_sqlite(dialect: Any, limit: Limit, url: "URL", _: list[Any], __: dict[str, Any]) -> sqlite3.Connection:
    """Never made, never written.  Not opened to look at it first: to close it would end all locks of this process."""
    path = url.database or ""
    if path in ("", ":memory:") or path.startswith("file:"):
        raise SourceAway("the path of the file is missing: sqlite:////path")
    try:
        plain = stat.S_ISREG(os.stat(path).st_mode)
    except (OSError, ValueError) as error:
        raise SourceAway(reason(error)) from None
    if not plain:
        raise SourceAway(f"{path}: not a plain file")
    raw = dialect.connect(f"file:{quote(path)}?mode=ro", uri=True, timeout=limit.seconds, check_same_thread=False)
    raw.text_factory = _decode
    limit.hold_sqlite(raw)
    return raw


def _connect_postgresql(dialect: Any, limit: Limit, _: "URL", cargs: list[Any], cparams: dict[str, Any]) -> Any:
    raw = dialect.connect(*cargs, **cparams)
    try:
        limit.hold_socket(socket.socket(fileno=os.dup(raw.fileno())))
        raw.read_only = True
        if raw.info.parameter_status("server_encoding") == "SQL_ASCII":
            _take_any_bytes(raw, dialect.loaded_dbapi.adapt.Loader)
    except BaseException:
        raw.close()
        raise
    return raw


def _take_any_bytes(raw: Any, loader: type) -> None:
    """A database without an encoding holds any bytes.  The server refuses to make texts of them: then we do."""
    lenient = type("Lenient", (loader,), {"load": lambda _, found: _decode(bytes(found))})
    for name in ("text", "varchar", "bpchar", "name"):
        raw.adapters.register_loader(name, lenient)
    raw.execute("SET client_encoding TO SQL_ASCII")
    raw.commit()


def _connect_mysql(dialect: Any, limit: Limit, _: "URL", cargs: list[Any], cparams: dict[str, Any]) -> Any:
    """By a socket of ours, for the driver's limit begins anew with every byte of the handshake."""
    raw = dialect.connect(*cargs, defer_connect=True, **cparams)
    try:
        connected = _mysql_socket(raw.unix_socket, (raw.host, raw.port), raw.connect_timeout)
    except OSError as error:
        raise SourceAway(f"{raw.unix_socket or f'{raw.host}:{raw.port}'}: {reason(error)}") from None
    limit.hold_socket(connected.dup())
    raw.connect(connected)
    return raw


def _mysql_socket(path: str | None, host_and_port: tuple[str, int], timeout_s: float) -> socket.socket:
    if not path:
        connected = socket.create_connection(host_and_port, timeout_s)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connected
    connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connected.settimeout(timeout_s)
        connected.connect(path)
    except OSError:
        connected.close()
        raise
    return connected


# ---------------------------------------------------------------- what the server is told before the read


def _begin_sqlite(connection: "Connection", _: float) -> None:
    connection.exec_driver_sql("BEGIN")     # the driver begins nothing for a SELECT by itself


def _begin_postgresql(connection: "Connection", limit_s: float) -> None:
    # Not in the parameters of the connection: poolers refuse them there.
    connection.exec_driver_sql(f"SET LOCAL statement_timeout = {math.ceil(limit_s * 1000)}")


def _begin_mysql(connection: "Connection", limit_s: float) -> None:
    maria = getattr(connection.dialect, "is_mariadb", False)
    most = f"max_statement_time = {limit_s}" if maria else f"max_execution_time = {math.ceil(limit_s * 1000)}"
    connection.exec_driver_sql(f"SET SESSION lock_wait_timeout = {math.ceil(limit_s)}, SESSION {most}")
    connection.exec_driver_sql("START TRANSACTION READ ONLY")


class Way(NamedTuple):
    """How an engine is connected with and what it is told.  `limits` takes seconds to connect and in all.

    `streams`: rows come a batch at a time.  PyMySQL's cursor that does it reads what is left of a broken connection
    when it is cleaned up, with tracebacks of nobody's; there the server shortens texts before it sends them.
    """

    drivername: str
    streams: bool
    connect: Callable[[Any, Limit, "URL", list[Any], dict[str, Any]], Any]
    begin: Callable[["Connection", float], None]
    limits: Callable[[float, float], dict[str, Any]]


SQLITE = Way("sqlite", True, _connect_sqlite, _begin_sqlite, lambda _, __: {})
POSTGRESQL = Way("postgresql+psycopg", True, _connect_postgresql, _begin_postgresql,
                 lambda connect_s, _: {"connect_timeout": math.ceil(connect_s), "client_encoding": "utf8"})  # fmt: skip
MYSQL = Way("mysql+pymysql", False, _connect_mysql, _begin_mysql,
            lambda connect_s, limit_s: {"connect_timeout": connect_s, "read_timeout": limit_s,
                                        "write_timeout": limit_s})  # fmt: skip
WAYS = {
    "sqlite": SQLITE, "sqlite+pysqlite": SQLITE, "postgres": POSTGRESQL, "postgresql": POSTGRESQL,
    "postgresql+psycopg": POSTGRESQL, "mysql": MYSQL, "mysql+pymysql": MYSQL, "mariadb": MYSQL,
    "mariadb+pymysql": MYSQL,
}  # fmt: skip


# ---------------------------------------------------------------- addresses


def read_url(text: str) -> "tuple[URL, Way]":
    """SourceAway says what is wrong without anything of the text: nobody knows which part of it is a password."""
    try:
        from sqlalchemy import make_url
        from sqlalchemy.exc import ArgumentError
    except ImportError:
        raise SourceAway('SQLAlchemy is missing: pip install "fastsip[sql]"') from None
    if text.partition("://")[2].count("@") > 1 and not text.startswith("sqlite"):
        raise SourceAway("the URL: a letter @ within a user's name or a password is written %40")
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise SourceAway(f"the URL cannot be read: {HOW_TO_WRITE}") from None
    way = WAYS.get(url.drivername)
    if not way:
        raise SourceAway(f"the URL names no engine or driver that is known here: {HOW_TO_WRITE}")
    return url.set(drivername=way.drivername), way


def secrets_of(url: "URL") -> set[str]:
    """Texts that must not be shown, as they are and as a URL has them."""
    found = {str(value) for name, value in url.query.items() if name not in TELLING and "pass" in name}
    if url.password:
        found.add(str(url.password))
    return {form for each in found for form in (each, quote(each), quote(each, safe=""))} - {""}


def open_engine(url: "URL", way: Way, connect_s: float, limit_s: float, limit: Callable[[], Limit]) -> "Engine":
    """`limit` gives that of the read that connects.  SourceAway when the driver is missing."""
    from sqlalchemy import create_engine, event
    from sqlalchemy.pool import NullPool

    arguments = way.limits(connect_s, limit_s)
    try:
        engine = create_engine(url, poolclass=NullPool, hide_parameters=True, connect_args=arguments)
    except ImportError as error:
        raise SourceAway(f'a driver is missing ({error}): pip install "fastsip[sql]"') from None

    @event.listens_for(engine, "do_connect")
    def connect(dialect: Any, _: Any, cargs: list[Any], cparams: dict[str, Any]) -> Any:
        return way.connect(dialect, limit(), url, cargs, cparams)

    return engine


# ---------------------------------------------------------------- what went wrong


def why(error: Exception, limit: Limit, secrets: set[str]) -> str:
    """One line for people."""
    if limit.over:
        return f"not read within {limit.seconds:g} s"
    if isinstance(error, MemoryError):
        return "it sends more than there is room for"
    return _words_of(getattr(error, "orig", None) or error, secrets)


def without(secrets: set[str], text: str) -> str:
    """The longest first, for a short one may be a part of it."""
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, "***")
    return text


def _words_of(error: BaseException, secrets: set[str]) -> str:
    """A secret is taken out while it is whole."""
    arguments = error.args
    numbered = len(arguments) > 1 and isinstance(arguments[0], int) and isinstance(arguments[1], str)
    text = without(secrets, arguments[1] if numbered and not isinstance(error, OSError) else reason(error))
    text = re.sub(r"\[Errno -?\d+\] ", "", text.partition("\nLINE ")[0])
    return printable(" ".join(text.split()))[:LONGEST_REASON] or type(error).__name__


def _decode(raw: bytes) -> str:
    return raw.decode(errors="replace")
