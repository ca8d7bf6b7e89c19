"""`fastsip stats CONFIG`: counters and gauges of the router that runs on CONFIG."""

import sys

import click

from fastsip import stats
from fastsip.cli._say import failure, say, say_json
from fastsip.config import ConfigError, load_run_dir


@click.command("stats")
@click.argument("config", type=click.Path())
@click.option("--all", "with_zeros", is_flag=True, help="Those that are zero, too.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object, with all of them.")
def command(config: str, with_zeros: bool, as_json: bool) -> None:
    """Show what the router that runs on CONFIG has counted (exit 1: none runs)."""
    try:
        run_dir = load_run_dir(config)
    except ConfigError as error:
        say(str(error), err=True)
        sys.exit(2)
    try:
        found = stats.read(run_dir)
    except OSError as error:
        raise failure(f"no router has run in {run_dir}: {error.strerror}") from None
    if as_json:
        say_json(found)
        return
    width = max(map(len, found))
    for name, value in found.items():
        if value or with_zeros:
            say(f"{name:<{width}} {value:>15,}")
