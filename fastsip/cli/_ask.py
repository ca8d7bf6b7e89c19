"""What the commands share that talk to a running router."""

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

import click

from fastsip.cli._say import say
from fastsip.config import ConfigError, load_run_dir
from fastsip.control import Answer, NotRunning, Refused, ask

NOT_RUNNING = 3


def config_argument(command: Callable[..., None]) -> Callable[..., None]:
    return click.argument("config", type=click.Path())(command)


def answers(config: str, command: str, **fields: Any) -> Iterator[Answer]:
    """What the router that runs on CONFIG answers.

    Ends the program when it is refused (exit 1), CONFIG is wrong (2) or no router runs (3).
    """
    try:
        with contextlib.closing(ask(load_run_dir(config), command, **fields)) as found:
            yield from found
    except ConfigError as error:
        _end(str(error), 2)
    except Refused as error:
        _end(str(error), 1)
    except NotRunning as error:
        _end(str(error), NOT_RUNNING)


def _end(words: str, code: int) -> None:
    say(f"fastsip: {words}", err=True)
    sys.exit(code)


def last_answer(config: str, command: str, **fields: Any) -> Answer:
    *_, last = answers(config, command, **fields)
    return last
