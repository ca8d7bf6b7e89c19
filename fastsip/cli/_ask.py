"""What the commands share that talk to a running router."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, Concatenate, ParamSpec, TypeVar

from fastsip.api.socket import Answer, NotRunning, Refused, ask
from fastsip.cli._say import NOT_RUNNING, REFUSED, WRONG, fail
from fastsip.cli._working import working
from fastsip.config import ConfigError, load_run_dir

P = ParamSpec("P")
T = TypeVar("T")

EXITS = "Exit codes: 0 it is done, 1 it is refused or failed, 2 CONFIG is wrong, 3 no router runs on it."


def run_dir_of(config: str) -> str:
    """Ends the program (2) when CONFIG is wrong."""
    try:
        return load_run_dir(config)
    except ConfigError as error:
        fail(str(error), WRONG)


def answers(config: str, command: str, **fields: Any) -> Iterator[Answer]:
    """What the router that runs on CONFIG answers.

    Ends the program when it is refused (exit 1), CONFIG is wrong (2) or no router runs (3).
    """
    try:
        with contextlib.closing(ask(run_dir_of(config), command, **fields)) as found:
            yield from found
    except Refused as error:
        fail(str(error), REFUSED)
    except NotRunning as error:
        fail(str(error), NOT_RUNNING)


def last_answer(config: str, command: str, **fields: Any) -> Answer:
    with working(command):
        *_, last = answers(config, command, **fields)
    return last


def answer(config: str, ask_for: Callable[Concatenate[str, P], T], *what: P.args, **more: P.kwargs) -> T:
    """What a function of api.answers gives; ends the program as `answers` does."""
    from fastsip.api.answers import Unknown, Unreadable  # which reads more than most commands need

    try:
        with working("the router is asked"):
            return ask_for(run_dir_of(config), *what, **more)
    except (Refused, Unknown, Unreadable) as error:
        fail(str(error), REFUSED)
    except NotRunning as error:
        fail(str(error), NOT_RUNNING)
