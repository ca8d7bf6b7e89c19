"""The birth and the end of a process, and nothing that takes long to load.

A router takes longest to load its modules.  The first one does so while its supervisor loads its own:
a restart keeps callers waiting for less time.
"""

import contextlib
import importlib.machinery
import logging
import os
import signal
import socket
import sys
from typing import NamedTuple, NoReturn

PROGRAM = (sys.executable, "-m", "fastsip.router")
CORE = os.path.join(os.path.dirname(os.path.dirname(__file__)), "_core")
LINE_FD = 3  # of the router's end, in the router
# Not the router's: the supervisor acts on them, whoever else in the process group gets them.
OF_THE_SUPERVISOR = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGTSTP}


class Newborn(NamedTuple):
    """A router process to which nothing has been said: it ends when our end of the line is closed."""

    pid: int
    line: socket.socket


def need_kernels() -> None:
    """ModuleNotFoundError for one whose source is here and that is not built: in time, and in one place."""
    for place, _, names in os.walk(CORE):
        package = os.path.relpath(place, os.path.dirname(CORE)).replace(os.sep, ".")
        for name in sorted(names):
            stem = name.removesuffix(".pyx")
            if stem != name and not any(stem + end in names for end in importlib.machinery.EXTENSION_SUFFIXES):
                raise ModuleNotFoundError(f"{stem} is not built", name=f"fastsip.{package}.{stem}")


def pair() -> tuple[socket.socket, socket.socket]:
    """Our end, which never blocks, and the end that a router inherits."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    return ours, theirs


def launch(program: tuple[str, ...] = PROGRAM) -> Newborn:
    """Starts one.  It inherits its end of the line alone, whatever was passed on to us."""
    ours, theirs = pair()
    for fd in map(int, os.listdir("/proc/self/fd")):
        with contextlib.suppress(OSError):  # that of the listing itself is closed by now
            if fd > 2 and os.get_inheritable(fd):
                os.set_inheritable(fd, False)
    pid = os.posix_spawn(
        program[0], program, os.environ,
        file_actions=[(os.POSIX_SPAWN_DUP2, theirs.fileno(), LINE_FD)],
        setsigmask=OF_THE_SUPERVISOR,
    )  # fmt: skip
    theirs.close()
    return Newborn(pid, ours)


def end(code: int) -> NoReturn:
    """Ends this process without taking Python apart, which would take longer than all else in a restart."""
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):  # a full disk is no reason for another exit code
            stream.flush()
    os._exit(code)
