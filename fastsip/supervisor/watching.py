"""Who of a router does not go round, and what it died of.

Once a second the heartbeats are looked at (watch); a router that hangs is ended, and what its shards stood at
counts as what it died of.  systemd hears of us while all goes round.
"""

import asyncio
import signal
import time

from fastsip.log import log
from fastsip.process.marks import Mark, stuck_at
from fastsip.process.quarantine import keep_datagram
from fastsip.supervisor import limits
from fastsip.supervisor.child import Child
from fastsip.supervisor.state import State
from fastsip.supervisor.watch import BEAT_S, Watch

# What a router does to itself, not what somebody did to it.
FAULTS = (signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGABRT)


async def beat(here: State) -> None:
    """Once a second: does everybody go round?  systemd hears of it while they do."""
    period_s = min(BEAT_S, (here.notifier.watchdog_s or 2 * BEAT_S) / 2)
    looked = 0.0
    while True:
        await asyncio.sleep(period_s)
        if here.watch is None or here.router is None:
            continue
        due = time.monotonic() - looked >= BEAT_S
        looked = time.monotonic() if due else looked
        try:
            await look_after(here, here.router, here.watch, due)
        except Exception:
            log.exception("the watch failed")


async def look_after(here: State, router: Child, watch: Watch, due: bool) -> None:
    if due:
        before, here.seen_at = here.seen_at, {}
        watch.look(here.marks.beats(here.config.router.shards))
        here.seen_at = {number: here.marks.at(number) for number in watch.idle_shards}
        if watch.hangs:
            await dump(here, router, f"the router hangs: {watch.hangs}", stuck_at(before, here.seen_at))
            return
        note_loop(here, router, watch.slow_loop)
    if watch.all_beat and here.notifier.watchdog_s:
        here.notifier.say("WATCHDOG=1")


def note_loop(here: State, router: Child, slow: bool) -> None:
    """Once when it begins to stand still, with its stacks, and once when it goes round again."""
    if slow and not here.slow_loop:
        log.error("the router's loop stands still, its shards route on", extra={"fields": {"pid": router.pid}})
        router.show_stacks()
    elif here.slow_loop and not slow:
        log.info("the router's loop goes round again", extra={"fields": {"pid": router.pid}})
    here.slow_loop = slow


async def dump(here: State, router: Child, why: str, at: list[Mark]) -> None:
    """Makes it say on stderr where all of its threads are, and ends it; `at`: what it may have been stuck at."""
    here.hung_at = at
    log.error(why, extra={"fields": {"pid": router.pid}})
    router.kill(signal.SIGABRT)
    await router.bury(limits.CORE_LIMIT_S)


def note_death(here: State, router: Child) -> None:
    """What it was at counts against that, if it died by a fault of its own; twice is poison."""
    lived_s = time.monotonic() - router.began
    here.short_lives = here.short_lives + 1 if lived_s < limits.SHORT_LIFE_S else 0
    here.cause = "hang" if router.killed else "crash"
    status = router.status or 0
    how = signal.Signals(-status).name if status < 0 else status
    log.error("the router died", extra={"fields": {"pid": router.pid, "status": how, "lived_s": round(lived_s, 3)}})
    if -status not in FAULTS:
        return
    for mark in here.deaths.note(here.hung_at if router.killed else here.marks.set()):
        log.error("two routers died of this: it is put into quarantine", extra={"fields": {"what": str(mark)}})
        if mark.kind == "slot":
            here.drop.append((mark.ref, mark.generation))
        else:
            keep_datagram(here.config.router.state_dir, mark)
