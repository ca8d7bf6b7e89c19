"""A table in a database: what its rows and columns become, and each way in which there is nothing to read."""

import logging
import os
import socket
import sqlite3
import subprocess
import sys
import threading
import traceback
from contextlib import closing, contextmanager
from decimal import Decimal
from io import StringIO

import pytest
import rich
from hypothesis import given, settings
from hypothesis import strategies as st

from fastsip.sources import engines, sql
from fastsip.sources.columns import MOST_ROWS
from fastsip.sources.kamailio import read_list
from fastsip.sources.rows import Reading, SourceAway
from fastsip.sources.sql import Database, Table

SHORT_S = 0.3
TABLE = "id INTEGER PRIMARY KEY, setid INTEGER, destination TEXT, flags INTEGER, priority INTEGER, attrs TEXT"


class File:
    """A database file with one table; statements go to it by a connection of the test's."""

    def __init__(self, path, columns: str = TABLE):
        self.path = path
        self.url = f"sqlite:///{path}"
        self.writer = sqlite3.connect(path, isolation_level=None)
        self.writer.execute(f"CREATE TABLE dispatcher ({columns})")

    def add(self, *values: object) -> None:
        self.writer.execute(f"INSERT INTO dispatcher VALUES ({', '.join('?' * len(values))})", values)

    def read(self, **named: str) -> Reading:
        return Database(Table(url=self.url, **named), limit_s=5).read()


@pytest.fixture
def file(scratch):
    made = File(scratch / "kamailio.db")
    with closing(made.writer):
        yield made


def away(url: str, limit_s: float = 5, **named: str) -> str:
    """Why it cannot be read."""
    with pytest.raises(SourceAway) as caught:
        Database(Table(url=url, **named), limit_s=limit_s).read()
    return str(caught.value)


# ---------------------------------------------------------------- rows


def test_a_row_means_what_the_same_line_of_a_list_means(file):
    file.add(7, 3, "192.0.2.1:5070", 9, -2, "duid=gw1;weight=50;site=east")
    (row,) = file.read().rows
    (line,) = read_list("3 192.0.2.1:5070 9 -2 duid=gw1;weight=50;site=east", 0.0).rows
    assert row.where == "id 7"
    assert {name: getattr(row, name) for name in row.__struct_fields__ if name != "where"} == {
        name: getattr(line, name) for name in line.__struct_fields__ if name != "where"}  # fmt: skip


def test_rows_come_in_the_order_of_their_ids(file):
    for number in (10, 9, 2, 33):
        file.add(number, 1, "sip:192.0.2.1", 0, 0, "")
    assert [row.where for row in file.read().rows] == ["id 2", "id 9", "id 10", "id 33"]


def test_an_empty_table_is_read(file):
    assert file.read().rows == ()


def test_one_bad_row_leaves_out_itself(file):
    file.add(1, 1, "sip:192.0.2.1", 0, 0, "")
    file.add(2, -1, "sip:192.0.2.2", 0, 0, "")
    file.add(3, 1, None, 0, 0, "")
    file.add(4, 1, "sip:192.0.2.4", 64, 0, "")
    reading = file.read()
    assert [row.where for row in reading.rows] == ["id 1"]
    assert [str(misfit)[:20] for misfit in reading.misfits] == [
        "id 2: setid: allowed", "id 3: destination: i", "id 4: flags: allowed"]  # fmt: skip


@pytest.mark.parametrize("length", [sql.LONGEST_ROW, sql.LONGEST_ROW + 1])
def test_a_row_that_is_too_long_leaves_out_itself(file, length):
    file.add(1, 1, "sip:192.0.2.1", 0, 0, "x" * (length - len("sip:192.0.2.1")))
    file.add(2, 1, "sip:192.0.2.2", 0, 0, "")
    reading = file.read()
    assert len(reading.rows) == (1 if length > sql.LONGEST_ROW else 2)
    assert [str(misfit) for misfit in reading.misfits] == ["id 1: longer than 4096 characters"][: length - 4096]


def test_of_many_long_rows_the_first_are_said(file):
    for number in range(sql.MOST_LONG_ROWS + 3):
        file.add(number, 1, "sip:192.0.2.1", 0, 0, "x" * sql.LONGEST_ROW)
    misfits = file.read().misfits
    assert len(misfits) == sql.MOST_LONG_ROWS + 1
    assert (misfits[0].where, misfits[-1].where) == ("id 0", "3 more")


def test_what_needs_not_be_there(scratch):
    """A table of two columns; without an id a row is known by its place."""
    made = File(scratch / "small.db", "Destination TEXT, SETID INTEGER")
    made.add("192.0.2.1", 4)
    made.add("", 4)
    with closing(made.writer):
        reading = made.read()
    (row,) = reading.rows
    assert (row.where, row.setid, row.uri, row.priority, row.attrs) == ("row 1", 4, "sip:192.0.2.1", 0, ())
    assert str(reading.misfits[0]) == "row 2: destination: it is missing"


@pytest.mark.parametrize("missing", ["setid", "destination"])
def test_what_must_be_there(scratch, missing):
    """SQLite would take the quoted name of a column that is missing for a text."""
    made = File(scratch / "small.db", TABLE.replace(missing, f"no_{missing}"))
    with closing(made.writer):
        assert away(made.url) == f"the table dispatcher has no column {missing}"


def test_a_table_of_another_name_or_a_view(file):
    file.add(1, 1, "sip:192.0.2.1", 0, 0, "")
    file.writer.execute('CREATE VIEW "Our gateways" AS SELECT * FROM dispatcher')
    assert len(file.read(name="Our gateways").rows) == len(file.read(name="main.dispatcher").rows) == 1
    assert away(file.url, name="nothing") == "no such table: nothing"
    assert away(file.url, name="dispatcher; DROP TABLE dispatcher").startswith("no such table")


ODD = {
    "text for numbers": ("1", " 2", "0x8", "-3", "a=b"),
    "floats that are whole": (1.0, "2", 8.0, -3.0, "a=b"),
    "bytes": (b"1", b"2", b"8", b"-3", b"a=b"),
}


@pytest.mark.parametrize("case", ODD)
def test_columns_of_other_types(scratch, case):
    setid, destination, flags, priority, attrs = ODD[case]
    made = File(scratch / "odd.db", "setid, destination, flags, priority, attrs")
    made.add(setid, destination, flags, priority, attrs)
    with closing(made.writer):
        (row,) = made.read().rows
    assert (row.setid, row.uri, row.probed, row.priority, row.attrs) == (1, "sip:2", True, -3, (("a", "b"),))


def test_nothing_at_all_has_the_defaults(scratch):
    made = File(scratch / "odd.db", "id, setid, destination, flags, priority, attrs")
    made.add(None, None, "192.0.2.1", None, None, None)
    with closing(made.writer):
        (row,) = made.read().rows
    assert (row.where, row.setid, row.priority, row.attrs, row.admin) == ("row 1", 0, 0, (), "enabled")


NUMBERS = [
    (Decimal("7.00"), 7), (Decimal("7.5"), "7.5"), (Decimal("NaN"), "NaN"), (Decimal("Infinity"), "Infinity"),
    (Decimal("1E+400"), "1E+400"), (7.0, 7), (7.5, "7.5"), (float("inf"), "inf"), (float("nan"), "nan"), (True, 1),
    (1 << 70, 1 << 70), (2.0 ** 63, "9.223372036854776e+18"),
]  # fmt: skip


@pytest.mark.parametrize(("value", "plain"), NUMBERS)
def test_numbers_are_whole_where_they_are(value, plain):
    assert sql._plain(value) == plain


def test_texts_that_are_none_are_read_with_what_cannot_be_read_replaced(file):
    file.writer.execute("INSERT INTO dispatcher VALUES (1, 1, '192.0.2.1', 0, 0, CAST(x'613dff62' AS TEXT))")
    file.add(2, 1, "192.0.2.2", 0, 0, b"a=\xff\xe9")
    assert [row.attrs[0][1] for row in file.read().rows] == ["\ufffdb", "\ufffd\ufffd"]


def test_an_id_does_nothing_to_a_terminal(scratch):
    made = File(scratch / "odd.db", "id TEXT, setid, destination")
    made.add("\x1b[2J" + "x" * 100, 1, "192.0.2.1")
    with closing(made.writer):
        (row,) = made.read().rows
    assert row.where == "id \\u001b[2J" + "x" * 36


def rows_from(file, number: int) -> None:
    file.writer.execute(f"""CREATE VIEW many AS WITH RECURSIVE n(id) AS
        (SELECT 1 UNION ALL SELECT id + 1 FROM n WHERE id < {number}) SELECT id, 1 AS setid, 'h' AS destination
        FROM n""")


def test_as_many_rows_as_a_list_may_have(file, monkeypatch):
    assert sql.MOST_ROWS == MOST_ROWS
    monkeypatch.setattr(sql, "MOST_ROWS", 2500)
    rows_from(file, 2500)
    assert len(file.read(name="many").rows) == 2500
    file.writer.execute("DROP VIEW many")
    rows_from(file, 2501)
    assert away(file.url, name="many") == "the table many has more than 2500 rows"


def test_as_many_letters_as_a_list_may_have(file, monkeypatch):
    monkeypatch.setattr(sql, "MOST_LETTERS", 1 << 20)
    each = (1 << 20) // 256
    for number in range(256):
        file.add(number, 1, "h", 0, 0, "x" * (each - 1))
    assert len(file.read().rows) == 256
    file.add(256, 1, "h", 0, 0, "")
    assert away(file.url) == "the table dispatcher is larger than 1 MiB"


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(*[st.none() | st.integers(-(1 << 63), (1 << 63) - 1) | st.floats() | st.binary(max_size=9)
                            | st.text(st.characters(exclude_categories=("Cs",)), max_size=9)] * 6),
                max_size=4))  # fmt: skip
def test_whatever_stands_in_a_table_is_a_row_or_left_out(tmp_path_factory, rows):
    made = File(tmp_path_factory.mktemp("any") / "any.db", "id, setid, destination, flags, priority, attrs")
    for row in rows:
        made.add(*row)
    with closing(made.writer):
        reading = made.read()
    assert len(reading.rows) + len(reading.misfits) == len(rows)


# ---------------------------------------------------------------- files


def test_a_file_is_never_made_nor_written(scratch, file):
    assert "No such file" in away(f"sqlite:///{scratch}/none.db")
    assert not (scratch / "none.db").exists()
    before, names = file.path.read_bytes(), set(os.listdir(scratch))
    file.read()
    assert file.path.read_bytes() == before and set(os.listdir(scratch)) == names


def test_a_file_is_opened_for_reading_alone(file):
    """Whoever has the connection cannot write by it either."""
    database = Database(Table(url=file.url))
    database.read()
    with database._engine.connect() as connection, pytest.raises(Exception, match="readonly database"):
        connection.exec_driver_sql("DELETE FROM dispatcher")


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite:///file:x?mode=rwc&uri=true"])
def test_no_database_in_memory(url):
    assert away(url) == "the path of the file is missing: sqlite:////path"


def test_files_that_are_no_databases(scratch):
    (scratch / "text").write_text("no database " * 1000)
    assert away(f"sqlite:///{scratch}/text") == "file is not a database"
    (scratch / "empty").touch()
    assert away(f"sqlite:///{scratch}/empty") == "no such table: dispatcher"
    os.mkfifo(scratch / "pipe")
    assert away(f"sqlite:///{scratch}/pipe") == f"{scratch}/pipe: not a plain file"
    assert away(f"sqlite:///{scratch}") == f"{scratch}: not a plain file"


def test_letters_of_a_path_that_mean_something_in_urls(scratch):
    made = File(scratch / "a#b %41?mode=rwc.db")
    made.add(1, 1, "192.0.2.1", 0, 0, "")
    with closing(made.writer):
        url = engines.read_url("sqlite:////x")[0].set(database=str(made.path)).render_as_string()
        reading = Database(Table(url=url)).read()
    assert len(reading.rows) == 1


def test_a_file_that_is_locked_is_away_and_comes_back(file):
    file.add(1, 1, "192.0.2.1", 0, 0, "")
    database = Database(Table(url=file.url), limit_s=SHORT_S)
    assert len(database.read().rows) == 1
    file.writer.execute("BEGIN EXCLUSIVE")
    with pytest.raises(SourceAway, match=r"^(database is locked|not read within 0.3 s)$"):
        database.read()
    file.writer.execute("ROLLBACK")
    assert len(database.read().rows) == 1


def test_a_reading_keeps_no_lock(file):
    database = Database(Table(url=file.url))
    database.read()
    file.writer.execute("BEGIN EXCLUSIVE")
    file.writer.execute("ROLLBACK")
    database.close()
    assert database.read().rows == ()


def test_a_file_with_a_write_ahead_log(file):
    file.writer.execute("PRAGMA journal_mode = WAL")
    file.add(1, 1, "192.0.2.1", 0, 0, "")
    file.writer.execute("BEGIN IMMEDIATE")
    file.writer.execute("DELETE FROM dispatcher")
    assert len(file.read().rows) == 1   # writers do not keep readers out
    file.writer.execute("COMMIT")
    assert file.read().rows == ()


def test_a_view_that_never_ends(file):
    file.writer.execute("""CREATE VIEW endless AS WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n)
        SELECT x AS setid, '' AS destination FROM n WHERE x < 0""")
    assert away(file.url, SHORT_S, name="endless") == "not read within 0.3 s"


# ---------------------------------------------------------------- servers that are none

NETWORK = {"postgresql": "postgresql", "mariadb": "mysql"}
PASSWORD = "s3cret/@:%"
QUOTED = "s3cret%2F%40%3A%25"


def network(scheme: str, port: int) -> str:
    return f"{scheme}://kamailio:{QUOTED}@127.0.0.1:{port}/kamailio"


@contextmanager
def server(says: bytes, then_ends: bool = False, drips: bool = False):
    """Takes connections, says this on each, whole or byte by byte, and then nothing; yields the port."""
    over = threading.Event()
    taken = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(30)

        def serve():
            while not over.is_set():
                try:
                    connected, _ = listener.accept()
                except OSError:     # the listener is closed
                    return
                taken.append(connected)
                for part in (says[i : i + 1] for i in range(len(says))) if drips else (says,):
                    try:
                        connected.sendall(part)
                    except OSError:     # the client has left
                        break
                    if drips and over.wait(0.1):
                        break
                if then_ends:
                    connected.shutdown(socket.SHUT_WR)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        over.set()
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(30)
    for connected in taken:
        connected.close()




def greeting(tls: bool) -> bytes:
    """MariaDB's first packet; a client that may begins TLS then."""
    abilities = b"\xff\xff" if tls else b"\xff\xf7"
    text = (b"\x0a10.11.0-MariaDB\0" + b"\1\0\0\0" + b"12345678\0" + abilities + b"\x08\x02\x00\xff\x81\x15"
            + b"\0" * 10 + b"123456789012\0" + b"mysql_native_password\0")  # fmt: skip
    return len(text).to_bytes(3, "little") + b"\0" + text


SILENT_AFTER = {
    "postgresql": [b"", b"N", b"S", b"NR\0\0\0\x0c", b"NR\0\0\0\x08\0\0\0\0"],
    "mariadb": [b"", b"\x0a", greeting(False), greeting(True)],
}


@pytest.mark.parametrize(("name", "says"), [(name, says) for name, all_ in SILENT_AFTER.items() for says in all_])
def test_a_server_that_says_no_more(name, says):
    """It takes the connection and says nothing, or begins well, also with TLS."""
    with server(says) as port, pytest.raises(SourceAway) as caught:
        Database(Table(url=network(NETWORK[name], port)), connect_s=0.2, limit_s=0.5).read()
    assert any(each in str(caught.value) for each in ("not read within 0.5 s", "timeout")), str(caught.value)


def test_a_server_that_says_a_byte_now_and_then():
    """Each of them would begin a driver's limit anew; PostgreSQL's is for all of them."""
    with server(greeting(False), drips=True) as port:
        assert away(network("mysql", port), limit_s=0.5) == "not read within 0.5 s"
    with server(b"NR\0\0\0\x40" + b"\0" * 60, drips=True) as port, pytest.raises(SourceAway, match=r"timeout|within"):
        Database(Table(url=network("postgresql", port)), connect_s=1, limit_s=1).read()


@pytest.mark.parametrize("scheme", NETWORK.values())
@settings(max_examples=40, deadline=None)
@given(says=st.binary(max_size=80) | st.sampled_from([greeting(False), greeting(True)]))
def test_a_server_that_talks_nonsense(scheme, says):
    with server(says, then_ends=True) as port, pytest.raises(SourceAway) as caught:
        Database(Table(url=network(scheme, port)), connect_s=1, limit_s=1).read()
    text = str(caught.value)
    assert text and text.isprintable() and len(text) <= engines.LONGEST_REASON and "s3cret" not in text


@pytest.mark.parametrize("scheme", NETWORK.values())
def test_nobody_listens(scheme):
    with server(b"") as port:
        pass
    assert "Connection refused" in away(network(scheme, port))
    assert "Errno" not in away(network(scheme, port))


@pytest.mark.parametrize(("scheme", "driver"), [("postgresql", "psycopg"), ("mysql", "pymysql")])
def test_a_driver_that_is_missing(monkeypatch, scheme, driver):
    monkeypatch.setitem(sys.modules, driver, None)
    for each in [name for name in sys.modules if name.startswith(f"{driver}.")]:
        monkeypatch.setitem(sys.modules, each, None)
    text = away(network(scheme, 1))
    assert text.startswith(f"a driver is missing (import of {driver}") and text.endswith('pip install "fastsip[sql]"')


def test_without_sqlalchemy_the_module_is_there_and_says_so():
    code = ("import sys; sys.modules['sqlalchemy'] = None\n"
            "from fastsip.sources.sql import Database, Table\n"
            "try: Database(Table(url='sqlite:////x')).read()\n"
            "except Exception as error: print(repr(error))")  # fmt: skip
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.strip() == """SourceAway('SQLAlchemy is missing: pip install "fastsip[sql]"')"""


# ---------------------------------------------------------------- addresses and passwords

WRONG_URLS = {
    "": "the URL cannot be read: ",
    "dispatcher.db": "the URL cannot be read: ",
    f"postgresql://u:{PASSWORD}x@h:port/d": "the URL: a letter @ ",
    "postgresql://u:s3cret@h:port/d": "the URL cannot be read: ",
    "postgresql://u:s3cret@h:99999999/d": "",
    "oracle://u:s3cret@h/d": "the URL names no engine or driver that is known here: ",
    "postgresql+asyncpg://u:s3cret@h/d": "the URL names no engine or driver that is known here: ",
    "mysql://u:s3@cret@h/d": "the URL: a letter @ ",
    "postgresql://u:s3cret@127.0.0.1/d?unknown_option=1": 'invalid connection option "unknown_option"',
    "mysql://u:s3cret@127.0.0.1/d?unknown_option=1": "",
}


@pytest.mark.parametrize("url", WRONG_URLS)
def test_urls_that_are_none(url):
    text = away(url)
    assert WRONG_URLS[url] in text
    assert not any(part in text for part in ("s3cret", "s3", "cret"))


@pytest.mark.parametrize("url", [
    network("postgresql", 1), network("mysql", 1), f"postgresql://h:1/d?password={QUOTED}",
    f"mysql://127.0.0.1:1/d?password={QUOTED}", f"postgresql://s3cret:{QUOTED}@{PASSWORD[:6]}.invalid:1/d",
])  # fmt: skip
def test_a_password_is_shown_nowhere(url, caplog):
    caplog.set_level(logging.DEBUG)
    table = Table(url=url)
    database = Database(table, connect_s=1, limit_s=3)
    with pytest.raises(SourceAway) as caught:
        database.read()
    screen = StringIO()
    rich.print(table, database, file=screen)
    shown = [str(caught.value), repr(caught.value), repr(table), repr(database), str(table), screen.getvalue(),
             caplog.text, "".join(traceback.format_exception(caught.value))]  # fmt: skip
    for text in shown:
        assert PASSWORD not in text and QUOTED not in text


def test_secrets_are_taken_out_of_what_others_say():
    url, _ = engines.read_url(f"postgresql://u:{QUOTED}@h/d?sslpassword=other")
    text = engines.without(engines.secrets_of(url), f"no {PASSWORD} and no {QUOTED} for u, nor other")
    assert text == "no *** and no *** for u, nor ***"


@pytest.mark.parametrize("secret", ["s3\x1bcret", "two  words", "x" * 40])
def test_a_secret_is_taken_out_before_its_letters_are_made_fit_for_a_log(secret):
    error = ValueError("y" * (engines.LONGEST_REASON - 20) + secret)
    text = engines.why(error, engines.Limit(1), {secret})
    assert text == "y" * (engines.LONGEST_REASON - 20) + "***"
