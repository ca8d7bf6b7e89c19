"""`fastsip status CONFIG`: what runs there."""

from typing import Any

import click

from fastsip.cli._ask import last_answer
from fastsip.cli._config import config_argument
from fastsip.cli._say import say, say_json
from fastsip.cli._watch import watched


@click.command("status", short_help="Show what runs on CONFIG.")
@watched
@config_argument
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def command(config: str, as_json: bool) -> None:
    """Show what runs on CONFIG (exit 3: nothing)."""
    found = last_answer(config, "status")
    del found["done"]
    if as_json:
        say_json(found)
        return
    for name, value in found.items():
        say(f"{name:<15} {_shown(value)}")


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(_webhook(one) if isinstance(one, dict) else one for one in value) or "-"
    if isinstance(value, dict):
        return _spans(value)
    return "-" if value is None else str(value)


def _spans(one: dict[str, Any]) -> str:
    counts = f"{one['sent']} sent {one['lost']} lost {one['passed_over']} passed over {one['unseen']} unseen"
    return f"{counts}{f' ({why})' if (why := one['why']) else ''}"


def _webhook(one: dict[str, Any]) -> str:
    counts = " ".join(f"{one[name]} {name}" for name in ("sent", "failed", "dropped", "waiting"))
    return f"{one['name']}: {counts}{f' ({why})' if (why := one['why']) else ''}"
