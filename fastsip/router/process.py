"""The router process: prepares itself, and takes over when its supervisor says "go".

Before that it touches nothing that another router works with: it imports, compiles the
configuration, and waits.  Then the shards take up the calls of the store and route.  What this thread
does from then on is in control_plane, for which no call waits: after a restart it is loaded when they flow.
It leaves when it is told to, and dies with its supervisor.

Started by launch (`python -m fastsip.router`, its end of the line as descriptor 3).
"""

import contextlib
import ctypes
import faulthandler
import gc
import os
import select
import signal
import socket
from importlib import import_module
from pathlib import Path

from fastsip import log as logs
from fastsip._core.dispatcher.cells import Cells
from fastsip._core.store.partitions import Store, StoreError
from fastsip._core.transport.names import Names
from fastsip.base.litter import uncollected
from fastsip.base.plain import reason
from fastsip.config import Config
from fastsip.log import log
from fastsip.observe.counters import StatsFile
from fastsip.process.launch import LINE_FD
from fastsip.process.line import Line, Message, received_config
from fastsip.process.quarantine import Mark, Marks, keep_slot, read_quarantine
from fastsip.router.name_file import recall_answers
from fastsip.router.shards import Shards
from fastsip.routing.compile import COMPILE_ERRORS, compile_names, compile_table
from fastsip.routing.registry import Registry

SPARE_CELLS = 256               # for destinations that a reload brings
SOON_MS = 100                   # "go" comes at once after a restart, and late for a spare
PR_SET_PDEATHSIG = 1

START_ERRORS = (*COMPILE_ERRORS, StoreError, MemoryError)


def main() -> int:
    """The exit code: 0, or 2 when it could not start."""
    logs.set_up()
    faulthandler.enable()
    faulthandler.register(signal.SIGUSR2)   # its supervisor asks where it stands
    line = Line(socket.socket(fileno=LINE_FD))
    os.set_inheritable(LINE_FD, False)
    die_with_parent()
    try:
        with contextlib.ExitStack() as stack:
            return serve(line, stack)
    except (BrokenPipeError, ConnectionResetError):
        return 1  # nobody is there to be told
    except START_ERRORS as error:
        return refuse(line, reason(error))
    except Exception as error:
        log.exception("a router cannot start, by a fault of its own")
        return refuse(line, f"{type(error).__name__}: {error}; this is a fault of fastsip, the log has its traceback")


def refuse(line: Line, why: str) -> int:
    with contextlib.suppress(OSError):
        line.send("refused", why=why)
    return 2


def die_with_parent() -> None:
    """A router without its supervisor would route with sockets that a new start wants."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def serve(line: Line, stack: contextlib.ExitStack) -> int:
    """Prepares, waits, routes."""
    message = line.receive()
    if message is None:
        return 0
    with uncollected():
        router = Router(received_config(message), line, stack)
    line.send("warm")
    if not select.select([line], [], [], SOON_MS / 1000)[0]:
        load_control_plane()
    sockets: list[int] = []
    while (message := line.receive()) and message.what == "sockets":
        sockets += message.fds
    if message is None or message.what != "go":
        return 0
    router.take_over(sockets, message)
    return load_control_plane().run(router, first=message.fields["first"])


def load_control_plane():
    control_plane = import_module("fastsip.router.control_plane")
    gc.collect()
    gc.freeze()
    return control_plane


class Router:
    """What routes; everything that must be closed is on `stack`."""

    def __init__(self, config: Config, line: Line, stack: contextlib.ExitStack):
        """All that can be done while another one routes: it reads and adds to what all routers share, and no more."""
        self.config, self.line, self.stack = config, line, stack
        self.registry = stack.enter_context(Registry(config.router.run_dir))
        count = sum(len(group.destinations) for group in config.sets)
        self.cells = Cells(str(Path(config.router.run_dir) / "cells"), 2 * count + SPARE_CELLS)
        for note in self.cells.notes:
            log.warning(note)
        self.version = 1
        self.table = compile_table(config, self.registry, self.cells, self.version)
        self.names = Names()
        self.names.set_static(compile_names(config))

    def take_over(self, sockets: list[int], go: Message) -> None:
        """The one thing that calls wait for; all else comes before it or after it."""
        config, count = self.config.router, self.config.router.shards
        self.sockets = sockets
        self.store = Store(config.run_dir, self.config.limits.max_transactions)
        for ref, generation in go.fields["drop"]:
            mark = Mark("slot", ref=ref, generation=generation)
            keep_slot(config.state_dir, mark, self.store.drop(ref, generation))
        held = recall_answers(self.names, config.run_dir)
        self.stats = StatsFile(config.run_dir, count)
        self.marks = Marks(config.run_dir)
        own = [[(sockets[place * count + i], listener.family) for place, listener in enumerate(self.config.listeners)]
               for i in range(count)]
        self.shards = Shards(self.store, self.cells, self.table, self.stats, self.marks,
                             read_quarantine(config.state_dir), self.names, own, self.fall_over, self.stack)
        self.shards.set_draining(go.fields["draining"])
        self.taken_up = self.shards.start(held)

    def fall_over(self) -> None:
        """A shard's thread ended by an exception: the next router has all shards."""
        os._exit(1)

    def leave(self, keep: list[int]) -> bool:
        """The batch is finished, what was handed over is taken, all is sent; then nothing is touched any more."""
        if not self.shards.stop(keep):
            return False
        for fd in self.sockets:
            os.close(fd)    # an address that is given up is free as soon as we say so
        return True

