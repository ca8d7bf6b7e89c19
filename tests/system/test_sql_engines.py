"""A dispatcher table in PostgreSQL and MariaDB as they are: what is read, and what happens when they do not answer."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from fastsip.sources.rows import Reading, SourceAway
from fastsip.sources.sql import Database, Table
from tests.conftest import wait_until
from tests.engines.relay import Relay
from tests.engines.server import PASSWORD, USER, Server

LIMIT_S = 60
SHORT_S = 1.5

# What is only said when something is cleaned up would stand in the router's log, too.
pytestmark = pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(params=["postgresql", "mariadb"])
def server(request) -> Iterator[Server]:
    """With Kamailio's table in the database `kamailio`, which the user may read."""
    each = request.getfixturevalue(request.param)
    each.make_database("kamailio")
    each.sql(each.dispatcher, grant(each, "dispatcher"), database="kamailio")
    yield each
    drop(each, "kamailio")


def who(server: Server) -> str:
    return USER if server.scheme == "postgresql" else f"{USER}@'127.0.0.1'"


def grant(server: Server, table: str) -> str:
    return f"GRANT SELECT ON {table} TO {who(server)}"


def drop(server: Server, database: str) -> None:
    """PostgreSQL waits for those that are still about to leave."""
    wait_until(lambda: not server.waiting(), LIMIT_S)
    force = " WITH (FORCE)" if server.scheme == "postgresql" else ""
    server.sql(f"DROP DATABASE {database}{force}")


def add(server: Server, *values: str, columns: str = "id, setid, destination, flags, priority, attrs") -> None:
    rows = ", ".join(f"({row})" for row in values).replace("%", "%%")
    server.sql(f"INSERT INTO dispatcher ({columns}) VALUES {rows}", database="kamailio")


def table(server: Server, name: str = "dispatcher", **of_url: object) -> Table:
    return Table(url=server.url(**of_url), name=name)


def read(server: Server, name: str = "dispatcher", **of_url: object) -> Reading:
    return Database(table(server, name, **of_url), limit_s=30).read()


def away(server: Server, name: str = "dispatcher", limit_s: float = 30, **of_url: object) -> str:
    """Why it cannot be read."""
    with pytest.raises(SourceAway) as caught:
        Database(table(server, name, **of_url), limit_s=limit_s).read()
    text = str(caught.value)
    assert text and PASSWORD not in text
    return text


# ---------------------------------------------------------------- what is read


def test_the_table_as_kamailio_makes_it(server):
    add(server, "7, 3, 'sip:192.0.2.1:5070', 9, -2, 'duid=gw1;weight=50'", "2, 1, '192.0.2.2', 0, 0, ''",
        "5, -1, 'sip:192.0.2.3', 0, 0, ''")  # fmt: skip
    reading = read(server)
    first, second = reading.rows
    assert (first.where, first.setid, first.uri, first.attrs) == ("id 2", 1, "sip:192.0.2.2", ())
    assert (second.where, second.setid, second.name, second.weight, second.priority) == ("id 7", 3, "gw1", 50, -2)
    assert second.starts_down and second.probed
    assert [misfit.where for misfit in reading.misfits] == ["id 5"]


def test_ten_thousand_rows_in_their_order(server):
    numbers = [*range(1, 10_001)]
    shuffled = sorted(numbers, key=lambda number: number * 7919 % 10_007)
    assert shuffled != numbers
    add(server, *(f"{number}, {number % 40}, 'sip:10.0.{number >> 8}.{number & 255}', 8, 0, 'duid=gw{number}'"
                  for number in shuffled))  # fmt: skip
    reading = read(server)
    assert [row.where for row in reading.rows] == [f"id {number}" for number in numbers]
    assert reading.rows[4999].uri == f"sip:10.0.{5000 >> 8}.{5000 & 255}" and not reading.misfits


def test_a_database_is_read_again_and_again(server):
    database = Database(table(server))
    assert database.read().rows == ()
    add(server, "1, 1, 'sip:192.0.2.1', 0, 0, ''")
    assert len(database.read().rows) == 1
    server.sql("DELETE FROM dispatcher", database="kamailio")
    assert database.read().rows == ()
    database.close()
    assert database.read().rows == ()
    database.close()


def test_a_table_that_is_made_otherwise(server):
    """Numbers with decimals, columns of bytes, nothing at all, fewer columns and others that nobody asks for."""
    binary = "BYTEA" if server.scheme == "postgresql" else "BLOB"
    late = "TIMESTAMP DEFAULT 'infinity'" if server.scheme == "postgresql" else "DATETIME DEFAULT NULL"
    server.sql(f"CREATE TABLE ours (setid NUMERIC(8, 2), destination {binary}, flags VARCHAR(9), attrs {binary}, "
               f"until {late}, seen TEXT)",
               "INSERT INTO ours (setid, destination, flags, attrs) VALUES (3, 'sip:192.0.2.1', '0x8', 'duid=a'), "
               "(NULL, '192.0.2.2', NULL, NULL), (1.5, '192.0.2.3', '0', NULL)",
               grant(server, "ours"), database="kamailio")  # fmt: skip
    reading = read(server, "ours")
    found = {row.uri: row for row in reading.rows}
    first, second = found["sip:192.0.2.1"], found["sip:192.0.2.2"]
    assert (first.setid, first.probed, first.name) == (3, True, "a") and first.where.startswith("row ")
    assert (second.setid, second.probed, second.attrs) == (0, None, ())
    assert [misfit.why for misfit in reading.misfits] == ["setid: allowed is a whole number from 0 to 2147483647"]


def test_a_view_instead_of_a_table(server):
    """What is not Kamailio's becomes it; the user needs no right to what stands behind."""
    add(server, "1, 1, 'sip:192.0.2.1', 0, 0, ''", "2, 1, 'sip:192.0.2.2', 0, 0, ''")
    server.sql("CREATE VIEW ours AS SELECT setid, destination FROM dispatcher WHERE id > 1", grant(server, "ours"),
               f"REVOKE SELECT ON dispatcher FROM {who(server)}", database="kamailio")  # fmt: skip
    (row,) = read(server, "ours").rows
    assert row.uri == "sip:192.0.2.2"
    assert "denied" in away(server)


def test_a_server_on_this_machine_by_its_file(server):
    if server.scheme == "mysql":
        server.sql(f"GRANT SELECT ON dispatcher TO {USER}@localhost", database="kamailio")
    add(server, "1, 1, 'sip:192.0.2.1', 0, 0, ''")
    assert len(Database(Table(url=server.local_url())).read().rows) == 1
    with pytest.raises(SourceAway, match=r"/none.*No such file or directory"):
        Database(Table(url=server.local_url().replace(str(server.home), f"{server.home}/none"))).read()


def test_texts_in_latin1(server):
    server.make_database("latin", "LATIN1")
    server.sql(server.dispatcher, grant(server, "dispatcher"),
               "INSERT INTO dispatcher (destination, attrs) VALUES ('192.0.2.1', 'site=Zürich')",
               database="latin")  # fmt: skip
    (row,) = read(server, database="latin").rows
    assert row.attrs == (("site", "Zürich"),)
    drop(server, "latin")


def test_bytes_that_are_no_text(postgresql):
    """A database that was made without an encoding takes any bytes, and the driver gives them as such."""
    postgresql.make_database("bytes", "SQL_ASCII")
    postgresql.sql(postgresql.dispatcher, grant(postgresql, "dispatcher"),
                   "INSERT INTO dispatcher (destination, attrs) VALUES ('192.0.2.1', E'site=Z\\xfcrich')",
                   database="bytes")  # fmt: skip
    (row,) = read(postgresql, database="bytes").rows
    assert row.attrs == (("site", "Z\ufffdrich"),)
    drop(postgresql, "bytes")


def test_a_table_in_another_schema(postgresql):
    postgresql.make_database("schemas")
    postgresql.sql("CREATE SCHEMA sip", postgresql.dispatcher.replace("dispatcher", 'sip."Our gateways"'),
                   f"GRANT USAGE ON SCHEMA sip TO {USER}", grant(postgresql, 'sip."Our gateways"'),
                   database="schemas")  # fmt: skip
    assert read(postgresql, "sip.Our gateways", database="schemas").rows == ()
    drop(postgresql, "schemas")


def test_a_read_can_change_nothing(server):
    """The view would write, if it were let."""
    if server.scheme == "postgresql":
        made = """CREATE FUNCTION writes() RETURNS INTEGER LANGUAGE SQL SECURITY DEFINER AS
            'INSERT INTO dispatcher (setid) VALUES (1) RETURNING setid'"""
    else:
        made = """CREATE FUNCTION writes() RETURNS INTEGER MODIFIES SQL DATA
            BEGIN INSERT INTO dispatcher (setid) VALUES (1); RETURN 1; END"""
    server.sql(made, "CREATE VIEW ours AS SELECT writes() AS setid, 'h' AS destination", grant(server, "ours"),
               database="kamailio")  # fmt: skip
    assert "read-only transaction" in away(server, "ours").lower().replace("read only", "read-only")
    assert server.sql("SELECT count(*) FROM dispatcher", database="kamailio") == [(0,)]


# ---------------------------------------------------------------- what is refused

REFUSED = {
    "a wrong password": ({"password": "wr0ng"}, ("authentication failed", "Access denied")),
    "no password": ({"password": ""}, ("no password supplied", "Access denied")),
    "a user that nobody knows": ({"user": "nobody"}, ("authentication failed", "Access denied")),
    "no such database": ({"database": "other"}, ("does not exist", "Access denied")),
    "no such table": ({"name": "other"}, ("does not exist", "denied")),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused(server, case):
    named, texts = REFUSED[case]
    text = away(server, **named)
    assert any(each in text for each in texts) and "wr0ng" not in text
    assert len(text) < 200


def test_a_table_that_is_missing_for_one_who_may_read_all(mariadb):
    """Whoever may not read a table is not told there that it is missing."""
    mariadb.make_database("whole")
    mariadb.sql(f"GRANT SELECT ON whole.* TO {who(mariadb)}")
    assert away(mariadb, "other", database="whole") == "Table 'whole.other' doesn't exist"
    mariadb.sql(f"REVOKE SELECT ON whole.* FROM {who(mariadb)}", "DROP DATABASE whole")


def test_a_table_that_the_user_may_not_read(server):
    server.sql(f"REVOKE SELECT ON dispatcher FROM {who(server)}", database="kamailio")
    assert "denied" in away(server)


@pytest.mark.parametrize("column", ["setid", "destination"])
def test_a_column_that_is_missing(server, column):
    server.sql(f"ALTER TABLE dispatcher DROP COLUMN {column}", database="kamailio")
    assert away(server) == f"the table dispatcher has no column {column}"


@pytest.mark.parametrize("length", [4096, 4097, 200_000])
def test_a_text_that_is_too_long(server, length):
    """It leaves out its own row."""
    server.sql("ALTER TABLE dispatcher " + ("ALTER attrs TYPE TEXT" if server.scheme == "postgresql"
                                            else "MODIFY attrs LONGTEXT"), database="kamailio")  # fmt: skip
    add(server, f"1, 1, 'h', 0, 0, '{'é' * (length - 1)}'", "2, 1, 'h', 0, 0, ''")
    reading = read(server)
    assert [row.where for row in reading.rows] == (["id 1", "id 2"] if length == 4096 else ["id 2"])
    assert [str(misfit) for misfit in reading.misfits] == ["id 1: longer than 4096 characters"][: length - 4096]


def test_a_table_that_is_too_large(server, monkeypatch):
    """What is still to come is not waited for."""
    monkeypatch.setattr("fastsip.sources.sql.MOST_ROWS", 1500)
    add(server, *(f"{number}, 1, 'sip:192.0.2.1', 0, 0, ''" for number in range(1, 1501)))
    assert len(read(server).rows) == 1500
    add(server, "1501, 1, 'sip:192.0.2.1', 0, 0, ''")
    assert away(server) == "the table dispatcher has more than 1500 rows"
    wait_until(lambda: not server.waiting(), LIMIT_S)


# ---------------------------------------------------------------- a server that goes, stands still or stops in between


class Reader:
    """One read in a thread, of which the end is waited for."""

    def __init__(self, database: Database):
        self._database = database
        self.outcome: Reading | SourceAway | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.outcome = self._database.read()
        except SourceAway as error:
            self.outcome = error

    def end(self) -> Reading | SourceAway | None:
        self._thread.join(LIMIT_S)
        return self.outcome


@contextmanager
def locked(server: Server):
    """Nobody can read the table in here."""
    with server.open("kamailio") as connection:
        for each in server.lock("dispatcher"):
            connection.exec_driver_sql(each)
        yield
        connection.invalidate()


def reading_waits(server: Server) -> bool:
    return any("dispatcher" in (query or "") for (query,) in server.waiting())


def test_a_server_that_was_stopped_and_comes_back(server):
    add(server, "1, 1, 'sip:192.0.2.1', 0, 0, ''")
    database = Database(table(server))
    assert len(database.read().rows) == 1
    server.stop()
    with pytest.raises(SourceAway, match="refused"):
        database.read()
    server.start()
    assert len(database.read().rows) == 1


def test_a_server_that_stands_still_before_a_read(server):
    """The kernel takes the connection for it."""
    database = Database(table(server), connect_s=SHORT_S, limit_s=SHORT_S)
    assert database.read().rows == ()
    server.freeze()
    try:
        with pytest.raises(SourceAway, match=r"not read within|timeout"):
            database.read()
    finally:
        server.thaw()
    wait_until(lambda: not server.waiting(), LIMIT_S)
    assert database.read().rows == ()


def test_a_server_that_stands_still_in_the_middle_of_a_read(server):
    """The read waits for a lock, so that it is known where it is."""
    database = Database(table(server), limit_s=SHORT_S * 2)
    with locked(server):
        reader = Reader(database)
        wait_until(lambda: reading_waits(server), LIMIT_S)
        server.freeze()
        try:
            outcome = reader.end()
        finally:
            server.thaw()
    assert str(outcome) == f"not read within {SHORT_S * 2:g} s"
    wait_until(lambda: not server.waiting(), LIMIT_S)
    assert database.read().rows == ()


def test_a_lock_that_nobody_opens(server):
    """The server gives up, too: nothing waits there any more."""
    with locked(server):
        text = away(server, limit_s=SHORT_S)
        assert "not read within" in text or "timeout" in text or "interrupted" in text, text
        wait_until(lambda: not reading_waits(server), LIMIT_S)
    assert read(server).rows == ()


def test_a_read_that_waits_for_a_lock_goes_on(server):
    database = Database(table(server), limit_s=30)
    with locked(server):
        reader = Reader(database)
        wait_until(lambda: reading_waits(server), LIMIT_S)
    outcome = reader.end()
    assert isinstance(outcome, Reading)


def test_a_server_that_is_killed_in_the_middle_of_a_read(server):
    database = Database(table(server), limit_s=30)
    with locked(server):
        reader = Reader(database)
        wait_until(lambda: reading_waits(server), LIMIT_S)
        server.kill()
    outcome = reader.end()
    server.start()
    assert isinstance(outcome, SourceAway) and str(outcome).isprintable()
    assert database.read().rows == ()


# Bytes of the server's that pass: in the greeting, while logging in, in the first statements, in the first rows, in
# the middle of the rows.
POINTS = (0, 1, 30, 120, 600, 2_000, 100_000)


@pytest.mark.parametrize("after", POINTS)
@pytest.mark.parametrize("silent", [False, True])
def test_a_connection_that_breaks_or_falls_silent(server, after, silent):
    """Wherever it does: the rows before are no reading."""
    add(server, *(f"{number}, 1, 'sip:192.0.2.1', 0, 0, 'duid=gateway{number}'" for number in range(1, 5001)))
    with Relay(server.port, after, silent) as relay:
        limit_s = SHORT_S if silent else 30
        database = Database(table(server, port=relay.port), connect_s=SHORT_S, limit_s=limit_s)
        with pytest.raises(SourceAway) as caught:
            database.read()
    assert relay.passed == after
    assert not silent or "not read within" in str(caught.value) or "timeout" in str(caught.value)
    assert str(caught.value).isprintable()
