"""The desk: who starts it, what it is told, and when another one takes its place.

It is there when somebody wants it: [api] with its socket, a table that is to be read (databases), a name that DNS is
asked for (asking), webhooks (telling), a visitor of control.sock who speaks HTTP.  It may hang or die: what it serves
from is held here, and nothing of ours waits for it.
"""

import asyncio
import contextlib
import socket
import time
from collections.abc import Sequence
from typing import TypeVar

import msgspec

from fastsip.base.plain import reason
from fastsip.log import log
from fastsip.process import messages
from fastsip.process.launch import launch
from fastsip.process.line import Line
from fastsip.supervisor.child import Child
from fastsip.supervisor.state import State

PROGRAM_ARGUMENTS = ("-m", "fastsip.desk")
LOOK_S = 10.0           # between two questions whether it goes round
ANSWER_LIMIT_S = 20.0   # it may be given little of a busy machine
LEAVE_LIMIT_S = 3.0     # for requests that it is at
YOUNG_S = 10.0          # one that dies before that is not replaced at once
LONGEST_PAUSE_S = 30.0
MOST_WAITING = 50       # visitors, during an upgrade
M = TypeVar("M", bound=messages.Numbered)


def running(here: State) -> Child:
    """The one that lives, or a new one that has been told what it serves."""
    if here.desk is None or here.desk.status is not None:
        pid, line = launch((here.program[0], *PROGRAM_ARGUMENTS))
        here.desk = Child(pid, Line(line))
        tell(here)
        here.desk_wish.set()
    return here.desk


async def ask(here: State, order: messages.Numbered, answer: type[M], limit_s: float) -> M | str:
    """What it answers, or why it does not; one that says nothing for that long is killed."""
    desk = running(here)
    try:
        said = await desk.order(order, answer, limit_s=limit_s)
    except TimeoutError:
        desk.kill()
        said = await desk.hear()
    if isinstance(said, answer):
        return said
    if here.desk is desk:
        here.desk = None    # the next order starts another one
    if isinstance(said, messages.Failed):
        return said.why
    return f"the program that waits for databases and DNS ended with {desk.status}"


def tell(here: State) -> None:
    """What it serves, as the configuration says now; certificates are read again."""
    if here.desk is None or here.desk.status is not None:
        here.desk_wish.set()
        return
    config, api = here.config, here.config.api
    order = messages.Serve(file=config.file, run_dir=config.router.run_dir)
    if api and here.door.fd >= 0:
        order = msgspec.structs.replace(order, token=api.token, read_token=api.read_token,
                                        certificate=api.certificate, key=api.key)  # fmt: skip
        say(here, order, [here.door.fd])
    else:
        say(here, order)


def say(here: State, order: messages.Message, fds: Sequence[int] = ()) -> bool:
    """Does the desk have it?  One that does not read goes on by what it was told before, as with a token that counts no
    more: it is ended, and the next one is told.
    """
    if here.desk is None:
        return False
    try:
        here.desk.line.send(order, fds)
    except OSError as error:
        log.error("the desk does not read what it is told", extra={"fields": {"why": reason(error)}})
        here.desk.kill()
        return False
    return True


def hand_over(here: State, connection: socket.socket) -> None:
    """Whoever speaks HTTP on control.sock.  When the desk does not take him, he is let go; during an upgrade he waits
    for the next program's.
    """
    gone = here.replacing and here.desk is None
    if gone and len(here.visitors) < MOST_WAITING:
        here.visitors.append(connection)
        return
    try:
        if here.stopping or gone:
            return
        running(here).line.send(messages.Visitor(), [connection.fileno()])
    except OSError as error:
        log.error("nobody speaks HTTP now", extra={"fields": {"why": reason(error)}})
    finally:
        connection.close()


async def keep(here: State) -> None:
    """As long as the supervisor lives: one that hangs is ended, and where TCP is listened on another one takes its
    place, at once, or after a pause that grows when they die young."""
    young = 0
    while not here.stopping:
        here.desk_wish.clear()
        try:
            desk = wanted(here)
            let_in(here)
            if desk is None:
                await here.desk_wish.wait()
            elif not await goes_on(desk):
                young = young + 1 if time.monotonic() - desk.began < YOUNG_S else 0
                note_end(here, desk)
                await asyncio.sleep(pause_s(young))
        except Exception:
            log.exception("nobody looks after the desk, by a fault of fastsip")
            await asyncio.sleep(LONGEST_PAUSE_S)


def let_in(here: State) -> None:
    """Who has waited during an upgrade that was not to be."""
    while here.visitors and not here.replacing:
        hand_over(here, here.visitors.pop(0))


def wanted(here: State) -> Child | None:
    """The one that is to be looked after; it is begun where there is none.  The first router comes before all else."""
    if here.desk and here.desk.status is None:
        return here.desk
    return running(here) if here.door.fd >= 0 and here.lives and not here.replacing else None


async def goes_on(desk: Child) -> bool:
    """Does it live, and its loop go round?"""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LOOK_S):
            await desk.hear()
    if desk.status is None:
        try:
            await desk.order(messages.Look(), messages.GoesRound, limit_s=ANSWER_LIMIT_S)
        except TimeoutError:
            log.error("the desk hangs", extra={"fields": {"pid": desk.pid}})
            desk.kill()
            await desk.hear()
    return desk.status is None


def note_end(here: State, desk: Child) -> None:
    """Of one that nobody has sent away."""
    if here.desk is desk and not here.stopping:
        log.error("the desk ended", extra={"fields": {"pid": desk.pid, "status": desk.status}})


def pause_s(young: int) -> float:
    """After so many in a row that died young."""
    return min(2.0 ** min(young - 1, 10), LONGEST_PAUSE_S) if young else 0.0


async def send_away(here: State) -> None:
    """It answers what it is at, and is reaped; a read that begins meanwhile starts another one, which goes, too."""
    while here.desk:
        desk, here.desk = here.desk, None
        desk.send(messages.Leave(keep=[]))
        await desk.bury(LEAVE_LIMIT_S)
