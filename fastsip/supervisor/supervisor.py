"""The supervisor: holds what outlives a router, and sees to it that one routes, never two.

It opens the sockets, keeps run_dir locked, and keeps a spare: a router process that has prepared
everything but the store.  A crash, an upgrade, a restart and another number of shards are one thing:
the router leaves or is dead and reaped, and only then is the spare told to go.

It alone acts on signals.  Never: touch a call.  Called by cli/run.py.
"""

import asyncio
import contextlib
import errno
import fcntl
import os
import signal
import socket
import sys
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import NamedTuple

from fastsip import __version__
from fastsip import log as logs
from fastsip._core.base import folder
from fastsip.api.socket import STOPPED, Answer, Refused, Server, answer_kept
from fastsip.base.plain import printable, reason
from fastsip.config import Config, ConfigError, load_text, read_text, secrets
from fastsip.config.errors import Wrong
from fastsip.log import log
from fastsip.process.launch import PROGRAM, Newborn
from fastsip.process.line import Line
from fastsip.process.marks import Mark, Marks, stuck_at
from fastsip.process.quarantine import Deaths, keep_datagram
from fastsip.supervisor import draining, orders, upgrade
from fastsip.supervisor.changes import StartError, check_change, needs_takeover, read_file
from fastsip.supervisor.child import ENDED, FAILED, Child, handed
from fastsip.supervisor.sockets import Sockets, place_of
from fastsip.supervisor.systemd import Notifier, passed_on
from fastsip.supervisor.watch import BEAT_S, Watch, patience_of

LOCK_PATIENCE_S = 1.0   # a router whose supervisor was killed takes a moment to die
LEAVE_LIMIT_S = 1.0
WARM_LIMIT_S = 30.0
START_LIMIT_S = 30.0
RELOAD_LIMIT_S = 30.0
STILLBORN = 3           # routers that end while they prepare themselves, before the first one routes
CORE_LIMIT_S = 2.0      # for the stacks of a router that hangs, and its core
SHORT_LIFE_S = 1.0
SHORT_LIVES = 3         # in a row, before any pause
LONGEST_PAUSE_S = 30.0
OLD_RUNS_ON = "the old configuration runs on"
# What a router does to itself, not what somebody did to it.
FAULTS = (signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGABRT)


class Change(NamedTuple):
    """A planned takeover: by whom, on what; `done` when it routes."""

    spare: Child
    config: Config
    text: str
    done: "asyncio.Future[None]"


def run(file: str, program: tuple[str, ...] = PROGRAM, born: Newborn | None = None) -> int:
    """Runs until SIGTERM or SIGINT; the exit code: 0, or 2 when it could not start.  born: the first router.

    Raises ConfigError, when the file is wrong and no router runs yet.
    """
    logs.set_up()
    state = upgrade.inherited()
    text = state.text if state else read_text(file)
    try:
        config = load_text(text, file)
    except ConfigError:
        if state is None:
            raise
        text = read_text(file)  # the new code reads no longer what the router runs on
        config = load_text(text, file)
    try:
        with contextlib.ExitStack() as stack:
            return asyncio.run(Supervisor(config, text, program, born, state, stack).serve())
    except (StartError, OSError) as error:
        print(printable(f"fastsip: {reason(error)}"), file=sys.stderr)
        return 2


def pin_placement(config: Config) -> None:
    """Where it cannot be written, the secret goes on to place calls, as long as it stays."""
    place = Path(config.router.state_dir) / secrets.PLACEMENT
    try:
        secrets.pin_placement(place, config.router.placement_key)
    except Wrong as wrong:
        log.warning(wrong.allowed)


def make_folder(path: str, key: str) -> None:
    try:
        folder.make_folder(path)
    except folder.UnsafeError as error:
        raise StartError(f"router.{key}: {error}") from None
    except OSError as error:
        raise StartError(f"router.{key}: {path} cannot be made: {error.strerror}") from None


def lock_folder(path: str) -> int:
    """Two routers on one run_dir would write into each other's calls."""
    fd = folder.open_file(Path(path) / "lock", os.O_RDWR | os.O_CREAT)
    end = time.monotonic() + LOCK_PATIENCE_S
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return fd
        except BlockingIOError:
            if time.monotonic() > end:
                os.close(fd)
                raise StartError(f"another router runs on router.run_dir = {path}") from None
            time.sleep(0.01)


class Supervisor:
    """One supervisor; everything that must be closed is on `stack`."""

    def __init__(
        self,
        config: Config,
        text: str,
        program: tuple[str, ...],
        born: Newborn | None,
        state: upgrade.State | None,
        stack: contextlib.ExitStack,
    ):
        self.config, self.text, self.program, self.state = config, text, program, state
        self.born = born  # taken by the first spare
        make_folder(config.router.run_dir, "run_dir")
        make_folder(config.router.state_dir, "state_dir")
        pin_placement(config)
        self.notifier = Notifier()
        self.lock = state.lock if state else lock_folder(config.router.run_dir)
        stack.callback(os.close, self.lock)
        groups = {(host, port): fds for host, port, fds in state.groups} if state else {}
        self.sockets = Sockets(self.notifier, groups)
        if not state:
            self.sockets.adopt(passed_on(), config.listeners, config.router.shards)
            self.open_sockets(config)
        self.marks, self.deaths = Marks(config.router.run_dir), Deaths()
        self.router: Child | None = None
        self.spare: Child | None = None
        self.change: Change | None = None
        self.awaited: asyncio.Future[None] | None = None  # of a change that takes place
        self.before = config, text  # what ran before that change
        self.watch: Watch | None = None
        self.drop: list[tuple[int, int]] = []  # slots that the next router frees
        self.hung_at: list[Mark] = []  # what the shards stood at of a router that we ended
        self.seen_at: dict[int, Mark | None] = {}  # at the last look, of shards that stood still
        self.slow_loop = False
        self.stopping = False
        self.draining = state.draining if state else False
        self.version = state.version if state else 1  # of the configuration
        self.short_lives = 0
        self.lives = 1 if state else 0
        self.tasks: set[asyncio.Task] = set()

    def open_sockets(self, config: Config) -> None:
        try:
            self.sockets.widen(config.listeners, config.router.shards)
        except OSError as error:
            raise StartError(str(error.strerror)) from None

    # ------------------------------------------------------------ one router after the other

    async def serve(self) -> int:
        loop = asyncio.get_running_loop()
        self.wish = asyncio.Event()  # to leave: a change or the end
        self.busy = asyncio.Lock()   # one reload or upgrade at a time
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.terminate)
        loop.add_signal_handler(signal.SIGHUP, lambda: self.start_task(self.hang_up()))
        server = Server(self.config.router.run_dir, orders.handlers(self))
        await server.start()
        try:
            await self.reign_on()
        finally:
            await server.close()
        left = [child for child in (self.router, self.spare, self.change.spare if self.change else None) if child]
        for child in left:
            child.kill()
        for child in left:
            await child.hear()
        return 0

    async def reign_on(self) -> None:
        """One router after the other, until the end."""
        if self.state:
            self.router = Child(self.state.router_pid, Line(socket.socket(fileno=self.state.router_line)))
            self.start_task(self.finish_upgrade(self.state.client))
        upgrade.signals_may_come()
        self.start_task(self.beat())
        failed = False
        while not self.stopping:
            try:
                if failed:
                    await self.pause("the supervisor failed", 0)
                failed = False
                await self.reign()
            except Exception as error:
                if not self.lives:
                    raise
                failed = True
                self.go_on(error)

    def go_on(self, error: Exception) -> None:
        """After a fault of ours: whoever waits for a change hears of it, and the router that routes goes on routing.

        One that nobody has heard to route, and any spare, is as good as dead: another one takes its place.
        """
        log.error("the supervisor failed", exc_info=error)
        change, awaited = self.change, self.awaited
        self.change = self.awaited = None
        for child in (self.spare, change and change.spare, awaited and self.router):
            if child:
                child.kill()
        self.spare = None
        for done in (awaited, change and change.done):
            if done and not done.done():
                done.set_exception(StartError(f"{type(error).__name__}: {error}"))
        if awaited:
            with contextlib.suppress(StartError):  # a socket that cannot be opened again ends nobody else's service
                self.go_back()

    def start_task(self, work: Coroutine) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.note_end)

    def note_end(self, task: asyncio.Task) -> None:
        self.tasks.discard(task)
        if not task.cancelled() and task.exception():
            log.error("a task of the supervisor failed", exc_info=task.exception())

    async def reign(self) -> None:
        """The life of one router, from "go" until nothing of it reads or writes any more."""
        if self.router is None:
            await self.let_go()
        router, self.watch = self.router, Watch(*patience_of(self.config))
        if router is None:
            return
        if self.spare is None:
            self.spare = self.new_spare()
        await self.until_over(router)
        self.router = self.watch = None
        self.take_change()

    async def let_go(self) -> None:
        """The spare routes from now on."""
        since = time.monotonic()
        router = await self.next_router()
        config = self.config
        if router is None:
            return
        self.marks.clear()
        router.go(self.sockets.of(config.listeners, config.router.shards), self.lock,
                  first=not self.lives, draining=self.draining, drop=self.drop)
        self.router, self.spare = router, None
        try:
            async with asyncio.timeout(START_LIMIT_S):
                said = await router.hear("started", "refused")
        except TimeoutError:
            await self.dump(router, "the router does not start", self.marks.set())
            said = await router.hear()
        if said.what == "started":
            self.note_start(router, since)
            return
        why = said.fields.get("why", f"the new router ended with {router.status}")
        if not self.lives and said.what == "refused":
            raise StartError(why)
        if self.awaited:
            log.error("the new router does not start", extra={"fields": {"why": why}})
            self.awaited.set_exception(StartError(why))
            self.awaited = None
            self.go_back()

    async def next_router(self) -> Child | None:
        """The spare, when it is warm; None when none is wanted any more."""
        if self.short_lives >= SHORT_LIVES:
            await self.pause("routers die at once", self.short_lives - SHORT_LIVES)
        failures = 0
        while not self.stopping:
            spare = self.spare = self.spare or self.new_spare()
            try:
                async with asyncio.timeout(WARM_LIMIT_S):
                    said = await spare.hear("warm", "refused")
            except TimeoutError:
                spare.kill()
                said = await spare.hear()
            if said.what == "warm":
                return spare
            if not self.lives and (said.what == "refused" or failures + 1 == STILLBORN):
                raise StartError(said.fields.get("why", f"{STILLBORN} routers ended while they prepared themselves"))
            log.error("a spare router cannot prepare itself", extra={"fields": said.fields})
            await spare.hear()
            self.spare = None
            await self.pause("no router", failures)
            failures += 1
        return None

    async def pause(self, why: str, turn: int) -> None:
        """Longer from turn to turn; the end of all is not kept waiting."""
        seconds = min(2.0**turn, LONGEST_PAUSE_S)
        log.error(f"{why}: a pause", extra={"fields": {"seconds": seconds}})
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.wish.wait()

    def new_spare(self) -> Child:
        born, self.born = self.born, None
        return Child.start(self.config, self.text, self.program, born)

    def note_start(self, router: Child, since: float) -> None:
        self.notifier.ready(self.status_text())
        if not self.lives:
            logs.say("fastsip: ready")
        self.lives += 1
        self.drop = []
        if self.awaited:
            self.awaited.set_result(None)
            self.awaited = None
        log.info("router took over", extra={"fields": {
            "pid": router.pid, "ms": round((time.monotonic() - since) * 1000, 1),
        }})

    async def until_over(self, router: Child) -> None:
        """Until it has died and is reaped, or has said that it left."""
        ended, wish = (asyncio.ensure_future(work) for work in (router.hear(), self.wish.wait()))
        try:
            await asyncio.wait((ended, wish), return_when=asyncio.FIRST_COMPLETED)
            self.wish.clear()
            if not ended.done():
                await self.dismiss(router)
            elif not self.stopping:
                self.note_death(router)
        finally:
            wish.cancel()
            ended.cancel()

    async def dismiss(self, router: Child) -> None:
        """Tells it to leave; one that does not is killed."""
        self.short_lives = 0
        config = self.change.config if self.change else self.config
        if self.change:
            self.sockets.detach(config.listeners, config.router.shards)
        kept = {place_of(listener) for listener in config.listeners}
        router.send("leave", keep=[config.router.shards if place_of(listener) in kept else 0
                                   for listener in self.config.listeners])
        try:
            async with asyncio.timeout(LEAVE_LIMIT_S):
                said = await router.hear("released")
        except TimeoutError:
            said = None
            log.error("the router does not leave: it is killed", extra={"fields": {"pid": router.pid}})
        if said is None or said.what == ENDED or self.stopping:
            await self.bury(router, LEAVE_LIMIT_S if said else 0)
        else:
            self.start_task(self.bury(router, LEAVE_LIMIT_S))

    async def bury(self, router: Child, patience_s: float) -> None:
        """It ends by itself, or is killed."""
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(patience_s):
                    await router.hear()
        finally:
            router.kill()
        await router.hear()

    def take_change(self) -> None:
        """Nobody reads the sockets at this moment: what was planned takes place."""
        if not self.change:
            return
        if self.spare:
            self.spare.kill()
        self.before = self.config, self.text
        self.spare, self.config, self.text, self.awaited = self.change
        self.change = None
        self.sockets.narrow(self.config.listeners, self.config.router.shards)

    def go_back(self) -> None:
        """The router of a change did not start: the next one routes as the one before it did."""
        self.config, self.text = self.before
        self.open_sockets(self.config)
        self.sockets.narrow(self.config.listeners, self.config.router.shards)

    # ------------------------------------------------------------ watching

    def note_death(self, router: Child) -> None:
        lived_s = time.monotonic() - router.began
        self.short_lives = self.short_lives + 1 if lived_s < SHORT_LIFE_S else 0
        status = router.status or 0
        how = signal.Signals(-status).name if status < 0 else status
        log.error("the router died", extra={"fields": {"pid": router.pid, "status": how, "lived_s": round(lived_s, 3)}})
        if -status in FAULTS:
            for mark in self.deaths.note(self.hung_at if router.killed else self.marks.set()):
                log.error("two routers died of this: it is put into quarantine", extra={"fields": {"what": str(mark)}})
                if mark.kind == "slot":
                    self.drop.append((mark.ref, mark.generation))
                else:
                    keep_datagram(self.config.router.state_dir, mark)

    async def beat(self) -> None:
        """Once a second: does everybody go round?  systemd hears of it while they do."""
        period_s = min(BEAT_S, (self.notifier.watchdog_s or 2 * BEAT_S) / 2)
        looked = 0.0
        while True:
            await asyncio.sleep(period_s)
            if self.watch is None or self.router is None:
                continue
            due = time.monotonic() - looked >= BEAT_S
            looked = time.monotonic() if due else looked
            try:
                await self.look_after(self.router, self.watch, due)
            except Exception:
                log.exception("the watch failed")

    async def look_after(self, router: Child, watch: Watch, due: bool) -> None:
        if due:
            before, self.seen_at = self.seen_at, {}
            watch.look(self.marks.beats(self.config.router.shards))
            self.seen_at = {number: self.marks.at(number) for number in watch.idle_shards}
            if watch.hangs:
                await self.dump(router, f"the router hangs: {watch.hangs}", stuck_at(before, self.seen_at))
                return
            self.note_loop(router, watch.slow_loop)
        if watch.all_beat and self.notifier.watchdog_s:
            self.notifier.say("WATCHDOG=1")

    def note_loop(self, router: Child, slow: bool) -> None:
        """Once when it begins to stand still, with its stacks, and once when it goes round again."""
        if slow and not self.slow_loop:
            log.error("the router's loop stands still, its shards route on", extra={"fields": {"pid": router.pid}})
            router.show_stacks()
        elif self.slow_loop and not slow:
            log.info("the router's loop goes round again", extra={"fields": {"pid": router.pid}})
        self.slow_loop = slow

    async def dump(self, router: Child, why: str, at: list[Mark]) -> None:
        """Makes it say on stderr where all of its threads are, and ends it; `at`: what it may have been stuck at."""
        self.hung_at = at
        log.error(why, extra={"fields": {"pid": router.pid}})
        router.kill(signal.SIGABRT)
        await self.bury(router, CORE_LIMIT_S)

    def status_text(self) -> str:
        return f"{'draining' if self.draining else 'routing'}, {self.config.router.shards} shards"

    # ------------------------------------------------------------ the end

    def terminate(self) -> None:
        """SIGTERM: at once, or when it is empty if so configured; a second one is not patient."""
        if self.config.router.stop_mode == "drain" and not self.draining:
            self.start_task(draining.drain_away(self))
        else:
            self.stop()

    def stop(self) -> None:
        self.notifier.stopping("leaving")
        self.stopping = True
        self.wish.set()

    # ------------------------------------------------------------ another configuration

    async def hang_up(self) -> None:
        with contextlib.suppress(Refused):
            await self.reload()

    async def reload(self) -> None:
        """What the file says now, in place or by a planned takeover; Refused whole when it is wrong."""
        async with self.busy:
            self.notifier.reloading()
            try:
                await self.apply(*await asyncio.to_thread(read_file, self.config.file))
            except (ConfigError, StartError, OSError) as error:
                log.error(f"reload refused, {OLD_RUNS_ON}", extra={"fields": {"why": reason(error)}})
                raise Refused(f"{reason(error)}\n{OLD_RUNS_ON}") from None
            except Exception as error:
                log.exception(f"reload failed, {OLD_RUNS_ON}")
                raise Refused(f"{type(error).__name__}: {error}\n{OLD_RUNS_ON}") from None
            finally:
                self.notifier.ready(self.status_text())
            self.version += 1
            log.info("reloaded", extra={"fields": {"version": self.version}})

    async def apply(self, fresh: Config, text: str) -> None:
        """StartError says why it cannot be."""
        check_change(self.config, fresh)
        if needs_takeover(self.config, fresh) or not await self.reload_in_place(fresh, text):
            await self.take_over(fresh, text)
            return
        self.config, self.text = fresh, text
        if self.watch:
            self.watch.patience, self.watch.for_the_loop = patience_of(fresh)
        if self.spare:
            self.spare.kill()
            self.spare = self.new_spare()

    async def reload_in_place(self, fresh: Config, text: str) -> bool:
        """False: it needs a new router, also when the old one died over it or says nothing."""
        router = self.router
        if router is None:
            return False
        try:
            with handed(fresh, text) as fds:
                said = await router.order("reload", "reloaded", "reload refused", limit_s=RELOAD_LIMIT_S, fds=fds,
                                          file=fresh.file)
        except TimeoutError:
            log.error("a reload is not answered: another router takes over", extra={"fields": {"pid": router.pid}})
            return False
        if said.what == FAILED or (said.what == "reload refused" and not said.fields["larger"]):
            raise StartError(said.fields["why"])
        return said.what == "reloaded" and router is self.router and router.status is None

    async def take_over(self, config: Config, text: str) -> None:
        """Another router routes with this configuration when this returns; StartError: nothing has changed."""
        spare, change = Child.start(config, text, self.program), None
        try:
            async with asyncio.timeout(WARM_LIMIT_S):
                said = await spare.hear("warm", "refused")
            if said.what != "warm":
                raise StartError(str(said.fields.get("why", f"the new router ended with {spare.status}")))
            self.open_sockets(config)
            spare.inbox.insert(0, said)
            done = asyncio.get_running_loop().create_future()
            change = self.change = Change(spare, config, text, done)
            self.wish.set()
            await done
        except BaseException as error:
            if spare not in (self.spare, self.router):  # it takes over, whoever does not wait for it
                self.change = None if self.change is change else self.change
                spare.kill()
            if isinstance(error, TimeoutError):
                raise StartError(f"the new router was not ready within {WARM_LIMIT_S:.0f} s") from None
            raise

    async def replace(self, client: int) -> None:
        """The installed code goes on in this process and answers the client; an exception: nothing has changed."""
        try:
            if self.spare:
                spare, self.spare = self.spare, None
                spare.kill()
                await spare.hear()
            if self.router is None:
                raise OSError(errno.EAGAIN, "a router is just starting; ask again")
            if self.stopping:
                raise Refused(STOPPED)  # the new code would know nothing of that order
            upgrade.replace(upgrade.State(
                file=self.config.file, text=self.text, lock=self.lock,
                groups=[(host, port, fds) for (host, port), fds in self.sockets.groups.items()],
                router_pid=self.router.pid, router_line=self.router.line.fileno(), client=client,
                version=self.version, draining=self.draining,
            ))  # fmt: skip
        except BaseException:
            os.close(client)
            if self.router and not self.spare and not self.stopping:
                self.spare = self.new_spare()
            raise

    async def finish_upgrade(self, client: int) -> None:
        """The supervisor's code is new; now the router's, on what the file says."""
        answer = {"error": STOPPED}
        try:
            answer = await self.upgrade_router()
        finally:  # also when it is cancelled, at the end of all
            if client >= 0:
                answer_kept(client, answer)

    async def upgrade_router(self) -> Answer:
        try:
            async with self.busy:
                await self.take_over(*await asyncio.to_thread(read_file, self.config.file))
        except Exception as error:
            planned = isinstance(error, ConfigError | StartError | OSError)
            words = reason(error) if planned else f"{type(error).__name__}: {error}"
            log.error("the router was not upgraded", exc_info=None if planned else error,
                      extra={"fields": {"why": words}})
            return {"error": f"{words}\n{OLD_RUNS_ON} under the new supervisor"}
        log.info("upgraded", extra={"fields": {"version": __version__}})
        return {"done": "upgraded", "version": __version__}
