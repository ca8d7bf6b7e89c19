"""`fastsip stats CONFIG`: counters and gauges of the router that runs on CONFIG."""

import click

from fastsip.api.socket import is_running
from fastsip.base.plain import reason
from fastsip.cli._ask import run_dir_of
from fastsip.cli._config import config_argument
from fastsip.cli._say import NOT_RUNNING, REFUSED, fail, say, say_json
from fastsip.observe import counters


@click.command("stats", short_help="Show what the router has counted.")
@config_argument
@click.option("--all", "with_zeros", is_flag=True, help="Those that are zero, too.")
@click.option("--explain", is_flag=True, help="What each of them counts, too.")
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
    else:
        _print(found, with_zeros, counters.HELP if explain else {})
    if not is_running(run_dir):
        fail(f"no router runs in {run_dir}: these are the last numbers of the one that did", NOT_RUNNING)


def _print(found: dict[str, int], with_zeros: bool, texts: dict[str, str]) -> None:
    width = max(map(len, found), default=0)
    for name, value in found.items():
        if value or with_zeros:
            say(f"{name:<{width}} {value:>15,}  {texts.get(name, '')}".rstrip())
