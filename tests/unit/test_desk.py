"""desk: what it keeps when two ask for one table, and what it says of a supervisor that it does not understand."""

import contextlib
import json
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from fastsip.desk.reader import MOST_MEMORY, keep
from fastsip.process.launch import LINE_FD, pair
from fastsip.process.messages import PROTOCOL, ReadTable
from fastsip.sources import apart
from fastsip.sources.apart import Table, read_apart
from fastsip.sources.rows import Reading, Row, SourceAway
from tests.conftest import ROOT


def test_two_reads_of_one_table_are_kept_one_after_the_other(scratch):
    order = ReadTable(name="db", origin="o", url="", table="t", columns="kamailio", state_dir=str(scratch))
    rows = [Row(where="id 1", setid=1, uri=f"sip:192.0.2.{number % 250}", name="x" * number) for number in range(400)]
    with ThreadPoolExecutor(4) as pool:
        ends = list(pool.map(lambda row: keep(order, Reading(at=1.0, rows=(row,))), rows))
    assert {why for _, why in ends} == {""}


def test_what_is_not_understood_is_not_said(tmp_path):
    """It may be a URL with a password, of another release."""
    ours, theirs = pair()
    spawn = f"import os, sys; os.dup2({theirs.fileno()}, {LINE_FD}); os.execv(sys.executable, sys.argv[1:])"
    argv = [sys.executable, "-c", spawn, sys.executable, "-m", "fastsip.desk"]
    with subprocess.Popen(argv, cwd=ROOT, stderr=subprocess.PIPE, text=True, pass_fds=[theirs.fileno()]) as desk:
        theirs.close()
        ours.send(json.dumps({"v": PROTOCOL + 1, "what": "read table", "url": "mysql://u:s3cret@h/d"}).encode())
        ours.close()
        said = desk.communicate(timeout=20)[1]
    assert "another protocol" in said and "s3cret" not in said and desk.returncode == 0


def send_for_ever(server: socket.socket) -> None:
    """One packet of MySQL's protocol without an end: each part says that another one follows."""
    connection, _ = server.accept()
    part = bytes(0xFFFFFF)
    with connection, contextlib.suppress(OSError):
        for number in range(1000):
            connection.sendall(b"\xff\xff\xff" + bytes([number % 256]) + part)


def test_a_packet_without_an_end_does_not_take_the_machine_s_memory(monkeypatch):
    """Before the limit of time, which a fast network makes a limit of many GiB.  The limit of bytes is lower here."""
    monkeypatch.setattr(apart, "ONCE", (sys.executable, "-c", SMALL_DESK))
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=send_for_ever, args=(server,), daemon=True).start()
        url = f"mysql://u:p@127.0.0.1:{server.getsockname()[1]}/d"
        with pytest.raises(SourceAway, match=r"^it sends more than there is room for$"):
            read_apart(Table(url=url, name="dispatcher", kind="kamailio"))


SMALL_DESK = f"""
from fastsip.desk import reader
assert reader.MOST_MEMORY == {MOST_MEMORY}
reader.MOST_MEMORY = 200 << 20
reader.once()
"""
