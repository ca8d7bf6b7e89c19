"""The supervisor: holds what outlives a router, and sees to it that one routes, never two.

It opens the sockets, keeps run_dir locked, and keeps a spare: a router process that has prepared
everything but the store.  A crash, an upgrade, a restart and another number of shards are one thing:
the router leaves or is dead and reaped, and only then is the spare told to go.

It alone acts on signals.  Never: touch a call.  Called by cli/run.py.
"""

import asyncio
import contextlib
import fcntl
import os
import signal
import sys
import time
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import NamedTuple

from fastsip import log as logs
from fastsip.child import ENDED, PROGRAM, Child
from fastsip.config import Config, ConfigError, load_text, read_text
from fastsip.log import log
from fastsip.sockets import Sockets, place_of

LOCK_PATIENCE_S = 1.0   # a router whose supervisor was killed takes a moment to die
LEAVE_LIMIT_S = 1.0
WARM_LIMIT_S = 30.0
SHORT_LIFE_S = 1.0
SHORT_LIVES = 3         # in a row, before any pause
LONGEST_PAUSE_S = 30.0
OLD_RUNS_ON = "the old configuration runs on"


class StartError(Exception):
    """The router cannot start; the text says why."""


class Change(NamedTuple):
    """A planned takeover: by whom, with what; `done` when it routes."""

    spare: Child
    config: Config
    text: str
    done: "asyncio.Future[None]"


def run(config: Config, text: str, program: tuple[str, ...] = PROGRAM) -> int:
    """Runs until SIGTERM or SIGINT; the exit code: 0, or 2 when it could not start."""
    logs.set_up()
    try:
        with contextlib.ExitStack() as stack:
            return asyncio.run(Supervisor(config, text, program, stack).serve())
    except (StartError, OSError) as error:
        print(f"fastsip: {error}", file=sys.stderr)
        return 2


def make_folder(path: str, key: str) -> None:
    try:
        Path(path).mkdir(mode=0o750, parents=True, exist_ok=True)
    except OSError as error:
        raise StartError(f"router.{key}: {path} cannot be made: {error.strerror}") from None


def lock_folder(path: str) -> int:
    """Two routers on one run_dir would write into each other's calls."""
    fd = os.open(Path(path) / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    end = time.monotonic() + LOCK_PATIENCE_S
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return fd
        except BlockingIOError:
            if time.monotonic() > end:
                raise StartError(f"another router runs on router.run_dir = {path}") from None
            time.sleep(0.01)


class Supervisor:
    """One supervisor; everything that must be closed is on `stack`."""

    def __init__(self, config: Config, text: str, program: tuple[str, ...], stack: contextlib.ExitStack):
        self.config, self.text, self.program = config, text, program
        make_folder(config.router.run_dir, "run_dir")
        make_folder(config.router.state_dir, "state_dir")
        self.lock = lock_folder(config.router.run_dir)
        stack.callback(os.close, self.lock)
        self.sockets = Sockets()
        try:
            self.sockets.widen(config.listeners, config.router.shards)
        except OSError as error:
            raise StartError(str(error.strerror)) from None
        self.router: Child | None = None
        self.spare: Child | None = None
        self.change: Change | None = None
        self.stopping = False
        self.version = 1        # of the configuration
        self.short_lives = 0
        self.lives = 0
        self.tasks: set[asyncio.Task] = set()

    # ------------------------------------------------------------ one router after the other

    async def serve(self) -> int:
        loop = asyncio.get_running_loop()
        self.wish = asyncio.Event()  # to leave: a change or the end
        self.busy = asyncio.Lock()   # one reload or upgrade at a time
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        loop.add_signal_handler(signal.SIGHUP, lambda: self.start_task(self.reload()))
        while not self.stopping:
            await self.reign()
        for child in (self.spare, *([self.change.spare] if self.change else ())):
            if child:
                child.kill()
                await child.hear()
        return 0

    def start_task(self, work: Coroutine) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def reign(self) -> None:
        """The life of one router, from "go" until nothing of it reads or writes any more."""
        since = time.monotonic()
        self.router = router = await self.next_router()
        config = self.config
        router.go(self.sockets.of(config.listeners, config.router.shards), self.lock, first=not self.lives)
        self.spare = None
        said = await router.hear("started", "refused")
        if said.what == "started":
            self.note_start(router, since)
        elif said.what == "refused" and not self.lives:
            raise StartError(said.fields["why"])
        if not self.spare:
            self.spare = self.new_spare()
        await self.until_over(router)
        self.router = None
        self.take_change()

    async def next_router(self) -> Child:
        """The spare, when it is warm."""
        pause = min(2.0 ** (self.short_lives - SHORT_LIVES), LONGEST_PAUSE_S)
        if self.short_lives >= SHORT_LIVES:
            log.error("routers die at once: a pause before the next one", extra={"fields": {"seconds": pause}})
            await asyncio.sleep(pause)
        while True:
            spare = self.spare = self.spare or self.new_spare()
            said = await spare.hear("warm", "refused")
            if said.what == "warm":
                return spare
            if said.what == "refused" and not self.lives:
                raise StartError(said.fields["why"])
            log.error("a spare router cannot prepare itself", extra={"fields": said.fields})
            await spare.hear()
            self.spare = None
            await asyncio.sleep(pause)

    def new_spare(self) -> Child:
        return Child.start(self.config.file, self.text, self.program)

    def note_start(self, router: Child, since: float) -> None:
        if not self.lives:
            print("fastsip: ready", file=sys.stderr, flush=True)
        self.lives += 1
        if self.change:
            self.change.done.set_result(None)
            self.change = None
        log.info("router took over", extra={"fields": {
            "pid": router.pid, "ms": round((time.monotonic() - since) * 1000, 1),
        }})

    async def until_over(self, router: Child) -> None:
        """Until it has died and is reaped, or has said that it left."""
        ended, wish = (asyncio.ensure_future(work) for work in (router.hear(), self.wish.wait()))
        await asyncio.wait((ended, wish), return_when=asyncio.FIRST_COMPLETED)
        wish.cancel()
        if not ended.done():
            await self.dismiss(router)
        elif not self.stopping:
            self.note_death(router)
        ended.cancel()

    def note_death(self, router: Child) -> None:
        lived_s = time.monotonic() - router.began
        self.short_lives = self.short_lives + 1 if lived_s < SHORT_LIFE_S else 0
        status = router.status or 0
        how = signal.Signals(-status).name if status < 0 else status
        log.error("the router died", extra={"fields": {"pid": router.pid, "status": how, "lived_s": round(lived_s, 3)}})

    async def dismiss(self, router: Child) -> None:
        """Tells it to leave; one that does not is killed."""
        self.wish.clear()
        self.short_lives = 0
        config = self.change.config if self.change else self.config
        if self.change:
            self.sockets.detach(config.listeners, config.router.shards)
        kept = {place_of(listener) for listener in config.listeners}
        router.send("leave", keep=[config.router.shards if place_of(listener) in kept else 0
                                   for listener in self.config.listeners])
        try:
            said = await asyncio.wait_for(router.hear("released"), LEAVE_LIMIT_S)
        except TimeoutError:
            said = None
            log.error("the router does not leave: it is killed", extra={"fields": {"pid": router.pid}})
        if said is None or said.what == ENDED or self.stopping:
            await self.bury(router)
        else:
            self.start_task(self.bury(router))

    async def bury(self, router: Child) -> None:
        """It ends by itself, or is killed."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(router.hear(), LEAVE_LIMIT_S)
        router.kill()
        await router.hear()

    def take_change(self) -> None:
        """Nobody reads the sockets at this moment: what was planned takes place."""
        if not self.change:
            return
        if self.spare:
            self.spare.kill()
        self.spare, self.config, self.text, _ = self.change
        self.sockets.narrow(self.config.listeners, self.config.router.shards)

    # ------------------------------------------------------------ orders

    def stop(self) -> None:
        self.stopping = True
        self.wish.set()

    async def reload(self) -> str:
        """What the file says now, in place or by a planned takeover; refused whole when it is wrong."""
        async with self.busy:
            try:
                text = read_text(self.config.file)
                fresh = load_text(text, self.config.file)
                await self.apply(fresh, text)
            except (ConfigError, StartError, OSError) as error:
                log.error(f"reload refused, {OLD_RUNS_ON}", extra={"fields": {"why": str(error)}})
                return str(error)
            self.version += 1
            log.info("reloaded", extra={"fields": {"version": self.version}})
            return ""

    async def apply(self, fresh: Config, text: str) -> None:
        """StartError says why it cannot be."""
        check_change(self.config, fresh)
        if needs_takeover(self.config, fresh) or not await self.reload_in_place(text):
            await self.take_over(fresh, text)
            return
        self.config, self.text = fresh, text
        if self.spare:
            self.spare.kill()
            self.spare = self.new_spare()

    async def reload_in_place(self, text: str) -> bool:
        """False: it needs a new router."""
        router = self.router
        if router is None:
            return False
        router.send_text("reload", text, file=self.config.file)
        said = await router.hear("reloaded", "reload refused")
        if said.what == "reload refused" and not said.fields["larger"]:
            raise StartError(said.fields["why"])
        return said.what == "reloaded"

    async def take_over(self, config: Config, text: str) -> None:
        """Another router routes with this configuration when this returns; StartError: nothing has changed."""
        spare = Child.start(config.file, text, self.program)
        try:
            said = await asyncio.wait_for(spare.hear("warm", "refused"), WARM_LIMIT_S)
            if said.what != "warm":
                raise StartError(str(said.fields.get("why", f"the new router ended with {spare.status}")))
            self.sockets.widen(config.listeners, config.router.shards)
        except (StartError, OSError, TimeoutError):
            spare.kill()
            raise
        spare.inbox.insert(0, said)
        done = asyncio.get_running_loop().create_future()
        self.change = Change(spare, config, text, done)
        self.wish.set()
        await done


def check_change(old: Config, fresh: Config) -> None:
    """StartError: this cannot change while calls are kept."""
    if fresh.router.run_dir != old.router.run_dir:
        raise StartError("router.run_dir changes with a restart only: the calls in progress are there")
    if fresh.limits.max_transactions != old.limits.max_transactions:
        raise StartError("limits.max_transactions changes only while no transaction is kept: "
                         "fastsip drain --then stop, then start")


def needs_takeover(old: Config, fresh: Config) -> bool:
    """Do the shards or the sockets change?  All else is in the table."""
    def sockets(config: Config) -> tuple:
        return config.router.shards, [(place_of(one), one.rcvbuf_bytes) for one in config.listeners]

    return sockets(old) != sockets(fresh) or old.router.state_dir != fresh.router.state_dir
