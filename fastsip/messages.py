"""What supervisor and router say to each other: JSON objects over a socketpair, descriptors beside them.

SEQPACKET keeps each message whole.  Every message carries PROTOCOL: after an upgrade the new
supervisor still talks to the router of the old code, and of one that speaks differently it knows so.
Larger things (a configuration's text) travel as a file in memory.

to the router   prepare  descriptors: the text of the configuration; `file` is its name
                sockets  descriptors: some of the listeners' sockets, in order
                go       take over: `counts` of sockets by listener, `drop`, `draining`; descriptor: run_dir's lock
                reload   descriptors: the text of the configuration
                drain    `on`
                leave    finish and say "released"; `keep`: sockets by listener that somebody will read after us
to the parent   warm     prepared: whatever needs no store is done
                started  the shards run
                refused  `why`: cannot be prepared, or cannot start
                reloaded, reload refused  `why`, `larger`: only a new start has the room
                draining  `open`: transactions that drain would wait for
                released  nothing is read or written here any more

Called by child (the supervisor's end) and router.
"""

import os
import socket
from collections.abc import Sequence
from typing import Any, NamedTuple

import orjson

PROTOCOL = 1
LONGEST = 1 << 16
MOST_FDS = 200  # of one message; Linux passes 253


class Message(NamedTuple):
    """One message: what it is, its fields, descriptors that the receiver now owns."""

    what: str
    fields: dict[str, Any]
    fds: list[int]


class ForeignProtocol(Exception):
    """The other end speaks another version."""


class Line:
    """One end of the pair."""

    def __init__(self, sock: socket.socket):
        self.sock = sock

    def fileno(self) -> int:
        return self.sock.fileno()

    def send(self, what: str, fds: Sequence[int] = (), **fields: Any) -> None:
        """OSError when the other end is gone or does not read."""
        socket.send_fds(self.sock, [orjson.dumps({"v": PROTOCOL, "what": what, **fields})], fds)

    def receive(self) -> Message | None:
        """The next message, None when the other end is gone; BlockingIOError when none waits there."""
        try:
            raw, fds, _, _ = socket.recv_fds(self.sock, LONGEST, MOST_FDS)
        except ConnectionResetError:
            return None
        if not raw:
            return None
        for fd in fds:
            os.set_inheritable(fd, False)
        fields = orjson.loads(raw)
        if fields.pop("v") != PROTOCOL:
            raise ForeignProtocol(raw.decode())
        return Message(fields.pop("what"), fields, fds)

    def close(self) -> None:
        self.sock.close()


def text_file(text: str) -> int:
    """A descriptor of a file in memory that holds the text."""
    fd = os.memfd_create("fastsip", os.MFD_CLOEXEC)
    with open(fd, "wb", closefd=False) as file:
        file.write(text.encode())
    return fd


def read_text_file(fd: int) -> str:
    """What text_file wrote; closes the descriptor."""
    try:
        return os.pread(fd, os.fstat(fd).st_size, 0).decode()  # its position is shared with other processes
    finally:
        os.close(fd)
