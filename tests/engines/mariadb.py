"""MariaDB: one directory of data, small and careless about losing it."""

import signal

from .server import PASSWORD, USER, Server

# As Kamailio 5.6 makes it.
DISPATCHER = """CREATE TABLE dispatcher (
    id INT(10) UNSIGNED AUTO_INCREMENT PRIMARY KEY NOT NULL, setid INT DEFAULT 0 NOT NULL,
    destination VARCHAR(192) DEFAULT '' NOT NULL, flags INT DEFAULT 0 NOT NULL, priority INT DEFAULT 0 NOT NULL,
    attrs VARCHAR(128) DEFAULT '' NOT NULL, description VARCHAR(64) DEFAULT '' NOT NULL)"""
SETTINGS = (
    "--bind-address=127.0.0.1", "--skip-name-resolve", "--skip-log-bin", "--performance-schema=OFF",
    "--innodb-flush-log-at-trx-commit=2", "--innodb-flush-method=nosync", "--innodb-buffer-pool-size=16M",
    "--innodb-log-file-size=8M", "--max-connections=30", "--character-set-server=utf8mb4",
)  # fmt: skip


class MariaDB(Server):
    package, scheme, driver, admin, admin_database = "mariadb-server-core", "mysql", "pymysql", "root", "mysql"
    gentle_end = signal.SIGTERM
    dispatcher = DISPATCHER

    def set_up(self) -> None:
        self.run(self.program("mariadb-install-db"), "--no-defaults", f"--datadir={self.home}/data", "--skip-test-db",
                 "--auth-root-authentication-method=normal", "--skip-name-resolve",
                 "--innodb-log-file-size=8M")  # fmt: skip

    def command(self) -> list[str]:
        places = (f"--datadir={self.home}/data", f"--socket={self.home}/socket", f"--pid-file={self.home}/pid",
                  f"--tmpdir={self.home}", f"--port={self.port}")  # fmt: skip
        return [self.program("mariadbd"), "--no-defaults", *places, *SETTINGS]

    def local_url(self) -> str:
        return f"mysql://{self.login}@localhost/kamailio?unix_socket={self.home}/socket"

    def make_user(self) -> None:
        """Whoever comes by the socket of the directory is another user."""
        for host in ("127.0.0.1", "localhost"):
            self.sql(f"CREATE USER {USER}@'{host}' IDENTIFIED BY '{PASSWORD.replace('%', '%%')}'")

    def make_database(self, name: str, encoding: str = "utf8mb4") -> None:
        self.sql(f"CREATE DATABASE {name} CHARACTER SET {encoding}")

    def waiting(self) -> list[tuple]:
        return self.sql("SELECT info FROM information_schema.processlist "
                        f"WHERE user = '{USER}' AND command = 'Query'")  # fmt: skip

    def lock(self, table: str) -> tuple[str, ...]:
        """What a connection has to say to keep everybody from reading, until it ends."""
        return (f"LOCK TABLES {table} WRITE",)
