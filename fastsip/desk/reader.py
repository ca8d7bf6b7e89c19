"""Reads tables of databases when it is told to, each in a thread, and keeps what they say (sources/kept); asks DNS for
names in one more thread.

It ends when the line to its supervisor does.  Nothing that a driver writes on standard output gets among the answers.
"""

import os
import resource
import socket
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import msgspec

from fastsip import log as logs
from fastsip.base.plain import reason
from fastsip.desk.names import Asker
from fastsip.log import log
from fastsip.process.launch import LINE_FD
from fastsip.process.line import Line, close_all
from fastsip.process.messages import AskName, ForeignProtocol, ReadTable, TableRead
from fastsip.sources.apart import Found, Table
from fastsip.sources.kept import is_news, read_kept, write_kept
from fastsip.sources.rows import Reading, SourceAway
from fastsip.sources.sql import Database

MOST_AT_ONCE = 16   # as many as there are sources
MOST_MEMORY = 2 << 30   # bytes: as many tables of 100,000 rows, and the stacks of their threads
_one_writer = threading.Lock()  # a reload may ask for a table that is just being read at its interval


def bound_memory() -> None:
    """A server may send without an end, and a driver keeps a packet whole, of whatever length: this process runs out of
    memory before the machine does, and is the first one to go when the machine does.
    """
    resource.setrlimit(resource.RLIMIT_DATA, (MOST_MEMORY, MOST_MEMORY))
    with suppress(OSError):     # as in a container where /proc cannot be written
        Path("/proc/self/oom_score_adj").write_text("1000")


def read(table: Table) -> Found:
    """Never an exception: whoever asked hears what is the matter."""
    try:
        database = Database(table)
        return Found(reading=database.read())
    except SourceAway as away:
        return Found(away=str(away))
    except Exception as error:      # its text may have the URL
        return Found(away=f"{type(error).__name__}, a fault of fastsip")


def once() -> int:
    """One table, from standard input to standard output."""
    bound_memory()
    answers = os.dup(1)
    os.dup2(2, 1)
    table = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=Table)
    with open(answers, "wb") as out:
        out.write(msgspec.msgpack.encode(read(table)))
    return 0


def serve() -> int:
    """Until nobody is there any more who could ask."""
    bound_memory()
    logs.set_up()
    os.dup2(2, 1)
    line = Line(socket.socket(fileno=LINE_FD))
    pool = ThreadPoolExecutor(MOST_AT_ONCE, "table")
    asker = Asker(line)
    while True:
        try:
            received = line.receive()
        except ForeignProtocol:     # nothing of what it says, for that has URLs with passwords
            log.error("the supervisor speaks another protocol")
            continue
        if received is None:
            return 0
        close_all(received.fds)
        if isinstance(received.message, ReadTable):
            pool.submit(answer, line, received.message)
        elif isinstance(received.message, AskName):
            asker.ask(received.message)


def answer(line: Line, order: ReadTable) -> None:
    found = read(Table(url=order.url, name=order.table, kind=order.columns))
    changed, away = keep(order, found.reading) if found.reading else (False, found.away)
    try:
        line.send(TableRead(number=order.number, changed=changed, away=away))
    except OSError as error:
        log.error("a table was read for nobody", extra={"fields": {"source": order.name, "why": reason(error)}})


def keep(order: ReadTable, reading: Reading) -> tuple[bool, str]:
    """Whether it says another thing than before; and why what was kept before counts on, "" mostly."""
    with _one_writer:
        try:
            if not is_news(read_kept(order.state_dir, order.name, order.origin), reading):
                return False, ""
            write_kept(order.state_dir, order.name, order.origin, reading)
        except SourceAway as away:
            return False, str(away)
        except OSError as error:
            return False, f"what it says cannot be kept: {reason(error)}"
        return True, ""
