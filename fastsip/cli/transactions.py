"""`fastsip transactions CONFIG`: what is going on in the store, running or not."""

import itertools
import sys

import click

from fastsip._core.transaction.inspect import SERVER_STATES
from fastsip.base.plain import counted
from fastsip.cli._ask import run_dir_of
from fastsip.cli._config import config_argument
from fastsip.cli._say import REFUSED, fail, say, say_json
from fastsip.cli._values import DAY_MS, Duration
from fastsip.cli._watch import watched
from fastsip.observe import transactions

STATES = click.Choice([*SERVER_STATES.values()])


class _Method(click.Choice):
    """One of those that have a name here, in letters of any case."""

    def convert(self, value, param, ctx) -> str:
        return super().convert(value if value in self.choices else value.upper(), param, ctx)


@click.command("transactions", short_help="Show what is ringing, searching, lingering.")
@watched
@config_argument
@click.option("--run-dir", type=click.Path(), help="Another router's run_dir, or a copy of one.")
@click.option("--state", type=STATES, help="Those in this state.")
@click.option("--method", type=_Method(transactions.METHOD_NAMES), metavar="METHOD",
              help="INVITE, BYE, ...; other = one that has no name here.")
@click.option("--call-id", default="", help="A part of it.")
@click.option("--destination", default="", help="One that it was sent to, by id.")
@click.option("--older", type=Duration(0, 365 * DAY_MS), default=0, help='At least so old, such as "30s".')
@click.option("--most", type=click.IntRange(1), default=50, show_default=True, help="Rows to show.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object for each line, all of them.")
def command(config, run_dir, state, method, call_id, destination, older, most, as_json) -> None:
    """Show the transactions in the store of CONFIG, without stopping anything (exit 1: there is none, or a part of it
    is damaged).

    An INVITE that was answered with 2xx is "accepted" for a while and only absorbs repetitions: of its messages none is
    kept, so it has no Call-ID any more.
    """
    folder = run_dir or run_dir_of(config)
    wanted = transactions.Filter(state or "", method or "", call_id, destination, older)
    try:
        reader = transactions.Reader(folder)
        found = reader.transactions(wanted)
        if as_json:
            for one in found:
                say_json(transactions.as_dict(one))
        else:
            _print(list(found), most)
    except transactions.NoStore as error:
        fail(str(error), REFUSED)
    if reader.torn:
        say(f"{reader.torn} more were in the middle of a change each time they were looked at", err=True)
    for path, why in reader.damaged.items():
        say(f"fastsip: {path} is not shown: {why}", err=True)
    if reader.damaged:
        sys.exit(REFUSED)


def _seconds(ms: int | None) -> str:
    return "-" if ms is None else f"{ms / 1000:.1f}"


def _print(found: list[transactions.Transaction], most: int) -> None:
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
    counts = ", ".join(f"{count:,} {state}" for state, count in transactions.summary(found).items())
    hidden = f"; {len(found) - most:,} not shown (--most)" if len(found) > most else ""
    say(f"{counted(len(found), 'transaction')}{': ' + counts if counts else ''}{hidden}")
