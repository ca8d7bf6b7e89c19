"""Sees to it that events are told: the record goes on in another file when one is full, and the desk tells webhooks,
and collectors of spans.

Whoever dies there is replaced, after a pause that grows as long as it dies at once.  Nothing of it is in the way of
anything else.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from fastsip import __version__
from fastsip.base.plain import reason
from fastsip.events.counts import Counts, read_counts
from fastsip.events.file import EventFile, end_of, is_ours
from fastsip.events.positions import highest_number
from fastsip.log import log
from fastsip.process import messages
from fastsip.process.line import close_all, memory_file
from fastsip.process.spans import read_span_counts
from fastsip.process.webhooks import Webhooks, pack
from fastsip.supervisor import desks
from fastsip.supervisor.child import Child
from fastsip.supervisor.state import State

LOOK_S = 1.0
SHORT_LIFE_S = 60.0
LONGEST_PAUSE_S = 30.0

R = TypeVar("R")


def begin(here: State) -> None:
    """Before anybody has anything to tell.  A record that cannot be made is no reason not to route."""
    try:
        here.events.file.begin(highest_number(here.config.router.state_dir))
        here.events_since = (end_of(here.events.file.place) or (0, 0))[0]
    except OSError as error:
        log.error("events are not written down", extra={"fields": {"why": reason(error)}})


async def watch(here: State) -> None:
    """As long as the supervisor lives."""
    telling = Telling(here)
    while True:
        try:
            await telling.keep_record()
            await telling.look()
        except Exception:
            log.exception("webhooks are not looked after, by a fault of fastsip")
        await asyncio.sleep(LOOK_S)


def counted(here: State) -> list[dict[str, Any]]:
    """Of each webhook what the desk has counted, in the order of the configuration."""
    if not here.config.webhooks:
        return []
    counts = read_counts(here.config.router.run_dir)
    return [{"name": one.name, **msgspec.structs.asdict(counts.get(one.name, Counts()))}
            for one in here.config.webhooks]


def spans(here: State) -> dict[str, Any] | None:
    """What the desk has counted of spans, when there are any."""
    if not here.config.otel:
        return None
    return msgspec.structs.asdict(read_span_counts(here.config.router.run_dir))


def keep(file: EventFile, state_dir: str) -> None:
    """OSError: there is no record, or it is full and stays so."""
    if not is_ours(file.place):
        file.begin(highest_number(state_dir))
    file.follow_on()


class Telling:
    """One for a supervisor."""

    def __init__(self, here: State):
        self.here = here
        self.since: dict[str, int] = {}     # by name of a webhook
        self.told: tuple[Child, Webhooks] | None = None
        self.pause_s, self.not_before = 0.0, 0.0
        self.first = True

    async def _beside(self, work: Callable[[], R]) -> R:
        """In the thread that writes events: one after the other."""
        return await asyncio.get_running_loop().run_in_executor(self.here.events.beside.writer, work)

    async def keep_record(self) -> None:
        file, state_dir = self.here.events.file, self.here.config.router.state_dir
        try:
            await self._beside(lambda: keep(file, state_dir))
        except OSError as error:
            self.here.events.beside.limited.info("the record of events is not kept", {"why": reason(error)})

    async def look(self) -> None:
        """The desk is there and knows what it is to tell."""
        here, now = self.here, time.monotonic()
        if here.stopping or not (here.config.webhooks or here.config.otel or self.told):
            return
        await self._note_new()
        order = self._order()
        if here.desk and here.desk.status is not None:
            here.desk = None
        if self.told and self.told[0] is not here.desk:
            self._note_death(self.told[0], now)
        if here.desk is None and order.wanted and now >= self.not_before and not here.replacing:
            desks.running(here)
        if here.desk and self.told != (here.desk, order):
            fd = memory_file(pack(order))
            try:
                heard = desks.say(here, messages.TellWebhooks(), [fd])
            finally:
                close_all([fd])
            self.told = (here.desk, order) if order.wanted and heard else None

    def _note_death(self, desk: Child, now: float) -> None:
        self.told = None
        short = now - desk.began < SHORT_LIFE_S
        self.pause_s = min(2 * self.pause_s or LOOK_S, LONGEST_PAUSE_S) if short else 0.0
        self.not_before = now + self.pause_s
        fields: dict[str, Any] = {"status": desk.status, "pause_s": self.pause_s}
        if self.here.config.otel:
            fields["lost"] = "spans of calls in progress, and those that waited to be sent"
        log.warning("the program that tells webhooks and sends spans ended, another one goes on",
                    extra={"fields": fields})

    def _order(self) -> Webhooks:
        config = self.here.config
        return Webhooks(run_dir=config.router.run_dir, state_dir=config.router.state_dir, node=config.router.name,
                        release=__version__, since=self.since, webhooks=config.webhooks,
                        otel=config.otel)

    async def _note_new(self) -> None:
        """From where on those are told that were never told anything: what came since they are configured."""
        names = [one.name for one in self.here.config.webhooks]
        new = [name for name in names if name not in self.since]
        self.since = {name: self.since[name] for name in names if name in self.since}
        if new:
            place = self.here.events.file.place
            number = self.here.events_since if self.first else (await self._beside(lambda: end_of(place)) or (0, 0))[0]
            self.since |= dict.fromkeys(new, number)
        self.first = False
