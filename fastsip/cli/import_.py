"""`fastsip import ROUTER FILE`: the destinations of another router, as a configuration of this one."""

import click

from fastsip.cli._say import REFUSED, fail, say
from fastsip.config.imported import READERS, import_file


@click.command("import", short_help="Print the destinations of another router as TOML.")
@click.argument("router", type=click.Choice(list(READERS)))
@click.argument("file", type=click.Path())
def command(router: str, file: str) -> None:
    """Print the sets of FILE as they stand in a configuration; what cannot be used is said on standard error.

    FILE is Kamailio's dispatcher.list, or a table of either router (OpenSIPS: dispatcher, load_balancer) as its db_text
    module keeps it or as `mysql --batch` prints it: the names of the columns first, tabs between.

    Exit code 1: there is nothing in it that can be used.
    """
    found = import_file(router, file)
    for one in found.left_out:
        say(f"left out: {one}", err=True)
    if found.away:
        fail(f"{file}: {found.away}", REFUSED)
    say(found.text, nl=False)
