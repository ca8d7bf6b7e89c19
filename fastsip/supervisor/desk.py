"""Orders to the desk, the process that waits for others: it may hang or die, and the next order starts another one."""

from typing import TypeVar

from fastsip.process import messages
from fastsip.process.launch import launch
from fastsip.process.line import Line
from fastsip.supervisor.child import Child
from fastsip.supervisor.state import State

PROGRAM_ARGUMENTS = ("-m", "fastsip.desk")
M = TypeVar("M", bound=messages.Numbered)


async def ask_desk(here: State, order: messages.Numbered, answer: type[M], limit_s: float) -> M | str:
    """What it answers, or why it does not; one that says nothing for that long is killed."""
    if here.desk and here.desk.status is not None:
        here.desk = None    # it died while it had nothing to do
    desk = here.desk = here.desk or start_desk(here)
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


def start_desk(here: State) -> Child:
    pid, line = launch((here.program[0], *PROGRAM_ARGUMENTS))
    return Child(pid, Line(line))
