"""`fastsip stats CONFIG`: counters and gauges of the router that runs on CONFIG."""

from collections.abc import Mapping

import click

from fastsip._core.sip.words import METHOD_NAMES
from fastsip._core.state.counters import BUCKETS, STATUS_WORDS
from fastsip.api.socket import is_running
from fastsip.base.plain import reason
from fastsip.cli._ask import run_dir_of
from fastsip.cli._config import config_argument
from fastsip.cli._say import NOT_RUNNING, REFUSED, fail, say, say_json, say_table
from fastsip.cli._watch import watched
from fastsip.observe import counters

WAYS = ("received", "sent")
# What is laid out side by side: heading -> (column -> the word that its numbers' names begin with, their last words).
TABLES: dict[str, tuple[dict[str, str], tuple[str, ...]]] = {
    "METHOD": ({way.upper(): way for way in WAYS}, METHOD_NAMES),
    "STATUS": ({way.upper(): way for way in WAYS}, STATUS_WORDS),
    "AT MOST MS": ({"TIMERS LATE": "timer_lag", "ROUNDS": "round"}, BUCKETS),
}
LAID_OUT = {f"{begin}_{end.lower()}" for columns, ends in TABLES.values() for begin in columns.values() for end in ends}


@click.command("stats", short_help="Show what the router has counted.")
@watched
@config_argument
@click.option("--all", "with_zeros", is_flag=True, help="Those that are zero, too.")
@click.option("--explain", is_flag=True, help="What each of them counts, too, one by one.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object, with all of them.")
def command(config: str, with_zeros: bool, explain: bool, as_json: bool) -> None:
    """Show what the router that runs on CONFIG has counted (exit 3: none runs; the last numbers are shown)."""
    run_dir = run_dir_of(config)
    try:
        found = counters.read(run_dir)
    except FileNotFoundError:
        if is_running(run_dir):
            fail(f"the router in {run_dir} has not counted anything yet", REFUSED)
        fail(f"no router runs in {run_dir}, and none has left its numbers there", NOT_RUNNING)
    except (counters.Damaged, OSError) as error:
        fail(reason(error), REFUSED)
    if as_json:
        say_json(found)
    elif explain:
        _print(found, with_zeros, counters.HELP)
    else:
        _print({name: value for name, value in found.items() if name not in LAID_OUT}, with_zeros, {})
        for heading, (columns, ends) in TABLES.items():
            _print_table(found, heading, columns, ends, with_zeros)
    if not is_running(run_dir):
        fail(f"no router runs in {run_dir}: these are the last numbers of the one that did", NOT_RUNNING)


def _print(found: dict[str, int], with_zeros: bool, texts: Mapping[str, str]) -> None:
    width = max(map(len, found), default=0)
    for name, value in found.items():
        if value or with_zeros:
            say(f"{name:<{width}} {value:>15,}  {texts.get(name, '')}".rstrip())


def _print_table(
    found: dict[str, int], heading: str, columns: dict[str, str], ends: tuple[str, ...], with_zeros: bool
) -> None:
    """Methods, statuses, times: a line for each, with what each column has of it."""
    rows = [(end, [found.get(f"{begin}_{end.lower()}", 0) for begin in columns.values()]) for end in ends]
    shown = [(end, *(f"{value:,}" for value in values)) for end, values in rows if with_zeros or any(values)]
    if shown:
        say()
        say_table((heading, *columns), shown, {})
