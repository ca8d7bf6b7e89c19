"""What every database server of the tests can do.  An engine says how it is set up and begun."""

import contextlib
import itertools
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path
from urllib.parse import quote

import pytest
from sqlalchemy import create_engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from bench.procfs import descendants
from tests.conftest import PORTS, wait_until

LIMIT_S = 60
USER, PASSWORD = "kamailio", "p@ss/w:rd%"       # what a URL must have encoded


def free_tcp_port() -> int:
    for port in itertools.islice(PORTS, 12_000):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)):
                return port
    raise AssertionError("no port is free")


class Server:
    """A server that is set up by the first start and keeps its data over the others."""

    package: str
    scheme: str
    admin: str
    admin_database: str
    admin_options = ""
    driver: str
    gentle_end: signal.Signals      # leaves without waiting for clients
    dispatcher: str                 # makes Kamailio's table

    def __init__(self) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="fastsip-sql-"))
        self.port = free_tcp_port()
        self.process: subprocess.Popen | None = None
        self._as: list[str] = []
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.chown(self.home, nobody.pw_uid, nobody.pw_gid)
            self._as = [f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups"]

    def program(self, name: str, *places: str) -> str:
        """Debian keeps servers where PATH does not lead."""
        path = os.pathsep.join((*places, os.environ.get("PATH", ""), "/usr/sbin"))
        found = shutil.which(name, path=path)
        if not found:
            pytest.fail(f"{name} is missing: install Debian's {self.package}", pytrace=False)
        return found

    def unprivileged(self, *command: str) -> list[str]:
        return ["setpriv", *self._as, f"--pdeathsig={self.gentle_end.name[3:]}", *command]

    def run(self, *command: str) -> None:
        """A program of the set-up."""
        done = subprocess.run(self.unprivileged(*command), cwd=self.home, capture_output=True, text=True,
                              timeout=LIMIT_S, check=False)  # fmt: skip
        assert done.returncode == 0, f"{command[0]}: {done.stdout}\n{done.stderr}"

    def set_up(self) -> None:
        raise AssertionError("an engine says how")

    def command(self) -> list[str]:
        raise AssertionError("an engine says how")

    def start(self) -> None:
        if not any(self.home.iterdir()):
            self.set_up()
        with (self.home / "log").open("ab") as log:
            self.process = subprocess.Popen(self.unprivileged(*self.command()), cwd=self.home, start_new_session=True,
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log)  # fmt: skip
        wait_until(self._answers, LIMIT_S)

    def _answers(self) -> bool:
        assert self.process and self.process.poll() is None, (self.home / "log").read_text(errors="replace")[-2000:]
        try:
            self.sql("SELECT 1")
        except DBAPIError:
            return False
        return True

    def stop(self) -> None:
        """Clients are cut off; data stay."""
        if self.process:
            self.thaw()
            self.process.send_signal(self.gentle_end)
            try:
                self.process.wait(LIMIT_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(LIMIT_S)
            self.process = None

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.home)

    def freeze(self) -> None:
        """All its processes stand still; the kernel goes on to take what is sent to them."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """As when its machine goes: nobody is told."""
        assert self.process
        self._signal(signal.SIGKILL)
        self.process.wait(LIMIT_S)
        self.process = None

    def _signal(self, which: signal.Signals) -> None:
        for pid in descendants(self.process.pid) if self.process else ():
            with contextlib.suppress(ProcessLookupError):   # one that served a connection has ended meanwhile
                os.kill(pid, which)

    def url(self, user: str = USER, password: str = PASSWORD, database: str = "kamailio", port: int = 0) -> str:
        secret = f":{quote(password, safe='')}" if password else ""
        return f"{self.scheme}://{user}{secret}@127.0.0.1:{port or self.port}/{database}"

    login = f"{USER}:{quote(PASSWORD, safe='')}"

    def local_url(self) -> str:
        """By the socket in its directory."""
        raise AssertionError("an engine says how")

    def open(self, database: str = ""):
        """A connection of the administrator, to be used in `with`; each statement counts at once."""
        url = self.url(self.admin, "", database or self.admin_database) + self.admin_options
        url = url.replace("://", f"+{self.driver}://", 1)
        return create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT").connect()

    def sql(self, *statements: str, database: str = "") -> list[tuple]:
        """The rows of the last statement."""
        with self.open(database) as connection:
            for each in statements:
                result = connection.exec_driver_sql(each)
            return [tuple(row) for row in result] if result.returns_rows else []

    def waiting(self) -> list[tuple]:
        """Statements of the user that are being worked on or wait for a lock."""
        raise AssertionError("an engine says how")
