"""Asks DNS for the targets of names, in a thread with a loop of its own; it begins with the first question."""

import asyncio
import threading

from fastsip.base.plain import reason
from fastsip.log import log
from fastsip.process.line import Line
from fastsip.process.messages import AskName, NameAnswered
from fastsip.resolve.asking import Outcome, Records, resolve
from fastsip.resolve.servers import Servers

LIMIT_S = 10.0      # of one name, whatever servers do
MOST_AT_ONCE = 128  # questions to servers, of all names; others wait for their turn


class Asker:
    """One for a desk."""

    def __init__(self, line: Line):
        self.line = line
        self.loop: asyncio.AbstractEventLoop | None = None
        self.servers = Servers()

    def ask(self, order: AskName) -> None:
        """From another thread than the loop's; the line gets the answer."""
        if self.loop is None:
            self.loop = asyncio.new_event_loop()
            threading.Thread(target=self.loop.run_forever, name="names", daemon=True).start()
            self.turns = asyncio.Semaphore(MOST_AT_ONCE)
        asyncio.run_coroutine_threadsafe(self.answer(order), self.loop)

    async def answer(self, order: AskName) -> None:
        """Never an exception: whoever asked hears what is the matter."""
        try:
            async with asyncio.timeout(LIMIT_S):
                outcome = await resolve(order.question, order.types, order.transports, self.question)
        except TimeoutError:
            outcome = failed(f"no answer within {LIMIT_S:.0f} s")
        except Exception as error:
            log.exception("a name cannot be asked for, by a fault of fastsip")
            outcome = failed(f"{type(error).__name__}: {error}")
        try:
            self.line.send(NameAnswered(number=order.number, outcome=outcome))
        except OSError as error:
            log.error("a name was asked for nobody",
                      extra={"fields": {"name": str(order.question), "why": reason(error)}})

    async def question(self, name: str, kind: str) -> Records:
        async with self.turns:
            return await self.servers.ask(name, kind)


def failed(why: str) -> Outcome:
    return Outcome(why=why, nothing=why)
