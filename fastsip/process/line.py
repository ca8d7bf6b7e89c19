"""The line between supervisor and router: messages over a socketpair, descriptors beside them.

SEQPACKET keeps each message whole.  Larger things (a configuration) travel as files in memory.  What may be said
stands in messages.
"""

import contextlib
import os
import socket
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from fastsip.config import Config, load_text
from fastsip.config.handed import unpack
from fastsip.process import messages
from fastsip.process.messages import ForeignProtocol, Message

LONGEST = 1 << 16
MOST_FDS = 200  # of one message; Linux passes 253
MOST_WORDS = 8_000  # letters of a reason: what is too long for a message is never heard


class Received(NamedTuple):
    """One message, and descriptors that the receiver now owns."""

    message: Message
    fds: list[int]


class Line:
    """One end of the pair."""

    def __init__(self, sock: socket.socket):
        self.sock = sock

    def fileno(self) -> int:
        return self.sock.fileno()

    def send(self, message: Message, fds: Sequence[int] = ()) -> None:
        """OSError when the other end is gone or does not read."""
        why = getattr(message, "why", "")
        if len(why) > MOST_WORDS:
            message = msgspec.structs.replace(message, why=why[:MOST_WORDS] + " ...")
        socket.send_fds(self.sock, [messages.pack(message)], fds)

    def receive(self) -> Received | None:
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
            return Received(messages.unpack(raw), fds)
        except ForeignProtocol:
            close_all(fds)
            raise

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


def received_config(order: messages.Prepare | messages.Reload, fds: Sequence[int]) -> Config:
    """As its sender read it, or read anew when that is of another release."""
    text, *read = fds
    found = [unpack(read_memory_file(fd)) for fd in read]
    words = read_text_file(text)
    return (found and found[0]) or load_text(words, order.file)
