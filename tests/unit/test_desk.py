"""desk: what it keeps when two ask for one table, and what it says of a supervisor that it does not understand."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from fastsip.desk.reader import MOST_MEMORY, keep
from fastsip.process.launch import LINE_FD, launch, pair
from fastsip.process.line import Line
from fastsip.process.messages import PROTOCOL, GoesRound, Look, ReadTable, Serve, Visitor
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


# ---------------------------------------------------------------- what it is told


@contextlib.contextmanager
def desk_process():
    """One of its own, and our end of its line."""
    pid, ours = launch((sys.executable, "-m", "fastsip.desk"))
    line = Line(ours)
    line.sock.settimeout(20)
    try:
        yield line
        line.close()
        assert os.waitpid(pid, 0)[1] == 0
    finally:
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def speak(line: Line) -> bytes:
    """What a visitor gets."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        line.send(Visitor(), [theirs.fileno()])
        theirs.close()
        ours.settimeout(20)
        ours.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        return b"".join(iter(lambda: ours.recv(1000), b""))


def test_it_speaks_http_to_whoever_is_handed_over():
    with desk_process() as line:
        line.send(Serve(file="c.toml", run_dir="/nowhere"))
        assert speak(line).startswith(b"HTTP/1.1 200 OK\r\n")
        line.send(Look(number=7))
        assert line.receive().message == GoesRound(number=7)


def test_without_aiohttp_it_says_what_is_missing():
    spoil = "import importlib.util as u, runpy; f = u.find_spec; " \
        "u.find_spec = lambda n, *p: None if n == 'aiohttp' else f(n, *p); " \
        "runpy.run_module('fastsip.desk', run_name='__main__')"
    pid, ours = launch((sys.executable, "-c", spoil))
    line = Line(ours)
    line.send(Serve(file="c.toml", run_dir="/nowhere"))
    said = speak(line)
    line.close()
    assert os.waitpid(pid, 0)[1] == 0
    assert said.startswith(b"HTTP/1.1 501 ") and b'pip install "fastsip[api]"' in said
