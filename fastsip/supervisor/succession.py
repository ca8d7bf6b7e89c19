"""One router after the other: who routes, when the next one does, and that there are never two.

A crash, an upgrade, a restart and another number of shards are one thing: the router is dead and reaped, or has
said that it left, and only then is the spare told to go.  The states and their arrows stand in state.
"""

import asyncio
import contextlib
import socket
import time

from fastsip import __version__
from fastsip import log as logs
from fastsip.log import log
from fastsip.process import messages
from fastsip.process.line import Line
from fastsip.process.rings import clear_rings
from fastsip.supervisor import limits
from fastsip.supervisor.child import Child
from fastsip.supervisor.sockets import place_of
from fastsip.supervisor.state import Change, StartError, State
from fastsip.supervisor.watch import Watch, patience_of
from fastsip.supervisor.watching import dump, note_death


def inherit_router(here: State) -> None:
    """Of the program before us in this process, if there was one: it has never stopped routing."""
    if here.inherited:
        line = Line(socket.socket(fileno=here.inherited.router_line))
        here.router = Child(here.inherited.router_pid, line)


async def reign_on(here: State) -> None:
    """One router after the other, until the end."""
    failed = False
    while not here.stopping:
        try:
            if failed:
                await pause(here, "the supervisor failed", 0)
            failed = False
            await reign(here)
        except Exception as error:
            if not here.lives:
                raise
            failed = True
            go_on(here, error)


def go_on(here: State, error: Exception) -> None:
    """After a fault of ours: whoever waits for a change hears of it, and the router that routes goes on routing.

    One that nobody has heard to route, and any spare, is as good as dead: another one takes its place.
    """
    log.error("the supervisor failed", exc_info=error)
    planned, underway = here.planned, here.underway
    here.planned = here.underway = None
    for child in (here.spare, planned and planned.spare, underway and here.router):
        if child:
            child.kill()
    here.spare = None
    for change in (underway, planned):
        if change:
            change.failed(f"{type(error).__name__}: {error}")
    if underway:
        with contextlib.suppress(StartError):  # a socket that cannot be opened again ends nobody else's service
            go_back(here, underway)


async def reign(here: State) -> None:
    """The life of one router, from "go" until nothing of it reads or writes any more."""
    if here.router is None:
        await let_go(here)
    router, here.watch = here.router, Watch(*patience_of(here.config))
    if router is None:
        return
    if here.spare is None:
        here.spare = here.new_spare()
    await until_over(here, router)
    here.router = here.watch = None
    take_place(here)


# ---------------------------------------------------------------- starting


async def let_go(here: State) -> None:
    """The spare routes from now on."""
    clear_rings(here.config.router.run_dir)
    since = time.monotonic()
    router = await next_router(here)
    config = here.config
    if router is None:
        return
    here.marks.clear()
    router.go(here.sockets.of(config.listeners, config.router.shards), here.lock,
              messages.Go(first=not here.lives, draining=here.draining, drop=here.drop))
    here.router, here.spare = router, None
    try:
        async with asyncio.timeout(limits.START_LIMIT_S):
            said = await router.hear(messages.Started, messages.Refused)
    except TimeoutError:
        await dump(here, router, "the router does not start", here.marks.set())
        said = await router.hear()
    if isinstance(said, messages.Started):
        note_start(here, router, since)
        return
    why = said.why if isinstance(said, messages.Refused) else f"the new router ended with {router.status}"
    if not here.lives and isinstance(said, messages.Refused):
        raise StartError(why)
    if here.underway:
        log.error("the new router does not start", extra={"fields": {"why": why}})
        change, here.underway = here.underway, None
        change.failed(why)
        go_back(here, change)


async def next_router(here: State) -> Child | None:
    """The spare, when it is warm; None when none is wanted any more."""
    if here.short_lives >= limits.SHORT_LIVES:
        await pause(here, "routers die at once", here.short_lives - limits.SHORT_LIVES)
    failures = 0
    while not here.stopping:
        spare = here.spare = here.spare or here.new_spare()
        try:
            async with asyncio.timeout(limits.WARM_LIMIT_S):
                said = await spare.hear(messages.Warm, messages.Refused)
        except TimeoutError:
            spare.kill()
            said = await spare.hear()
        if isinstance(said, messages.Warm):
            return spare
        if not here.lives and isinstance(said, messages.Refused):
            raise StartError(said.why)
        if not here.lives and failures + 1 == limits.STILLBORN:
            raise StartError(f"{limits.STILLBORN} routers ended while they prepared themselves")
        log.error("a spare router cannot prepare itself", extra={"fields": said.facts})
        await spare.hear()
        here.spare = None
        await pause(here, "no router", failures)
        failures += 1
    return None


async def pause(here: State, why: str, turn: int) -> None:
    """Longer from turn to turn; the end of all is not kept waiting."""
    seconds = min(2.0**turn, limits.LONGEST_PAUSE_S)
    log.error(f"{why}: a pause", extra={"fields": {"seconds": seconds}})
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await here.wish.wait()


def note_start(here: State, router: Child, since: float) -> None:
    here.notifier.ready(here.status_text())
    if not here.lives:
        logs.say("fastsip: ready")
    here.lives += 1
    here.desk_wish.set()
    here.drop = []
    if here.underway:
        here.underway.came_true()
        here.underway = None
    log.info("router took over", extra={"fields": {
        "pid": router.pid, "ms": round((time.monotonic() - since) * 1000, 1),
    }})
    here.events.tell("router.started", cause=here.cause, pid=router.pid, release=__version__)
    here.cause = "crash"


# ---------------------------------------------------------------- routing, leaving, changing


async def until_over(here: State, router: Child) -> None:
    """Until it has died and is reaped, or has said that it left."""
    ended, wish = (asyncio.ensure_future(work) for work in (router.hear(), here.wish.wait()))
    try:
        await asyncio.wait((ended, wish), return_when=asyncio.FIRST_COMPLETED)
        here.wish.clear()
        if not ended.done():
            await dismiss(here, router)
        elif not here.stopping:
            note_death(here, router)
    finally:
        wish.cancel()
        ended.cancel()


async def dismiss(here: State, router: Child) -> None:
    """Tells it to leave; one that does not is killed."""
    here.short_lives = 0
    config = here.planned.config if here.planned else here.config
    if here.planned:
        here.sockets.detach(config.listeners, config.router.shards)
    kept = {place_of(listener) for listener in config.listeners}
    keep = [config.router.shards if place_of(listener) in kept else 0 for listener in here.config.listeners]
    router.send(messages.Leave(keep=keep))
    try:
        async with asyncio.timeout(limits.LEAVE_LIMIT_S):
            said = await router.hear(messages.Released)
    except TimeoutError:
        said = None
        log.error("the router does not leave: it is killed", extra={"fields": {"pid": router.pid}})
    if said is None or isinstance(said, messages.Ended) or here.stopping:
        await router.bury(limits.LEAVE_LIMIT_S if said else 0)
    else:
        here.start_task(router.bury(limits.LEAVE_LIMIT_S))


def take_place(here: State) -> None:
    """Nobody reads the sockets at this moment: what was planned takes place."""
    change = here.planned
    if not change:
        return
    if here.spare:
        here.spare.kill()
    change.before = here.config, here.text
    here.spare, here.config, here.text = change.spare, change.config, change.text
    here.planned, here.underway, here.cause = None, change, change.cause
    here.sockets.narrow(here.config.listeners, here.config.router.shards)


def go_back(here: State, change: Change) -> None:
    """The router of this change did not start: the next one routes as the one before it did."""
    here.cause = "go back"
    if change.before:
        here.config, here.text = change.before
    here.open_sockets(here.config)
    here.sockets.narrow(here.config.listeners, here.config.router.shards)


async def end_all(here: State) -> None:
    """Nobody of ours is left, and all are reaped."""
    left = [child for child in (here.router, here.spare, here.planned and here.planned.spare, here.desk) if child]
    for child in left:
        child.kill()
    for child in left:
        await child.hear()
    clear_rings(here.config.router.run_dir)
