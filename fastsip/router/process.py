"""The router process: prepares itself, and takes over when its supervisor says "go".

Before that it touches nothing that another router works with.  Then the shards take up the calls of the store
and route.  What this thread does from then on is in control_plane, for which no call waits: after a restart it is
loaded when they flow.  It leaves when it is told to, and dies with its supervisor.

Started as `python -m fastsip.router`, with its end of the line as descriptor 3.
"""

import contextlib
import ctypes
import faulthandler
import gc
import os
import select
import signal
import socket

from fastsip import log as logs
from fastsip._core.store.partitions import StoreError
from fastsip.base.litter import uncollected
from fastsip.base.plain import reason
from fastsip.log import log
from fastsip.process.launch import LINE_FD
from fastsip.process.line import Line, received_config
from fastsip.process.messages import Go, Prepare, Refused, Sockets, Warm
from fastsip.router.router import Router
from fastsip.routing.compile import COMPILE_ERRORS

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
        line.send(Refused(why=why))
    return 2


def die_with_parent() -> None:
    """A router without its supervisor would route with sockets that a new start wants."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def serve(line: Line, stack: contextlib.ExitStack) -> int:
    """Prepares, waits, routes."""
    received = line.receive()
    if received is None or not isinstance(received.message, Prepare):
        return 0
    with uncollected():
        router = Router(received_config(received.message, received.fds), line, stack)
    line.send(Warm())
    if not select.select([line], [], [], SOON_MS / 1000)[0]:
        load_control_plane()
    sockets: list[int] = []
    while (received := line.receive()) and isinstance(received.message, Sockets):
        sockets += received.fds
    if received is None or not isinstance(received.message, Go):
        return 0
    router.take_over(sockets, received.message)
    return load_control_plane().run(router, first=received.message.first)


def load_control_plane():
    from fastsip.router import control_plane

    gc.collect()
    gc.freeze()
    return control_plane
