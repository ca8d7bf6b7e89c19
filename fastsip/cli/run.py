"""`fastsip run CONFIG`: the router in the foreground."""

import sys
from importlib.util import find_spec

import click

from fastsip.cli._say import say


@click.command("run")
@click.argument("config", type=click.Path())
def command(config: str) -> None:
    """Run the router with CONFIG until it is told to stop (exit 2: CONFIG is wrong)."""
    from fastsip.launch import end, launch

    # It loads while we load, if the kernels are there; if not, one complaint is enough.
    born = launch() if find_spec("fastsip._core.shard") else None
    from fastsip.config import ConfigError
    from fastsip.supervisor import run

    try:
        end(run(config, born=born))
    except ConfigError as error:
        say(str(error), err=True)
        sys.exit(2)
