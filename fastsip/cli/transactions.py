"""`fastsip transactions CONFIG`: what is going on in the store, running or not."""

import itertools
import sys

import click

from fastsip import inspection
from fastsip.cli._say import failure, say, say_json
from fastsip.config import ConfigError, load_run_dir
from fastsip.config.errors import Wrong
from fastsip.config.values import duration

DAY_MS = 86_400_000


class _Duration(click.ParamType):
    name = "duration"

    def convert(self, value, param, ctx) -> int:
        try:
            return value if isinstance(value, int) else duration(0, 365 * DAY_MS)(value)
        except Wrong as wrong:
            self.fail(str(wrong), param, ctx)


@click.command("transactions")
@click.argument("config", type=click.Path())
@click.option("--run-dir", type=click.Path(), help="Another router's run_dir, or a copy of one.")
@click.option("--state", default="", help="trying, proceeding, completed, confirmed, accepted or ended.")
@click.option("--method", default="", help="INVITE, BYE, ...")
@click.option("--call-id", default="", help="A part of it.")
@click.option("--destination", default="", help="One that it was sent to, by id.")
@click.option("--older", type=_Duration(), default=0, help='At least so old, such as "30s".')
@click.option("--most", type=click.IntRange(1), default=50, show_default=True, help="Rows to show.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object for each line, all of them.")
def command(config, run_dir, state, method, call_id, destination, older, most, as_json) -> None:
    """Show the transactions in the store of CONFIG, without stopping anything (exit 1: there is none)."""
    try:
        folder = run_dir or load_run_dir(config)
    except ConfigError as error:
        say(str(error), err=True)
        sys.exit(2)
    wanted = inspection.Filter(state, method.upper(), call_id, destination, older)
    try:
        reader = inspection.Reader(folder)
        found = reader.transactions(wanted)
        if as_json:
            for one in found:
                say_json(inspection.as_dict(one))
        else:
            _print(list(found), most)
    except (inspection.NoStore, OSError) as error:
        raise failure(str(error)) from None
    if reader.torn:
        say(f"{reader.torn} more were in the middle of a change each time they were looked at", err=True)


def _seconds(ms: int | None) -> str:
    return "-" if ms is None else f"{ms / 1000:.1f}"


def _print(found: list[inspection.Transaction], most: int) -> None:
    """A line for each transaction and one for each of its branches."""
    for one in itertools.islice(found, most):
        notes = " ".join(filter(None, ("in dialog" if one.in_dialog else "", *one.flags)))
        say(
            f"{one.method:<9} {one.state:<11} {one.last_status or '-':>3}  age {_seconds(one.age_ms):>8}  "
            f"left {_seconds(one.deadline_ms):>7}  {one.call_id or '-'}  {notes}".rstrip()
        )
        for branch in one.branches:
            say(
                f"  to {branch.destination or '(by route)'}: {branch.state} {branch.last_status or '-'}  "
                f"age {_seconds(branch.age_ms)}  left {_seconds(branch.deadline_ms)}  {' '.join(branch.flags)}".rstrip()
            )
    counts = ", ".join(f"{count:,} {state}" for state, count in inspection.summary(found).items())
    hidden = f"; {len(found) - most:,} not shown (--most)" if len(found) > most else ""
    say(f"{len(found):,} transactions{': ' + counts if counts else ''}{hidden}")
