"""What the router's own thread does while the shards route.

It logs what they report, asks DNS for the names that they need, keeps the gauges, and does what the
supervisor says.  Nothing of it is in the way of a call: it may be late.
"""

import asyncio
import contextlib
import os
import threading
from collections.abc import Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import uvloop

from fastsip import log as logs
from fastsip._core.base.ring import Ring
from fastsip._core.routing.table import RoutingTable
from fastsip._core.state.counters import COUNTER_NAMES
from fastsip._core.state.events import Event, take_events
from fastsip.base.litter import uncollected
from fastsip.base.plain import reason
from fastsip.config import Config
from fastsip.config.targets import most_lines
from fastsip.dispatcher.words import read_words
from fastsip.events.names import LOST
from fastsip.log import log
from fastsip.process import messages
from fastsip.process.line import Received, close_all, received_config
from fastsip.process.messages import ForeignProtocol, Message, Numbered
from fastsip.router.collector import Collector
from fastsip.router.journal import Journal
from fastsip.router.limiting import Limiting
from fastsip.router.looking import Looking
from fastsip.router.name_file import Held, save_answers
from fastsip.router.outlook import outlook
from fastsip.router.probing import Probing
from fastsip.router.resolver import Resolver
from fastsip.router.router import Router
from fastsip.router.views import Views
from fastsip.routing.compile import (
    COMPILE_ERRORS,
    Before,
    admin_lines,
    compile_names,
    compile_table,
    release_unnamed,
    set_admin_states,
)
from fastsip.ua.answering import AnsweringMachines

GAUGES_EVERY_S = 1.0
EVENTS_PER_TURN = 1000  # about 4 ms; then everybody else of the loop has a turn
CONTROL_NICE = 5     # more than the shards, which have what the whole process was given
EVENTS_DROPPED = COUNTER_NAMES.index("events_dropped")
MOST_SAID = 20          # destinations of one change, in the log


class NoRoom(Exception):
    """A configuration for which this router is too small."""


class NotUnderstood(Exception):
    """An order of a newer supervisor, which hears so."""


def answered_here(config: Config) -> list[tuple[str, int]]:
    """Destinations that fastsip itself answers for."""
    places = ((d.host, d.port) for group in config.sets if group.answering for d in group.destinations)
    return list(dict.fromkeys(places))


def run(router: Router, first: bool) -> int:
    """From the first packet to "leave"; the exit code.  first: no router of this supervisor routed before."""
    return uvloop.run(ControlPlane(router).serve(first))


def step_back() -> None:
    """This thread leaves the cores to the shards.  Never the other way: without CAP_SYS_NICE that is refused."""
    thread = threading.get_native_id()
    os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + CONTROL_NICE)


class ControlPlane:
    """One for a router."""

    def __init__(self, router: Router):
        self.router, self.line, self.shards = router, router.line, router.shards
        families = [listener.family for listener in router.config.listeners]
        self.resolver = Resolver(router.names, self.tell_name, families)
        kinds = ("failover", "exhausted", "health", "commands", "names", "faults")
        self.limited = {kind: logs.Limited() for kind in kinds}
        self.beside = ThreadPoolExecutor(1, "reload")  # one after the other, and the loop goes round meanwhile
        self.reloads: set[asyncio.Task[None]] = set()
        self.one_reload = asyncio.Lock()
        self.machines = AnsweringMachines(())
        self.journal = Journal(lambda: router.config)
        self.probing = Probing(self.shards)
        views = Views(router.config.router.run_dir, self.shards)
        self.looking, self.collector = Looking(views, self.beside), Collector(views, self.beside)
        self.limiting = Limiting(router.cells, router.registry.name, self.journal.events.tell)
        self.dropped = 0    # events that shards had no room for, as far as that was told

    # ------------------------------------------------------------ life

    async def serve(self, first: bool) -> int:
        loop, router = asyncio.get_running_loop(), self.router
        self.told: asyncio.Future[messages.Leave] = loop.create_future()
        loop.add_reader(self.shards.control_fd, self.take_events)
        self.line.sock.setblocking(False)
        loop.add_reader(self.line.fileno(), self.listen)
        step_back()
        self.say_started(first)
        self.machines = AnsweringMachines(answered_here(router.config))
        await self.machines.start()
        release_unnamed(router.cells, router.registry, router.config)
        self.looking.begin()
        self.take_events()
        self.line.send(messages.Started())
        self.collector.follow(router.config)
        gauges = asyncio.create_task(self.keep_gauges())
        order = await self.told
        gauges.cancel()
        await self.collector.close()
        await self.resolver.close()
        return await self.leave(order)

    def say_started(self, first: bool) -> None:
        router = self.router
        for note in (*(outlook(router.config).warnings if first else ()), *router.store.notes, *router.measures.notes):
            log.warning(note)
        log.info("router started", extra={"fields": {
            "listeners": [listener.uri for listener in router.config.listeners],
            "shards": len(self.shards),
            "transactions_taken_up": router.taken_up,
            "run_dir": router.config.router.run_dir,
            "pid": os.getpid(),
        }})

    # ------------------------------------------------------------ what the supervisor says

    def listen(self) -> None:
        try:
            while received := self.line.receive():
                self.obey(received)
        except BlockingIOError:
            return
        except ForeignProtocol as said:
            log.error("the supervisor speaks another protocol", extra={"fields": {"said": str(said)}})
            return
        self.looking.leave()
        os._exit(1)  # it is gone, and so are we in a moment

    def obey(self, received: Received) -> None:
        """Whatever happens, who gave the order hears of it."""
        order, fds = received
        try:
            match order:
                case messages.Leave():
                    self.told.set_result(order)
                case messages.Reload():
                    self.reload(order, fds)
                case messages.Drain():
                    self.drain(order)
                case messages.Admin():
                    self.do_beside(order, self.take_words(order))
                case messages.Probe():
                    self.do_beside(order, self.probe(order))
                case messages.Show():
                    self.do_beside(order, self.show(order))
                case _:
                    close_all(fds)
                    raise NotUnderstood(order.what)
        except Exception as error:
            self.fail(order, error)

    def fail(self, order: Message, error: Exception) -> None:
        log.error(f"{order.what} failed", exc_info=error)
        self.answer(order, messages.Failed(why=f"{type(error).__name__}: {error}"))

    def answer(self, order: Message, answer: Numbered) -> None:
        if isinstance(order, Numbered):
            answer = msgspec.structs.replace(answer, number=order.number)
        with contextlib.suppress(OSError):  # it does not read, and will not wait for ever either
            self.line.send(answer)

    async def leave(self, order: messages.Leave) -> int:
        if not self.router.leave(order.keep):
            return 1
        self.looking.leave()
        await self.machines.close()
        await self.journal.close()
        self.write_gauges()
        self.save_answers(self.router.shards.held())
        log.info("router stopped", extra={"fields": {"transactions_kept": self.router.store.in_use()["slots"]}})
        self.line.send(messages.Released())
        return 0

    def drain(self, order: messages.Drain) -> None:
        self.shards.set_draining(order.on)
        self.answer(order, messages.Draining(open=self.router.store.count_open()))

    async def probe(self, order: messages.Probe) -> None:
        registry, lines = self.router.registry, self.router.cells.assigned
        numbers = {registry.find("destination", identity): identity for identity in order.ids}
        known = {number: (identity, lines[number]) for number, identity in numbers.items() if number in lines}
        self.answer(order, messages.Probed(ends=await self.probing.probe(known, order.limit_s)))

    async def show(self, order: messages.Show) -> None:
        self.answer(order, messages.Shown(why=await self.looking.look(order.name, order.looked, order.seconds)))

    # ------------------------------------------------------------ what the shards report

    def take_events(self) -> None:
        """Takes a part of what is there, and the rest in the loop's next turn; then says "asleep" and looks once more,
        so that no wake-up is lost."""
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self.shards.control_fd)
        self.shards.control.wake_up()
        rings = self.shards.event_rings
        most = max(EVENTS_PER_TURN // len(rings), 1)
        if any([self.take_ring(ring, most) for ring in rings]):
            asyncio.get_running_loop().call_soon(self.take_events)
            return
        self.shards.control.fall_asleep()
        if any([self.take_ring(ring, most) for ring in rings]):
            asyncio.get_running_loop().call_soon(self.take_events)

    def take_ring(self, ring: Ring, most: int) -> int:
        taken = take_events(ring, most)
        for event in taken:
            try:
                self.report(event)
            except Exception as error:
                self.limited["faults"].info("an event is not understood", {"event": event.kind, "why": repr(error)})
        return len(taken)

    def tell_name(self, number: int) -> None:
        """There is an answer about the name of this hash, 0 = about any: whoever waits for it goes on.

        A shard with a full ring of commands is told nothing: who waits there may wait in vain, but not for ever.
        """
        if not self.shards.name_changed(number):
            self.limited["commands"].info("a shard does not take its commands", {})

    def report(self, event: Event) -> None:
        if event.kind == "question":
            self.resolver.ask(event.name)
            return
        if event.kind == "probed":
            self.probing.ended(event)
            return
        known = self.router.registry.name(event.destination_id)
        fields: dict[str, object] = {"destination": known[1] if known else event.destination_id}
        if event.kind == "health":
            self.limited["health"].info(f"destination {event.reason}",
                                        {**fields, "by": event.cause, "code": event.status})
            if known:
                self.journal.note_health(known[1], event)
            return
        fields["reason"] = event.status if event.reason == "response" else event.reason
        self.limited[event.kind].info(event.kind, {"call_id": event.call_id, **fields, "after_ms": event.after_ms})

    def write_gauges(self) -> None:
        for column, value in enumerate(self.router.store.in_use().values()):
            self.router.stats.gauges[column] = value

    def note_dropped(self) -> None:
        """Some of those that a full ring did not take may have been changes of destinations."""
        dropped = sum(row[EVENTS_DROPPED] for row in self.router.stats.shards)
        if dropped > self.dropped:
            self.journal.events.tell(LOST, count=dropped - self.dropped, why="the shards reported more than was read")
            self.dropped = dropped

    def save_answers(self, held: Sequence[Held] = ()) -> None:
        """For the next router; when the disk is full, that one has to ask."""
        if not self.resolver.changed and not held:
            return
        self.resolver.changed = False
        try:
            save_answers(self.router.names, self.router.config.router.run_dir, held)
        except OSError as error:
            self.limited["names"].info("answers of DNS not saved", {"why": reason(error)})

    async def keep_gauges(self) -> None:
        """Each turn is a heartbeat of the loop, too."""
        beats = self.router.marks.page(0)
        while True:
            beats[0] += 1
            try:
                self.write_gauges()
                self.note_dropped()
                self.save_answers()
                self.limiting.look()
            except Exception as error:  # without a heartbeat this router would be taken for dead
                self.limited["faults"].info("gauges not written", {"why": repr(error)})
            await asyncio.sleep(GAUGES_EVERY_S)

    # ------------------------------------------------------------ reload

    def reload(self, order: messages.Reload, fds: Sequence[int]) -> None:
        self.do_beside(order, self.reload_beside(order, fds))

    def do_beside(self, order: Message, work: Coroutine[Any, Any, None]) -> None:
        """Whatever happens, who gave the order hears of it."""
        async def answered() -> None:
            try:
                await work
            except Exception as error:
                self.fail(order, error)

        task = asyncio.get_running_loop().create_task(answered())
        self.reloads.add(task)
        task.add_done_callback(self.reloads.discard)

    async def take_words(self, order: messages.Admin) -> None:
        """What operators say of destinations counts from now on."""
        loop = asyncio.get_running_loop()
        async with self.one_reload:
            words = await loop.run_in_executor(self.beside, read_words, self.router.config.router.state_dir)
            changed = set_admin_states(self.router.cells, self.router.admin_lines, words)
        self.note_admin(changed, "operator", order.why)
        self.answer(order, messages.AdminSet(changed=len(changed)))

    def note_admin(self, changed: list[tuple[str, str]], by: str, why: str = "") -> None:
        for identity, state in changed[:MOST_SAID]:
            log.info(f"destination {state}", extra={"fields": {"destination": identity, "by": by}})
        self.journal.note_admin(changed, by, why)

    async def reload_beside(self, order: messages.Reload, fds: Sequence[int]) -> None:
        """Sets, policies, rules, names, timers and all else that the table holds, from now on as this text says."""
        try:
            async with self.one_reload:
                await self.take_configuration(order, fds)
        except NoRoom as error:
            self.answer(order, messages.ReloadRefused(why=str(error), larger=True))
        except COMPILE_ERRORS as error:
            self.answer(order, messages.ReloadRefused(why=reason(error)))
        except Exception as error:
            log.exception("reload failed, by a fault of fastsip")
            self.answer(order, messages.ReloadRefused(why=f"{type(error).__name__}: {error}"))
        else:
            self.answer(order, messages.Reloaded())

    async def take_configuration(self, order: messages.Reload, fds: Sequence[int]) -> None:
        loop, router = asyncio.get_running_loop(), self.router
        fresh = await loop.run_in_executor(self.beside, self.read, order, fds)
        async with self.machines.moving_to(answered_here(fresh)):
            table, changed = await loop.run_in_executor(self.beside, self.build, fresh)
        self.note_admin(changed, "configuration")
        router.version, router.table, router.config = table.version, table, fresh
        fixed = compile_names(fresh)
        router.names.set_limit(fresh.limits.max_names)
        router.names.set_static(fixed)
        self.tell_name(0)
        self.collector.follow(fresh)

    # In a thread of its own, because it takes as long as the configuration is large.

    def read(self, order: messages.Reload, fds: Sequence[int]) -> Config:
        with uncollected():
            return received_config(order, fds)

    def build(self, fresh: Config) -> tuple[RoutingTable, list[tuple[str, str]]]:
        """The shards use the table when this returns.  Whose admin state is another one now, and which."""
        with uncollected():
            return self.build_uncollected(fresh)

    def build_uncollected(self, fresh: Config) -> tuple[RoutingTable, list[tuple[str, str]]]:
        router = self.router
        if most_lines(fresh) > len(router.cells) // 2:
            raise NoRoom("more destinations than this router has room for")
        # What the running table names must keep its line until each shard has moved on.
        release_unnamed(router.cells, router.registry, router.config, fresh)
        before = Before(router.config, router.table)
        table = compile_table(fresh, router.registry, router.cells, router.version + 1, before)
        lines, words = admin_lines(router.cells, router.registry, fresh), read_words(fresh.router.state_dir)
        changed = set_admin_states(router.cells, lines, words)
        router.measures.follow(router.cells.assigned)
        try:
            self.shards.switch_to(table)
        except BaseException:
            set_admin_states(router.cells, router.admin_lines, words)
            raise
        router.admin_lines = lines
        return table, changed
