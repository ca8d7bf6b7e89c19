"""`fastsip run CONFIG`: the router in the foreground."""

import click

from fastsip.cli._config import config_argument
from fastsip.cli._say import WRONG, fail


@click.command("run", short_help="Run the router in the foreground.")
@config_argument
def command(config: str) -> None:
    """Run the router with CONFIG until it is told to stop (exit 2: CONFIG is wrong, or it cannot start)."""
    from fastsip.process.launch import end, launch, need_kernels

    need_kernels()
    born = launch()  # it loads while we load
    from fastsip.config import ConfigError
    from fastsip.supervisor.run import run

    try:
        end(run(config, born=born))
    except ConfigError as error:
        fail(str(error), WRONG)
