"""`fastsip drain CONFIG`: no new calls, and wait for those in set-up."""

import sys

import click

from fastsip.cli._ask import answers, config_argument
from fastsip.cli._say import say
from fastsip.config.errors import Wrong
from fastsip.config.values import duration
from fastsip.plain import printable

DAY_MS = 86_400_000


def _deadline(_context: click.Context, _parameter: click.Parameter, raw: str) -> float:
    try:
        return duration(1_000, DAY_MS)(raw) / 1000
    except Wrong as wrong:
        raise click.BadParameter(wrong.allowed) from None


@click.command("drain")
@config_argument
@click.option("--then", type=click.Choice(["stop"]), help="End the router afterwards.")
@click.option("--deadline", default="60s", show_default=True, callback=_deadline, help="How long to wait at most.")
@click.option("--undo", is_flag=True, help="Take new calls again.")
def command(config: str, then: str | None, deadline: float, undo: bool) -> None:
    """Refuse new calls with 503 and wait until none is in set-up any more (exit 1: some still were)."""
    last = {}
    terminal = sys.stderr.isatty()
    for last in answers(config, "drain", then=then, limit_s=deadline, undo=undo):
        if "left_s" in last:
            text = f"{last['open']} transactions open, {last['left_s']} s left"
            click.echo(f"\r\033[K{printable(text)}" if terminal else printable(text), err=True, nl=not terminal)
    if terminal and not undo:
        say(err=True)
    say(last["done"])
    sys.exit(1 if last.get("open") else 0)
