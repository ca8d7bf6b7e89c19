"""`fastsip demo`: see the router work without a carrier, a phone or a configuration.

Only arguments and the screen; what happens is in `fastsip/ua/demo.py`.  rich is
imported on a terminal only.
"""

import asyncio
import contextlib
import sys
import time
from collections.abc import Callable, Iterator

import click

from fastsip.cli._say import REFUSED, fail, say
from fastsip.ua.demo import DemoFailed, Tally, run_demo

PLAIN_EVERY_S = 1.0


@click.command("demo", short_help="Watch a router at work, without a configuration.")
@click.option(
    "--rate", type=click.FloatRange(0.1, 100), default=2.0, show_default=True, help="Calls per second."
)
@click.option(
    "--duration",
    type=click.FloatRange(0, min_open=True),
    metavar="SECONDS",
    help="End after that time; without it Ctrl-C ends.",
)
def command(rate: float, duration: float | None) -> None:
    """Start a router and answering machines on this machine and call through them.

    Everything uses free ports of 127.0.0.1 and a directory in memory that is
    removed at the end.
    """
    try:
        with screen() as show:
            tally = asyncio.run(run_demo(rate, duration, show))
    except DemoFailed as error:
        fail(str(error), REFUSED)
    say(summary(tally))


@contextlib.contextmanager
def screen() -> Iterator[Callable[[Tally], None]]:
    """A function that shows a tally: a live table on a terminal, else a line per second."""
    if not sys.stdout.isatty():
        show = plain_lines()
        yield show
        return
    from rich.live import Live

    say("Calls go through a router to three answering machines.  Ctrl-C ends it.")
    with Live(table(Tally()), auto_refresh=False) as live:
        yield lambda tally: live.update(table(tally), refresh=True)


def plain_lines() -> Callable[[Tally], None]:
    """Prints the tally when it changed, at most once per PLAIN_EVERY_S."""
    last_line, due = "", 0.0

    def show(tally: Tally) -> None:
        nonlocal last_line, due
        line = one_line(tally)
        if line != last_line and time.monotonic() >= due:
            say(line)
            last_line, due = line, time.monotonic() + PLAIN_EVERY_S

    return show


def one_line(tally: Tally) -> str:
    return (
        f"started {tally.started}, ringing {tally.ringing}, answered {tally.answered}, "
        f"ended {tally.ended}, failed {tally.failed.total()}"
    )


def table(tally: Tally):
    """The tally as a rich table: a row per destination, the sum below."""
    from rich.table import Table

    grid = Table(caption=one_line(tally), caption_justify="left")
    grid.add_column("destination")
    for name in ("answered", "talking", "ended", "setup, mean", "setup, longest"):
        grid.add_column(name, justify="right")
    for name, seen in sorted(tally.destinations.items()):
        counts = map(str, (seen.answered, seen.talking, seen.ended))
        grid.add_row(name, *counts, f"{seen.mean_ms:.1f} ms", f"{seen.longest_ms:.1f} ms")
    return grid


def summary(tally: Tally) -> str:
    lines = [f"Calls: {one_line(tally)}."]
    for name, seen in sorted(tally.destinations.items()):
        times = f"setup {seen.mean_ms:.1f} ms, longest {seen.longest_ms:.1f} ms"
        lines.append(f"  {name}  answered {seen.answered}, {times}")
    lines += [f"  failed {count} times: {reason}" for reason, count in tally.failed.most_common()]
    return "\n".join(lines)
