"""Tells receivers of events over HTTP, each webhook in order and none in the way of another (docs/events.md#webhooks).

The record of events is the queue: nothing else is kept of what waits.  How far each has come stands in state_dir after
each event, so that a death repeats at most what was under way.  What a receiver does not take is tried again at growing
intervals, for a day or until the record has gone on without it; how many were missed so is an event of its own, for
this receiver alone.
"""

import asyncio
import math
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import aiohttp
import msgspec

from fastsip import log as logs
from fastsip.base.plain import reason
from fastsip.base.run_dir import EVENTS
from fastsip.config.model import Webhook
from fastsip.config.webhooks import shown_place
from fastsip.desk.attempt import Outcome, attempt, open_session
from fastsip.events.counts import Counts, read_counts, write_counts
from fastsip.events.file import end_of
from fastsip.events.follow import Event, Follower, Position
from fastsip.events.names import LOST, fits
from fastsip.events.positions import read_positions, write_positions
from fastsip.log import log
from fastsip.process.webhooks import Webhooks

LOOK_S = 0.25           # at the record, when there is nothing to send
COUNT_S = 1.0
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 300.0
PATIENCE_S = 86_400.0   # with one event: it may be this one that the receiver cannot take
FAULT_PAUSE_S = 30.0


class WebhookTeller:
    """The webhooks of this process, on a loop in a thread of its own: drivers of databases may hang beside it."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._orders: asyncio.Queue[Webhooks] = asyncio.Queue()

    def take(self, order: Webhooks) -> None:
        """An order of the supervisor: these webhooks and no others, from now on."""
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            threading.Thread(target=self._run, args=(self._loop,), name="webhooks", daemon=True).start()
        self._loop.call_soon_threadsafe(self._orders.put_nowait, order)

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        """Does not return: without it webhooks are told nothing, and the supervisor starts another process."""
        asyncio.set_event_loop(loop)
        try:
            loop.run_until_complete(serve(self._orders))
        except Exception as error:  # its text may have a URL
            log.error("webhooks fail by a fault of fastsip", extra={"fields": {"why": type(error).__name__}})
        os._exit(1)


async def serve(orders: asyncio.Queue[Webhooks]) -> None:
    """Until the end of the process."""
    order = await orders.get()
    kept = Kept(order.run_dir, order.state_dir)
    senders: dict[str, Sender] = {}
    async with asyncio.TaskGroup() as group:
        group.create_task(kept.count(senders))
        while True:
            await change(senders, order, kept)
            order = await orders.get()


async def change(senders: dict[str, "Sender"], order: Webhooks, kept: "Kept") -> None:
    """Those that are as they were go on undisturbed."""
    wanted = {one.name: one for one in order.webhooks}
    for name in [name for name, sender in senders.items() if sender.told != (wanted.get(name), order.node)]:
        await senders.pop(name).stop()
    kept.keep_only(wanted)
    for name in wanted:
        kept.positions.setdefault(name, Position(number=order.since.get(name, 0)))
    await kept.save()
    for name, webhook in wanted.items():
        if name not in senders:
            senders[name] = Sender(webhook, order, kept)
            senders[name].start()


class Kept:
    """What outlives this process: how far each webhook has come, and what was counted."""

    def __init__(self, run_dir: str, state_dir: str):
        self.run_dir, self.state_dir = run_dir, state_dir
        self.positions = read_positions(state_dir)
        self.counts = read_counts(run_dir)
        self._writer = ThreadPoolExecutor(1, "kept")
        self._limited = logs.Limited(1)

    def keep_only(self, names: dict[str, Webhook]) -> None:
        """One that comes back later begins anew."""
        self.positions = {name: one for name, one in self.positions.items() if name in names}
        self.counts = {name: one for name, one in self.counts.items() if name in names}

    async def save(self) -> None:
        """A disk that is full costs repetitions after the next death, and no event."""
        try:
            await asyncio.get_running_loop().run_in_executor(
                self._writer, write_positions, self.state_dir, dict(self.positions))
        except OSError as error:
            self._limited.info("what webhooks were told is not written down", {"why": reason(error)})

    async def count(self, senders: dict[str, "Sender"]) -> None:
        """Once in a while, when anything has changed."""
        loop, written = asyncio.get_running_loop(), dict[str, Counts]()
        while True:
            await asyncio.sleep(COUNT_S)
            try:
                behind = [sender for sender in senders.values() if not sender.idle]
                end = await loop.run_in_executor(self._writer, end_of, Path(self.run_dir) / EVENTS) if behind else None
                for sender in senders.values():
                    sender.counts.waiting = max(end[0] - sender.next, 0) if end and not sender.idle else 0
                now = {name: msgspec.structs.replace(one) for name, one in self.counts.items()}
                if now != written:
                    await loop.run_in_executor(self._writer, write_counts, self.run_dir, now)
                    written = now
            except Exception as error:  # a full disk, above all; nobody else would count
                self._limited.info("what is counted of webhooks is not written down", {"why": reason(error)})


class Sender:
    """One webhook."""

    def __init__(self, webhook: Webhook, order: Webhooks, kept: Kept):
        self.webhook, self.kept = webhook, kept
        self.told, self.release = (webhook, order.node), order.release
        self.counts = kept.counts.setdefault(webhook.name, Counts())
        self.follower = Follower(order.run_dir, kept.positions[webhook.name])
        self.next, self.idle = self.follower.position.number, False
        self.failing = False
        self.pause_s = 0.0  # since the receiver took or refused something: how long it was waited for last
        self.missed = 0     # events, of which it was not told yet that they were missed
        self.fields = {"webhook": webhook.name, "to": shown_place(webhook.url)}
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self.go_on())

    async def stop(self) -> None:
        """What is under way will be repeated, if there is another sender after this one."""
        if self._task:
            self._task.cancel()
            await asyncio.wait((self._task,))
        self.follower.close()

    async def go_on(self) -> None:
        """Whatever happens: nobody else would begin again."""
        while True:
            try:
                async with open_session(self.webhook) as session:
                    await self.follow(session)
            except Exception as error:
                # Its text, or a traceback, may have the URL.
                log.error("a webhook fails by a fault of fastsip",
                          extra={"fields": {**self.fields, "why": type(error).__name__}})
            self.follower.close()
            self.follower = Follower(self.kept.run_dir, self.kept.positions[self.webhook.name])
            await asyncio.sleep(FAULT_PAUSE_S)

    async def follow(self, session: aiohttp.ClientSession) -> None:
        while True:
            try:
                events = self.follower.read()
            except OSError as error:
                self.counts.why = f"the record of events cannot be read: {reason(error)}"
                events = []
            lost = self.follower.take_lost()
            self.next += lost
            self.note_missed(lost)
            self.idle = not events and not self.missed
            if self.missed:
                await self.tell_missed(session)
            for event in events:
                self.next = event["id"]
                if fits(event["event"], self.webhook.events):
                    await self.deliver(session, event)
                    self.next = event["id"] + 1
                    if self.missed:
                        await self.tell_missed(session)     # before it counts as over: a death would forget it
                    await self.keep(Position(number=self.next, life=self.follower.position.life))
            await self.keep(self.follower.position)
            if not events:
                await asyncio.sleep(LOOK_S)

    async def keep(self, position: Position) -> None:
        self.next = position.number
        if self.kept.positions.get(self.webhook.name) != position:
            self.kept.positions[self.webhook.name] = position
            await self.kept.save()

    # ------------------------------------------------------------ one event

    async def deliver(self, session: aiohttp.ClientSession, event: Event, *, for_ever: bool = False) -> None:
        """Until it is taken, refused, or missed."""
        end = math.inf if for_ever else time.monotonic() + PATIENCE_S
        while True:
            outcome = await attempt(session, self.webhook, event, self.release)
            if outcome.taken or outcome.final:
                self.note_end(event, outcome)
                return
            self.counts.failed += 1
            self.note_why(outcome.why)
            if time.monotonic() >= end:
                self.note_missed(1)
                return
            self.follower.close()   # else a file that nobody needs any more would stay as long as this lasts
            self.pause_s = min(2 * self.pause_s or FIRST_PAUSE_S, LONGEST_PAUSE_S)
            await asyncio.sleep(max(self.pause_s, outcome.retry_after_s))

    def note_end(self, event: Event, outcome: Outcome) -> None:
        self.pause_s = 0.0
        if outcome.taken:
            self.counts.sent += 1
            self.note_why("")
            return
        self.counts.dropped += 1
        self.counts.failed += 1
        self.counts.why = outcome.why
        log.warning("a webhook refuses an event",
                    extra={"fields": {**self.fields, "id": event["id"], "told": event["event"], "why": outcome.why}})

    def note_why(self, why: str) -> None:
        """Once when it begins to fail, and once when it is back."""
        self.counts.why = why
        if why and not self.failing:
            log.warning("a webhook fails, events wait", extra={"fields": {**self.fields, "why": why}})
        elif self.failing and not why:
            log.info("a webhook takes events again", extra={"fields": self.fields})
        self.failing = bool(why)

    # ------------------------------------------------------------ what it has missed

    def note_missed(self, count: int) -> None:
        self.missed += count
        self.counts.dropped += count

    async def tell_missed(self, session: aiohttp.ClientSession) -> None:
        """With the number of the last one that is missed: no other event has it."""
        count, self.missed = self.missed, 0
        log.warning("a webhook missed events", extra={"fields": {**self.fields, "count": count}})
        await self.deliver(session, {"id": self.next - 1, "at": round(time.time(), 3), "event": LOST,
                                     "node": self.told[1], "webhook": self.webhook.name, "count": count}, for_ever=True)
