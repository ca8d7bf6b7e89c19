"""`fastsip run`: takes hold of what nobody else may have, and serves until the end of all.
"""

import asyncio
import contextlib
import fcntl
import os
import sys
import time
from pathlib import Path

from fastsip import log as logs
from fastsip._core.base import files
from fastsip.base.plain import printable, reason
from fastsip.base.run_dir import LOCK, PLACEMENT
from fastsip.config import Config, ConfigError, load_text, read_text, secrets
from fastsip.config.errors import Wrong
from fastsip.config.sources import all_of_them, none_of_them
from fastsip.log import log
from fastsip.process.launch import PROGRAM, Newborn
from fastsip.supervisor import limits, telling, upgrade
from fastsip.supervisor.destinations import drop_words
from fastsip.supervisor.sockets import Sockets
from fastsip.supervisor.state import StartError, State
from fastsip.supervisor.supervisor import Supervisor
from fastsip.supervisor.systemd import Notifier, passed_on


def run(file: str, program: tuple[str, ...] = PROGRAM, born: Newborn | None = None) -> int:
    """Runs until SIGTERM or SIGINT; the exit code: 0, or 2 when it could not start.  born: the first router.

    Raises ConfigError, when the file is wrong and no router runs yet.
    """
    logs.set_up()
    left = upgrade.inherited()
    text = left.text if left else read_text(file)
    # Who takes over from a program before it waits for no source: a router routes, and nobody looks after it.
    fresh = none_of_them if left else all_of_them
    try:
        config = load_text(text, file, fresh=fresh)
    except ConfigError:
        if left is None:
            raise
        text = read_text(file)  # the new code reads no longer what the router runs on
        config = load_text(text, file, fresh=fresh)
    try:
        with contextlib.ExitStack() as stack:
            return asyncio.run(Supervisor(take_hold(config, text, stack, program, born, left)).serve())
    except (StartError, OSError) as error:
        print(printable(f"fastsip: {reason(error)}"), file=sys.stderr)
        return 2


def take_hold(
    config: Config,
    text: str,
    stack: contextlib.ExitStack,
    program: tuple[str, ...] = PROGRAM,
    born: Newborn | None = None,
    left: upgrade.Inheritance | None = None,
) -> State:
    """Folders, lock and sockets, or what the program before this one `left`.  What must be closed is on `stack`."""
    make_folder(config.router.run_dir, "run_dir")
    make_folder(config.router.state_dir, "state_dir")
    pin_placement(config)
    notifier = Notifier()
    lock = left.lock if left else lock_folder(config.router.run_dir)
    stack.callback(os.close, lock)
    drop_words(config)
    groups = {(host, port): fds for host, port, fds in left.groups} if left else {}
    state = State(config, text, program, born, lock, Sockets(notifier, groups), notifier, left)
    telling.begin(state)
    if not left:
        state.sockets.adopt(passed_on(), config.listeners, config.router.shards)
        state.open_sockets(config)
    open_door(state, config)
    return state


def open_door(state: State, config: Config) -> None:
    """OSError: the address of [api] cannot be had.  Who takes over from a program before it routes on without it."""
    try:
        with state.door.opened(config.api):
            pass
    except OSError as error:
        if not state.inherited:
            raise
        log.error("HTTP is spoken on control.sock alone", extra={"fields": {"why": reason(error)}})


def pin_placement(config: Config) -> None:
    """Where it cannot be written, the secret goes on to place calls, as long as it stays."""
    place = Path(config.router.state_dir) / PLACEMENT
    try:
        secrets.pin_placement(place, config.router.placement_key)
    except Wrong as wrong:
        log.warning(wrong.allowed)


def make_folder(path: str, key: str) -> None:
    try:
        files.make_folder(path)
    except files.UnsafeError as error:
        raise StartError(f"router.{key}: {error}") from None
    except OSError as error:
        raise StartError(f"router.{key}: {path} cannot be made: {error.strerror}") from None


def lock_folder(path: str) -> int:
    """Two routers on one run_dir would write into each other's calls."""
    fd = files.open_file(Path(path) / LOCK, os.O_RDWR | os.O_CREAT)
    end = time.monotonic() + limits.LOCK_PATIENCE_S
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return fd
        except BlockingIOError:
            if time.monotonic() > end:
                os.close(fd)
                raise StartError(f"another router runs on router.run_dir = {path}") from None
            time.sleep(0.01)
