"""Which CONFIG a command is about: the one that is named, else the first of where one usually stands."""

import functools
import os
import sys
from collections.abc import Callable
from pathlib import Path

import click

from fastsip.cli._say import say

VARIABLE = "FASTSIP_CONFIG"
PLACES = ("fastsip.toml", "/etc/fastsip/fastsip.toml")
NO_CONFIG = f"no CONFIG: name one, or set {VARIABLE}; there is no {PLACES[0]} here and no {PLACES[1]}"


def config_argument(command: Callable[..., None]) -> Callable[..., None]:
    """CONFIG as an argument or by --config, or found; the command gets `config`."""
    return click.argument("named", metavar="[CONFIG]", required=False, type=click.Path())(config_option(command))


def config_option(command: Callable[..., None]) -> Callable[..., None]:
    """The same for commands whose arguments are something else."""
    @functools.wraps(command)
    def with_config(chosen: str | None, named: str | None = None, **others: object) -> None:
        command(config=find_config(named, chosen), **others)

    return click.option("--config", "chosen", metavar="CONFIG", type=click.Path(),
                        help=f"Else {VARIABLE}, {PLACES[0]} here, {PLACES[1]}.")(with_config)


def find_config(named: str | None, chosen: str | None) -> str:
    """UsageError: two are named, or none is there.  One that nobody has named is said on stderr."""
    if named and chosen and named != chosen:
        raise click.UsageError(f"CONFIG is either {named} or --config {chosen}")
    if named or chosen:
        return named or chosen or ""
    if found := os.environ.get(VARIABLE):
        return _said(found, f" ({VARIABLE})")
    for place in PLACES:
        if Path(place).exists():
            return _said(place, "")
    raise click.UsageError(NO_CONFIG)


def _said(config: str, by: str) -> str:
    """On a terminal: a program that gave no name knows what it has set."""
    if sys.stderr.isatty():
        say(f"fastsip: CONFIG is {config}{by}", err=True)
    return config
