"""A router process as its supervisor sees it: started, spoken to, listened to, reaped.

It is born with the signals blocked that only the supervisor acts on, and stays so.
What it says waits in `inbox`; its end is the last thing that comes.

Called by supervisor.
"""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Sequence

from fastsip.launch import Newborn, launch
from fastsip.log import log
from fastsip.messages import MOST_FDS, ForeignProtocol, Line, Message, text_file

ENDED = "ended"


class Child:
    """One router process.  `status`: as of os.waitstatus_to_exitcode, None while it lives."""

    def __init__(self, pid: int, line: Line):
        self.pid, self.line = pid, line
        self.pidfd = os.pidfd_open(pid)
        self.inbox: list[Message] = []
        self.status: int | None = None
        self.began = time.monotonic()  # or when it was told "go"
        self._news = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_reader(self.line.fileno(), self._read)
        loop.add_reader(self.pidfd, self._reap)

    @classmethod
    def start(cls, file: str, text: str, program: tuple[str, ...], born: Newborn | None = None) -> "Child":
        """One that prepares itself for this configuration: a new process of the program, or the one that is there."""
        pid, line = born or launch(program)
        child = cls(pid, Line(line))
        child.send_text("prepare", text, file=file)
        return child

    # ------------------------------------------------------------ saying

    def send(self, what: str, fds: Sequence[int] = (), **fields: object) -> None:
        """A child that is gone or does not read will be found so by what it does not answer."""
        with contextlib.suppress(OSError):
            self.line.send(what, fds, **fields)

    def send_text(self, what: str, text: str, **fields: object) -> None:
        fd = text_file(text)
        self.send(what, [fd], **fields)
        os.close(fd)

    def go(self, sockets: Sequence[int], lock: int, **fields: object) -> None:
        """It takes over, now."""
        for start in range(0, len(sockets), MOST_FDS):
            self.send("sockets", sockets[start : start + MOST_FDS])
        self.began = time.monotonic()
        self.send("go", [lock], **fields)

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        if self.status is None:
            signal.pidfd_send_signal(self.pidfd, number)

    # ------------------------------------------------------------ listening

    async def hear(self, *wanted: str) -> Message:
        """The next message of these kinds, or that it has ended, which stays for whoever asks again."""
        while True:
            for place, message in enumerate(self.inbox):
                if message.what == ENDED:
                    return message
                if message.what in wanted:
                    return self.inbox.pop(place)
            self._news.clear()
            await self._news.wait()

    def _take(self, message: Message) -> None:
        self.inbox.append(message)
        self._news.set()

    def _read(self) -> None:
        try:
            while message := self.line.receive():
                self._take(message)
            self._close_line()
        except BlockingIOError:
            pass
        except ForeignProtocol as said:
            log.error("a router speaks another protocol", extra={"fields": {"pid": self.pid, "said": str(said)}})
        except OSError:
            self._close_line()

    def _close_line(self) -> None:
        asyncio.get_running_loop().remove_reader(self.line.fileno())
        self.line.close()

    def _reap(self) -> None:
        """Dead, and waited for: from here on it holds nothing."""
        result = os.waitid(os.P_PIDFD, self.pidfd, os.WEXITED | os.WNOHANG)
        if result is None:
            return
        killed = result.si_code in (os.CLD_KILLED, os.CLD_DUMPED)
        self.status = -result.si_status if killed else result.si_status
        asyncio.get_running_loop().remove_reader(self.pidfd)
        os.close(self.pidfd)
        if self.line.fileno() >= 0:
            self._read()  # what it said last
        if self.line.fileno() >= 0:
            self._close_line()
        self._take(Message(ENDED, {"status": self.status}, []))
