"""A router process as its supervisor sees it: started, spoken to, listened to, reaped.

It is born with the signals blocked that only the supervisor acts on, and stays so.
What it says waits in `inbox`; its end is the last thing that comes.
"""

import asyncio
import contextlib
import itertools
import os
import signal
import time
from collections.abc import Iterator, Sequence
from typing import TypeVar

import msgspec

from fastsip.config import Config
from fastsip.config.handed import pack
from fastsip.log import log
from fastsip.process import messages
from fastsip.process.launch import Newborn, launch
from fastsip.process.line import MOST_FDS, Line, close_all, memory_file, text_file
from fastsip.process.messages import Ended, Failed, ForeignProtocol, Message, Numbered

M = TypeVar("M", bound=Message)


class Child:
    """One router process.  `status`: as of os.waitstatus_to_exitcode, None while it lives."""

    def __init__(self, pid: int, line: Line):
        self.pid, self.line = pid, line
        self.pidfd = os.pidfd_open(pid)
        self.inbox: list[Message] = []
        self.status: int | None = None
        self.began = time.monotonic()  # or when it was told "go"
        self.killed = False  # by us
        self.shows_stacks = False  # on SIGUSR2
        self._numbers = itertools.count(1)  # of orders
        self._asked: set[int] = set()  # those that wait for their answer
        self._news = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_reader(self.line.fileno(), self._read)
        loop.add_reader(self.pidfd, self._reap)

    @classmethod
    def start(cls, config: Config, text: str, program: tuple[str, ...], born: Newborn | None = None) -> "Child":
        """One that prepares itself for this configuration: a new process of the program, or the one that is there."""
        pid, line = born or launch(program)
        child = cls(pid, Line(line))
        child.shows_stacks = True
        try:
            with handed(config, text) as fds:
                child.send(messages.Prepare(file=config.file), fds)
        except BaseException:
            child.kill()  # nobody else knows it
            raise
        return child

    # ------------------------------------------------------------ saying

    def send(self, message: Message, fds: Sequence[int] = ()) -> None:
        """A child that is gone or does not read will be found so by what it does not answer."""
        with contextlib.suppress(OSError):
            self.line.send(message, fds)

    async def order(
        self, order: Numbered, *answers: type[M], limit_s: float, fds: Sequence[int] = ()
    ) -> M | Failed | Ended:
        """Says it, and hears the answer: one of these, Failed or Ended.  TimeoutError when none of them comes."""
        number = next(self._numbers)
        self._asked.add(number)
        self.send(msgspec.structs.replace(order, number=number), fds)
        try:
            async with asyncio.timeout(limit_s):
                return await self.hear(*answers, Failed, number=number)
        finally:
            self._asked.discard(number)

    def go(self, sockets: Sequence[int], lock: int, order: messages.Go) -> None:
        """It takes over, now."""
        for start in range(0, len(sockets), MOST_FDS):
            self.send(messages.Sockets(), sockets[start : start + MOST_FDS])
        self.began = time.monotonic()
        self.send(order, [lock])

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        if self.status is None:
            self.killed = True
            signal.pidfd_send_signal(self.pidfd, number)

    def show_stacks(self) -> None:
        """On stderr, of all threads, and it goes on."""
        if self.shows_stacks and self.status is None:
            signal.pidfd_send_signal(self.pidfd, signal.SIGUSR2)

    async def bury(self, patience_s: float) -> None:
        """It ends by itself, or is killed."""
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(patience_s):
                    await self.hear()
        finally:
            self.kill()
        await self.hear()

    # ------------------------------------------------------------ listening

    async def hear(self, *wanted: type[M], number: int | None = None) -> M | Ended:
        """The next message of these kinds, or that it has ended, which stays for whoever asks again.

        To the order of that number, if there is one: other answers are for others.
        """
        while True:
            for place, message in enumerate(self.inbox):
                if isinstance(message, Ended):
                    return message
                if isinstance(message, wanted) and is_answer(message, number):
                    del self.inbox[place]
                    return message
            self._news.clear()
            await self._news.wait()

    def _take(self, message: Message) -> None:
        if isinstance(message, Numbered) and isinstance(message.number, int) and message.number not in self._asked:
            return  # too late
        self.inbox.append(message)
        self._news.set()

    def _read(self) -> None:
        try:
            while received := self.line.receive():
                close_all(received.fds)
                self._take(received.message)
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
        self._take(Ended(status=self.status))


def is_answer(message: Message, number: int | None) -> bool:
    """Is this the answer to the order of that number, None = to anything?"""
    return number is None or not isinstance(message, Numbered) or message.is_for(number)


@contextlib.contextmanager
def handed(config: Config, text: str) -> Iterator[list[int]]:
    """Descriptors as of prepare and reload, as long as it takes to send them."""
    fds = [text_file(text), memory_file(pack(config))]
    try:
        yield fds
    finally:
        close_all(fds)
