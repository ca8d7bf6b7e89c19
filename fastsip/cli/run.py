"""`fastsip run CONFIG`: the router in the foreground."""

import sys

import click

from fastsip.config import ConfigError


@click.command("run")
@click.argument("config", type=click.Path())
def command(config: str) -> None:
    """Run the router with CONFIG until it is told to stop (exit 2: CONFIG is wrong)."""
    from fastsip.supervisor import run

    try:
        sys.exit(run(config))
    except ConfigError as error:
        click.echo(str(error), err=True)
        sys.exit(2)
