"""`fastsip stop CONFIG`: the router leaves at once."""

import click

from fastsip.cli._ask import EXITS, last_answer
from fastsip.cli._config import config_argument
from fastsip.cli._say import say


@click.command("stop", short_help="Leave at once; the next start takes up the calls.", epilog=EXITS)
@config_argument
def command(config: str) -> None:
    """Make the router that runs on CONFIG leave at once; the next start takes up the calls in set-up."""
    say(last_answer(config, "stop")["done"])
