"""`fastsip upgrade CONFIG`: the code that is installed now, without losing a call."""

import click

from fastsip.cli._ask import config_argument, last_answer
from fastsip.cli._say import say


@click.command("upgrade")
@config_argument
def command(config: str) -> None:
    """Replace the running router by the code that is installed now; refused when that cannot take over (exit 1)."""
    answer = last_answer(config, "upgrade")
    say(f"upgraded: fastsip {answer['version']} routes")
