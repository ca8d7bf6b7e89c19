"""`fastsip upgrade CONFIG`: the code that is installed now, without losing a call."""

import click

from fastsip.cli._ask import EXITS, last_answer
from fastsip.cli._config import config_argument
from fastsip.cli._say import say


@click.command("upgrade", short_help="Go on with the code that is installed now.", epilog=EXITS)
@config_argument
def command(config: str) -> None:
    """Replace the running router by the code that is installed now; refused when that cannot take over (exit 1)."""
    answer = last_answer(config, "upgrade")
    say(f"upgraded: fastsip {answer['version']} routes")
