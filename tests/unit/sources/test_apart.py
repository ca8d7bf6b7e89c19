"""sources.apart: a table read by another process, and what a source is called without its password."""

import sqlite3
import sys

import pytest

from fastsip.sources import apart
from fastsip.sources.apart import Table, origin_of, read_apart
from fastsip.sources.rows import SourceAway

ORIGINS = {
    "postgresql://kamailio:s3cret@127.0.0.1:5432/kamailio": "postgresql://kamailio@127.0.0.1:5432/kamailio",
    "postgresql://kamailio@[::1]/kamailio": "postgresql://kamailio@[::1]/kamailio",
    "mysql://u:s3@cret@h/d": "mysql://u@h/d",
    "postgresql:///d?host=/run/db&password=s3cret&sslmode=require": "postgresql:///d?host=%2Frun%2Fdb",
    "mysql://u@h/d?passwd=s3cret&unix_socket=/run/x": "mysql://u@h/d?unix_socket=%2Frun%2Fx",
    "sqlite:////var/lib/kam@ilio.db": "sqlite:////var/lib/kam@ilio.db",
    "postgresql:/u:s3cret@h/d": "postgresql", "s3cret": "s3cret", "postgresql://u:s3/cret@h/d": "postgresql",
    "postgresql://[u:s3cret@h/d": "postgresql://[u@h/d", "postgresql://h[/d": "postgresql",
    "postgresql://u:s3?cret@h/d": "postgresql", "postgresql://u:s3#cret@h/d": "postgresql",
    "postgresql://h/d?password=s3@cret": "postgresql", "postgresql://h#x/d?password=s3cret": "postgresql://h",
    "postgresql://user=u password=s3cret host=h": "postgresql", "user=u password=s3cret": "user",
    "postgresql://u:s3\tcret@h/d": "postgresql://u@h/d", "sqlite+pysqlite:///x?password=s3cret": "sqlite+pysqlite:///x",
}  # fmt: skip


@pytest.mark.parametrize("url", ORIGINS)
def test_an_origin_has_no_password(url):
    found = origin_of(Table(url=url, name="dispatcher", kind="kamailio"))
    assert found == f"{ORIGINS[url]} dispatcher (kamailio)"


def test_another_table_or_meaning_is_another_origin():
    parts = [("a", "kamailio"), ("b", "kamailio"), ("a", "opensips")]
    assert len({origin_of(Table(url="sqlite:////x", name=table, kind=columns)) for table, columns in parts}) == 3


def test_nothing_shows_the_url():
    assert "s3cret" not in repr(Table(url="postgresql://u:s3cret@h/d", name="t", kind="kamailio"))


@pytest.fixture
def file(tmp_path):
    with sqlite3.connect(tmp_path / "k.db") as made:
        made.execute("CREATE TABLE dispatcher (id INTEGER, setid INTEGER, destination TEXT)")
        made.execute("INSERT INTO dispatcher VALUES (7, 1, 'sip:192.0.2.1'), (8, 1, '')")
    return Table(url=f"sqlite:///{tmp_path}/k.db", name="dispatcher", kind="kamailio")


def test_a_table_is_read_by_another_process(file):
    found = read_apart(file)
    assert [(row.where, row.uri) for row in found.rows] == [("id 7", "sip:192.0.2.1")]
    assert [one.where for one in found.misfits] == ["id 8"]


def test_one_that_is_not_there_is_away(file, tmp_path):
    with pytest.raises(SourceAway, match="No such file"):
        read_apart(Table(url=f"sqlite:///{tmp_path}/none.db", name="dispatcher", kind="kamailio"))


@pytest.mark.parametrize(("program", "words"), [
    ("import time; time.sleep(60)", "not read within 0 s"), ("import os; os.abort()", "ended with -6"),
    ("print('noise')", "ended with 0"),
])  # fmt: skip
def test_a_program_that_hangs_or_dies_is_away(file, monkeypatch, program, words):
    monkeypatch.setattr(apart, "ONCE", (sys.executable, "-c", program))
    monkeypatch.setattr(apart, "ONCE_LIMIT_S", 0.4)
    with pytest.raises(SourceAway, match=words):
        read_apart(file)
