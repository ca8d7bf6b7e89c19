"""`fastsip metrics CONFIG`: what the router counts and knows, as Prometheus reads it."""

import click

from fastsip._core.base.mapped import Damaged as DamagedCells
from fastsip.base.plain import reason
from fastsip.cli._ask import EXITS, answers, last_answer, run_dir_of
from fastsip.cli._config import config_argument
from fastsip.cli._say import REFUSED, fail, say
from fastsip.observe.counters import Damaged
from fastsip.observe.metrics import NAMES, look, text


@click.command("metrics", short_help="Show all numbers as Prometheus reads them.", epilog=EXITS)
@config_argument
@click.option("--openmetrics", is_flag=True, help="In OpenMetrics, not in Prometheus' text format.")
@click.option("--names", type=click.Choice(NAMES), default=NAMES[0], show_default=True,
              help="By our names, or by those of exporters for Kamailio, where they mean the same.")
def command(config: str, openmetrics: bool, names: str) -> None:
    """Show counters, gauges and destinations of the router that runs on CONFIG in a format of Prometheus."""
    status = last_answer(config, "status")
    parts = list(answers(config, "destinations"))
    try:
        known = look(run_dir_of(config), status, parts)
    except (Damaged, DamagedCells, OSError) as error:
        fail(f"what the router has counted cannot be read: {reason(error)}", REFUSED)
    say(text(known, openmetrics=openmetrics, names=names), nl=False)
