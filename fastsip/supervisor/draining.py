"""No new calls, until none is in set-up any more or the time is over: by `fastsip drain`, or by SIGTERM.

The router refuses and counts what is open (router/control_plane); the supervisor remembers it for the next router.
"""

import asyncio
import time
from collections.abc import AsyncIterator

from fastsip.api.socket import Answer, Refused
from fastsip.base.plain import counted
from fastsip.log import log
from fastsip.process import messages
from fastsip.supervisor.child import Child
from fastsip.supervisor.state import State

PATIENCE_S = 60.0       # when nobody says another
ANSWER_LIMIT_S = 5.0
LOOK_S = 0.5


async def drain(here: State, limit_s: float) -> AsyncIterator[Answer]:
    """No new calls; says how many transactions are still open until none is or the time is over."""
    here.draining = True
    log.info("draining", extra={"fields": {"limit_s": limit_s}})
    here.events.tell("router.draining", limit_s=limit_s)
    here.notifier.say(f"STATUS={here.status_text()}")
    end, still_open = time.monotonic() + limit_s, None
    while here.draining:  # else somebody has undone it, and it must not begin anew
        said = await _order(here.router, on=True) if here.router else None
        if said:
            still_open = said.open
            yield {"open": still_open, "left_s": round(max(0.0, end - time.monotonic()))}
        if still_open == 0 or time.monotonic() >= end:
            break
        await asyncio.sleep(LOOK_S)
    if here.draining:
        words = "drained" if still_open == 0 else "the time to drain is over"
        log.info(words, extra={"fields": {"open": still_open}})
        here.events.tell("router.drained", open=still_open)


async def _order(router: Child, on: bool) -> messages.Draining | None:
    """None: it has not answered."""
    try:
        said = await router.order(messages.Drain(on=on), messages.Draining, limit_s=ANSWER_LIMIT_S)
    except TimeoutError:
        said = None
    if said is None or isinstance(said, messages.Failed):
        log.error("the router does not say what it drains", extra={"fields": said.facts if said else {}})
    return said if isinstance(said, messages.Draining) else None


async def undo(here: State) -> None:
    """Refused: the router has not said that it takes new calls again."""
    here.draining = False
    here.notifier.say(f"STATUS={here.status_text()}")
    if here.router and not await _order(here.router, on=False):
        raise Refused("the router does not say that it takes new calls again")
    log.info("new calls are taken")
    here.events.tell("router.resumed")


async def drain_away(here: State) -> None:
    """And then leave, unless somebody has undone it."""
    undone = False
    try:
        async for answer in drain(here, PATIENCE_S):
            here.notifier.wait_longer(PATIENCE_S, f"draining, {counted(answer['open'], 'transaction')}")
        undone = not here.draining
    finally:  # whatever happens: SIGTERM was the order
        if not undone:
            here.stop()
