"""`fastsip reload CONFIG`: the file as it is now."""

import click

from fastsip.cli._ask import EXITS, last_answer
from fastsip.cli._config import config_argument
from fastsip.cli._say import say, say_json


@click.command("reload", short_help="Take CONFIG as it is now, whole or not at all.", epilog=EXITS)
@config_argument
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def command(config: str, as_json: bool) -> None:
    """Make the router take CONFIG and its sources as they are now, and say which destinations come, go and change;
    refused whole when CONFIG is wrong (exit 1).  Lines of a source that are wrong are left out."""
    answer = last_answer(config, "reload")
    if as_json:
        del answer["done"]
        say_json(answer)
        return
    say(f"reloaded: configuration {answer['configuration']} of this router")
    for change in ("added", "removed", "changed"):
        found = answer.get(change, {})  # of an older supervisor there is nothing
        more = found.get("count", 0) - len(found.get("ids", ()))
        if found.get("count"):
            say(f"{change}: {', '.join(found['ids'])}{f' and {more} more' if more else ''}")
    for one in answer.get("left_out", ()):
        say(f"left out: {one}", err=True)
