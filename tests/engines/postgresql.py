"""PostgreSQL: one cluster in a directory, trusting its administrator and nobody else without a password."""

import signal
from pathlib import Path

from .server import PASSWORD, USER, Server

# As Kamailio 5.6 makes it.
DISPATCHER = """CREATE TABLE dispatcher (
    id SERIAL PRIMARY KEY NOT NULL, setid INTEGER DEFAULT 0 NOT NULL, destination VARCHAR(192) DEFAULT '' NOT NULL,
    flags INTEGER DEFAULT 0 NOT NULL, priority INTEGER DEFAULT 0 NOT NULL, attrs VARCHAR(128) DEFAULT '' NOT NULL,
    description VARCHAR(64) DEFAULT '' NOT NULL)"""
SETTINGS = {
    "fsync": "off", "full_page_writes": "off", "shared_buffers": "16MB",
    "max_connections": "30", "listen_addresses": "127.0.0.1", "lc_messages": "C",
}  # fmt: skip
ACCESS = """
host all postgres 127.0.0.1/32 trust
host all all 127.0.0.1/32 scram-sha-256
local all all scram-sha-256
"""


class PostgreSQL(Server):
    package, scheme, driver, admin, admin_database = "postgresql", "postgresql", "psycopg", "postgres", "postgres"
    admin_options = "?client_encoding=utf8"     # SQLAlchemy cannot begin in a database without an encoding
    gentle_end = signal.SIGINT
    dispatcher = DISPATCHER

    def _program(self, name: str) -> str:
        """The newest version first."""
        places = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name), reverse=True)
        return self.program(name, *map(str, places))

    def set_up(self) -> None:
        place = str(self.home / "data")
        self.run(self._program("initdb"), "-D", place, "-U", self.admin, "-E", "UTF8", "--locale=C", "-N",
                 "-A", "trust")  # fmt: skip
        (self.home / "data" / "pg_hba.conf").write_text(ACCESS)

    def command(self) -> list[str]:
        settings = [f"--{name}={value}" for name, value in SETTINGS.items()]
        settings.append(f"--unix_socket_directories={self.home}")
        return [self._program("postgres"), "-D", str(self.home / "data"), "-p", str(self.port), *settings]

    def local_url(self) -> str:
        return f"postgresql://{self.login}@/kamailio?host={self.home}&port={self.port}"

    def make_user(self) -> None:
        self.sql(f"CREATE USER {USER} PASSWORD '{PASSWORD.replace('%', '%%')}'")

    def make_database(self, name: str, encoding: str = "UTF8") -> None:
        self.sql(f"CREATE DATABASE {name} ENCODING '{encoding}' TEMPLATE template0")

    def waiting(self) -> list[tuple]:
        return self.sql(f"SELECT query FROM pg_stat_activity WHERE usename = '{USER}' AND state = 'active'")

    def lock(self, table: str) -> tuple[str, ...]:
        """What a connection has to say to keep everybody from reading, until it ends."""
        return "BEGIN", f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE"
