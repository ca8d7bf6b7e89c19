"""`fastsip reload CONFIG`: the file as it is now."""

import click

from fastsip.cli._ask import EXITS, config_argument, last_answer
from fastsip.cli._say import say


@click.command("reload", short_help="Take CONFIG as it is now, whole or not at all.", epilog=EXITS)
@config_argument
def command(config: str) -> None:
    """Make the router take CONFIG as it is now; refused whole when it is wrong (exit 1)."""
    answer = last_answer(config, "reload")
    say(f"reloaded: configuration {answer['configuration']} of this router")
