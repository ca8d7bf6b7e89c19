"""`fastsip metrics CONFIG`: what the router counts and knows, as Prometheus reads it."""

import click

from fastsip.api import answers
from fastsip.cli._ask import EXITS, answer
from fastsip.cli._config import config_argument
from fastsip.cli._say import say
from fastsip.observe.metrics import NAMES


@click.command("metrics", short_help="Show all numbers as Prometheus reads them.", epilog=EXITS)
@config_argument
@click.option("--openmetrics", is_flag=True, help="In OpenMetrics, not in Prometheus' text format.")
@click.option("--names", type=click.Choice(NAMES), default=NAMES[0], show_default=True,
              help="By our names, or by those of exporters for Kamailio, where they mean the same.")
def command(config: str, openmetrics: bool, names: str) -> None:
    """Show counters, gauges and destinations of the router that runs on CONFIG in a format of Prometheus."""
    say(answer(config, answers.metrics, openmetrics=openmetrics, names=names), nl=False)
