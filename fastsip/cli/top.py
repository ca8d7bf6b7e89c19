"""`fastsip top CONFIG`: what a running router does, on a terminal."""

import sys
import time

import click

from fastsip.api.answers import Unreadable
from fastsip.api.socket import NotRunning, Refused
from fastsip.cli._ask import EXITS, run_dir_of
from fastsip.cli._config import config_argument
from fastsip.cli._say import NOT_RUNNING, REFUSED, fail, say_pieces, terminal_width
from fastsip.cli._values import Duration
from fastsip.top import words
from fastsip.top.course import Course, Picture, look

NO_TEXTUAL = 'textual is missing: pip install "fastsip[tui]"; without it there is `fastsip top --once`'


@click.command("top", short_help="Watch calls, shards and destinations on a terminal.", epilog=EXITS)
@config_argument
@click.option("--once", is_flag=True, help="Print one picture, of the time between two looks.")
@click.option("--interval", type=Duration(100, 60_000), default="1s", show_default=True, help="From look to look.")
@click.option("--sort", type=click.Choice([*words.SORTS]), default="load", show_default=True, help="Of destinations.")
@click.option("--filter", "text", default="", metavar="TEXT", help="Destinations with this in id, URI, set or state.")
def command(config: str, once: bool, interval: int, sort: str, text: str) -> None:
    """Watch the router that runs on CONFIG: calls, replies, refusals, shards and destinations; ? shows the keys.

    It goes on when the router dies, restarts or hands over, and says so.
    """
    run_dir = run_dir_of(config)
    if once:
        print_once(run_dir, interval / 1000, sort, text)
        return
    try:
        from fastsip.top.screen import run
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "textual":
            raise
        fail(NO_TEXTUAL, REFUSED)
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise click.UsageError("this is no terminal: --once prints one picture")
    run(run_dir, interval / 1000, sort, text)


def print_once(run_dir: str, interval_s: float, sort: str, text: str) -> None:
    """Ends the program when no router answers."""
    course = Course()
    try:
        course.take(look(run_dir))
        time.sleep(interval_s)
        picture = course.take(look(run_dir))
    except NotRunning as error:
        fail(str(error), NOT_RUNNING)
    except (Refused, Unreadable) as error:
        fail(str(error), REFUSED)
    for line in lines_of(picture, sort, text, terminal_width()):
        say_pieces(line)


def lines_of(picture: Picture, sort: str, text: str, width: int | None) -> list[words.Line]:
    """width: of a terminal; None: lines as long as they are."""
    rows = words.chosen(picture.rows, sort, text)
    columns = words.widths(width, rows)
    return [
        words.title(picture, ""),
        *words.upper(picture, len(picture.shards)),
        words.about(picture, len(rows), sort, text),
        *([words.head(columns)] if rows else []),
        *(words.line_of(row, columns) for row in rows),
    ]
