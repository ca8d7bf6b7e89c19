"""`fastsip drain CONFIG`: no new calls, and wait for those in set-up."""

import sys

import click

from fastsip.base.plain import counted
from fastsip.cli._ask import EXITS, answers
from fastsip.cli._config import config_argument
from fastsip.cli._say import REFUSED, say, say_over
from fastsip.cli._values import DAY_MS, Duration

GOES_ON = "new calls get 503 until `fastsip drain --undo`"


@click.command("drain", short_help="Refuse new calls, and wait for those in set-up.", epilog=EXITS)
@config_argument
@click.option("--then", type=click.Choice(["stop"]), help="End the router afterwards, also when the time is over.")
@click.option("--deadline", type=Duration(1_000, DAY_MS), default="60s", show_default=True,
              help="How long to wait at most.")
@click.option("--undo", is_flag=True, help="Take new calls again.")
def command(config: str, then: str | None, deadline: int, undo: bool) -> None:
    """Refuse new calls with 503 and wait until none is in set-up any more (exit 1: some still were)."""
    if then and undo:
        raise click.UsageError("--then stop and --undo contradict each other")
    last, shown = {}, ""
    for last in answers(config, "drain", then=then, limit_s=deadline / 1000, undo=undo):
        if "left_s" in last:
            text = f"{counted(last['open'], 'transaction')} open, {last['left_s']} s left"
            if text != shown:
                say_over(text)
            shown = text
    if shown and sys.stderr.isatty():
        say(err=True)
    if undo:
        say(last["done"])
        return
    drained = last["open"] == 0
    say(f"{last['done']}{'' if drained else still_open(last['open'])}; {what_now(then, drained)}")
    sys.exit(0 if drained else REFUSED)


def still_open(count: int | None) -> str:
    return ", and the router did not say what is open" if count is None else f", {counted(count, 'transaction')} open"


def what_now(then: str | None, drained: bool) -> str:
    if then != "stop":
        return GOES_ON
    return "the router leaves" if drained else "the router leaves all the same, the next start takes up what is open"
