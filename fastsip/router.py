"""The router process: opens what it needs, starts the shards, runs the control plane's loop.

The shards route; this thread watches: it logs what they report, keeps the gauges,
reloads the configuration on SIGHUP and ends the process on SIGTERM or SIGINT.
Calls in progress stay in run_dir, and the next start takes them up.
"""

import asyncio
import contextlib
import fcntl
import os
import signal
import sys
import threading
from pathlib import Path

import uvloop

from fastsip import log as logs
from fastsip._core.cells import Cells, CellsError
from fastsip._core.chooser import Positions
from fastsip._core.events import Event, take_events
from fastsip._core.listen import OpenedListener, open_listener
from fastsip._core.names import Names
from fastsip._core.net import Net
from fastsip._core.ring import Ring, Sleeper
from fastsip._core.shard import Shard
from fastsip._core.slots import Store, StoreError
from fastsip._core.workspace import Workspace
from fastsip.answering import AnsweringMachines
from fastsip.config import Config, ConfigError, load
from fastsip.config.outlook import outlook
from fastsip.dispatcher.registry import Registry, RegistryError
from fastsip.log import log
from fastsip.resolver import Resolver
from fastsip.routing.compile import compile_names, compile_table, release_unnamed
from fastsip.stats import StatsFile

HANDOVER_RING_BYTES = 8 << 20   # between two shards: about 6,000 INVITEs
EVENT_RING_BYTES = 1 << 20
SPARE_CELLS = 256               # for destinations that a reload brings
GAUGES_EVERY_S = 1.0
STOP_LIMIT_S = 5.0
CONTROL_NICE = 5


class StartError(Exception):
    """The router cannot start; the text says why."""


def run(config: Config) -> int:
    """Runs until SIGTERM or SIGINT; the exit code: 0, or 2 when it could not start."""
    logs.set_up()
    try:
        with contextlib.ExitStack() as stack:
            router = Router(config, stack)
            return uvloop.run(router.serve())
    except (StartError, StoreError, CellsError, RegistryError, OSError) as error:
        print(f"fastsip: {error}", file=sys.stderr)
        return 2


def make_folder(path: str, key: str) -> None:
    try:
        Path(path).mkdir(mode=0o750, parents=True, exist_ok=True)
    except OSError as error:
        raise StartError(f"router.{key}: {path} cannot be made: {error.strerror}") from None


def lock_folder(path: str, stack: contextlib.ExitStack) -> None:
    """Two routers on one run_dir would write into each other's calls."""
    fd = os.open(Path(path) / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    stack.callback(os.close, fd)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise StartError(f"another router runs on router.run_dir = {path}") from None


def block_signals() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())


class Router:
    """One router; everything that must be closed is on `stack`."""

    def __init__(self, config: Config, stack: contextlib.ExitStack):
        self.config = config
        self.version = 1
        make_folder(config.router.run_dir, "run_dir")
        make_folder(config.router.state_dir, "state_dir")
        lock_folder(config.router.run_dir, stack)
        self.registry = stack.enter_context(Registry(config.router.run_dir))
        count = sum(len(group.destinations) for group in config.sets)
        self.cells = Cells(str(Path(config.router.run_dir) / "cells"), 2 * count + SPARE_CELLS)
        self.store = Store(config.router.run_dir, config.limits.max_transactions)
        for note in (*outlook(config).warnings, *self.store.notes):
            log.warning(note)
        release_unnamed(self.cells, self.registry, config)
        self.table = compile_table(config, self.registry, self.cells, self.version)
        self.names = Names()
        self.names.set_static(compile_names(config))
        self.stats = StatsFile(config.router.run_dir, config.router.shards)
        self.opened = [self.open(listener, stack) for listener in config.listeners]
        self.event_rings: list[Ring] = []
        self.rings: list[Ring] = []
        self.control_fd = self.eventfd(stack)
        self.control = Sleeper(self.control_fd)
        self.shards = self.make_shards(stack)
        self.threads: list[threading.Thread] = []
        self.failed: list[int] = []
        self.limited = {kind: logs.Limited() for kind in ("failover", "exhausted", "commands")}

    def open(self, listener, stack: contextlib.ExitStack) -> OpenedListener:
        try:
            opened = open_listener(listener.host, listener.port, self.config.router.shards, listener.rcvbuf_bytes)
        except OSError as error:
            raise StartError(str(error.strerror)) from None
        for fd in opened.fds:
            stack.callback(os.close, fd)
        return opened

    def eventfd(self, stack: contextlib.ExitStack) -> int:
        fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        stack.callback(os.close, fd)
        return fd

    def make_shards(self, stack: contextlib.ExitStack) -> list[Shard]:
        count = self.config.router.shards
        shards = []
        for i in range(count):
            wake_fd = self.eventfd(stack)
            sockets = [(opened.fds[i], listener.family)
                       for opened, listener in zip(self.opened, self.config.listeners, strict=True)]
            self.event_rings.append(Ring(EVENT_RING_BYTES))
            workspace = Workspace(self.store, self.cells, self.table, Positions(self.table, i), i, count,
                                  self.event_rings[i], self.control, self.names)
            shard = Shard(Net(sockets, wake_fd), workspace, Sleeper(wake_fd))
            shard.count_into(self.stats.shards[i])
            shards.append(shard)
        for i in range(count):
            for j in range(i):
                there, back = Ring(HANDOVER_RING_BYTES), Ring(HANDOVER_RING_BYTES)
                self.rings += [there, back]
                shards[i].meet(j, there, back, shards[j].sleeper)
                shards[j].meet(i, back, there, shards[i].sleeper)
        return shards

    # ------------------------------------------------------------ life

    async def serve(self) -> int:
        loop = asyncio.get_running_loop()
        self.ended = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.ended.set)
        loop.add_signal_handler(signal.SIGHUP, self.reload)
        loop.add_reader(self.control_fd, self.take_events)
        machines = AnsweringMachines([(d.host, d.port) for group in self.config.sets if group.answering
                                      for d in group.destinations])
        await machines.start()
        self.resolver = Resolver(self.names, self.tell_name, [listener.family for listener in self.config.listeners])
        self.start_shards()
        self.take_events()
        gauges = asyncio.create_task(self.keep_gauges())
        log.info("router started", extra={"fields": self.summary()})
        print("fastsip: ready", file=sys.stderr, flush=True)
        await self.ended.wait()
        gauges.cancel()
        await self.resolver.close()
        self.stop_shards()
        await machines.close()
        self.write_gauges()
        log.info("router stopped", extra={"fields": {"transactions_kept": self.store.in_use()["slots"]}})
        return 1 if self.failed else 0

    def summary(self) -> dict[str, object]:
        return {
            "listeners": [listener.uri for listener in self.config.listeners],
            "shards": len(self.shards),
            "rcvbuf": [opened.rcvbuf_bytes for opened in self.opened],
            "transactions_taken_up": self.taken_up,
            "run_dir": self.config.router.run_dir,
        }

    def start_shards(self) -> None:
        """Recovery first, on every shard, before any of them reads a socket: calls may be handed over at once."""
        self.taken_up = sum(shard.recover() for shard in self.shards)
        for i, shard in enumerate(self.shards):
            thread = threading.Thread(target=self.run_shard, args=(i, shard), name=f"shard-{i}", daemon=True)
            thread.start()
            self.threads.append(thread)
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), CONTROL_NICE)

    def run_shard(self, number: int, shard: Shard) -> None:
        block_signals()
        try:
            shard.run()
        except BaseException:
            log.exception("a shard failed", extra={"fields": {"shard": number}})
            self.failed.append(number)
            os.kill(os.getpid(), signal.SIGTERM)

    def stop_shards(self) -> None:
        for shard in self.shards:
            shard.stop()
        for thread in self.threads:
            thread.join(STOP_LIMIT_S)
            if thread.is_alive():
                log.error("a shard did not stop", extra={"fields": {"shard": thread.name}})
                self.failed.append(-1)

    # ------------------------------------------------------------ what the shards report

    def take_events(self) -> None:
        """Takes what is there, then says "asleep" and looks once more, so that no wake-up is lost."""
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self.control_fd)
        self.control.wake_up()
        while any([self.take_ring(ring) for ring in self.event_rings]):
            pass
        self.control.fall_asleep()
        for ring in self.event_rings:
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
        if not all([shard.name_changed(number) for shard in self.shards]):
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
        while True:
            self.write_gauges()
            await asyncio.sleep(GAUGES_EVERY_S)

    # ------------------------------------------------------------ reload

    def reload(self) -> None:
        """SIGHUP: sets, policies, rules, names and timers as the file says now; refused whole when it is wrong."""
        try:
            fresh = load(self.config.file)
        except ConfigError as error:
            log.error("reload refused, the old configuration runs on", extra={"fields": {"why": str(error)}})
            return
        if (fresh.router, fresh.listeners, fresh.limits) != (self.config.router, self.config.listeners,
                                                            self.config.limits):
            log.error("reload refused, the old configuration runs on: [router], [[listen]] and [limits] "
                      "change with a restart only")
            return
        if sum(len(group.destinations) for group in fresh.sets) > len(self.cells) // 2:
            log.error("reload refused, the old configuration runs on: more destinations than this start has room for")
            return
        # What the running table names must keep its line until each shard has moved on.
        release_unnamed(self.cells, self.registry, self.config, fresh)
        try:
            self.table = compile_table(fresh, self.registry, self.cells, self.version + 1)
        except (CellsError, RegistryError, OSError) as error:
            log.error("reload refused, the old configuration runs on", extra={"fields": {"why": str(error)}})
            return
        self.version += 1
        for i, shard in enumerate(self.shards):
            shard.switch_to(self.table, Positions(self.table, i, shard.positions()))
        self.names.set_static(compile_names(fresh))
        self.tell_name(0)
        self.config = fresh
        log.info("reloaded", extra={"fields": {"version": self.version}})
