"""`fastsip run CONFIG`: the router in the foreground."""

import sys

import click

from fastsip.config import ConfigError, load_text, read_text


@click.command("run")
@click.argument("config", type=click.Path())
def command(config: str) -> None:
    """Run the router with CONFIG until it is told to stop (exit 2: CONFIG is wrong)."""
    try:
        text = read_text(config)
        loaded = load_text(text, config)
    except ConfigError as error:
        click.echo(str(error), err=True)
        sys.exit(2)
    from fastsip.supervisor import run

    sys.exit(run(loaded, text))
