"""Questions for names: the desk asks, and what it says is noted."""

import asyncio
import time

from fastsip import log as logs
from fastsip.config import Config
from fastsip.config.targets import families_of, questions_of
from fastsip.process import messages
from fastsip.resolve.asking import Outcome, Question
from fastsip.supervisor import desks
from fastsip.supervisor.known_names import RESOLVED
from fastsip.supervisor.state import State

FIRST_S = 2.0           # what a reload waits for names that nobody has asked for before
MOST_FIRST = 64         # of these; more come when they come
ANSWER_LIMIT_S = 30.0   # the desk's own limit ends a question after a third of it
TYPES = {4: "A", 6: "AAAA"}
TRANSPORTS = ["udp"]    # of listeners, in the order of preference
_said = logs.Limited()


async def ask(here: State, question: Question, config: Config) -> None:
    """Asks, and notes what is said."""
    types = [TYPES[family] for family in families_of(config)]
    order = messages.AskName(question=question, types=types, transports=TRANSPORTS)
    said = await desks.ask(here, order, messages.NameAnswered, ANSWER_LIMIT_S)
    outcome = Outcome(why=said, nothing=said) if isinstance(said, str) else said.outcome
    words = here.names.note(question, outcome, config.resolve.stale_ms / 1000, time.monotonic(), time.time())
    fields: dict[str, object] = {"name": str(question)}
    if words == RESOLVED:
        _said.info("a name is resolved", fields)
    elif words:
        _said.info("a name is not resolved", {**fields, "why": words})


async def ask_first(here: State, config: Config) -> bool:
    """Asks for names that nobody has asked for, and does not wait long: is there an answer?  Whoever is late is asked
    again by `names.watch`."""
    new = [one for one in sorted(questions_of(config)) if one not in here.names.answers and one not in here.names.asked]
    if not new:
        return False
    asked = [asyncio.get_running_loop().create_task(ask(here, one, config)) for one in new[:MOST_FIRST]]
    try:
        await asyncio.wait(asked, timeout=FIRST_S)
    finally:
        for task in asked:
            task.cancel()
        await asyncio.gather(*asked, return_exceptions=True)
    return any(one in here.names.answers for one in new)
