"""The router process: prepares itself, and takes over when its supervisor says "go".

Before that it touches nothing that another router works with: it imports, compiles the
configuration, and waits.  Then the shards take up the calls of the store and route; this
thread watches: it logs what they report, keeps the gauges, and does what the supervisor says.
It leaves when it is told to, and dies with its supervisor.

Started by child (`python -m fastsip.router`, its end of the line as descriptor 3).
"""

import asyncio
import contextlib
import ctypes
import faulthandler
import gc
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import uvloop

from fastsip import log as logs
from fastsip._core.cells import Cells, CellsError
from fastsip._core.events import Event, take_events
from fastsip._core.names import Names
from fastsip._core.ring import Ring
from fastsip._core.slots import Store, StoreError
from fastsip._core.transactions import count_open
from fastsip.answering import AnsweringMachines
from fastsip.child import LINE_FD
from fastsip.config import Config, ConfigError, load_text
from fastsip.config.outlook import outlook
from fastsip.dispatcher.registry import Registry, RegistryError
from fastsip.log import log
from fastsip.messages import Line, Message, read_text_file
from fastsip.quarantine import Mark, Marks, keep_slot, read_quarantine
from fastsip.resolver import Resolver
from fastsip.routing.compile import compile_names, compile_table, release_unnamed
from fastsip.shards import Shards
from fastsip.stats import StatsFile

SPARE_CELLS = 256               # for destinations that a reload brings
GAUGES_EVERY_S = 1.0
CONTROL_NICE = 5
PR_SET_PDEATHSIG = 1

START_ERRORS = (ConfigError, StoreError, CellsError, RegistryError, OSError)


def main() -> int:
    """The exit code: 0, or 2 when it could not start."""
    logs.set_up()
    faulthandler.enable()
    line = Line(socket.socket(fileno=LINE_FD))
    os.set_inheritable(LINE_FD, False)
    die_with_parent()
    try:
        with contextlib.ExitStack() as stack:
            return uvloop.run(serve(line, stack))
    except (BrokenPipeError, ConnectionResetError):
        return 1  # nobody is there to be told
    except START_ERRORS as error:
        with contextlib.suppress(OSError):
            line.send("refused", why=str(error))
        return 2


def die_with_parent() -> None:
    """A router without its supervisor would route with sockets that a new start wants."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


async def serve(line: Line, stack: contextlib.ExitStack) -> int:
    """Prepares, waits, routes.  Nothing else runs in the loop before "go", so waiting may block it."""
    message = line.receive()
    if message is None:
        return 0
    router = Router(load_text(read_text_file(message.fds[0]), message.fields["file"]), line, stack)
    gc.collect()
    gc.freeze()
    line.send("warm")
    sockets: list[int] = []
    while (message := line.receive()) and message.what == "sockets":
        sockets += message.fds
    if message is None or message.what != "go":
        return 0
    return await router.run(sockets, message)


class Router:
    """One router; everything that must be closed is on `stack`."""

    def __init__(self, config: Config, line: Line, stack: contextlib.ExitStack):
        """All that can be done while another one routes: it reads and adds to what all routers share, and no more."""
        self.config, self.line, self.stack = config, line, stack
        self.version = 1
        self.registry = stack.enter_context(Registry(config.router.run_dir))
        count = sum(len(group.destinations) for group in config.sets)
        self.cells = Cells(str(Path(config.router.run_dir) / "cells"), 2 * count + SPARE_CELLS)
        self.table = compile_table(config, self.registry, self.cells, self.version)
        self.names = Names()
        self.names.set_static(compile_names(config))
        self.resolver = Resolver(self.names, self.tell_name, [listener.family for listener in config.listeners])
        self.limited = {kind: logs.Limited() for kind in ("failover", "exhausted", "commands")}

    # ------------------------------------------------------------ life

    async def run(self, sockets: list[int], go: Message) -> int:
        """From "go" to "leave"."""
        loop = asyncio.get_running_loop()
        self.sockets = sockets
        self.told: asyncio.Future[Message] = loop.create_future()
        self.take_over(sockets, go)
        loop.add_reader(self.shards.control_fd, self.take_events)
        self.line.sock.setblocking(False)
        loop.add_reader(self.line.fileno(), self.listen)
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), CONTROL_NICE)
        self.say_started(first=go.fields["first"])
        self.machines = AnsweringMachines([(d.host, d.port) for group in self.config.sets if group.answering
                                           for d in group.destinations])
        await self.machines.start()
        release_unnamed(self.cells, self.registry, self.config)
        self.take_events()
        self.line.send("started")
        gauges = asyncio.create_task(self.keep_gauges())
        order = await self.told
        gauges.cancel()
        await self.resolver.close()
        return await self.leave(order)

    def take_over(self, sockets: list[int], go: Message) -> None:
        """The one thing that calls wait for; all else comes after it."""
        config, count = self.config.router, self.config.router.shards
        self.store = Store(config.run_dir, self.config.limits.max_transactions)
        for ref, generation in go.fields["drop"]:
            mark = Mark("slot", ref=ref, generation=generation)
            keep_slot(config.state_dir, mark, self.store.drop(ref, generation))
        self.stats = StatsFile(config.run_dir, count)
        self.marks = Marks(config.run_dir)
        own = [[(sockets[place * count + i], listener.family) for place, listener in enumerate(self.config.listeners)]
               for i in range(count)]
        self.shards = Shards(self.store, self.cells, self.table, self.stats, self.marks,
                             read_quarantine(config.state_dir), self.names, own, self.fall_over, self.stack)
        self.shards.set_draining(go.fields["draining"])
        self.taken_up = self.shards.start()

    def say_started(self, first: bool) -> None:
        for note in (*(outlook(self.config).warnings if first else ()), *self.store.notes):
            log.warning(note)
        log.info("router started", extra={"fields": {
            "listeners": [listener.uri for listener in self.config.listeners],
            "shards": len(self.shards),
            "transactions_taken_up": self.taken_up,
            "run_dir": self.config.router.run_dir,
            "pid": os.getpid(),
        }})

    def fall_over(self) -> None:
        """A shard's thread ended by an exception: the next router has all shards."""
        os._exit(1)

    # ------------------------------------------------------------ what the supervisor says

    def listen(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while message := self.line.receive():
                self.ORDERS[message.what](self, message)
            os._exit(1)  # it is gone, and so are we in a moment

    async def leave(self, order: Message) -> int:
        """The batch is finished, what was handed over is taken, all is sent; then nothing is touched any more."""
        if not self.shards.stop(order.fields["keep"]):
            return 1
        for fd in self.sockets:
            os.close(fd)    # an address that is given up is free as soon as we say so
        await self.machines.close()
        self.write_gauges()
        log.info("router stopped", extra={"fields": {"transactions_kept": self.store.in_use()["slots"]}})
        self.line.send("released")
        return 0

    def drain(self, order: Message) -> None:
        self.shards.set_draining(order.fields["on"])
        if order.fields["on"]:
            self.line.send("draining", open=count_open(self.store))

    # ------------------------------------------------------------ what the shards report

    def take_events(self) -> None:
        """Takes what is there, then says "asleep" and looks once more, so that no wake-up is lost."""
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self.shards.control_fd)
        self.shards.control.wake_up()
        while any([self.take_ring(ring) for ring in self.shards.event_rings]):
            pass
        self.shards.control.fall_asleep()
        for ring in self.shards.event_rings:
            self.take_ring(ring)

    def take_ring(self, ring: Ring) -> int:
        taken = take_events(ring)
        for event in taken:
            self.report(event)
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
        known = self.registry.name(event.destination_id)
        fields: dict[str, object] = {"destination": known[1] if known else event.destination_id}
        if event.kind == "health":
            log.info(f"destination {event.reason}", extra={"fields": {**fields, "code": event.status}})
            return
        fields["reason"] = event.status if event.reason == "response" else event.reason
        self.limited[event.kind].info(event.kind, {"call_id": event.call_id, **fields, "after_ms": event.after_ms})

    def write_gauges(self) -> None:
        for column, value in enumerate(self.store.in_use().values()):
            self.stats.gauges[column] = value

    async def keep_gauges(self) -> None:
        """Each turn is a heartbeat of the loop, too."""
        beats = self.marks.page(0)
        while True:
            beats[0] += 1
            self.write_gauges()
            await asyncio.sleep(GAUGES_EVERY_S)

    # ------------------------------------------------------------ reload

    def reload(self, order: Message) -> None:
        """Sets, policies, rules, names, timers and all else that the table holds, from now on as this text says."""
        try:
            fresh = load_text(read_text_file(order.fds[0]), order.fields["file"])
            if sum(len(group.destinations) for group in fresh.sets) > len(self.cells) // 2:
                self.line.send("reload refused", why="more destinations than this router has room for", larger=True)
                return
            # What the running table names must keep its line until each shard has moved on.
            release_unnamed(self.cells, self.registry, self.config, fresh)
            self.table = compile_table(fresh, self.registry, self.cells, self.version + 1)
        except START_ERRORS as error:
            self.line.send("reload refused", why=str(error), larger=False)
            return
        self.version += 1
        self.shards.switch_to(self.table)
        self.names.set_static(compile_names(fresh))
        self.tell_name(0)
        self.config = fresh
        self.line.send("reloaded")

    ORDERS: ClassVar[dict[str, Callable[["Router", Message], None]]] = {
        "leave": lambda self, order: self.told.set_result(order),
        "reload": reload,
        "drain": drain,
    }


if __name__ == "__main__":
    sys.exit(main())
