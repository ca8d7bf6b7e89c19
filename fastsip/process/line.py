"""What supervisor and router say to each other: JSON objects over a socketpair, descriptors beside them.

SEQPACKET keeps each message whole.  Every message carries PROTOCOL: after an upgrade the new
supervisor still talks to the router of the old code, and of one that speaks differently it knows so.
Larger things (a configuration) travel as files in memory.

to the router   prepare  descriptors: the text of the configuration, and what was read of it; `file` is its name
                sockets  descriptors: some of the listeners' sockets, in order
                go       take over: `first`, `drop`, `draining`; descriptor: run_dir's lock
                reload   descriptors as of prepare
                drain    `on`
                leave    finish and say "released"; `keep`: sockets by listener that somebody will read after us
to the parent   warm     prepared: whatever needs no store is done
                started  the shards run
                refused  `why`: cannot be prepared, or cannot start
                reloaded, reload refused  `why`, `larger`: only a new start has the room
                draining  `open`: transactions that drain would wait for
                failed   `why`: an order that ended in an exception which nobody had thought of
                released  nothing is read or written here any more

An order may carry a `number`, which its answer has, too: an answer that comes when nobody waits for it any more is
not taken for that of a later order.

Called by child (the supervisor's end) and router.
"""

import contextlib
import os
import socket
from collections.abc import Sequence
from typing import Any, NamedTuple

import orjson

from fastsip.config import Config, load_text
from fastsip.config.handed import unpack

PROTOCOL = 1
LONGEST = 1 << 16
MOST_FDS = 200  # of one message; Linux passes 253
MOST_WORDS = 8_000  # letters of a reason: what is too long for a message is never heard


class Message(NamedTuple):
    """One message: what it is, its fields, descriptors that the receiver now owns."""

    what: str
    fields: dict[str, Any]
    fds: list[int]


class ForeignProtocol(Exception):
    """The other end speaks another version, or nonsense."""


class Line:
    """One end of the pair."""

    def __init__(self, sock: socket.socket):
        self.sock = sock

    def fileno(self) -> int:
        return self.sock.fileno()

    def send(self, what: str, fds: Sequence[int] = (), **fields: Any) -> None:
        """OSError when the other end is gone or does not read."""
        if len(str(fields.get("why", ""))) > MOST_WORDS:
            fields["why"] = str(fields["why"])[:MOST_WORDS] + " ..."
        socket.send_fds(self.sock, [orjson.dumps({"v": PROTOCOL, "what": what, **fields})], fds)

    def receive(self) -> Message | None:
        """The next message, None when the other end is gone; BlockingIOError when none waits there.

        ForeignProtocol for what is no message of ours, of which nothing is kept.
        """
        try:
            raw, fds, _, _ = socket.recv_fds(self.sock, LONGEST, MOST_FDS)
        except ConnectionResetError:
            return None
        if not raw:
            return None
        for fd in fds:
            os.set_inheritable(fd, False)
        try:
            fields = orjson.loads(raw)
            if fields.pop("v") != PROTOCOL:
                raise ValueError
            return Message(fields.pop("what"), fields, fds)
        except (ValueError, KeyError, TypeError, AttributeError):
            close_all(fds)
            raise ForeignProtocol(raw[:200].decode(errors="replace")) from None

    def close(self) -> None:
        self.sock.close()


def close_all(fds: Sequence[int]) -> None:
    for fd in fds:
        with contextlib.suppress(OSError):
            os.close(fd)


def memory_file(content: bytes) -> int:
    """A descriptor of a file in memory that holds this."""
    fd = os.memfd_create("fastsip", os.MFD_CLOEXEC)
    with open(fd, "wb", closefd=False) as file:
        file.write(content)
    return fd


def read_memory_file(fd: int) -> bytes:
    """What memory_file wrote; closes the descriptor."""
    try:
        return os.pread(fd, os.fstat(fd).st_size, 0)  # its position is shared with other processes
    finally:
        os.close(fd)


def text_file(text: str) -> int:
    return memory_file(text.encode())


def read_text_file(fd: int) -> str:
    return read_memory_file(fd).decode()


def received_config(message: Message) -> Config:
    """Of a message that has one: as its sender read it, or read anew when that is of another release."""
    text, *read = message.fds
    found = [unpack(read_memory_file(fd)) for fd in read]
    words = read_text_file(text)
    return (found and found[0]) or load_text(words, message.fields["file"])
