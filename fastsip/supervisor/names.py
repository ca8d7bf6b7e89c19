"""Destinations that are names: the desk asks DNS, and what it says becomes the targets of the configuration that runs.

An answer counts for its time, within bounds, and is asked for again then.  While no server answers, or one says that
there is nothing any more, the last good answer goes on, for `[resolve] stale`; only a name that DNS denies (SRV with
the target ".") has no targets from then on.  What DNS says is kept (resolve/answers): the next supervisor, spares and
upgrades begin with it, so that nobody ever waits for a server.

Must never: take another configuration more than once in TAKE_S, or ask for more than MOST_AT_ONCE names at a time.
"""

import asyncio
import time

from fastsip.base.plain import reason
from fastsip.config.targets import questions_of, with_answers
from fastsip.dispatcher.diff import compare
from fastsip.log import log
from fastsip.resolve.answers import write_answers
from fastsip.resolve.asking import Question
from fastsip.supervisor import changes
from fastsip.supervisor.asking import ask
from fastsip.supervisor.state import State

LOOK_S = 1.0
TAKE_S = 1.0            # from one change of targets to the next
GATHER_S = 0.05         # what is answered within this time is taken together
MOST_AT_ONCE = 16       # names

Tasks = dict[Question, asyncio.Task[None]]


async def watch(here: State) -> None:
    """As long as the supervisor lives."""
    tasks: Tasks = {}
    taken_s, failed = 0.0, ""
    while True:
        try:
            begin(here, tasks)
            await end(tasks)
            await keep(here)
            if here.names.changed and can_take(here) and time.monotonic() >= taken_s + TAKE_S:
                taken_s = time.monotonic()
                failed = await take(here, failed)
        except Exception:
            log.exception("names are not looked at, by a fault of fastsip")
            await asyncio.sleep(LOOK_S)


def begin(here: State, tasks: Tasks) -> None:
    """Asks for those whose time is over, as many as may be asked for at once."""
    questions = questions_of(here.config)
    here.names.forget_answers(questions, here.config.resolve.stale_ms / 1000, time.time())
    for question in here.names.due(questions, time.monotonic()):
        if len(tasks) >= MOST_AT_ONCE:
            return
        if question not in tasks:
            tasks[question] = asyncio.get_running_loop().create_task(ask(here, question, here.config))


async def end(tasks: Tasks) -> None:
    """Waits for a look's time, or until some are answered."""
    if not tasks:
        await asyncio.sleep(LOOK_S)
        return
    await asyncio.wait(tasks.values(), timeout=LOOK_S, return_when=asyncio.FIRST_COMPLETED)
    await asyncio.sleep(GATHER_S)
    for question in [question for question, task in tasks.items() if task.done()]:
        tasks.pop(question).result()


async def keep(here: State) -> None:
    """For the next start; without room it begins with what was kept last."""
    names = here.names
    if not names.unwritten:
        return
    names.unwritten, names.kept_at_s = False, time.time()
    try:
        await asyncio.to_thread(write_answers, here.config.router.state_dir, dict(names.answers))
    except OSError as error:
        log.warning("what DNS says is not kept: if no server answers at the next start, names are not resolved",
                    extra={"fields": {"why": reason(error)}})


def can_take(here: State) -> bool:
    """Does somebody route to whom it can be told?  One that just starts will have it in a moment."""
    return here.router is not None and here.lives > 0 and not (here.planned or here.underway or here.stopping)


async def take(here: State, failed: str) -> str:
    """The targets of all names, with the configuration that runs; why not, "" = it is so.  What cannot be is tried
    again, and said when it is another reason than before (`failed`)."""
    async with here.busy:
        here.names.changed = False
        before = here.config
        try:
            fresh = await asyncio.to_thread(with_answers, before, dict(here.names.answers), time.time())
            if fresh == before:
                return ""
            diff = compare(before, fresh)
            await changes.apply(here, fresh, here.text)
        except Exception as error:
            here.names.changed = True
            why = reason(error)
            if why != failed:
                log.error("other targets of names are not taken, the old ones count", extra={"fields": {"why": why}})
            return why
        here.version += 1
        here.events.tell("config.reloaded", cause="names", version=here.version, **diff.facts())
        log.info("targets of names have changed", extra={"fields": {"version": here.version, **diff.facts()}})
        return ""
