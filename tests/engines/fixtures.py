"""Servers for a whole run: imported by a conftest whose tests want them."""

from collections.abc import Iterator

import pytest

from .mariadb import MariaDB
from .postgresql import PostgreSQL
from .server import Server


def _running(server: Server) -> Iterator[Server]:
    try:
        server.start()
        server.make_user()
        yield server
    finally:
        server.remove()


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Server]:
    yield from _running(PostgreSQL())


@pytest.fixture(scope="session")
def mariadb() -> Iterator[Server]:
    yield from _running(MariaDB())
